//! The manifest: the report, then every entry as the rest of the program sees it.

use phoenix_core::diagnostic::{Colour, Diagnostics, Severity};
use phoenix_core::manifest::{Context, Host, Manifest, Parsed};
use phoenix_core::name::AbsolutePath;
use phoenix_core::settings::Settings;

use crate::{golden, outcome};

/// The installation that all cases are read in.
const SETTINGS: &str = include_str!("installation.toml");

/// Longest line of a report: it has to fit a terminal.
const WIDEST: usize = 700;

/// A host with few users, and a container's bind mount below `/srv/tls/guest`.
struct SmallHost;

impl Host for SmallHost {
    fn has_user(&self, name: &str) -> bool {
        matches!(name, "root" | "www-data" | "traefik")
    }

    fn has_group(&self, name: &str) -> bool {
        matches!(name, "root" | "www-data" | "ssl-cert")
    }

    fn directory_owner(&self, file: &AbsolutePath) -> Option<u32> {
        Some(if file.as_str().starts_with("/srv/tls/guest/") { 100_000 } else { 0 })
    }
}

#[test]
fn every_manifest_is_reported_on_and_understood_as_its_answer_says() {
    let settings = Settings::parse(SETTINGS, "installation.toml").unwrap_or_else(|bad| panic!("{bad}"));
    golden::check("manifest", "json", |case, bytes| {
        let file = format!("{case}.json");
        let context = Context::of(&settings).file(&file).host(&SmallHost);
        let parsed = Manifest::read(&bytes, &context);
        sound(case, &bytes, &parsed);
        let report = parsed.diagnostics.render(Colour::Plain);
        format!("{report}\n{}", outcome::shown(&parsed))
    });
}

#[test]
fn a_string_of_a_megabyte_costs_a_report_of_ordinary_size() {
    let settings = Settings::parse(SETTINGS, "installation.toml").unwrap_or_else(|bad| panic!("{bad}"));
    let context = Context::of(&settings).file("long.json");
    let long = "a".repeat(1 << 20);
    for field in
        ["common_name", "name", "sans", "owner", "permissions", "issuer", "post_renewal_command", "validity"]
    {
        let text = format!("[{{\"{field}\": \"{long}\", \"{long}\": 1}}]");
        let parsed = Manifest::parse(&text, &context);
        sound(field, text.as_bytes(), &parsed);
        let length = parsed.diagnostics.render(Colour::Plain).len();
        assert!(length < 16_384, "{field}: {length}");
    }
}

/// What holds of every report, whatever the file.
fn sound(case: &str, bytes: &[u8], parsed: &Parsed) {
    well_shown(case, &parsed.diagnostics);
    let lines = String::from_utf8_lossy(bytes).lines().count().max(1);
    for problem in parsed.diagnostics.located() {
        assert!((1..=lines).contains(&problem.line) && problem.column > 0, "{case}: {problem:?}");
    }
    let errors = parsed.diagnostics.count(Severity::Error) > 0;
    let spoilt = parsed.manifest.as_ref().is_none_or(|manifest| !manifest.invalid.is_empty());
    assert_eq!(errors, spoilt, "{case}: an error spoils an entry or the file, and nothing else does");
    let Some(manifest) = &parsed.manifest else { return };
    let blocked = manifest.entries.iter().any(|entry| !entry.stage_errors.is_empty());
    let stage_errors = parsed.diagnostics.count(Severity::StageError) > 0;
    assert!(!blocked || stage_errors, "{case}: a blocked stage is reported");
    let told = manifest.entries.iter().flat_map(|entry| manifest.warnings(&entry.name));
    for sentence in told.chain(manifest.invalid.iter().flat_map(|entry| &entry.problems)) {
        assert!(sentence.chars().count() < 2 * WIDEST, "{case}: a sentence for status is bounded");
        assert!(!sentence.contains(char::is_control), "{case}: {sentence:?}");
    }
}

/// Nothing of the file reaches the terminal as it is, and colours change nothing but the colour.
pub(crate) fn well_shown(case: &str, diagnostics: &Diagnostics) {
    let report = diagnostics.render(Colour::Plain);
    for line in report.lines() {
        assert!(line.chars().count() < WIDEST, "{case}: {line}");
    }
    let unseen = |c: char| (c.is_control() && c != '\n') || outcome::unseen(c);
    assert!(!report.contains(unseen), "{case}: {report:?}");
    assert_eq!(anstream::adapter::strip_str(&diagnostics.render(Colour::Ansi)).to_string(), report, "{case}");
    assert_eq!(serde_json::to_value(diagnostics).unwrap().as_array().unwrap().len(), diagnostics.len());
}
