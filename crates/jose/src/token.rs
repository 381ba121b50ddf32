//! The one-time token (OTT) that authorises one request to a Step-CA.

use crate::{JoseError, ProvisionerKey};

/// A one-time token before it is signed.
///
/// It carries neither `iat` nor `nbf`: a Step-CA refuses an `iat` from before its own start and both when its
/// clock is behind ours, and needs neither.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneTimeToken {
    audience: String,
    issuer: String,
    subject: String,
    sans: Vec<String>,
    expires: i64,
    csr: Option<[u8; 32]>,
    root: Option<String>,
}

impl OneTimeToken {
    /// A token for `audience` (`https://HOST/1.0/sign`) from the provisioner called `issuer`, for the subject CN
    /// `subject`, good until `expires` (seconds since the Unix epoch).
    pub fn new(
        audience: impl Into<String>,
        issuer: impl Into<String>,
        subject: impl Into<String>,
        expires: i64,
    ) -> Self {
        Self {
            audience: audience.into(),
            issuer: issuer.into(),
            subject: subject.into(),
            sans: Vec::new(),
            expires,
            csr: None,
            root: None,
        }
    }

    /// Names that the certificate may have. Without any the CA takes the subject as the only one.
    pub fn sans<S: Into<String>>(mut self, sans: impl IntoIterator<Item = S>) -> Self {
        self.sans = sans.into_iter().map(Into::into).collect();
        self
    }

    /// Binds the token to the CSR with this SHA-256 of its DER (`cnf`, enforced since step-ca 0.27.3).
    pub fn for_csr(mut self, sha256: [u8; 32]) -> Self {
        self.csr = Some(sha256);
        self
    }

    /// Names the root of the CA (`sha`, SHA-256 fingerprint in hexadecimal). For people and clients; the CA does
    /// not look at it.
    pub fn root(mut self, fingerprint: impl Into<String>) -> Self {
        self.root = Some(fingerprint.into());
        self
    }

    /// Signs the token (JWS compact) under the provisioner's key id, with a fresh random `jti`.
    pub fn sign(&self, _key: &ProvisionerKey, _kid: &str) -> Result<String, JoseError> {
        let _ = (&self.audience, &self.issuer, &self.subject, &self.sans, self.expires, &self.csr, &self.root);
        unimplemented!()
    }
}
