//! The place of a problem: a line and a column of the file, at which stands what the problem is about.

use phoenix_core::diagnostic::Located;
use phoenix_core::settings::Settings;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::installation::parse;

const MANIFEST: &str = include_str!("../../../../config/certificate-manifest.recommended.json");
const CERTD: &str = include_str!("../../../../config/certd.toml");

/// The byte at a line and column, by counting as an editor does; none beyond the end of its line.
fn offset(text: &str, line: usize, column: usize) -> Option<usize> {
    let mark = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let (mut at, mut row, mut characters) = (mark, 1, 1);
    for c in text.get(mark..)?.chars() {
        if (row, characters) == (line, column) {
            return Some(at);
        }
        at += c.len_utf8();
        (row, characters) = if c == '\n' { (row + 1, 1) } else { (row, characters + 1) };
    }
    ((row, characters) == (line, column)).then_some(at)
}

/// Every problem lies where it says, and in the order of the file.
fn placed(text: &str, spans: &[std::ops::Range<usize>], located: &[Located]) -> Result<(), TestCaseError> {
    prop_assert_eq!(spans.len(), located.len());
    for (span, problem) in spans.iter().zip(located) {
        prop_assert!(text.get(span.clone()).is_some(), "{problem:?} cuts a character");
        let mark = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        prop_assert_eq!(
            offset(text, problem.line, problem.column),
            Some(span.start.max(mark)),
            "{:?}",
            problem
        );
        prop_assert!(!problem.message.is_empty());
    }
    let places: Vec<_> = located.iter().map(|problem| (problem.line, problem.column)).collect();
    prop_assert!(places.is_sorted(), "{places:?}");
    Ok(())
}

fn edits() -> impl Strategy<Value = Vec<(Index, usize, String)>> {
    let splice = prop_oneof![
        "[\\[\\]{}\":,0-9a-z\n\t \\\\é名🦀]{0,5}",
        Just("null".to_owned()),
        Just("\r\n".to_owned())
    ];
    proptest::collection::vec((any::<Index>(), 0..12_usize, splice), 1..4)
}

/// The text after some slips of the keyboard.
fn edited(text: &str, edits: &[(Index, usize, String)]) -> String {
    let mut text = text.to_owned();
    for (at, cut, splice) in edits {
        let floor = |mut at: usize| {
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let start = floor(at.index(text.len() + 1));
        let end = floor((start + cut).min(text.len())).max(start);
        text.replace_range(start..end, splice);
    }
    text
}

proptest! {
    #[test]
    fn problems_of_a_manifest_lie_where_they_say(edits in edits(), mark: bool, windows: bool) {
        let text = edited(MANIFEST, &edits);
        let text = if windows { text.replace('\n', "\r\n") } else { text };
        let text = format!("{}{text}", if mark { "\u{feff}" } else { "" });
        let parsed = parse(&text);
        let spans: Vec<_> = parsed.diagnostics.iter().map(|problem| problem.span.clone()).collect();
        placed(&text, &spans, &parsed.diagnostics.located())?;
    }

    #[test]
    fn problems_of_a_configuration_lie_where_they_say(edits in edits(), windows: bool) {
        let text = edited(CERTD, &edits);
        let text = if windows { text.replace('\n', "\r\n") } else { text };
        if let Err(problems) = Settings::parse(&text, "certd.toml") {
            let spans: Vec<_> = problems.iter().map(|problem| problem.span.clone()).collect();
            placed(&text, &spans, &problems.located())?;
        }
    }

    /// A wrong value is marked, and nothing but it, wherever in the file it stands.
    #[test]
    fn the_marked_place_is_the_wrong_value(
        field in select(&["owner", "permissions", "validity", "cert_type", "issuer", "rollback"][..]),
        before in "[ \t\n]{0,6}", comment in "[a-zé名🦀 ]{0,10}", after in "[ \n]{0,4}", mark: bool,
    ) {
        let mark = if mark { "\u{feff}" } else { "" };
        let text = format!(
            "{mark}[{before}{{\"_\": \"{comment}\",{before}\"common_name\": \"a.b\", \"cert_path\": \"/srv/c\", \"key_path\": \
             \"/srv/k\",{before}\"{field}\":{before}[[\"{comment}\"]]{after}}}]"
        );
        let parsed = parse(&text);
        let problem = parsed.diagnostics.iter().next().unwrap();
        let marked = &text[problem.span.clone()];
        let inner = if field == "issuer" { format!("[\"{comment}\"]") } else { format!("[[\"{comment}\"]]") };
        prop_assert_eq!(marked, inner);
        let spans: Vec<_> = parsed.diagnostics.iter().map(|problem| problem.span.clone()).collect();
        placed(&text, &spans, &parsed.diagnostics.located())?;
        let report = parsed.diagnostics.to_string();
        let place = &parsed.diagnostics.located()[0];
        let heading = format!(":{}:{}\n", place.line, place.column);
        prop_assert!(report.contains(&heading), "{report}");
    }
}
