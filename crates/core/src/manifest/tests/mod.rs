//! The manifest's contract, table by table.

mod accepted;
mod commands;
mod examples;
mod refused;
mod robust;
mod whole;

use super::*;
use crate::diagnostic::{Located, Severity};

pub(super) const CONFIG: &str = r#"
[executor]
target_roots = ["/mnt/pve/quickOS", "/srv/tls"]

[[issuer]]
name        = "phoenix"
type        = "step-ca"
url         = "https://10.0.0.10:9000"
root        = "/mnt/ca/root.crt"
provisioner = "admin@thinkheads.ai"

[[issuer]]
name      = "acme"
type      = "acme"
directory = "https://10.0.0.10:9000/acme/acme/directory"
root      = "/mnt/ca/root.crt"
listen    = "systemd:acme"
"#;

/// The least that an entry needs, before further fields.
pub(super) const BASE: &str = r#""common_name": "web.internal.thinkheads.ai",
  "cert_path": "/srv/tls/web/cert.pem",
  "key_path": "/srv/tls/web/key.pem""#;

pub(super) fn settings() -> Settings {
    Settings::parse(CONFIG, "certd.toml").unwrap()
}

pub(super) fn parse(text: &str) -> Parsed {
    let settings = settings();
    let parsed = Manifest::parse(text, &Context::of(&settings).file("manifest.json"));
    for diagnostic in &parsed.diagnostics {
        assert!(text.get(diagnostic.span.clone()).is_some(), "{diagnostic:?} lies outside of {text}");
    }
    parsed
}

/// An array with one entry that has `fields` besides [`BASE`].
pub(super) fn with(fields: &str) -> String {
    let comma = if fields.is_empty() { "" } else { "," };
    format!("[{{\n  {BASE}{comma}\n  {fields}\n}}]")
}

/// The one entry of a manifest without any problem.
pub(super) fn good(text: &str) -> Entry {
    let parsed = parse(text);
    assert!(parsed.diagnostics.is_empty(), "{}", parsed.diagnostics);
    one(parsed)
}

pub(super) fn one(parsed: Parsed) -> Entry {
    let manifest = parsed.manifest.expect("a manifest");
    assert!(manifest.invalid.is_empty(), "{:?}", manifest.invalid);
    let [entry] = <[Entry; 1]>::try_from(manifest.entries).expect("one entry");
    entry
}

/// The problem at `path`, which must say `says` in its message or advice.
pub(super) fn problem(parsed: &Parsed, path: &str, says: &str) -> Located {
    let all = parsed.diagnostics.located();
    let hit = all.iter().find(|problem| {
        let told = format!("{} {}", problem.message, problem.help.as_deref().unwrap_or_default());
        problem.path == path && told.contains(says)
    });
    hit.cloned().unwrap_or_else(|| panic!("nothing at {path} says `{says}`:\n{all:#?}"))
}

pub(super) fn names(sans: &[San]) -> Vec<String> {
    sans.iter().map(ToString::to_string).collect()
}

/// One table line: the fields of an entry, where the problem is, and what is said about it.
pub(super) type Line = (&'static str, &'static str, &'static str);

/// Every line makes the entry invalid.
pub(super) fn invalid(lines: &[Line]) {
    for (fields, path, says) in lines {
        let parsed = parse(&with(fields));
        assert_eq!(problem(&parsed, path, says).severity, Severity::Error, "{fields}");
        let manifest = parsed.manifest.expect("a manifest");
        assert!(manifest.entries.is_empty(), "{fields}");
        assert!(!manifest.invalid[0].problems.is_empty(), "{fields}");
        assert_eq!(manifest.invalid[0].name.as_deref(), Some("web"), "{fields}");
    }
}

/// Every line blocks `stage` and leaves the entry valid.
pub(super) fn blocks(stage: Stage, lines: &[Line]) {
    for (fields, path, says) in lines {
        let parsed = parse(&with(fields));
        assert_eq!(problem(&parsed, path, says).severity, Severity::StageError, "{fields}");
        let entry = one(parsed);
        assert!(entry.stage_error(stage).is_some(), "{fields}: {:?}", entry.stage_errors);
        assert!(entry.stage_errors.iter().all(|error| error.stage == stage), "{:?}", entry.stage_errors);
        match stage {
            Stage::Deliver => assert_eq!((entry.guest, entry.delivery), (None, None), "{fields}"),
            Stage::Activate => assert_eq!((entry.command, entry.window), (None, None), "{fields}"),
            Stage::Verify => assert!(entry.verify.is_empty(), "{fields}"),
        }
    }
}

/// Every line is worth a warning and nothing more.
pub(super) fn warns(lines: &[Line]) {
    for (fields, path, says) in lines {
        let parsed = parse(&with(fields));
        assert_eq!(problem(&parsed, path, says).severity, Severity::Warning, "{fields}");
        assert!(!parsed.diagnostics.has_errors(), "{fields}: {}", parsed.diagnostics);
        let manifest = parsed.manifest.expect("a manifest");
        assert_eq!(manifest.warnings(&"web".parse().unwrap()).len(), parsed.diagnostics.len(), "{fields}");
    }
}
