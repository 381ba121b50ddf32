//! The private key of a provisioner.

use crate::{JoseError, PublicJwk};

/// A JWS signature algorithm (RFC 7518 section 3, RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// ECDSA on P-521 with SHA-512.
    Es512,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// Ed25519.
    EdDsa,
}

/// The private key of a JWK provisioner. Never printed; wiped from memory when dropped.
pub struct ProvisionerKey {
    public: PublicJwk,
    algorithm: Algorithm,
}

impl ProvisionerKey {
    /// Opens the `encryptedKey` of a provisioner (JWE compact) with the provisioner password (bytes exactly as
    /// Step-CA uses them: without the password file's trailing line break).
    ///
    /// Takes tens of milliseconds of one core by design of PBKDF2.
    ///
    /// # Errors
    /// [`JoseError::WrongPassword`] when, and only when, the password does not fit; other variants name what is
    /// wrong with the JWE or the key in it.
    pub fn decrypt(_jwe: &str, _password: &[u8]) -> Result<Self, JoseError> {
        unimplemented!()
    }

    /// Reads a private JWK (JSON).
    pub fn from_private_jwk(_json: &[u8]) -> Result<Self, JoseError> {
        unimplemented!()
    }

    /// A new ECDSA P-256 key whose `kid` is its thumbprint.
    pub fn generate_p256() -> Result<Self, JoseError> {
        unimplemented!()
    }

    /// Encrypts the key as `step ca init` does: PBES2-HS256+A128KW with `iterations`, A256GCM.
    pub fn encrypt(&self, _password: &[u8], _iterations: u32) -> Result<String, JoseError> {
        unimplemented!()
    }

    /// The public half, as a provisioner listing shows it.
    pub fn public_jwk(&self) -> &PublicJwk {
        &self.public
    }

    /// Key id inside the key, if it has one.
    pub fn kid(&self) -> Option<&str> {
        self.public.kid.as_deref()
    }

    /// RFC 7638 thumbprint.
    pub fn thumbprint(&self) -> String {
        unimplemented!()
    }

    /// Algorithm that tokens are signed with.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
