//! `verify`: how to see that the consumer uses the certificate.

use std::net::Ipv6Addr;
use std::ops::Range;
use std::time::Duration;

use super::command;
use super::naming::Names;
use super::{Context, San, Verify};
use crate::diagnostic::Severity;
use crate::diagnostic::fields::{Fields, boolean, duration, number, parsed, text};
use crate::diagnostic::report::{Problem, Problems, Reading, Reported};
use crate::diagnostic::tree::Value;
use crate::name::CertName;

/// Fields of `{"tls": …}`.
pub(super) const TLS: &[&str] =
    &["tls", "server_name", "client", "refuse_without_client", "http_get", "expect_status", "deadline"];
/// Fields of `{"accepted_by": …}`.
pub(super) const ACCEPTED_BY: &[&str] =
    &["accepted_by", "server_name", "http_get", "expect_status", "deadline"];
/// Fields of `{"command": …}`.
pub(super) const COMMAND: &[&str] = &["command", "expect", "deadline"];

const KINDS: [&str; 3] = ["tls", "accepted_by", "command"];
/// What `expect` may be.
pub(super) const PLACEHOLDERS: [&str; 3] = ["{serial}", "{serial_decimal}", "{fingerprint}"];
const DEADLINE: Duration = Duration::from_secs(30);
const LONGEST_DEADLINE: Duration = Duration::from_secs(300);

/// An entry named as client, and where: whether it is a valid one is known only when all were read.
pub(super) struct Client {
    pub(super) name: CertName,
    pub(super) path: String,
    pub(super) span: Range<usize>,
}

/// All verifications of an entry and the clients that they name.
pub(super) fn read(
    fields: &mut Fields<'_, '_>,
    context: &Context<'_>,
    names: &Names,
) -> Result<(Vec<Verify>, Vec<Client>), Reported> {
    let mut clients = Vec::new();
    let all =
        fields.objects(
            "verify",
            "{\"tls\": \"10.0.0.111:2376\"}",
            Severity::StageError,
            |fields| match KINDS.map(|kind| fields.has(kind)) {
                [true, false, false] => tls(fields, names, &mut clients),
                [false, true, false] => accepted_by(fields),
                [false, false, true] => by_command(fields, context),
                [false, false, false] => {
                    fields.check_keys(&[TLS, COMMAND, &["accepted_by"]].concat(), Severity::Warning);
                    fields.missing("tls", "write one of `tls`, `accepted_by` and `command`");
                    Err(Reported)
                }
                [_, accepted_by, _] => {
                    let (key, help) = (
                        if accepted_by { "accepted_by" } else { "command" },
                        "make each an object of its own",
                    );
                    fields.report(
                        key,
                        Problem::new("this object has two of `tls`, `accepted_by` and `command`", help),
                    );
                    Err(Reported)
                }
            },
        )?;
    Ok((all, clients))
}

fn tls(fields: &mut Fields<'_, '_>, names: &Names, clients: &mut Vec<Client>) -> Result<Verify, Reported> {
    fields.check_keys(TLS, Severity::Warning);
    let address = fields.require("tls", "", parsed(address));
    let server_name = fields.optional("server_name", parsed(server_name));
    let client = fields.optional("client", |value| Ok(names.resolve(text(value)?)?));
    let refuse = fields.optional("refuse_without_client", boolean);
    let http = http(fields);
    let deadline = deadline(fields);
    let (http_get, expect_status) = http?;
    let client = client?;
    if let (Some(name), Some((value, path))) = (&client, fields.find("client")) {
        clients.push(Client { name: name.clone(), path, span: value.span.clone() });
    }
    Ok(Verify::Tls {
        address: address?,
        server_name: server_name?,
        client,
        refuse_without_client: refuse?.unwrap_or_default(),
        http_get,
        expect_status,
        deadline: deadline?,
    })
}

fn accepted_by(fields: &mut Fields<'_, '_>) -> Result<Verify, Reported> {
    fields.check_keys(ACCEPTED_BY, Severity::Warning);
    let address = fields.require("accepted_by", "", parsed(address));
    let server_name = fields.optional("server_name", parsed(server_name));
    let http = http(fields);
    let deadline = deadline(fields);
    let (http_get, expect_status) = http?;
    Ok(Verify::AcceptedBy {
        address: address?,
        server_name: server_name?,
        http_get,
        expect_status,
        deadline: deadline?,
    })
}

fn by_command(fields: &mut Fields<'_, '_>, context: &Context<'_>) -> Result<Verify, Reported> {
    fields.check_keys(COMMAND, Severity::Warning);
    let argv = fields.require("command", "", |value| {
        command::argv(value, context).map_err(|problems| {
            // Inside `verify`, a command of the wrong type spoils no more than the verification.
            let staged = problems.0.into_iter().map(|problem| problem.severity(Severity::StageError));
            Problems(staged.collect())
        })
    });
    let advice = "write what the command's output must contain: \"{serial}\", \"{serial_decimal}\" or \"{fingerprint}\"";
    let expect = fields.require("expect", advice, expect);
    let deadline = deadline(fields);
    Ok(Verify::Command { argv: argv?, expect: expect?, deadline: deadline? })
}

impl Verify {
    /// How long to keep trying.
    pub const fn deadline(&self) -> Duration {
        match self {
            Self::Tls { deadline, .. }
            | Self::AcceptedBy { deadline, .. }
            | Self::Command { deadline, .. } => *deadline,
        }
    }
}

fn deadline(fields: &mut Fields<'_, '_>) -> Result<Duration, Reported> {
    fields.optional("deadline", bounded).map(|found| found.unwrap_or(DEADLINE))
}

/// Nothing else is done for an entry while its consumer is looked at.
fn bounded(value: &Value) -> Reading<Duration> {
    let deadline = duration(value)?;
    if deadline <= LONGEST_DEADLINE {
        return Ok(deadline);
    }
    let help = "write \"5m\" or less: a consumer that takes longer is looked at again without that";
    Err(Problem::new("this is too long for a look at a consumer", help).into())
}

fn http(fields: &mut Fields<'_, '_>) -> Result<(Option<String>, Option<u16>), Reported> {
    let get = fields.optional("http_get", parsed(http_path));
    let status = fields.optional("expect_status", number(100..=599));
    if fields.has("expect_status") && !fields.has("http_get") {
        let problem =
            Problem::new("`expect_status` without `http_get`", "add the path to request, such as \"/\"");
        fields.report("expect_status", problem);
        return Err(Reported);
    }
    Ok((get?, status?.and_then(|status| u16::try_from(status).ok())))
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
