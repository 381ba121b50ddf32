//! Public JSON Web Keys (RFC 7517, RFC 7518 section 6, RFC 8037 section 2).

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};

use crate::JoseError;
use crate::algorithm::Algorithm;
use crate::compact::{decode, encode, malformed};

const WHAT: &str = "provisioner key";

/// The public half of a provisioner key, as a Step-CA lists it (`key` of `/provisioners`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicJwk {
    /// Key type: `EC`, `RSA` or `OKP`.
    pub kty: String,
    /// Key id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    /// Intended use; `sig` for provisioners.
    #[serde(default, rename = "use", skip_serializing_if = "Option::is_none")]
    pub usage: Option<String>,
    /// Signature algorithm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alg: Option<String>,
    /// Curve of an `EC` or `OKP` key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crv: Option<String>,
    /// X coordinate of an `EC` key, public key of an `OKP` key; base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x: Option<String>,
    /// Y coordinate of an `EC` key; base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub y: Option<String>,
    /// Modulus of an `RSA` key; base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<String>,
    /// Exponent of an `RSA` key; base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub e: Option<String>,
}

impl PublicJwk {
    /// RFC 7638 thumbprint: base64url of the SHA-256 of the required members. None for an unknown key type or
    /// when a member is missing.
    pub fn thumbprint(&self) -> Option<String> {
        let text = |member: &Option<String>| serde_json::to_string(member.as_ref()?).ok();
        let (crv, x) = (text(&self.crv), text(&self.x));
        let canonical = match self.kty.as_str() {
            "EC" => format!(r#"{{"crv":{},"kty":"EC","x":{},"y":{}}}"#, crv?, x?, text(&self.y)?),
            "OKP" => format!(r#"{{"crv":{},"kty":"OKP","x":{}}}"#, crv?, x?),
            "RSA" => format!(r#"{{"e":{},"kty":"RSA","n":{}}}"#, text(&self.e)?, text(&self.n)?),
            _ => return None,
        };
        Some(encode(digest::digest(&digest::SHA256, canonical.as_bytes())))
    }

    /// The algorithm that the key names, or the usual one of its type; it must fit the key.
    pub fn algorithm(&self) -> Result<Algorithm, JoseError> {
        let crv = self.crv.as_deref();
        match &self.alg {
            None => Algorithm::default_for(&self.kty, crv).ok_or_else(|| self.unsupported_kind()),
            Some(name) => {
                let algorithm = Algorithm::from_name(name).ok_or_else(|| unsupported(format!("`{name}`")))?;
                if algorithm.fits(&self.kty, crv) { Ok(algorithm) } else { Err(self.misfit(algorithm)) }
            }
        }
    }

    /// The uncompressed point of an `EC` key (SEC 1 section 2.3.3).
    pub(crate) fn point(&self) -> Result<Vec<u8>, JoseError> {
        let size = match self.crv.as_deref() {
            Some("P-256") => 32,
            Some("P-384") => 48,
            Some("P-521") => 66,
            _ => return Err(self.unsupported_kind()),
        };
        let mut point = vec![4];
        for (member, name) in [(&self.x, "x"), (&self.y, "y")] {
            let bytes = decode(required(member.as_deref(), name)?, WHAT, name)?;
            // Some writers drop leading zero bytes.
            let missing = size_difference(size, bytes.len(), name)?;
            point.resize(point.len() + missing, 0);
            point.extend_from_slice(&bytes);
        }
        Ok(point)
    }

    /// The public key of an `OKP` key.
    pub(crate) fn okp_public(&self) -> Result<Vec<u8>, JoseError> {
        decode(required(self.x.as_deref(), "x")?, WHAT, "x")
    }

    /// Modulus and exponent of an `RSA` key.
    pub(crate) fn rsa_public(&self) -> Result<(Vec<u8>, Vec<u8>), JoseError> {
        let n = decode(required(self.n.as_deref(), "n")?, WHAT, "n")?;
        let e = decode(required(self.e.as_deref(), "e")?, WHAT, "e")?;
        Ok((n, e))
    }

    fn kind(&self) -> String {
        self.crv.as_ref().map_or_else(|| self.kty.clone(), |crv| format!("{} {crv}", self.kty))
    }

    fn unsupported_kind(&self) -> JoseError {
        unsupported(format!("a key of type `{}`", self.kind()))
    }

    fn misfit(&self, algorithm: Algorithm) -> JoseError {
        JoseError::BadKey(format!("its algorithm {algorithm} does not fit its type {}", self.kind()))
    }
}

/// A member that must be there.
pub(crate) fn required<'a>(member: Option<&'a str>, name: &str) -> Result<&'a str, JoseError> {
    member.ok_or_else(|| malformed(WHAT, format!("it has no member `{name}`")))
}

fn size_difference(size: usize, found: usize, name: &str) -> Result<usize, JoseError> {
    size.checked_sub(found).ok_or_else(|| malformed(WHAT, format!("its {name} is too long for its curve")))
}

fn unsupported(feature: String) -> JoseError {
    JoseError::Unsupported {
        what: WHAT,
        feature,
        advice: "use an EC P-256, P-384 or P-521, an RSA (RS256 or PS256) or an Ed25519 key",
    }
}
