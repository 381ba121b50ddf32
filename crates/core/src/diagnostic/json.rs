//! JSON text into a tree of values that know their place.
//!
//! `serde_json` does the parsing; its raw values are slices of the text, and where a slice lies in the text is
//! its place.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::report::{Problem, Report};
use super::tree::{Key, Kind, Table, Value};
use super::{Severity, place};

/// Deepest nesting that is looked into; a manifest needs four levels.
const MAX_DEPTH: usize = 32;

/// The tree of `text`, or none with an error in `report` when it is not JSON as a whole, nested too deep, or holds a
/// string that is no Unicode text: what such a value was to be nobody knows.
///
/// Of a key that occurs twice the first one counts.
pub(crate) fn parse(text: &str, report: &mut Report) -> Option<Value> {
    let content = text.strip_prefix('\u{feff}').unwrap_or(text);
    match serde_json::from_str::<&RawValue>(content) {
        Ok(raw) => {
            let mut reader = Reader { text, report, broken: false };
            let value = reader.value(raw, 0);
            (!reader.broken).then_some(value)
        }
        Err(error) => {
            let (span, problem) = syntax(text, text.len() - content.len(), &error);
            report.add(Severity::Error, "", span, problem);
            None
        }
    }
}

struct Reader<'t, 'r> {
    text: &'t str,
    report: &'r mut Report,
    /// A value could not be read.
    broken: bool,
}

impl Reader<'_, '_> {
    fn span(&self, slice: &str) -> Range<usize> {
        let start = (slice.as_ptr() as usize).wrapping_sub(self.text.as_ptr() as usize);
        start..start.wrapping_add(slice.len())
    }

    fn value(&mut self, raw: &RawValue, depth: usize) -> Value {
        let text = raw.get();
        let span = self.span(text);
        let kind = match text.as_bytes().first() {
            Some(b'n') => Kind::Null,
            Some(b't') => Kind::Bool(true),
            Some(b'f') => Kind::Bool(false),
            Some(b'"') => Kind::Text(self.string(text)),
            Some(b'[' | b'{') if depth == MAX_DEPTH => self.too_deep(&span),
            Some(b'[') => Kind::List(self.list(raw, depth)),
            Some(b'{') => Kind::Table(self.table(raw, depth)),
            _ => Kind::Number(text.to_owned()),
        };
        Value { span, kind }
    }

    fn too_deep(&mut self, span: &Range<usize>) -> Kind {
        let problem = Problem::new(
            format!("nested more than {MAX_DEPTH} levels deep"),
            "nothing in a manifest needs such nesting",
        );
        self.broken = true;
        self.report.add(Severity::Error, "", span.start..span.start + 1, problem);
        Kind::Null
    }

    fn string(&mut self, raw: &str) -> String {
        serde_json::from_str(raw).unwrap_or_else(|_| {
            let problem = Problem::new(
                "this string contains an escape that is no character",
                "write the character itself; the file is UTF-8",
            );
            self.broken = true;
            self.report.add(Severity::Error, "", self.span(raw), problem);
            String::new()
        })
    }

    fn list(&mut self, raw: &RawValue, depth: usize) -> Vec<Value> {
        let items = raw.deserialize_seq(Items).unwrap_or_default();
        items.into_iter().map(|item| self.value(item, depth + 1)).collect()
    }

    fn table(&mut self, raw: &RawValue, depth: usize) -> Table {
        let pairs = raw.deserialize_map(Pairs).unwrap_or_default();
        let mut seen = std::collections::HashSet::new();
        let mut table = Table::default();
        for (key, value) in pairs {
            let key = Key { span: self.span(key.get()), text: self.string(key.get()) };
            if seen.insert(key.text.clone()) {
                table.pairs.push((key, self.value(value, depth + 1)));
            } else {
                table.repeated.push(key);
            }
        }
        table
    }
}

struct Items;

impl<'de> Visitor<'de> for Items {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = from.next_element()? {
            items.push(item);
        }
        Ok(items)
    }
}

struct Pairs;

impl<'de> Visitor<'de> for Pairs {
    type Value = Vec<(&'de RawValue, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = from.next_entry()? {
            pairs.push(pair);
        }
        Ok(pairs)
    }
}

/// Where and how a text is no JSON. `shift` is the length of the byte order mark in front of it.
fn syntax(text: &str, shift: usize, error: &serde_json::Error) -> (Range<usize>, Problem) {
    let line_start =
        text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum::<usize>();
    let first = if error.line() <= 1 { shift } else { 0 };
    // serde_json counts columns in bytes and points at the last byte that it took; at the end that may be space.
    // At a control character it points at what stands before it.
    let behind = usize::from(error.to_string().starts_with("control character"));
    let taken =
        if error.is_eof() { text.trim_end().len() } else { line_start + first + error.column() + behind };
    let offset = place::floor(text, taken.saturating_sub(1));
    let marked = text.get(offset..taken.max(offset)).unwrap_or_default();
    let length = marked.chars().next().map_or(0, char::len_utf8);
    let (what, help) = in_words(text, offset, error);
    (offset..offset + length, Problem::new(format!("this is not JSON: {what}"), help))
}

/// What is wrong at `offset`, and what people usually got wrong there.
fn in_words(text: &str, offset: usize, error: &serde_json::Error) -> (String, &'static str) {
    let here = text.get(offset..).unwrap_or_default();
    let before = text.get(..offset).unwrap_or_default().trim_end();
    let what = error.to_string();
    let what = what.rsplit_once(" at line ").map_or(what.as_str(), |(what, _)| what);
    if text.trim_start_matches('\u{feff}').trim().is_empty() {
        return ("the file is empty".to_owned(), "an empty manifest is written `[]`");
    }
    if error.is_eof() {
        let within = what.trim_start_matches("EOF while parsing ");
        return (
            format!("the file ends within {within}"),
            "it ends too early: a bracket, brace or quote is not closed",
        );
    }
    if what.starts_with("control character") {
        return in_a_string(here);
    }
    if what == "trailing characters" {
        return (
            "there is more behind its end".to_owned(),
            "a file is one array or one object: remove what follows it",
        );
    }
    (what.to_owned(), advice(here, before, what))
}

/// A control character within a string; a line break is mostly the quote that was forgotten before it.
fn in_a_string(here: &str) -> (String, &'static str) {
    match here.chars().next() {
        Some('\n' | '\r') => (
            "a string goes over the end of its line".to_owned(),
            "close its quote, or write `\\n` for a line break",
        ),
        Some('\t') => ("a tab within a string".to_owned(), "write it as `\\t`, or as a space"),
        _ => ("a control character within a string".to_owned(), "write it as `\\u00…`, or remove it"),
    }
}

fn advice(here: &str, before: &str, what: &str) -> &'static str {
    match here.chars().next() {
        _ if what == "invalid number" && before.ends_with('0') => {
            "no number begins with 0; file modes stand in double quotes, such as \"0640\""
        }
        _ if what == "invalid escape" => "a backslash in a string is written `\\\\`",
        _ if what == "expected `:`" => "between a key and its value stands a `:`",
        Some('}' | ']') if before.ends_with(',') => "remove the comma before it",
        Some('/') if !here.starts_with("//") && !here.starts_with("/*") => "text stands in double quotes",
        Some('/' | '#') => "JSON has no comments; put the text into a key that starts with `_`",
        Some('\'') => "JSON strings stand in double quotes",
        Some('"' | '{' | '[') if what.starts_with("expected `,`") => "a comma is missing before it",
        Some('T' | 'F') => "write true or false in small letters",
        Some(c) if c.is_alphabetic() => {
            "text stands in double quotes; without them are only numbers, true, false and null"
        }
        _ => "see the marked place",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tree(text: &str) -> (Option<Value>, Vec<super::super::Diagnostic>) {
        let mut report = Report::default();
        let value = parse(text, &mut report);
        (value, report.into_list())
    }

    /// Every value is what serde_json reads from the text at its place.
    fn agrees(text: &str, value: &Value) {
        let written = &text[value.span.clone()];
        let expected: serde_json::Value = serde_json::from_str(written).unwrap();
        match &value.kind {
            Kind::Null => assert!(expected.is_null()),
            Kind::Bool(flag) => assert_eq!(expected.as_bool(), Some(*flag)),
            Kind::Number(number) => assert_eq!(number, written),
            Kind::Text(content) => assert_eq!(expected.as_str(), Some(content.as_str())),
            Kind::List(items) => {
                assert_eq!(expected.as_array().unwrap().len(), items.len());
                for item in items {
                    agrees(text, item);
                }
            }
            Kind::Table(table) => {
                assert_eq!(expected.as_object().unwrap().len(), table.pairs.len());
                for (key, item) in &table.pairs {
                    assert_eq!(serde_json::from_str::<String>(&text[key.span.clone()]).unwrap(), key.text);
                    agrees(text, item);
                }
            }
        }
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            ".*".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                prop::collection::hash_map(".*", inner, 0..6)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_value_found_equals_the_json_at_its_place(value in json(), pretty: bool, mark: bool) {
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
            let text = format!("{}{}", if mark { "\u{feff}" } else { "" }, text.unwrap());
            let (tree, problems) = tree(&text);
            prop_assert!(problems.is_empty(), "{problems:?}");
            agrees(&text, &tree.unwrap());
        }

        #[test]
        fn any_text_is_either_json_or_reported(text: String) {
            let (tree, problems) = tree(&text);
            let content = text.strip_prefix('\u{feff}').unwrap_or(&text);
            prop_assert_eq!(tree.is_some(), serde_json::from_str::<serde_json::Value>(content).is_ok());
            prop_assert_eq!(tree.is_none(), !problems.is_empty());
        }
    }

    #[test]
    fn syntax_errors_point_at_the_place_and_say_what_to_do() {
        for (text, at, advice) in [
            ("", "", "empty"),
            ("  \n ", "", "empty"),
            ("[1,]", "]", "comma"),
            ("{\"a\": 1,\n}", "}", "comma"),
            ("[1, // one\n 2]", "/", "no comments"),
            ("['a']", "'", "double quotes"),
            ("[\"a\" \"b\"]", "\"", "comma is missing"),
            ("\u{feff}['é']", "'", "double quotes"),
            ("[\"é\", 'x']", "'", "double quotes"),
            ("[{\"a\": 1  \n", "1", "too early"),
            ("[1] x", "x", "remove what follows"),
            ("[01]", "1", "no number begins with 0"),
            ("[{\"a\" 1}]", "1", "stands a `:`"),
            ("[/srv]", "/", "double quotes"),
            ("[/* a */]", "/", "no comments"),
            ("[{} {}]", "{", "comma is missing"),
            ("[True]", "T", "small letters"),
            ("[yes]", "y", "double quotes"),
            ("[\"a\n\"]", "\n", "close its quote"),
            ("[\"a\tb\"]", "\t", "`\\t`"),
            ("[\"a\u{1}b\"]", "\u{1}", "`\\u00…`"),
            ("[\"\\s\"]", "s", "written `\\\\`"),
            ("[-]", "]", "marked"),
        ] {
            let (value, problems) = tree(text);
            assert!(value.is_none(), "{text}");
            let [problem] = &problems[..] else { panic!("{text}: {problems:?}") };
            assert_eq!(&text[problem.span.clone()], at, "{text}: {problem:?}");
            assert!(problem.help.as_ref().unwrap().contains(advice), "{text}: {problem:?}");
        }
    }

    #[test]
    fn a_key_that_occurs_twice_is_kept_apart() {
        let (value, _) = tree(r#"{"a": 1, "b": 2, "a": 3}"#);
        let Kind::Table(table) = value.unwrap().kind else { panic!("not a table") };
        assert_eq!(table.get("a").unwrap().kind, Kind::Number("1".to_owned()));
        assert_eq!(table.repeated, [Key { span: 17..20, text: "a".to_owned() }]);
    }

    #[test]
    fn nesting_is_bounded() {
        let text = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let (_, problems) = tree(&text);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].span, MAX_DEPTH..MAX_DEPTH + 1);
    }

    #[test]
    fn half_a_surrogate_pair_is_reported_at_its_string() {
        let (_, problems) = tree(r#"["a", "\ud800"]"#);
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].span, 6..14);
    }
}
