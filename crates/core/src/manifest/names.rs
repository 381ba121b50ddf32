//! The names of a certificate: `common_name`, `sans`, `cn_in_sans`.

use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use super::San;
use crate::diagnostic::fields::{Fields, boolean, list, parsed, text};
use crate::diagnostic::render::is_unseen;
use crate::diagnostic::report::{Problem, Problems, Reading, Reported};
use crate::diagnostic::tree::{Kind, Value};

/// Longest common name, in bytes (X.520 ub-common-name; step-ca would issue a longer one).
const MAX_COMMON_NAME: usize = 64;
/// Longest DNS name without the dot at its end (RFC 1035 section 2.3.4).
const MAX_DNS: usize = 253;
/// Longest label of a DNS name (RFC 1035 section 2.3.4).
const MAX_LABEL: usize = 63;

/// Why a text is not a [`San`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSan {
    /// Nothing there.
    #[error("an empty name: remove it")]
    Empty,
    /// Certificates hold ASCII only.
    #[error("`{0}` is not ASCII: write the name as DNS knows it, with `xn--` labels")]
    NotAscii(String),
    /// White space or a comma inside one name.
    #[error("`{0}` holds a space or a comma: no name does, and in an array each name is an item of its own")]
    Several(String),
    /// A prefix that other tools want.
    #[error("`{0}` has a prefix: write the name alone, its kind is recognized")]
    Prefixed(String),
    /// Something like `host:port`.
    #[error("`{0}` has a port: certificates name hosts only")]
    Port(String),
    /// A name whose last label is a number.
    #[error("`{0}` is no IP address, and no DNS name ends in a number: check its digits")]
    AlmostIp(String),
    /// Colons as in an IPv6 address.
    #[error("`{0}` is no IPv6 address: write it without brackets and zone, such as fd00::1")]
    AlmostIpv6(String),
    /// A network instead of an address.
    #[error("`{0}` is a network: certificates name single addresses")]
    Network(String),
    /// A star elsewhere than alone in front.
    #[error("`{0}` has its star in the wrong place: only `*.` in front of a domain is a wildcard")]
    Wildcard(String),
    /// A dot at the end.
    #[error("`{0}` ends in a dot: leave it out")]
    TrailingDot(String),
    /// Not a DNS name.
    #[error(
        "`{0}` is no DNS name: labels of 1 to 63 letters, digits and inner hyphens, 253 characters in all"
    )]
    Dns(String),
    /// Not an e-mail address.
    #[error("`{0}` is no e-mail address")]
    Email(String),
    /// Not a URI.
    #[error("`{0}` is no URI")]
    Uri(String),
}

impl FromStr for San {
    type Err = BadSan;

    /// Recognizes the kind of a name by its form. DNS names become lower case.
    fn from_str(text: &str) -> Result<Self, BadSan> {
        let shown = || text.chars().take(100).collect::<String>();
        if text.is_empty() {
            return Err(BadSan::Empty);
        }
        if !text.is_ascii() {
            return Err(BadSan::NotAscii(shown()));
        }
        if text.contains([' ', ',', '\t', '\n', '\r']) {
            return Err(BadSan::Several(shown()));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Ip(address));
        }
        let prefix = text.split_once(':').map(|(prefix, _)| prefix.to_ascii_lowercase());
        if matches!(prefix.as_deref(), Some("dns" | "ip" | "email" | "uri")) {
            return Err(BadSan::Prefixed(shown()));
        }
        if text.contains("://") || prefix.as_deref() == Some("urn") {
            return uri(text).ok_or_else(|| BadSan::Uri(shown()));
        }
        if text.contains('@') {
            return email(text).ok_or_else(|| BadSan::Email(shown()));
        }
        dns(text)
    }
}

fn uri(text: &str) -> Option<San> {
    let (scheme, rest) = text.split_once(':')?;
    let letter = scheme.as_bytes().first().is_some_and(u8::is_ascii_alphabetic);
    let scheme_is_good = letter
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    let rest_is_good = rest.trim_start_matches('/').bytes().next().is_some()
        && rest.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'\\'));
    (scheme_is_good && rest_is_good).then(|| San::Uri(text.to_owned()))
}

fn email(text: &str) -> Option<San> {
    let (local, domain) = text.rsplit_once('@')?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&byte);
    let good = !local.is_empty()
        && local.bytes().all(plain)
        && matches!(dns(domain), Ok(San::Dns(name)) if !name.starts_with('*'));
    good.then(|| San::Email(text.to_owned()))
}

fn dns(text: &str) -> Result<San, BadSan> {
    let name = text.to_ascii_lowercase();
    let shown = || text.chars().take(100).collect::<String>();
    if let Some((before, after)) = text.split_once('/') {
        let network = before.parse::<IpAddr>().is_ok() && after.parse::<u8>().is_ok();
        return Err(if network { BadSan::Network(shown()) } else { BadSan::Dns(shown()) });
    }
    if let Some((host, port)) = text.rsplit_once(':') {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let host_is_good = !bare.contains(':') || bare.parse::<Ipv6Addr>().is_ok();
        let port = port.parse::<u16>().is_ok() && host_is_good;
        let several = text.matches(':').count() > 1;
        return Err(match (port, several) {
            (true, _) => BadSan::Port(shown()),
            (false, true) => BadSan::AlmostIpv6(shown()),
            (false, false) => BadSan::Dns(shown()),
        });
    }
    let base = name.strip_prefix("*.").unwrap_or(&name);
    if base.contains('*') {
        return Err(BadSan::Wildcard(shown()));
    }
    if base.len() > 1 && base.ends_with('.') {
        return Err(BadSan::TrailingDot(shown()));
    }
    if name.len() > MAX_DNS || !base.split('.').all(label) {
        return Err(BadSan::Dns(shown()));
    }
    let last = base.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(BadSan::AlmostIp(shown()));
    }
    Ok(San::Dns(name))
}

fn label(text: &str) -> bool {
    (1..=MAX_LABEL).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// The common name and all names of the certificate.
pub(super) fn read(fields: &mut Fields<'_, '_>) -> Result<(String, Vec<San>), Reported> {
    let advice = "write the main name of the certificate, such as \"web.internal.thinkheads.ai\"";
    let common_name = fields.require("common_name", advice, parsed(common_name));
    let sans = fields.optional("sans", sans);
    let added = fields.optional("cn_in_sans", boolean);
    let (common_name, sans, added) = (common_name?, sans?.unwrap_or_default(), added?.unwrap_or(true));
    match all(&common_name, sans, added) {
        Ok(names) => Ok((common_name, names)),
        Err(problem) => {
            fields.report("common_name", problem);
            Err(Reported)
        }
    }
}

fn common_name(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("the common name is empty: write the main name of the certificate".to_owned());
    }
    if text.chars().any(|c| c.is_control() || is_unseen(c)) || text.trim() != text {
        return Err(
            "the common name contains characters that are not seen, or spaces at its ends: remove them"
                .to_owned(),
        );
    }
    if text.len() > MAX_COMMON_NAME {
        return Err(format!(
            "the common name is {} bytes long and X.520 allows {MAX_COMMON_NAME}: take a short one, and put the \
             long name into `sans`",
            text.len()
        ));
    }
    Ok(text.to_owned())
}

/// A string with several names, or an array with one in each item.
fn sans(value: &Value) -> Reading<Vec<San>> {
    match &value.kind {
        Kind::Text(content) => {
            let mut names = Vec::new();
            let mut problems = Problems::default();
            for word in content.split([' ', ',', '\t', '\n', '\r']).filter(|word| !word.is_empty()) {
                let start = word.as_ptr() as usize - content.as_ptr() as usize;
                match word.parse::<San>() {
                    Ok(name) => names.push(name),
                    Err(error) => {
                        let place = value.inside(start..start + word.len());
                        problems.0.push(Problem::plain(error.to_string()).at(place));
                    }
                }
            }
            if problems.0.is_empty() { Ok(names) } else { Err(problems) }
        }
        Kind::List(_) => {
            list(|item| text(item)?.parse::<San>().map_err(|error| Problem::plain(error.to_string()).into()))(
                value,
            )
        }
        _ => Err(crate::diagnostic::fields::wrong_type(
            value,
            "a string or an array",
            "write \"a.example, 10.0.0.1\" or [\"a.example\", \"10.0.0.1\"]",
        )
        .into()),
    }
}

/// The common name in front where it belongs to the names, then the others, each once.
fn all(common_name: &str, sans: Vec<San>, added: bool) -> Result<Vec<San>, Problem> {
    let own = common_name.parse::<San>();
    let mut names = match (&own, added) {
        (Ok(name @ San::Ip(_)), true) => vec![name.clone()],
        (Ok(name @ San::Dns(_)), true) if common_name.contains('.') => vec![name.clone()],
        (Ok(name), true) if sans.is_empty() => vec![name.clone()],
        (Err(error), true) if sans.is_empty() => {
            return Err(Problem::new(
                format!("the certificate would have no valid name: {error}"),
                "list the names that clients use in `sans`",
            ));
        }
        _ => Vec::new(),
    };
    let mut seen: std::collections::HashSet<San> = names.iter().cloned().collect();
    names.extend(sans.into_iter().filter(|name| seen.insert(name.clone())));
    if names.is_empty() {
        return Err(Problem::new(
            "the certificate would have no names: the common name is kept out by `cn_in_sans`",
            "list the names that clients use in `sans`",
        ));
    }
    Ok(names)
}
