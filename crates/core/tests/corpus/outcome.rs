//! Entries in words, every field of them, so that no default and no change of meaning goes unseen.

use std::fmt::Write as _;
use std::time::Duration;

use phoenix_core::manifest::{
    Delivery, Entry, Guest, InvalidEntry, Manifest, Mode, Owner, Parsed, PostCommand, RenewBefore, San,
    Stage, Verify, Window,
};
use phoenix_core::name::IssuerName;

/// What a manifest means: its entries, and those that nothing can be done for.
pub(crate) fn shown(parsed: &Parsed) -> String {
    let Some(manifest) = &parsed.manifest else {
        return "the file is refused: the last good manifest stays in force\n".to_owned();
    };
    if manifest.entries.is_empty() && manifest.invalid.is_empty() {
        return "no entries\n".to_owned();
    }
    let valid = manifest.entries.iter().map(|entry| shown_entry(manifest, entry));
    let invalid = manifest.invalid.iter().map(invalid);
    visible(&valid.chain(invalid).collect::<Vec<_>>().join("\n"))
}

fn shown_entry(manifest: &Manifest, entry: &Entry) -> String {
    let mut out = format!("{}\n", entry.name);
    let mut line = |what: &str, text: String| {
        // Writing into a String cannot fail.
        let _ = writeln!(out, "  {what:<9} {}", short(&text));
    };
    let sans: Vec<String> = entry.sans.iter().map(san).collect();
    line("names", format!("CN {}; {}", entry.common_name, sans.join(" ")));
    line("files", files(entry));
    line("wanted", wanted(entry));
    if let Some(guest) = entry.guest {
        line("guest", delivery(guest, entry.delivery.as_ref()));
    }
    if let Some(command) = &entry.command {
        line("command", shown_command(command));
    }
    if let Some(window) = &entry.window {
        line("window", shown_window(window));
    }
    for verify in &entry.verify {
        line("verify", shown_verify(verify));
    }
    line("stages", stages(entry));
    for error in &entry.stage_errors {
        line("blocked", error.message.clone());
    }
    for warning in manifest.warnings(&entry.name) {
        line("warned", warning.clone());
    }
    out
}

fn invalid(entry: &InvalidEntry) -> String {
    let InvalidEntry { path, name, common_name, problems } = entry;
    let mut out = format!(
        "invalid {path}: name {}, common name {}\n",
        or_dash(name.as_deref()),
        or_dash(common_name.as_deref())
    );
    for problem in problems {
        let _ = writeln!(out, "  {}", short(problem));
    }
    out
}

fn san(name: &San) -> String {
    let kind = match name {
        San::Dns(_) => "dns",
        San::Email(_) => "email",
        San::Ip(_) => "ip",
        San::Uri(_) => "uri",
    };
    format!("{kind}:{name}")
}

fn files(entry: &Entry) -> String {
    let Entry { cert_path, key_path, chain_path, ca_path, owner, key_mode, cert_mode, .. } = entry;
    let pair = if entry.combined() {
        format!("one file {key_path} {key_mode}")
    } else {
        format!("cert {cert_path} {cert_mode}, key {key_path} {key_mode}")
    };
    let further = |what: &str, path: Option<&_>| path.map(|path| format!(", {what} {path} {cert_mode}"));
    let chain = further("chain", chain_path.as_ref()).unwrap_or_default();
    let ca = further("ca", ca_path.as_ref()).unwrap_or_default();
    format!("{pair}{chain}{ca}, owner {}", owner_or(owner.as_ref(), "of the directory"))
}

fn owner_or(owner: Option<&Owner>, otherwise: &str) -> String {
    owner.map_or_else(|| otherwise.to_owned(), |Owner { user, group }| format!("{user:?}:{group:?}"))
}

fn wanted(entry: &Entry) -> String {
    let renewed = match entry.renew_before {
        RenewBefore::Third => "with a third left".to_owned(),
        RenewBefore::Time(time) => format!("{} before its end", span(time)),
        RenewBefore::Percent(percent) => format!("with {percent}% left"),
    };
    let issuers: Vec<&str> = entry.issuers.iter().map(IssuerName::as_str).collect();
    format!(
        "{:?}{}, {} {:?}, by {}, valid {}, renewed {renewed}",
        entry.usage,
        if entry.strict_eku { " only" } else { "" },
        entry.key_type,
        entry.key_policy,
        issuers.join(" then "),
        entry.validity.map_or_else(|| "as issued".to_owned(), span),
    )
}

fn delivery(guest: Guest, delivery: Option<&Delivery>) -> String {
    match delivery {
        None => format!("{guest}, nothing is delivered"),
        Some(Delivery::Legacy { ca }) => {
            format!("{guest}, to /tmp, {} roots", if *ca { "with" } else { "without" })
        }
        Some(Delivery::Explicit { cert, key, ca, owner, key_mode, cert_mode }) => {
            let file = |what: &str, path: Option<&_>, mode: &Mode| match path {
                Some(path) => format!(", {what} {path} {mode}"),
                None => String::new(),
            };
            format!(
                "{guest}{}{}{}, owner {}",
                file("cert", cert.as_ref(), cert_mode),
                file("key", key.as_ref(), key_mode),
                file("ca", ca.as_ref(), cert_mode),
                owner_or(owner.as_ref(), "as found"),
            )
        }
    }
}

fn shown_command(command: &PostCommand) -> String {
    let PostCommand { argv, timeout, min_interval } = command;
    let budget = min_interval.map_or_else(String::new, |least| format!(", not twice within {}", span(least)));
    format!("{argv:?}, at most {}{budget}", span(*timeout))
}

fn shown_window(window: &Window) -> String {
    let Window { cron, duration, timezone } = window;
    let zone = timezone.map_or_else(|| "the host's zone".to_owned(), |zone| zone.to_string());
    format!("`{cron}` in {zone}, open for {}", span(*duration))
}

fn shown_verify(verify: &Verify) -> String {
    let http = |path: &Option<String>, status: &Option<u16>| {
        path.as_ref().map_or_else(String::new, |path| {
            let status = status.map_or_else(|| "200 to 399".to_owned(), |status| status.to_string());
            format!(", GET {path} gives {status}")
        })
    };
    let name = |name: &Option<String>| name.as_ref().map_or_else(String::new, |name| format!(" as {name}"));
    match verify {
        Verify::Tls {
            address,
            server_name,
            client,
            refuse_without_client,
            http_get,
            expect_status,
            deadline,
        } => {
            let client = client.as_ref().map_or_else(String::new, |client| format!(", by client {client}"));
            let refuse = if *refuse_without_client { ", refused without client" } else { "" };
            let http = http(http_get, expect_status);
            format!("served at {address}{}{client}{refuse}{http}, {}", name(server_name), span(*deadline))
        }
        Verify::AcceptedBy { address, server_name, http_get, expect_status, deadline } => {
            let http = http(http_get, expect_status);
            format!("accepted by {address}{}{http}, {}", name(server_name), span(*deadline))
        }
        Verify::Command { argv, expect, deadline } => {
            format!("{argv:?} prints {expect}, {}", span(*deadline))
        }
    }
}

fn stages(entry: &Entry) -> String {
    let stage = |stage: Stage, configured: bool| match (entry.stage_error(stage), configured) {
        (Some(_), _) => "blocked",
        (None, true) => "wanted",
        (None, false) => "none",
    };
    let deliver = stage(Stage::Deliver, entry.delivery.is_some());
    let activate = stage(Stage::Activate, entry.command.is_some());
    let verify = stage(Stage::Verify, !entry.verify.is_empty());
    let rollback = if entry.rollback { ", with rollback" } else { "" };
    let paused = if entry.paused { ", paused" } else { "" };
    format!("deliver {deliver}, activate {activate}, verify {verify}{rollback}{paused}")
}

fn span(time: Duration) -> String {
    format!("{}s", time.as_secs())
}

fn or_dash(text: Option<&str>) -> &str {
    text.unwrap_or("-")
}

/// A long text by its beginning and its length.
fn short(text: &str) -> String {
    let length = text.chars().count();
    if length <= 700 {
        return text.to_owned();
    }
    format!("{}… ({length} characters)", text.chars().take(200).collect::<String>())
}

/// Control characters and characters without a width in a form that a reader of the answer can see.
fn visible(text: &str) -> String {
    let escaped = |c: char| {
        if c != '\n' && (c.is_control() || unseen(c)) { c.escape_unicode().to_string() } else { c.into() }
    };
    text.chars().map(escaped).collect()
}

/// Changes how the text around it is shown, or shows nothing: bidirectional and zero-width characters.
pub(crate) const fn unseen(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}
