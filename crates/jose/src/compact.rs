//! The compact serialisation of JWE (RFC 7516) and JWS (RFC 7515): base64url parts between dots.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::{JoseError, MAX_INPUT};

/// Refuses input that is longer than [`MAX_INPUT`].
pub(crate) fn bounded<'a>(input: &'a [u8], what: &'static str) -> Result<&'a [u8], JoseError> {
    if input.len() > MAX_INPUT {
        return Err(JoseError::TooLarge { what, size: input.len() });
    }
    Ok(input)
}

/// The `N` parts of `text`, still encoded.
pub(crate) fn split<'a, const N: usize>(
    text: &'a str,
    what: &'static str,
) -> Result<[&'a str; N], JoseError> {
    bounded(text.as_bytes(), what)?;
    let parts: Vec<&str> = text.split('.').collect();
    let count = parts.len();
    parts.try_into().map_err(|_| malformed(what, format!("it has {count} parts between dots instead of {N}")))
}

/// The bytes of one part.
pub(crate) fn decode(part: &str, what: &'static str, name: &str) -> Result<Vec<u8>, JoseError> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| malformed(what, format!("its {name} is not base64url without padding")))
}

/// `bytes` as a part.
pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn malformed(what: &'static str, why: impl Into<String>) -> JoseError {
    JoseError::Malformed { what, why: why.into() }
}
