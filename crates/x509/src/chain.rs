//! A leaf certificate and its intermediates.

use phoenix_core::facts::LeafFacts;
use rustls_pki_types::CertificateDer;

use crate::X509Error;

/// A leaf certificate and the intermediates that came with it, all readable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    certificates: Vec<CertificateDer<'static>>,
    facts: LeafFacts,
}

impl Chain {
    /// Most bytes of PEM.
    pub const MAX_BYTES: usize = 64 * 1024;
    /// Most certificates.
    pub const MAX_CERTIFICATES: usize = 10;

    /// Reads PEM, leaf first. Other sections (the key of a combined file) and text between are passed over.
    pub fn from_pem(_pem: impl AsRef<[u8]>) -> Result<Self, X509Error> {
        unimplemented!()
    }

    /// Takes DER certificates, leaf first, as a TLS peer sends them.
    pub fn from_der(_certificates: Vec<CertificateDer<'static>>) -> Result<Self, X509Error> {
        unimplemented!()
    }

    /// Without those certificates after the leaf that are their own issuers: what belongs in `cert_path`.
    #[must_use]
    pub fn without_roots(self) -> Self {
        unimplemented!()
    }

    /// PEM of all certificates, leaf first.
    pub fn pem(&self) -> String {
        unimplemented!()
    }

    /// PEM of the leaf alone.
    pub fn leaf_pem(&self) -> String {
        unimplemented!()
    }

    /// PEM of all but the leaf; empty when there are no others.
    pub fn intermediates_pem(&self) -> String {
        unimplemented!()
    }

    /// What the leaf says.
    pub fn leaf_facts(&self) -> &LeafFacts {
        &self.facts
    }

    /// All certificates, leaf first; never empty.
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }
}
