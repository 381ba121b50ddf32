//! The files of an entry: paths, owner and modes.

use std::collections::BTreeMap;

use super::{Context, Mode, Owner, Principal};
use crate::diagnostic::fields::{Fields, boolean, parsed, text, wrong_type};
use crate::diagnostic::report::{Problem, Reading, Reported};
use crate::diagnostic::tree::{Kind, Value};
use crate::name::{AbsolutePath, BadPath};

/// First host id that an unprivileged container of Proxmox is given.
const MAPPED: u32 = 100_000;
/// The id that stands for "unchanged" in chown(2), and so belongs to nobody.
const NO_ID: u32 = u32::MAX;

/// Where the certificate goes and who may read it.
pub(super) struct Files {
    pub(super) cert: AbsolutePath,
    pub(super) key: AbsolutePath,
    pub(super) chain: Option<AbsolutePath>,
    pub(super) ca: Option<AbsolutePath>,
    pub(super) owner: Option<Owner>,
    pub(super) key_mode: Mode,
    pub(super) cert_mode: Mode,
}

/// Which paths are taken by which entry.
#[derive(Default)]
pub(super) struct Taken {
    paths: BTreeMap<String, (String, Use)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    /// Belongs to one entry.
    Own,
    /// A roots bundle, which several entries may share.
    Roots,
}

/// The files of an entry called `label`.
pub(super) fn read(
    fields: &mut Fields<'_, '_>,
    context: &Context<'_>,
    taken: &mut Taken,
    label: &str,
) -> Result<Files, Reported> {
    let cert = fields.require("cert_path", "say where the certificate goes", |value| path(value, context));
    let key = fields.require("key_path", "say where the private key goes", |value| path(value, context));
    let chain = fields.optional("chain_path", |value| path(value, context));
    let explicit_ca = fields.optional("ca_path", |value| path(value, context));
    let include_ca = fields.optional("include_ca", boolean);
    let owner = fields.optional("owner", owner);
    let key_mode = fields.optional("permissions", mode);
    let cert_mode = fields.optional("cert_permissions", mode);

    let beside = match (&include_ca, &explicit_ca, &cert) {
        (Ok(Some(true)), Ok(None), Ok(cert)) if !fields.has("guest_id") => cert.sibling("ca.pem").ok(),
        _ => None,
    };
    let (ca_key, ca) = match (&explicit_ca, beside) {
        (Ok(Some(path)), _) => ("ca_path", Some(path.clone())),
        (_, beside) => ("include_ca", beside),
    };
    let mut free = true;
    free &= taken.take(fields, "cert_path", cert.as_ref().ok(), label, Use::Own);
    if cert != key {
        free &= taken.take(fields, "key_path", key.as_ref().ok(), label, Use::Own);
    }
    free &= taken.take(fields, "chain_path", chain.as_ref().ok().and_then(Option::as_ref), label, Use::Own);
    free &= taken.take(fields, ca_key, ca.as_ref(), label, Use::Roots);
    explicit_ca?;
    include_ca?;
    let files = Files {
        cert: cert?,
        key: key?,
        chain: chain?,
        ca,
        owner: owner?,
        key_mode: key_mode?.unwrap_or(Mode(0o600)),
        cert_mode: cert_mode?.unwrap_or(Mode(0o644)),
    };
    warn(fields, context, &files);
    if free { Ok(files) } else { Err(Reported) }
}

fn path(value: &Value, context: &Context<'_>) -> Reading<AbsolutePath> {
    let path: AbsolutePath =
        text(value)?.parse().map_err(|error: BadPath| Problem::plain(error.to_string()))?;
    if context.target_roots.contains(&path) {
        let help = format!("name a file below it, such as {path}/cert.pem");
        return Err(Problem::new(format!("{path} is a target root itself"), help).into());
    }
    let below = |root: &AbsolutePath| path.as_path().starts_with(root.as_path());
    if context.target_roots.iter().any(below) {
        return Ok(path);
    }
    let roots: Vec<&str> = context.target_roots.iter().map(AbsolutePath::as_str).collect();
    let help = format!(
        "write below {}, or add a directory to `target_roots` in the configuration",
        if roots.is_empty() { "a target root".to_owned() } else { roots.join(" or ") }
    );
    Err(Problem::new(format!("{path} lies outside the target roots"), help).into())
}

impl Taken {
    fn take(
        &mut self,
        fields: &mut Fields<'_, '_>,
        key: &str,
        path: Option<&AbsolutePath>,
        label: &str,
        how: Use,
    ) -> bool {
        let Some(path) = path else { return true };
        let owner_of = |earlier: &str| {
            if earlier == label { "this entry".to_owned() } else { format!("entry `{earlier}`") }
        };
        let (message, help) = match self.paths.get(path.as_str()) {
            Some((_, Use::Roots)) if how == Use::Roots => return true,
            Some((earlier, _)) => {
                let help = "give each file its own path; only roots bundles may be shared, and a certificate may \
                            share one file with its own key";
                (format!("{path} is already written by {}", owner_of(earlier)), help)
            }
            None => {
                let Some((other, earlier)) = self.nested(path) else {
                    self.paths.insert(path.to_string(), (label.to_owned(), how));
                    return true;
                };
                let message = format!("{path} and {other}, of {}, cannot both be files", owner_of(earlier));
                (message, "no file lies below another one: rename one of them")
            }
        };
        fields.report(key, Problem::new(message, help));
        false
    }

    /// A file above or below `path`, and whose it is.
    fn nested(&self, path: &AbsolutePath) -> Option<(&str, &str)> {
        let above =
            path.as_path().ancestors().skip(1).filter_map(|above| self.paths.get_key_value(above.to_str()?));
        let inside = format!("{path}/");
        let below = self.paths.range(inside.clone()..).take_while(|(other, _)| other.starts_with(&inside));
        above.chain(below).next().map(|(other, (earlier, _))| (other.as_str(), earlier.as_str()))
    }
}

/// `user:group`, names or numbers.
pub(super) fn owner(value: &Value) -> Reading<Owner> {
    if let Kind::Number(id) = &value.kind {
        return Err(wrong_type(value, "a string", format!("write user and group: \"{id}:{id}\"")).into());
    }
    parsed(pair)(value)
}

fn pair(text: &str) -> Result<Owner, String> {
    let help = "write user and group, such as \"www-data:www-data\" or \"100000:100000\"";
    let Some((user, group)) = text.split_once(':') else {
        return Err(format!("`{text}` has no group: {help}"));
    };
    match (principal(user), principal(group)) {
        (Some(user), Some(group)) => Ok(Owner { user, group }),
        (None, _) => Err(format!("`{user}` is no user: {help}")),
        (_, None) => Err(format!("`{group}` is no group: {help}")),
    }
}

fn principal(text: &str) -> Option<Principal> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().filter(|id| *id != NO_ID).map(Principal::Id);
    }
    let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    let rest =
        text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'$'));
    (first && rest && text.len() <= 32).then(|| Principal::Name(text.to_owned()))
}

/// An octal string: a number would be read as decimal by everything that handles JSON.
pub(super) fn mode(value: &Value) -> Reading<Mode> {
    if let Kind::Number(number) = &value.kind {
        let octal = parse_mode(number).map_or_else(|| "0600".to_owned(), |mode| mode.to_string());
        return Err(wrong_type(value, "an octal string", format!("write \"{octal}\"")).into());
    }
    let given = text(value)?;
    parse_mode(given).ok_or_else(|| {
        let help =
            "write octal digits such as \"0600\" or \"640\"; files here have no set-id and sticky bits";
        Problem::new(format!("`{given}` is no file mode"), help).into()
    })
}

fn parse_mode(text: &str) -> Option<Mode> {
    let digits = if text.len() == 4 { text.strip_prefix('0')? } else { text };
    let good = digits.len() == 3 && digits.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    good.then(|| u16::from_str_radix(digits, 8).ok().map(Mode)).flatten()
}

fn warn(fields: &mut Fields<'_, '_>, context: &Context<'_>, files: &Files) {
    if files.key_mode.0 & 0o007 != 0 {
        let message = format!("with mode {} every user can reach the private key", files.key_mode);
        let help = "use \"0600\", or \"0640\" with a group in `owner`; it is written as asked for";
        fields.warn("permissions", message, help);
    }
    if files.cert_mode.0 & 0o002 != 0 {
        let message = format!("with mode {} every user can replace the certificate", files.cert_mode);
        fields.warn("cert_permissions", message, "use \"0644\"; it is written as asked for");
    }
    if files.cert == files.key
        && files.chain.is_none()
        && files.ca.is_none()
        && fields.has("cert_permissions")
    {
        let message = "`cert_permissions` has no effect: certificate and key share one file";
        fields.warn("cert_permissions", message, "its mode is that of the key, `permissions`");
    }
    let (Some(host), Some(owner)) = (context.host, &files.owner) else { return };
    let mapped = host.directory_owner(&files.key).is_some_and(|id| id >= MAPPED);
    for (what, principal) in [("user", &owner.user), ("group", &owner.group)] {
        match principal {
            Principal::Id(id) if mapped && *id < MAPPED => fields.warn(
                "owner",
                format!("{what} {id} is nobody inside the unprivileged container that owns this directory"),
                format!(
                    "write a name, or the host's id of the container's {what}: {}",
                    id.saturating_add(MAPPED)
                ),
            ),
            // Inside a mapped directory names are the container's, which nobody here knows.
            Principal::Name(name) if !mapped => {
                let known = if what == "user" { host.has_user(name) } else { host.has_group(name) };
                if !known {
                    let message = format!("there is no {what} `{name}` on this host");
                    fields.warn(
                        "owner",
                        message,
                        "create it, or write a number; until then nothing is written",
                    );
                }
            }
            _ => {}
        }
    }
}
