//! Opening a JWE in compact form (RFC 7516 section 5.2), as far as Step-CA uses it.

use std::num::NonZeroU32;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};
use zeroize::Zeroizing;

use crate::compact::{decode, malformed, split};
use crate::content::{Content, TAG_LENGTH};
use crate::pbes2::Pbes2;
use crate::{ITERATIONS, JoseError, wrap};

const WHAT: &str = "encrypted provisioner key";
/// Shortest salt (RFC 7518 section 4.8.1.1).
const MIN_SALT: usize = 8;

/// The protected header. Members that only inform (`cty`, `kid`) are passed over.
#[derive(Deserialize)]
struct Header {
    alg: String,
    enc: String,
    #[serde(default)]
    p2s: Option<String>,
    #[serde(default)]
    p2c: Option<u64>,
    #[serde(default, deserialize_with = "present")]
    zip: bool,
    #[serde(default, deserialize_with = "present")]
    crit: bool,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

/// What a header that is acceptable says.
struct Parameters {
    algorithm: Pbes2,
    content: Content,
    salt: Vec<u8>,
    iterations: NonZeroU32,
}

/// The plaintext of `jwe`.
pub(crate) fn open(jwe: &str, password: &[u8]) -> Result<Zeroizing<Vec<u8>>, JoseError> {
    let [header, key, nonce, ciphertext, tag] = split(jwe, WHAT)?;
    let parameters = parameters(&decode(header, WHAT, "header")?)?;
    let wrapped = decode(key, WHAT, "encrypted key")?;
    let nonce = decode(nonce, WHAT, "initialisation vector")?;
    let sealed = sealed(ciphertext, tag)?;
    if wrapped.len() != parameters.content.key_length() + 8 {
        return Err(malformed(WHAT, "the length of its encrypted key does not fit its `enc`"));
    }
    let kek = parameters.algorithm.derive(password, &parameters.salt, parameters.iterations);
    let content_key = wrap::unwrap(&kek, &wrapped).ok_or(JoseError::WrongPassword)?;
    parameters.content.open(&content_key, &nonce, header.as_bytes(), sealed).ok_or(JoseError::Damaged)
}

fn sealed(ciphertext: &str, tag: &str) -> Result<Zeroizing<Vec<u8>>, JoseError> {
    let mut sealed = Zeroizing::new(decode(ciphertext, WHAT, "ciphertext")?);
    let tag = decode(tag, WHAT, "authentication tag")?;
    if tag.len() != TAG_LENGTH {
        return Err(malformed(WHAT, "its authentication tag is not 16 bytes long"));
    }
    sealed.extend_from_slice(&tag);
    Ok(sealed)
}

fn parameters(header: &[u8]) -> Result<Parameters, JoseError> {
    let header: Header = serde_json::from_slice(header)
        .map_err(|error| malformed(WHAT, format!("its header is not as RFC 7516 has it: {error}")))?;
    if header.zip {
        return Err(unsupported("compression (`zip`)"));
    }
    if header.crit {
        return Err(unsupported("critical extensions (`crit`)"));
    }
    let algorithm =
        Pbes2::from_name(&header.alg).ok_or_else(|| unsupported(format!("`alg` {:?}", header.alg)))?;
    let content =
        Content::from_name(&header.enc).ok_or_else(|| unsupported(format!("`enc` {:?}", header.enc)))?;
    let iterations = iterations(header.p2c.ok_or_else(|| malformed(WHAT, "its header has no `p2c`"))?)?;
    let salt = header.p2s.ok_or_else(|| malformed(WHAT, "its header has no `p2s`"))?;
    let salt = decode(&salt, WHAT, "`p2s`")?;
    if salt.len() < MIN_SALT {
        return Err(malformed(WHAT, "its `p2s` is shorter than 8 bytes"));
    }
    Ok(Parameters { algorithm, content, salt, iterations })
}

fn iterations(p2c: u64) -> Result<NonZeroU32, JoseError> {
    if p2c < u64::from(*ITERATIONS.start()) {
        return Err(JoseError::WeakIterations(p2c));
    }
    u32::try_from(p2c)
        .ok()
        .filter(|count| ITERATIONS.contains(count))
        .and_then(NonZeroU32::new)
        .ok_or(JoseError::ExcessiveIterations(p2c))
}

fn unsupported(feature: impl Into<String>) -> JoseError {
    JoseError::Unsupported {
        what: WHAT,
        feature: feature.into(),
        advice: "encrypt the key with PBES2 and AES-GCM, as `step crypto jwk create` does",
    }
}
