//! Certificate signing requests (PKCS#10, RFC 2986).

/// A signed certificate request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Csr {
    /// PEM (`CERTIFICATE REQUEST`).
    pub pem: String,
    /// DER.
    pub der: Vec<u8>,
    /// SHA-256 of the DER, to which a one-time token is bound.
    pub sha256: [u8; 32],
}
