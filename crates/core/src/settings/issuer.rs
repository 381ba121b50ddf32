//! `[[issuer]]`

use std::collections::HashSet;

use super::read::{filled, socket_address};
use super::{
    AcmeSettings, ChallengeKind, IssuerKind, IssuerSettings, PasswordSource, ProvisionerSettings,
    StepCaSettings, TrustAnchor,
};
use crate::diagnostic::Severity;
use crate::diagnostic::fields::{Fields, list, parsed, table, text, word, wrong_type};
use crate::diagnostic::report::{Problem, Reading, Report, Reported};
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
    "x5c_provisioner",
];
/// Further keys of `type = "acme"`.
pub(super) const ACME: &[&str] = &["directory", "challenge", "listen", "dns_hook"];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    StepCa,
    Acme,
}

/// How an issuer begins.
const ISSUER: &str = "[[issuer]], and its keys on the lines below";
const TYPES: &[(&str, Type)] = &[("step-ca", Type::StepCa), ("acme", Type::Acme)];
const CHALLENGES: &[(&str, ChallengeKind)] = &[
    ("http-01", ChallengeKind::Http01),
    ("tls-alpn-01", ChallengeKind::TlsAlpn01),
    ("dns-01", ChallengeKind::Dns01),
];

/// All issuers in the order of the file. Their hooks are among `commands`.
pub(super) fn issuers(
    root: &Table,
    length: usize,
    commands: &[AbsolutePath],
    report: &mut Report,
) -> Result<Vec<IssuerSettings>, Reported> {
    let mut fields = Fields::new(root, 0..length.min(1), "", Severity::Error, report);
    let shape = |value: &Value| match &value.kind {
        Kind::Table(_) => {
            let help = "there may be several: write [[issuer]], in double brackets";
            Err(wrong_type(value, "an array of tables", help).into())
        }
        _ => filled(list(|value| table(value, ISSUER).map(|_| ())))(value),
    };
    fields.require("issuer", "add a table [[issuer]] that says who issues certificates", shape)?;
    let found = fields.objects("issuer", ISSUER, Severity::Error, |fields| issuer(fields, commands));
    if let Some(Value { kind: Kind::List(items), .. }) = root.get("issuer") {
        unique_names(items, report);
    }
    found
}

fn issuer(fields: &mut Fields<'_, '_>, commands: &[AbsolutePath]) -> Result<IssuerSettings, Reported> {
    let name = fields.require("name", "give it a short name, such as \"phoenix\"", parsed(str::parse));
    let kind = fields.require("type", "write \"step-ca\" or \"acme\"", word(TYPES));
    let known: Vec<&str> = match kind {
        Ok(Type::StepCa) => [COMMON, STEP_CA].concat(),
        Ok(Type::Acme) => [COMMON, ACME].concat(),
        Err(Reported) => [COMMON, STEP_CA, ACME].concat(),
    };
    fields.check_keys(&known, Severity::Error);
    let trust = trust(fields);
    let kind = match kind? {
        Type::StepCa => step_ca(fields).map(IssuerKind::StepCa),
        Type::Acme => acme(fields, commands).map(IssuerKind::Acme),
    };
    Ok(IssuerSettings { name: name?, trust: trust?, kind: kind? })
}

fn trust(fields: &mut Fields<'_, '_>) -> Result<TrustAnchor, Reported> {
    let root = fields.optional("root", parsed(str::parse));
    let fingerprint = fields.optional("fingerprint", parsed(fingerprint));
    match (fields.has("root"), fields.has("fingerprint")) {
        (true, true) => Err(both(fields, "root", "fingerprint")),
        (_, false) => {
            let advice =
                "name the PEM file of its root certificate, or give `fingerprint`, the root's SHA-256";
            if !fields.has("root") {
                fields.missing("root", advice);
            }
            root?.map(TrustAnchor::File).ok_or(Reported)
        }
        (false, true) => fingerprint?.map(TrustAnchor::Fingerprint).ok_or(Reported),
    }
}

fn step_ca(fields: &mut Fields<'_, '_>) -> Result<StepCaSettings, Reported> {
    let example = "write its address, such as \"https://ca.internal.thinkheads.ai:9000\"";
    let url = fields.require("url", example, parsed(|text| server(text, "url")));
    let audience = fields.optional("audience", parsed(|text| server(text, "audience")));
    let advice = "name a JWK provisioner of the CA, such as \"admin@thinkheads.ai\"";
    let name = fields.require("provisioner", advice, parsed(plain));
    let password = password(fields, "password_file", "credential");
    let client_provisioner = client_provisioner(fields);
    let x5c_provisioner = fields.optional("x5c_provisioner", parsed(plain));
    let url = url?;
    Ok(StepCaSettings {
        audience: audience?.unwrap_or_else(|| url.clone()),
        url,
        provisioner: ProvisionerSettings { name: name?, password: password? },
        client_provisioner: client_provisioner?,
        x5c_provisioner: x5c_provisioner?,
    })
}

fn client_provisioner(fields: &mut Fields<'_, '_>) -> Result<Option<ProvisionerSettings>, Reported> {
    let name = fields.optional("client_provisioner", parsed(plain));
    let password = password(fields, "client_password_file", "client_credential");
    let stray = ["client_password_file", "client_credential"].into_iter().find(|key| fields.has(key));
    if let (false, Some(key)) = (fields.has("client_provisioner"), stray) {
        let message = format!("`{key}` without `client_provisioner`");
        fields.report(key, Problem::new(message, "name the provisioner that the password is for"));
        return Err(Reported);
    }
    let password = password?;
    Ok(name?.map(|name| ProvisionerSettings { name, password }))
}

fn password(
    fields: &mut Fields<'_, '_>,
    file: &str,
    credential: &str,
) -> Result<Option<PasswordSource>, Reported> {
    if fields.has(file) && fields.has(credential) {
        return Err(both(fields, file, credential));
    }
    let path = fields.optional(file, parsed(str::parse::<AbsolutePath>))?;
    let name = fields.optional(credential, parsed(credential_name))?;
    Ok(path.map(PasswordSource::File).or(name.map(PasswordSource::Credential)))
}

fn acme(fields: &mut Fields<'_, '_>, commands: &[AbsolutePath]) -> Result<AcmeSettings, Reported> {
    let example = "write the directory's address, such as \"https://ca.example:9000/acme/acme/directory\"";
    let directory = fields.require("directory", example, parsed(|text| https(text, "directory")));
    let challenge =
        fields.optional("challenge", word(CHALLENGES)).map(|kind| kind.unwrap_or(ChallengeKind::Http01));
    let listen = match challenge {
        Ok(ChallengeKind::Http01 | ChallengeKind::TlsAlpn01) => {
            let advice = "write \"systemd:NAME\" for a socket that systemd hands over, or ADDRESS:PORT";
            fields.require("listen", advice, parsed(listener)).map(Some)
        }
        _ => fields.optional("listen", parsed(listener)),
    };
    let dns_hook = match challenge {
        Ok(ChallengeKind::Dns01) => {
            let advice = "name the program that publishes the record, such as [\"/usr/local/sbin/dns-hook\"]";
            fields.require("dns_hook", advice, |value| hook(value, commands)).map(Some)
        }
        Ok(_) if fields.has("dns_hook") => {
            let problem = Problem::new(
                "`dns_hook` changes nothing here",
                "it is for `challenge = \"dns-01\"`: remove it",
            );
            fields.report("dns_hook", problem);
            Err(Reported)
        }
        _ => Ok(None),
    };
    Ok(AcmeSettings { directory: directory?, challenge: challenge?, listen: listen?, dns_hook: dns_hook? })
}

/// One of `commands` by its absolute path, and arguments.
fn hook(value: &Value, commands: &[AbsolutePath]) -> Reading<Vec<String>> {
    let argv = list(|word| text(word).map(str::to_owned))(value)?;
    let program = argv.first().and_then(|program| program.parse::<AbsolutePath>().ok());
    if let Some(program) = program.filter(|_| !argv.iter().any(|word| word.contains('\0'))) {
        if commands.contains(&program) {
            return Ok(argv);
        }
        let message = format!("`{program}` is not among `commands`");
        return Err(
            Problem::new(message, "add it to `commands` of [executor]: root runs nothing else").into()
        );
    }
    let help = "write the program's absolute path and its arguments, such as [\"/usr/local/sbin/dns-hook\"], and add \
                the program to `[executor] commands`";
    Err(Problem::new("this is no command", help).into())
}

fn unique_names(items: &[Value], report: &mut Report) {
    let mut seen = HashSet::new();
    for (index, value) in items.iter().enumerate() {
        let Kind::Table(own) = &value.kind else { continue };
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

fn both(fields: &mut Fields<'_, '_>, one: &str, other: &str) -> Reported {
    let problem = Problem::new(format!("both `{one}` and `{other}` are given"), "keep one of the two");
    fields.report(other, problem);
    Reported
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
