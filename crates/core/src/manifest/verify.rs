//! `verify`: how to see that the consumer uses the certificate.

use std::net::Ipv6Addr;
use std::ops::Range;
use std::time::Duration;

use super::command;
use super::files::optional;
use super::naming::Names;
use super::{Context, San, Verify};
use crate::diagnostic::Severity;
use crate::diagnostic::fields::{Fields, boolean, number, parsed, text};
use crate::diagnostic::report::{Problem, Reading};
use crate::diagnostic::tree::Value;
use crate::name::CertName;
use crate::settings::parse_duration;

/// Fields of `{"tls": …}`.
pub(super) const TLS: &[&str] =
    &["tls", "server_name", "client", "refuse_without_client", "http_get", "expect_status", "deadline"];
/// Fields of `{"accepted_by": …}`.
pub(super) const ACCEPTED_BY: &[&str] =
    &["accepted_by", "server_name", "http_get", "expect_status", "deadline"];
/// Fields of `{"command": …}`.
pub(super) const COMMAND: &[&str] = &["command", "expect", "deadline"];

const KINDS: [&str; 3] = ["tls", "accepted_by", "command"];
const PLACEHOLDERS: [&str; 3] = ["{serial}", "{serial_decimal}", "{fingerprint}"];
const DEADLINE: Duration = Duration::from_secs(30);

/// An entry named as client, and where: whether it is a valid one is known only when all were read.
pub(super) struct Client {
    pub(super) name: CertName,
    pub(super) path: String,
    pub(super) span: Range<usize>,
}

/// All verifications of an entry and the clients that they name; none when one of them is impossible.
pub(super) fn read(
    fields: &mut Fields<'_, '_>,
    context: &Context<'_>,
    names: &Names,
) -> Option<(Vec<Verify>, Vec<Client>)> {
    if !fields.has("verify") {
        return Some((Vec::new(), Vec::new()));
    }
    let mut clients = Vec::new();
    let all = fields.objects("verify", Severity::StageError, |fields| {
        let present: Vec<&str> = KINDS.into_iter().filter(|kind| fields.has(kind)).collect();
        match present.as_slice() {
            ["tls"] => tls(fields, names, &mut clients),
            ["accepted_by"] => accepted_by(fields),
            ["command"] => by_command(fields, context),
            [] => {
                fields.check_keys(&[TLS, COMMAND, &["accepted_by"]].concat(), Severity::Warning);
                fields.missing("tls", "write one of `tls`, `accepted_by` and `command`");
                None
            }
            [first, .., last] => {
                let message = format!("both `{first}` and `{last}` are given");
                fields.report(last, Problem::new(message, "make each an object of its own in an array"));
                None
            }
            [_] => None,
        }
    })?;
    Some((all, clients))
}

fn tls(fields: &mut Fields<'_, '_>, names: &Names, clients: &mut Vec<Client>) -> Option<Verify> {
    fields.check_keys(TLS, Severity::Warning);
    let address = fields.read("tls", parsed(address));
    let server_name = optional(fields, "server_name", parsed(server_name));
    let client = optional(fields, "client", |value| Ok(names.resolve(text(value)?)?));
    let refuse = optional(fields, "refuse_without_client", boolean);
    let (http_get, expect_status) = http(fields)?;
    let deadline = deadline(fields);
    let client = client?;
    if let (Some(name), Some((value, path))) = (&client, fields.find("client")) {
        clients.push(Client { name: name.clone(), path, span: value.span.clone() });
    }
    Some(Verify::Tls {
        address: address?,
        server_name: server_name?,
        client,
        refuse_without_client: refuse?.unwrap_or_default(),
        http_get,
        expect_status,
        deadline: deadline?,
    })
}

fn accepted_by(fields: &mut Fields<'_, '_>) -> Option<Verify> {
    fields.check_keys(ACCEPTED_BY, Severity::Warning);
    let address = fields.read("accepted_by", parsed(address));
    let server_name = optional(fields, "server_name", parsed(server_name));
    let http = http(fields);
    let deadline = deadline(fields);
    let (http_get, expect_status) = http?;
    Some(Verify::AcceptedBy {
        address: address?,
        server_name: server_name?,
        http_get,
        expect_status,
        deadline: deadline?,
    })
}

fn by_command(fields: &mut Fields<'_, '_>, context: &Context<'_>) -> Option<Verify> {
    fields.check_keys(COMMAND, Severity::Warning);
    let argv = fields.read("command", |value| {
        command::argv(value, context).map_err(|problems| {
            // Inside `verify`, a command of the wrong type spoils no more than the verification.
            let staged = problems.0.into_iter().map(|problem| problem.severity(Severity::StageError));
            crate::diagnostic::report::Problems(staged.collect())
        })
    });
    let advice = "write what the command's output must contain: \"{serial}\", \"{serial_decimal}\" or \"{fingerprint}\"";
    let expect = fields.require("expect", advice, expect);
    let deadline = deadline(fields);
    Some(Verify::Command { argv: argv?, expect: expect?, deadline: deadline? })
}

fn deadline(fields: &mut Fields<'_, '_>) -> Option<Duration> {
    optional(fields, "deadline", parsed(parse_duration)).map(|found| found.unwrap_or(DEADLINE))
}

fn http(fields: &mut Fields<'_, '_>) -> Option<(Option<String>, Option<u16>)> {
    let get = optional(fields, "http_get", parsed(http_path));
    let status = optional(fields, "expect_status", number(100..=599));
    if fields.has("expect_status") && !fields.has("http_get") {
        let problem =
            Problem::new("`expect_status` without `http_get`", "add the path to request, such as \"/\"");
        fields.report("expect_status", problem);
        return None;
    }
    Some((get?, status?.and_then(|status| u16::try_from(status).ok())))
}

/// `HOST:PORT`, an IPv6 host in brackets.
fn address(text: &str) -> Result<String, String> {
    let wrong = || format!("`{text}` is no address with a port: write HOST:PORT, such as 10.0.0.111:2376");
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let port_is_good =
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
    let host_is_good = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(inner) => inner.parse::<Ipv6Addr>().is_ok(),
        None => is_host(host) || is_short_host(host),
    };
    if port_is_good && host_is_good { Ok(text.to_owned()) } else { Err(wrong()) }
}

fn is_host(text: &str) -> bool {
    match text.parse::<San>() {
        Ok(San::Dns(name)) => !name.starts_with('*'),
        Ok(San::Ip(address)) => address.is_ipv4(),
        _ => false,
    }
}

/// A single label made of digits is no DNS name of a certificate, but a host may be called so.
fn is_short_host(text: &str) -> bool {
    text == "localhost"
}

fn server_name(text: &str) -> Result<String, String> {
    match text.parse::<San>() {
        Ok(San::Dns(name)) if !name.starts_with('*') => Ok(name),
        Ok(San::Ip(address)) => Ok(address.to_string()),
        _ => Err(format!("`{text}` is no server name: write the DNS name or the address that clients use")),
    }
}

fn http_path(text: &str) -> Result<String, String> {
    if text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(text.to_owned());
    }
    Err(format!("`{text}` is no path of a request: begin it with `/`, without spaces"))
}

fn expect(value: &Value) -> Reading<String> {
    let given = text(value)?;
    if PLACEHOLDERS.contains(&given) {
        return Ok(given.to_owned());
    }
    let help = format!("write one of: {}", PLACEHOLDERS.join(", "));
    Err(Problem::new(format!("`{given}` is nothing that tells certificates apart"), help).into())
}
