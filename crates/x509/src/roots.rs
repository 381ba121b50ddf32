//! The certificates that are trusted, and path verification.

use phoenix_core::manifest::Usage;
use phoenix_core::time::Timestamp;
use rustls_pki_types::CertificateDer;

use crate::{Chain, X509Error};

/// Trusted root certificates; at least one.
#[derive(Clone, Debug)]
pub struct Roots {
    certificates: Vec<CertificateDer<'static>>,
}

impl Roots {
    /// Most bytes of PEM.
    pub const MAX_BYTES: usize = 256 * 1024;
    /// Most certificates.
    pub const MAX_CERTIFICATES: usize = 64;

    /// Reads a PEM bundle of CA certificates.
    pub fn from_pem(_pem: impl AsRef<[u8]>) -> Result<Self, X509Error> {
        unimplemented!()
    }

    /// SHA-256 of each root's DER, lower-case hexadecimal, in the bundle's order.
    pub fn fingerprints(&self) -> Vec<String> {
        unimplemented!()
    }

    /// PEM of the roots alone, without text between them.
    pub fn pem(&self) -> String {
        unimplemented!()
    }

    /// The roots, for a TLS library.
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }

    /// Checks that signatures, basic constraints, name constraints and validity of a path from the leaf to one of
    /// these roots are in order at the time `at` (RFC 5280 section 6), for at least one purpose that the leaf has.
    /// To judge the path of an expired leaf pass a time at which it was valid.
    pub fn trusts(&self, _chain: &Chain, _at: Timestamp) -> Result<(), X509Error> {
        unimplemented!()
    }

    /// As [`Self::trusts`], for every purpose of `usage`.
    pub fn trusts_for(&self, _chain: &Chain, _usage: Usage, _at: Timestamp) -> Result<(), X509Error> {
        unimplemented!()
    }
}
