//! The one-time token (OTT) that authorises one request to a Step-CA.

use aws_lc_rs::rand;
use serde::Serialize;
use serde_json::{Value, json};

use crate::compact::encode;
use crate::verify::Confirmation;
use crate::{JoseError, ProvisionerKey};

/// A one-time token before it is signed.
///
/// It carries neither `iat` nor `nbf`: a Step-CA refuses an `iat` from before its own start, refuses both when its
/// clock is behind ours, and needs neither.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneTimeToken {
    claims: TokenClaims,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct TokenClaims {
    aud: String,
    iss: String,
    sub: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sans: Vec<String>,
    exp: i64,
    jti: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cnf: Option<Confirmation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha: Option<String>,
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
        let claims = TokenClaims {
            aud: audience.into(),
            iss: issuer.into(),
            sub: subject.into(),
            sans: Vec::new(),
            exp: expires,
            jti: String::new(),
            cnf: None,
            sha: None,
        };
        Self { claims }
    }

    /// Names that the certificate may have. Without any the CA takes the subject as the only one.
    pub fn sans<S: Into<String>>(mut self, sans: impl IntoIterator<Item = S>) -> Self {
        self.claims.sans = sans.into_iter().map(Into::into).collect();
        self
    }

    /// Binds the token to the CSR with this SHA-256 of its DER (`cnf`, enforced since step-ca 0.27.3).
    pub fn for_csr(mut self, sha256: [u8; 32]) -> Self {
        self.claims.cnf = Some(Confirmation { csr_sha256: Some(encode(sha256)) });
        self
    }

    /// Names the root of the CA (`sha`, SHA-256 fingerprint in hexadecimal). For people and clients; the CA does
    /// not look at it.
    pub fn root(mut self, fingerprint: impl Into<String>) -> Self {
        self.claims.sha = Some(fingerprint.into());
        self
    }

    /// Signs the token (JWS compact) under the provisioner's key id, with a fresh random `jti`: a Step-CA takes
    /// each `jti` once.
    pub fn sign(&self, key: &ProvisionerKey, kid: &str) -> Result<String, JoseError> {
        let header = json!({ "alg": key.algorithm().as_str(), "kid": kid, "typ": "JWT" });
        self.compact(&header, |message| key.sign(message))
    }

    /// The signed token under this header.
    pub(crate) fn compact(
        &self,
        header: &Value,
        sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, JoseError>,
    ) -> Result<String, JoseError> {
        let mut jti = [0; 32];
        rand::fill(&mut jti).map_err(|_| JoseError::Crypto("make random numbers"))?;
        let claims = TokenClaims { jti: encode(jti), ..self.claims.clone() };
        let claims =
            serde_json::to_string(&claims).map_err(|_| JoseError::Crypto("write the token's claims"))?;
        let message = format!("{}.{}", encode(header.to_string()), encode(claims));
        let signature = encode(sign(message.as_bytes())?);
        Ok(format!("{message}.{signature}"))
    }
}
