//! Bounded PEM (RFC 7468).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{Error, PemObject};
use zeroize::Zeroizing;

use crate::X509Error;

/// Bytes of DER in a line of 64 characters.
const LINE: usize = 48;

/// What may be read, and what it is called in errors.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) what: &'static str,
    pub(crate) bytes: usize,
    pub(crate) certificates: usize,
}

/// All certificates of `pem`; at least one. Other sections and text between are passed over.
pub(crate) fn certificates(pem: &[u8], bounds: Bounds) -> Result<Vec<CertificateDer<'static>>, X509Error> {
    within(pem.len(), bounds.what, bounds.bytes)?;
    let certificates = CertificateDer::pem_slice_iter(pem)
        .take(bounds.certificates + 1)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| X509Error::Pem { what: bounds.what, why: describe(&error).into() })?;
    match certificates.len() {
        0 => Err(X509Error::NoCertificate(bounds.what)),
        count if count > bounds.certificates => {
            Err(X509Error::TooMany { what: bounds.what, limit: bounds.certificates })
        }
        _ => Ok(certificates),
    }
}

/// Refuses more than `limit` bytes.
pub(crate) fn within(size: usize, what: &'static str, limit: usize) -> Result<(), X509Error> {
    if size > limit {
        return Err(X509Error::TooLarge { what, size, limit });
    }
    Ok(())
}

/// What is wrong with PEM, without its content: that may be a key.
pub(crate) fn describe(error: &Error) -> &'static str {
    match error {
        Error::MissingSectionEnd { .. } => "a section has no END line; the file may be cut off",
        Error::IllegalSectionStart { .. } => "a BEGIN line is malformed",
        Error::Base64Decode(_) => "the base64 text of a section is damaged",
        _ => "it cannot be decoded",
    }
}

/// A section with `label`. Wiped when dropped, since it may hold a key; made in one piece, so that growing leaves no
/// copies behind.
pub(crate) fn encode(label: &str, der: &[u8]) -> Zeroizing<String> {
    let lines = der.len().div_ceil(LINE);
    let mut text = Zeroizing::new(String::with_capacity(lines * 65 + 2 * (label.len() + 17)));
    for part in ["-----BEGIN ", label, "-----\n"] {
        text.push_str(part);
    }
    for line in der.chunks(LINE) {
        STANDARD.encode_string(line, &mut text);
        text.push('\n');
    }
    for part in ["-----END ", label, "-----\n"] {
        text.push_str(part);
    }
    text
}

/// Sections with `certificates`.
pub(crate) fn encode_certificates<'a>(
    certificates: impl IntoIterator<Item = &'a CertificateDer<'a>>,
) -> String {
    certificates.into_iter().map(|der| std::mem::take(&mut *encode("CERTIFICATE", der))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoding_is_made_in_one_piece_and_read_back() {
        for length in [0, 1, 47, 48, 49, 96, 1000] {
            let der = vec![0xa5; length];
            let text = encode("CERTIFICATE", &der);
            assert!(
                text.lines().all(|line| line.len() <= 64) && text.ends_with("-----END CERTIFICATE-----\n")
            );
            assert!(text.capacity() <= length.div_ceil(LINE) * 65 + 56, "grew to {}", text.capacity());
            assert_eq!(CertificateDer::from_pem_slice(text.as_bytes()).unwrap().as_ref(), der);
        }
    }
}
