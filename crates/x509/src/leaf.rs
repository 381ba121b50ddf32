//! What a certificate says.

use std::net::IpAddr;

use phoenix_core::facts::LeafFacts;
use phoenix_core::manifest::San;
use phoenix_core::time::Timestamp;
use rustls_pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use crate::digest::{hex, sha256_hex};
use crate::spki;

/// Facts of a certificate, and what only this crate needs to know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Described {
    pub(crate) facts: LeafFacts,
    /// Alternative names of kinds that a manifest cannot ask for, in words.
    pub(crate) other_names: Vec<String>,
    /// Subject and issuer are the same name.
    pub(crate) self_issued: bool,
}

/// Reads `der`. The error is a sentence's end: "it is cut off or damaged".
pub(crate) fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, &'static str> {
    match X509Certificate::from_der(der) {
        Ok((&[], certificate)) => Ok(certificate),
        Ok(_) => Err("there are bytes behind its end"),
        Err(_) => Err("it is cut off, damaged or no certificate"),
    }
}

/// Reads `der` and says what is in it.
pub(crate) fn describe(der: &CertificateDer<'_>) -> Result<Described, &'static str> {
    let certificate = parse(der)?;
    let (sans, other_names) = names(&certificate)?;
    let usage = usage(&certificate)?;
    let validity = certificate.validity();
    let facts = LeafFacts {
        serial: serial(certificate.raw_serial()),
        fingerprint: sha256_hex(der),
        common_name: common_name(&certificate),
        sans,
        not_before: Timestamp::from_unix(validity.not_before.timestamp()),
        not_after: Timestamp::from_unix(validity.not_after.timestamp()),
        client_auth: usage.client,
        server_auth: usage.server,
        other_eku: usage.other,
        key_type: spki::key_type(certificate.public_key()),
        public_key: sha256_hex(certificate.public_key().raw),
        issuer: printable(&certificate.issuer().to_string()),
    };
    let self_issued = certificate.subject().as_raw() == certificate.issuer().as_raw();
    Ok(Described { facts, other_names, self_issued })
}

/// The serial without the zero byte by which DER marks a number with its top bit set as positive.
fn serial(raw: &[u8]) -> String {
    match raw {
        [0, rest @ ..] if !rest.is_empty() => hex(rest),
        _ => hex(raw),
    }
}

fn common_name(certificate: &X509Certificate<'_>) -> Option<String> {
    certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok()).map(str::to_owned)
}

/// Text from a certificate without control characters, which could deceive the reader of a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn names(certificate: &X509Certificate<'_>) -> Result<(Vec<San>, Vec<String>), &'static str> {
    let (mut known, mut other) = (Vec::new(), Vec::new());
    let extension = certificate
        .subject_alternative_name()
        .map_err(|_| "its alternative names are damaged or given twice")?;
    for name in extension.iter().flat_map(|extension| &extension.value.general_names) {
        match san(name) {
            Some(name) => known.push(name),
            None => other.push(printable(&name.to_string())),
        }
    }
    Ok((known, other))
}

fn san(name: &GeneralName<'_>) -> Option<San> {
    let plain = |text: &str| (!text.chars().any(char::is_control)).then(|| text.to_owned());
    match name {
        GeneralName::DNSName(name) => plain(name).map(|name| San::Dns(name.to_ascii_lowercase())),
        GeneralName::RFC822Name(name) => plain(name).map(San::Email),
        GeneralName::URI(name) => plain(name).map(San::Uri),
        GeneralName::IPAddress(bytes) => address(bytes).map(San::Ip),
        _ => None,
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let four = || <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    let sixteen = || <[u8; 16]>::try_from(bytes).map(IpAddr::from);
    four().or_else(|_| sixteen()).ok()
}

/// What the extended key usages allow.
struct Usages {
    client: bool,
    server: bool,
    other: bool,
}

fn usage(certificate: &X509Certificate<'_>) -> Result<Usages, &'static str> {
    let extension =
        certificate.extended_key_usage().map_err(|_| "its extended key usages are damaged or given twice")?;
    // Without the extension nothing is forbidden (RFC 5280 section 4.2.1.12).
    let Some(extension) = extension else {
        return Ok(Usages { client: true, server: true, other: true });
    };
    let usages = extension.value;
    let other = usages.any
        || usages.code_signing
        || usages.email_protection
        || usages.time_stamping
        || usages.ocsp_signing
        || !usages.other.is_empty();
    Ok(Usages { client: usages.client_auth, server: usages.server_auth, other })
}
