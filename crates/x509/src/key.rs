//! Private keys.

use phoenix_core::manifest::{KeyType, San};
use zeroize::Zeroizing;

use crate::{Csr, X509Error};

/// A private key. Never printed; wiped from memory when dropped.
pub struct KeyPair {
    pkcs8: Zeroizing<Vec<u8>>,
}

impl KeyPair {
    /// Makes a new key. RSA takes a second or more.
    pub fn generate(_kind: KeyType) -> Result<Self, X509Error> {
        unimplemented!()
    }

    /// Reads the first private key of a PEM file: PKCS#8, SEC1 (`EC PRIVATE KEY`) or PKCS#1 (`RSA PRIVATE KEY`).
    pub fn from_pem(_pem: &[u8]) -> Result<Self, X509Error> {
        unimplemented!()
    }

    /// PKCS#8 PEM.
    pub fn pem(&self) -> Zeroizing<String> {
        let _ = &self.pkcs8;
        unimplemented!()
    }

    /// SHA-256 of the SubjectPublicKeyInfo, lower-case hexadecimal: equal to `LeafFacts::public_key` of a
    /// certificate for this key.
    pub fn public_key_sha256(&self) -> String {
        unimplemented!()
    }

    /// The manifest's type of this key; none for a kind that a manifest cannot ask for.
    pub fn key_type(&self) -> Option<KeyType> {
        unimplemented!()
    }

    /// A signing request for `common_name` (any text; empty means no CN) and `sans`.
    pub fn csr(&self, _common_name: &str, _sans: &[San]) -> Result<Csr, X509Error> {
        unimplemented!()
    }
}
