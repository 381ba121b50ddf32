//! Bounded PEM (RFC 7468).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::CertificateDer;
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

/// A section as it stands in the text; nothing is decoded or copied before its label is known to be wanted.
pub(crate) struct Section<'a> {
    pub(crate) label: &'a [u8],
    body: &'a [u8],
}

/// What is wrong with PEM. It has nothing of the content, which may be a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    Begin,
    End,
    Base64,
}

impl Damage {
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Begin => "a BEGIN line is malformed",
            Self::End => "a section has no END line; the file may be cut off",
            Self::Base64 => "the base64 text of a section is damaged",
        }
    }
}

/// The sections of `pem`; text between them is passed over.
pub(crate) fn sections(pem: &[u8]) -> impl Iterator<Item = Result<Section<'_>, Damage>> {
    let mut rest = pem;
    std::iter::from_fn(move || {
        let found = next_section(&mut rest);
        if found.is_err() {
            rest = &[];
        }
        found.transpose()
    })
}

fn next_section<'a>(rest: &mut &'a [u8]) -> Result<Option<Section<'a>>, Damage> {
    let label = loop {
        let Some(line) = next_line(rest) else { return Ok(None) };
        if let Some(begun) = line.strip_prefix(b"-----BEGIN ") {
            break begun.trim_ascii_end().strip_suffix(b"-----").ok_or(Damage::Begin)?;
        }
    };
    let whole = *rest;
    loop {
        let before = whole.len() - rest.len();
        let line = next_line(rest).ok_or(Damage::End)?;
        let ended =
            line.strip_prefix(b"-----END ").and_then(|line| line.trim_ascii_end().strip_suffix(b"-----"));
        if ended == Some(label) {
            return Ok(Some(Section { label, body: whole.get(..before).unwrap_or_default() }));
        }
    }
}

/// Takes a line, which ends with a line feed, a carriage return or the text.
fn next_line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    if rest.is_empty() {
        return None;
    }
    let mut parts = rest.splitn(2, |byte| matches!(byte, b'\n' | b'\r'));
    let line = parts.next();
    *rest = parts.next().unwrap_or_default();
    line
}

impl Section<'_> {
    /// The decoded content. Everything on the way is wiped, and made in one piece: growing would leave copies.
    pub(crate) fn der(&self) -> Result<Zeroizing<Vec<u8>>, Damage> {
        let mut text = Zeroizing::new(Vec::with_capacity(self.body.len()));
        text.extend(self.body.iter().copied().filter(|byte| !byte.is_ascii_whitespace()));
        let mut der = Zeroizing::new(vec![0; base64::decoded_len_estimate(text.len())]);
        let length = STANDARD.decode_slice(&*text, &mut der).map_err(|_| Damage::Base64)?;
        der.truncate(length);
        Ok(der)
    }
}

/// All certificates of `pem`; at least one. Other sections and text between are passed over.
pub(crate) fn certificates(pem: &[u8], bounds: Bounds) -> Result<Vec<CertificateDer<'static>>, X509Error> {
    within(pem.len(), bounds.what, bounds.bytes)?;
    let certificates = sections(pem)
        .filter(|section| !matches!(section, Ok(other) if !is_certificate(other)))
        .take(bounds.certificates + 1)
        .map(|section| section.and_then(|section| Ok(std::mem::take(&mut *section.der()?).into())))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|damage| X509Error::Pem { what: bounds.what, why: damage.words().into() })?;
    match certificates.len() {
        0 => Err(X509Error::NoCertificate(bounds.what)),
        count if count > bounds.certificates => {
            Err(X509Error::TooMany { what: bounds.what, limit: bounds.certificates })
        }
        _ => Ok(certificates),
    }
}

fn is_certificate(section: &Section<'_>) -> bool {
    section.label == b"CERTIFICATE"
}

/// Refuses more than `limit` bytes.
pub(crate) fn within(size: usize, what: &'static str, limit: usize) -> Result<(), X509Error> {
    if size > limit {
        return Err(X509Error::TooLarge { what, size, limit });
    }
    Ok(())
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
            let read: Vec<_> =
                sections(text.as_bytes()).map(|section| section.unwrap().der().unwrap()).collect();
            assert_eq!(read.iter().map(|found| found.as_slice()).collect::<Vec<_>>(), [der]);
        }
    }

    #[test]
    fn sections_are_found_however_lines_end_and_damage_is_named() {
        let read = |text: &str| -> Vec<_> {
            let one = |found: Result<Section<'_>, Damage>| {
                let found = found?;
                Ok((String::from_utf8_lossy(found.label).into_owned(), found.der()?.to_vec()))
            };
            sections(text.as_bytes()).map(one).collect()
        };
        let good = |label: &str, der: &[u8]| Ok((label.to_owned(), der.to_vec()));
        let cases = [
            ("", vec![]),
            ("text\n-----END A-----\n", vec![]),
            ("-----BEGIN A-----\nAAAA\n-----END A-----", vec![good("A", &[0; 3])]),
            ("x\r\n-----BEGIN A B-----\r\nAA\r\nAA\r\n-----END A B-----\r\n", vec![good("A B", &[0; 3])]),
            ("-----BEGIN A-----\r AA AA \r-----END A----- \ry", vec![good("A", &[0; 3])]),
            (
                "-----BEGIN A-----\n-----END A-----\n-----BEGIN B-----\nAA==\n-----END B-----\n",
                vec![good("A", &[]), good("B", &[0])],
            ),
            ("-----BEGIN A\nAAAA\n-----END A-----\n", vec![Err(Damage::Begin)]),
            ("-----BEGIN A-----\nAAAA\n-----END B-----\n", vec![Err(Damage::End)]),
            ("-----BEGIN A-----\nAAAA", vec![Err(Damage::End)]),
            ("-----BEGIN A-----\n?AAA\n-----END A-----\n", vec![Err(Damage::Base64)]),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text), expected, "{text:?}");
        }
    }
}
