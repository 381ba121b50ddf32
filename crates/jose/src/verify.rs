//! Checking a token, as a CA does.

use serde::{Deserialize, Serialize};

use crate::{JoseError, PublicJwk};

/// Protected header of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenHeader {
    /// Signature algorithm.
    pub alg: String,
    /// Key id of the provisioner.
    #[serde(default)]
    pub kid: Option<String>,
    /// `JWT`, if present.
    #[serde(default)]
    pub typ: Option<String>,
}

/// Claims of a one-time token. Times are seconds since the Unix epoch and are for the caller to judge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Audience: one text, or several.
    #[serde(default)]
    pub aud: Vec<String>,
    /// Name of the provisioner.
    #[serde(default)]
    pub iss: Option<String>,
    /// Subject CN.
    #[serde(default)]
    pub sub: Option<String>,
    /// Names.
    #[serde(default)]
    pub sans: Vec<String>,
    /// Unique id of the token.
    #[serde(default)]
    pub jti: Option<String>,
    /// Not good after this time.
    #[serde(default)]
    pub exp: Option<i64>,
    /// Not good before this time.
    #[serde(default)]
    pub nbf: Option<i64>,
    /// When it was made.
    #[serde(default)]
    pub iat: Option<i64>,
    /// Fingerprint of the CA's root.
    #[serde(default)]
    pub sha: Option<String>,
    /// What the token is bound to.
    #[serde(default)]
    pub cnf: Option<Confirmation>,
}

/// What a token is bound to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    /// Base64url of the SHA-256 of the CSR's DER.
    #[serde(default, rename = "x5rt#S256")]
    pub csr_sha256: Option<String>,
}

/// Reads the header of a token **without any check**, to find the key that it names.
pub fn read_header(_token: &str) -> Result<TokenHeader, JoseError> {
    unimplemented!()
}

/// Checks the signature of `token` with `key` and reads its claims. Judging audience, issuer, times and reuse is
/// left to the caller.
pub fn verify(_token: &str, _key: &PublicJwk) -> Result<Claims, JoseError> {
    unimplemented!()
}
