//! `[[issuer]]`

use std::collections::HashSet;

use super::read::{filled, or, socket_address};
use super::{
    AcmeSettings, ChallengeKind, IssuerKind, IssuerSettings, PasswordSource, ProvisionerSettings,
    StepCaSettings, TrustAnchor,
};
use crate::diagnostic::Severity;
use crate::diagnostic::fields::{Fields, list, parsed, table, word};
use crate::diagnostic::report::{Problem, Report};
use crate::diagnostic::tree::{Kind, Table, Value};
use crate::name::AbsolutePath;

/// Keys of every issuer.
pub(super) const COMMON: &[&str] = &["name", "type", "root", "fingerprint"];
/// Further keys of `type = "step-ca"`.
pub(super) const STEP_CA: &[&str] = &[
    "url",
    "audience",
    "provisioner",
    "password_file",
    "credential",
    "client_provisioner",
    "client_password_file",
    "client_credential",
];
/// Further keys of `type = "acme"`.
pub(super) const ACME: &[&str] = &["directory", "challenge", "listen"];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    StepCa,
    Acme,
}

const TYPES: &[(&str, Type)] = &[("step-ca", Type::StepCa), ("acme", Type::Acme)];
const CHALLENGES: &[(&str, ChallengeKind)] = &[
    ("http-01", ChallengeKind::Http01),
    ("tls-alpn-01", ChallengeKind::TlsAlpn01),
    ("dns-01", ChallengeKind::Dns01),
];

/// All issuers in the order of the file, if all of them are good.
pub(super) fn issuers(root: &Table, length: usize, report: &mut Report) -> Option<Vec<IssuerSettings>> {
    let mut fields = Fields::new(root, 0..length.min(1), "", Severity::Error, report);
    let shape = filled(list(|value| table(value).map(|_| ())));
    fields.require("issuer", "add a table [[issuer]] that says who issues certificates", shape)?;
    let Some(Value { kind: Kind::List(items), .. }) = root.get("issuer") else { return None };
    let found: Vec<Option<IssuerSettings>> =
        items.iter().enumerate().map(|(index, value)| issuer(value, index, report)).collect();
    unique_names(items, report);
    found.into_iter().collect()
}

fn issuer(value: &Value, index: usize, report: &mut Report) -> Option<IssuerSettings> {
    let own = table(value).ok()?;
    let mut fields =
        Fields::new(own, value.span.clone(), format!("issuer[{index}]"), Severity::Error, report);
    let name = fields.require("name", "give it a short name, such as \"phoenix\"", parsed(str::parse));
    let kind = fields.require("type", "write \"step-ca\" or \"acme\"", word(TYPES));
    let known: Vec<&str> = match kind {
        Some(Type::StepCa) => [COMMON, STEP_CA].concat(),
        Some(Type::Acme) => [COMMON, ACME].concat(),
        None => [COMMON, STEP_CA, ACME].concat(),
    };
    fields.check_keys(&known, Severity::Error);
    let trust = trust(&mut fields);
    let kind = match kind? {
        Type::StepCa => step_ca(&mut fields).map(IssuerKind::StepCa),
        Type::Acme => acme(&mut fields).map(IssuerKind::Acme),
    };
    Some(IssuerSettings { name: name?, trust: trust?, kind: kind? })
}

fn trust(fields: &mut Fields<'_, '_>) -> Option<TrustAnchor> {
    match (fields.has("root"), fields.has("fingerprint")) {
        (true, false) => fields.read("root", parsed(str::parse)).map(TrustAnchor::File),
        (false, true) => fields.read("fingerprint", parsed(fingerprint)).map(TrustAnchor::Fingerprint),
        (true, true) => {
            both(fields, "root", "fingerprint");
            None
        }
        (false, false) => {
            let advice =
                "name the PEM file of its root certificate, or give `fingerprint`, the root's SHA-256";
            fields.missing("root", advice);
            None
        }
    }
}

fn step_ca(fields: &mut Fields<'_, '_>) -> Option<StepCaSettings> {
    let example = "write its address, such as \"https://ca.internal.thinkheads.ai:9000\"";
    let url = fields.require("url", example, parsed(|text| server(text, "url")));
    let audience = match &url {
        Some(url) => or(fields, "audience", url.clone(), parsed(|text| server(text, "audience"))),
        None => fields.read("audience", parsed(|text| server(text, "audience"))),
    };
    let advice = "name a JWK provisioner of the CA, such as \"admin@thinkheads.ai\"";
    let name = fields.require("provisioner", advice, parsed(plain));
    let password = password(fields, "password_file", "credential");
    let client = client_provisioner(fields);
    Some(StepCaSettings {
        url: url?,
        audience: audience?,
        provisioner: ProvisionerSettings { name: name?, password: password? },
        client_provisioner: client?,
    })
}

fn client_provisioner(fields: &mut Fields<'_, '_>) -> Option<Option<ProvisionerSettings>> {
    let password = password(fields, "client_password_file", "client_credential");
    if fields.has("client_provisioner") {
        let name = fields.read("client_provisioner", parsed(plain));
        return Some(Some(ProvisionerSettings { name: name?, password: password? }));
    }
    for key in ["client_password_file", "client_credential"] {
        if fields.has(key) {
            let message = format!("`{key}` without `client_provisioner`");
            fields.report(key, Problem::new(message, "name the provisioner that the password is for"));
            return None;
        }
    }
    Some(None)
}

/// The outer none stands for a reported problem, the inner one for no password.
fn password(fields: &mut Fields<'_, '_>, file: &str, credential: &str) -> Option<Option<PasswordSource>> {
    match (fields.has(file), fields.has(credential)) {
        (false, false) => Some(None),
        (true, false) => {
            let path: AbsolutePath = fields.read(file, parsed(str::parse))?;
            Some(Some(PasswordSource::File(path)))
        }
        (false, true) => fields
            .read(credential, parsed(credential_name))
            .map(|name| Some(PasswordSource::Credential(name))),
        (true, true) => {
            both(fields, file, credential);
            None
        }
    }
}

fn acme(fields: &mut Fields<'_, '_>) -> Option<AcmeSettings> {
    let example = "write the directory's address, such as \"https://ca.example:9000/acme/acme/directory\"";
    let directory = fields.require("directory", example, parsed(|text| https(text, "directory")));
    let challenge = or(fields, "challenge", ChallengeKind::Http01, word(CHALLENGES));
    let listen = fields.read("listen", parsed(listener));
    if matches!(challenge, Some(ChallengeKind::Http01 | ChallengeKind::TlsAlpn01)) && !fields.has("listen") {
        let advice = "write \"systemd:NAME\" for a socket that systemd hands over, or ADDRESS:PORT";
        fields.missing("listen", advice);
        return None;
    }
    if fields.has("listen") && listen.is_none() {
        return None;
    }
    Some(AcmeSettings { directory: directory?, challenge: challenge?, listen })
}

fn unique_names(items: &[Value], report: &mut Report) {
    let mut seen = HashSet::new();
    for (index, value) in items.iter().enumerate() {
        let Ok(own) = table(value) else { continue };
        let Some(Value { kind: Kind::Text(name), .. }) = own.get("name") else { continue };
        if !seen.insert(name.as_str()) {
            let path = format!("issuer[{index}]");
            let mut fields = Fields::new(own, value.span.clone(), path, Severity::Error, report);
            let problem = Problem::new(
                format!("an earlier issuer is called `{name}`, too"),
                "give each issuer its own name: entries refer to them by it",
            );
            fields.report("name", problem);
        }
    }
}

fn both(fields: &mut Fields<'_, '_>, one: &str, other: &str) {
    let problem = Problem::new(format!("both `{one}` and `{other}` are given"), "keep one of the two");
    fields.report(other, problem);
}

/// `https://HOST[:PORT]` without a path; a slash at the end is dropped.
fn server(text: &str, key: &str) -> Result<String, String> {
    let text = https(text, key)?.trim_end_matches('/').to_owned();
    let rest = text.strip_prefix("https://").unwrap_or_default();
    if rest.contains('/') {
        return Err(format!(
            "`{text}` has a path: {key} is only https://HOST:PORT, the API's paths are added"
        ));
    }
    Ok(text)
}

/// An `https` URL with a host, without user, query and fragment.
fn https(text: &str, key: &str) -> Result<String, String> {
    let Some(rest) = text.strip_prefix("https://") else {
        return Err(format!("`{text}` does not begin with https://: {key} is only used over TLS"));
    };
    let authority = rest.split('/').next().unwrap_or_default();
    if !rest.bytes().all(|byte| byte.is_ascii_graphic()) || rest.contains(['@', '?', '#', '\\', '"']) {
        return Err(format!(
            "`{text}` is no plain address: write https://HOST:PORT without user, query or spaces"
        ));
    }
    if !authority_is_good(authority) {
        return Err(format!("`{text}` has no valid host and port: write https://HOST:PORT"));
    }
    Ok(text.to_owned())
}

fn authority_is_good(authority: &str) -> bool {
    let port_is_good = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0) && !port.starts_with('+');
    if let Some(rest) = authority.strip_prefix('[') {
        let Some((host, port)) = rest.split_once(']') else { return false };
        let port_is_good = port.is_empty() || port.strip_prefix(':').is_some_and(port_is_good);
        return host.parse::<std::net::Ipv6Addr>().is_ok() && port_is_good;
    }
    let (host, port) = authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
    let host_is_good = !host.is_empty()
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
    host_is_good && port.is_none_or(port_is_good)
}

/// SHA-256 as hexadecimal digits, colons allowed.
fn fingerprint(text: &str) -> Result<String, String> {
    let digits: String = text.chars().filter(|c| *c != ':').collect::<String>().to_ascii_lowercase();
    if digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(digits);
    }
    Err("a SHA-256 fingerprint has 64 hexadecimal digits: `step certificate fingerprint root_ca.crt` prints it"
        .to_owned())
}

/// Name of a provisioner: text without control characters.
fn plain(text: &str) -> Result<String, String> {
    let good = !text.is_empty() && text.len() <= 256 && !text.chars().any(char::is_control);
    if good {
        Ok(text.to_owned())
    } else {
        Err("this is no name of a provisioner: see `/provisioners`".to_owned())
    }
}

/// Name of a systemd credential: a plain file name (systemd.exec(5)).
fn credential_name(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let good = (1..=255).contains(&text.len()) && text.bytes().all(plain) && !text.starts_with('.');
    if good { Ok(text.to_owned()) } else { Err(format!("`{text}` is no name of a systemd credential")) }
}

/// `systemd:NAME` or `ADDRESS:PORT`.
fn listener(text: &str) -> Result<String, String> {
    if let Some(name) = text.strip_prefix("systemd:") {
        return credential_name(name).map(|_| text.to_owned()).map_err(|_| {
            format!("`{text}` names no socket: write systemd:NAME with FileDescriptorName=NAME")
        });
    }
    socket_address(text).map(|_| text.to_owned())
}
