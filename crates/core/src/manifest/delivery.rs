//! The guest and what is written inside it: `guest_id`, `guest_type`, `include_ca`, `deliver`.

use super::files::{mode, owner};
use super::{Delivery, Guest, GuestKind, Mode};
use crate::diagnostic::Severity;
use crate::diagnostic::fields::{Fields, number, parsed, table, word};
use crate::diagnostic::report::{Problem, Reading, Reported};
use crate::diagnostic::tree::{Kind, Value};

/// Words of `guest_type`.
pub(super) const KINDS: &[(&str, GuestKind)] = &[("lxc", GuestKind::Lxc), ("vm", GuestKind::Vm)];
/// Fields of `deliver`.
pub(super) const DELIVER: &[&str] = &["cert", "key", "ca", "owner", "permissions", "cert_permissions"];

/// A `deliver` that works.
const DELIVERED: &str = "{\"cert\": \"/etc/ssl/web.crt\", \"key\": \"/etc/ssl/web.key\"}";

/// The VMIDs of Proxmox.
const VMIDS: std::ops::RangeInclusive<u32> = 100..=999_999_999;

/// Guest and delivery, if there is a guest.
pub(super) fn read(fields: &mut Fields<'_, '_>) -> Result<Option<(Guest, Delivery)>, Reported> {
    let id = fields.optional("guest_id", vmid);
    let kind = fields.optional("guest_type", word(KINDS));
    if !fields.has("guest_id") {
        without_guest(fields);
        return Ok(None);
    }
    // A wrong type was reported with the files.
    let include_ca = fields.find("include_ca").is_some_and(|(value, _)| value.kind == Kind::Bool(true));
    let explicit =
        fields.object("deliver", DELIVERED, Severity::StageError, |fields| explicit(fields, include_ca));
    let kind = match kind {
        Ok(Some(kind)) => Ok(kind),
        Ok(None) => kind_by_command(fields),
        Err(Reported) => Err(Reported),
    };
    let delivery = explicit?.unwrap_or(Delivery::Legacy { ca: include_ca });
    let (kind, id) = (kind?, id?);
    if !fields.has("deliver") && !fields.has("post_renewal_command") {
        let help = "add a `post_renewal_command` that moves /tmp/cert.pem and /tmp/key.pem into place, or name the \
                    destinations in `deliver`";
        fields.warn(
            "guest_id",
            "the files are delivered into the guest's /tmp and nothing picks them up",
            help,
        );
    }

    Ok(id.map(|id| (Guest { kind, id }, delivery)))
}

fn without_guest(fields: &mut Fields<'_, '_>) {
    if fields.has("guest_type") {
        fields.warn(
            "guest_type",
            "`guest_type` without `guest_id` has no effect",
            "add `guest_id`, or remove it",
        );
    }
    if fields.read("deliver", |value| table(value, DELIVERED).map(|_| ())).is_some() {
        let problem =
            Problem::new("`deliver` without a guest", "add `guest_id` and `guest_type`, or remove it");
        fields.report("deliver", problem.severity(Severity::StageError));
    }
}

/// A number, or a string of digits as older manifests have it.
fn vmid(value: &Value) -> Reading<u32> {
    let digits = match &value.kind {
        Kind::Text(text) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => {
            Kind::Number(text.clone())
        }
        _ => return number(VMIDS)(value),
    };
    number(VMIDS)(&Value { span: value.span.clone(), kind: digits })
}

/// Manifests without `guest_type` say with the command's program which kind of guest they mean.
fn kind_by_command(fields: &mut Fields<'_, '_>) -> Result<GuestKind, Reported> {
    let word = fields.find("post_renewal_command").and_then(|(value, _)| first_word(value));
    let (kind, program, name) = match word.as_deref().map(|word| word.rsplit('/').next().unwrap_or_default())
    {
        Some("pct") => (GuestKind::Lxc, "pct", "lxc"),
        Some("qm") => (GuestKind::Vm, "qm", "vm"),
        _ => {
            let problem = Problem::new(
                "`guest_type` is missing",
                "write \"lxc\" for a container, \"vm\" for a machine",
            );
            fields.report("guest_id", problem.severity(Severity::StageError));
            return Err(Reported);
        }
    };
    let message = format!("`guest_type` is missing; taken as `{name}`, because the command runs {program}");
    fields.warn("guest_id", message, format!("add \"guest_type\": \"{name}\""));
    Ok(kind)
}

fn first_word(value: &Value) -> Option<String> {
    match &value.kind {
        Kind::Text(text) => text.split_ascii_whitespace().next().map(str::to_owned),
        Kind::List(items) => items.first().and_then(first_word),
        _ => None,
    }
}

fn explicit(fields: &mut Fields<'_, '_>, include_ca: bool) -> Result<Delivery, Reported> {
    fields.check_keys(DELIVER, Severity::Warning);
    let cert = fields.optional("cert", parsed(str::parse));
    let key = fields.optional("key", parsed(str::parse));
    let ca = fields.optional("ca", parsed(str::parse));
    let owner = fields.optional("owner", owner);
    let key_mode = fields.optional("permissions", mode);
    let cert_mode = fields.optional("cert_permissions", mode);
    let delivery = Delivery::Explicit {
        cert: cert?,
        key: key?,
        ca: ca?,
        owner: owner?,
        key_mode: key_mode?.unwrap_or(Mode(0o600)),
        cert_mode: cert_mode?.unwrap_or(Mode(0o644)),
    };
    check(fields, &delivery, include_ca);
    let good = fields.found().iter().all(|found| found.severity == Severity::Warning);
    if good { Ok(delivery) } else { Err(Reported) }
}

fn check(fields: &mut Fields<'_, '_>, delivery: &Delivery, include_ca: bool) {
    let Delivery::Explicit { cert, key, ca, key_mode, .. } = delivery else { return };
    if cert.is_none() && key.is_none() && ca.is_none() {
        fields.missing("cert", "name at least one destination: `cert`, `key` or `ca`");
    }
    if include_ca && ca.is_none() {
        fields.missing("ca", "`include_ca` asks for the roots bundle: name its destination");
    }
    for (name, one, others) in [("key", key, [cert, &None]), ("ca", ca, [cert, key])] {
        if let Some(path) =
            one.as_ref().filter(|path| others.iter().any(|other| other.as_ref() == Some(path)))
        {
            let message = format!("{path} is the destination of two files");
            fields.report(name, Problem::new(message, "give each file its own path inside the guest"));
        }
    }
    if key_mode.0 & 0o007 != 0 {
        let message = format!("with mode {key_mode} every user of the guest can reach the private key");
        fields.warn("permissions", message, "use \"0600\"; it is written as asked for");
    }
}
