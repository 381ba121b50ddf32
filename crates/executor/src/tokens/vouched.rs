//! Tokens for which the present certificate vouches.

use phoenix_core::reason::{Reason, Trouble};
use phoenix_jose::{ChainMember, JoseError, LeafKey, OneTimeToken};
use phoenix_protocol::executor::SignedToken;
use phoenix_x509::{Chain, KeyPair};

use super::{Purchase, Signed, audience, renews_by_certificate, step_ca};

/// `iss` of a token for a renewal, as Step-CA wants it.
const RENEWAL: &str = "step-ca-client/1.0";

/// The present certificate of an entry and its key.
pub(crate) struct Voucher {
    pub(crate) chain: Chain,
    pub(crate) key: KeyPair,
}

impl Voucher {
    fn sign(&self, token: &OneTimeToken, member: ChainMember) -> Result<SignedToken, Trouble> {
        let signed = LeafKey::from_pkcs8(self.key.pkcs8())
            .and_then(|key| token.sign_with_chain(&key, member, self.chain.certificates()));
        signed.map(SignedToken::new).map_err(|error: JoseError| {
            let message = format!("The present certificate's key cannot sign a token: {error}.");
            Trouble::new(Reason::Internal, message)
        })
    }
}

/// A bearer token with which the present certificate can be renewed: the same names and the same key.
pub(crate) fn renew(purchase: Purchase<'_>, voucher: &Voucher) -> Result<Signed, Trouble> {
    let settings = step_ca(purchase.issuer)?;
    if !renews_by_certificate(purchase.entry, purchase.issuer) {
        let message = format!(
            "Issuer `{}` has a provisioner password: certificates are not renewed there by showing the present one.",
            purchase.issuer.name
        );
        return Err(Trouble::new(Reason::BadRequest, message));
    }
    let subject = voucher.chain.leaf_facts().common_name.clone().unwrap_or_default();
    let token = OneTimeToken::new(audience(settings, "/1.0/renew"), RENEWAL, subject, purchase.expiry());
    Ok(Signed { token: voucher.sign(&token, ChainMember::X5cInsecure)?, provisioner: RENEWAL.to_owned() })
}

/// A token with which a certificate for the names of the entry, and the CSR with this digest, can be had from the
/// issuer's X5C provisioner.
pub(crate) fn x5c(
    purchase: Purchase<'_>,
    voucher: &Voucher,
    csr_sha256: [u8; 32],
) -> Result<Signed, Trouble> {
    let settings = step_ca(purchase.issuer)?;
    let provisioner = settings.x5c_provisioner.as_ref().ok_or_else(|| {
        let message =
            format!("Issuer `{}` has no `x5c_provisioner` in the configuration.", purchase.issuer.name);
        Trouble::new(Reason::BadRequest, message)
    })?;
    // The part after the number sign is how Step-CA tells the provisioners of this kind apart.
    let audience = audience(settings, &format!("/1.0/sign#x5c/{provisioner}"));
    let token = OneTimeToken::new(audience, provisioner, &purchase.entry.common_name, purchase.expiry())
        .sans(purchase.names())
        .for_csr(csr_sha256);
    Ok(Signed { token: voucher.sign(&token, ChainMember::X5c)?, provisioner: provisioner.clone() })
}
