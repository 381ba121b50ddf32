//! Checking a token, as a CA does.

use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519,
    RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use crate::JoseError;
use crate::algorithm::Algorithm;
use crate::compact::{decode, malformed, split};
use crate::jwk::PublicJwk;

const WHAT: &str = "token";

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
    /// Extensions that must be understood; none are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crit: Option<Vec<String>>,
}

/// Claims of a one-time token. Times are seconds since the Unix epoch and are for the caller to judge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Audience: one text, or several.
    #[serde(default, deserialize_with = "one_or_many")]
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

/// What a token is bound to (RFC 7800).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    /// Base64url of the SHA-256 of the CSR's DER.
    #[serde(default, rename = "x5rt#S256", skip_serializing_if = "Option::is_none")]
    pub csr_sha256: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(text) => vec![text],
        OneOrMany::Many(texts) => texts,
    })
}

/// Reads the header of a token **without any check**, to find the key that it names.
pub fn read_header(token: &str) -> Result<TokenHeader, JoseError> {
    let [header, _, _] = split(token, WHAT)?;
    json(header, "header")
}

/// Checks the signature of `token` with `key` and reads its claims. Judging audience, issuer, times and reuse is
/// left to the caller.
pub fn verify(token: &str, key: &PublicJwk) -> Result<Claims, JoseError> {
    let [header, claims, signature] = split(token, WHAT)?;
    let algorithm = algorithm(&json(header, "header")?, key)?;
    let signature = decode(signature, WHAT, "signature")?;
    // Only header and claims with the dot between them are signed.
    let message = token.get(..header.len() + 1 + claims.len()).unwrap_or_default();
    if !signed(algorithm, key, message.as_bytes(), &signature)? {
        return Err(JoseError::BadSignature);
    }
    json(claims, "claims")
}

/// The header's algorithm, which must be one that the key is for: never one of the sender's choice.
fn algorithm(header: &TokenHeader, key: &PublicJwk) -> Result<Algorithm, JoseError> {
    if header.crit.is_some() {
        return Err(malformed(WHAT, "it has critical extensions"));
    }
    let wanted = key.algorithm()?;
    let named = Algorithm::from_name(&header.alg);
    let allowed = named == Some(wanted)
        || key.alg.is_none() && named.is_some_and(|a| a.fits(&key.kty, key.crv.as_deref()));
    named.filter(|_| allowed).ok_or(JoseError::BadSignature)
}

fn signed(
    algorithm: Algorithm,
    key: &PublicJwk,
    message: &[u8],
    signature: &[u8],
) -> Result<bool, JoseError> {
    let verdict = match algorithm {
        Algorithm::Es256 => {
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.point()?).verify(message, signature)
        }
        Algorithm::Es384 => {
            UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, key.point()?).verify(message, signature)
        }
        Algorithm::Es512 => {
            UnparsedPublicKey::new(&ECDSA_P521_SHA512_FIXED, key.point()?).verify(message, signature)
        }
        Algorithm::EdDsa => UnparsedPublicKey::new(&ED25519, key.okp_public()?).verify(message, signature),
        Algorithm::Rs256 | Algorithm::Ps256 => {
            let (n, e) = key.rsa_public()?;
            let pss = algorithm == Algorithm::Ps256;
            let padding = if pss { &RSA_PSS_2048_8192_SHA256 } else { &RSA_PKCS1_2048_8192_SHA256 };
            PublicKeyComponents { n, e }.verify(padding, message, signature)
        }
    };
    Ok(verdict.is_ok())
}

fn json<T: DeserializeOwned>(part: &str, name: &str) -> Result<T, JoseError> {
    serde_json::from_slice(&decode(part, WHAT, name)?)
        .map_err(|error| malformed(WHAT, format!("its {name} cannot be read: {error}")))
}
