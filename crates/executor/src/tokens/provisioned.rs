//! Tokens in the name of a JWK provisioner.

use phoenix_core::reason::{Reason, Trouble};
use phoenix_jose::{JoseError, OneTimeToken};
use phoenix_protocol::executor::SignedToken;

use super::{Keyring, Purchase, Signed, audience, provisioner, step_ca};

/// Longest key id that is signed into a token.
const MAX_KID: usize = 1024;

/// What the daemon says about a provisioner. Public data, and not believed beyond its purpose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProvisionerWords<'a> {
    /// Key id of the provisioner.
    pub(crate) kid: &'a str,
    /// Encrypted private key of the provisioner.
    pub(crate) encrypted_key: &'a str,
}

/// A token with which a certificate for the names of the entry, and the CSR with this digest, can be had.
pub(crate) fn sign(
    keyring: &Keyring,
    purchase: Purchase<'_>,
    csr_sha256: [u8; 32],
    words: ProvisionerWords<'_>,
) -> Result<Signed, Trouble> {
    let subject = &purchase.entry.common_name;
    let token = prepared(purchase, "/1.0/sign", subject)?.sans(purchase.names()).for_csr(csr_sha256);
    signed(keyring, purchase, &token, words)
}

/// A token with which the certificate with this decimal serial number can be revoked.
pub(crate) fn revoke(
    keyring: &Keyring,
    purchase: Purchase<'_>,
    serial: &str,
    words: ProvisionerWords<'_>,
) -> Result<Signed, Trouble> {
    let token = prepared(purchase, "/1.0/revoke", serial)?;
    signed(keyring, purchase, &token, words)
}

fn prepared(purchase: Purchase<'_>, path: &str, subject: &str) -> Result<OneTimeToken, Trouble> {
    let provisioner = provisioner(purchase.entry, purchase.issuer)?;
    let audience = audience(step_ca(purchase.issuer)?, path);
    Ok(OneTimeToken::new(audience, &provisioner.name, subject, purchase.expiry()))
}

fn signed(
    keyring: &Keyring,
    purchase: Purchase<'_>,
    token: &OneTimeToken,
    words: ProvisionerWords<'_>,
) -> Result<Signed, Trouble> {
    if words.kid.is_empty() || words.kid.len() > MAX_KID {
        return Err(Trouble::new(Reason::BadRequest, "The provisioner's key id is empty or too long."));
    }
    let provisioner = provisioner(purchase.entry, purchase.issuer)?;
    let issuer = &purchase.issuer.name;
    let key = keyring.unlock(issuer, provisioner, words.encrypted_key, purchase.now)?;
    let token = token.sign(&key, words.kid).map_err(|error: JoseError| {
        let name = &provisioner.name;
        Trouble::new(
            Reason::UnknownProvisioner,
            format!("The key of provisioner `{name}` of issuer `{issuer}` cannot be used: {error}."),
        )
    })?;
    Ok(Signed { token: SignedToken::new(token), provisioner: provisioner.name.clone() })
}
