//! TOML text into a tree of values that know their place.

use std::collections::HashSet;

use ::toml::Spanned;
use ::toml::de::{DeTable, DeValue};

use super::Severity;
use super::report::{Problem, Report};
use super::tree::{Key, Kind, Table, Value};

/// Most syntax errors that are told: one bracket that is not closed makes an error of every word behind it.
const FEW: usize = 3;

/// The tree of `text`. The first syntax errors, one of a line, are in `report`; what could be understood around them
/// is in the tree.
pub(crate) fn parse(text: &str, report: &mut Report) -> Table {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut lines = HashSet::new();
    let line = |at: usize| text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count();
    let first_of_its_line =
        |error: &::toml::de::Error| lines.insert(line(error.span().unwrap_or_default().start));
    for error in errors.into_iter().filter(first_of_its_line).take(FEW) {
        let problem = Problem::new(
            format!("this is not TOML: {}", error.message().trim()),
            "strings stand in double quotes, tables in [brackets], and each key occurs once",
        );
        report.add(Severity::Error, "", error.span().unwrap_or_default(), problem);
    }
    of_table(table.get_ref())
}

fn of_table(table: &DeTable<'_>) -> Table {
    let mut pairs: Vec<_> = table
        .iter()
        .map(|(key, value)| {
            (Key { span: key.span(), text: key.get_ref().clone().into_owned() }, of_value(value))
        })
        .collect();
    pairs.sort_by_key(|(key, _)| key.span.start);
    Table { pairs, repeated: Vec::new() }
}

fn of_value(value: &Spanned<DeValue<'_>>) -> Value {
    let kind = match value.get_ref() {
        DeValue::String(text) => Kind::Text(text.clone().into_owned()),
        DeValue::Integer(number) => {
            // Numbers may be written as 0x10 or 1_000.
            let plain = i64::from_str_radix(number.as_str(), number.radix());
            Kind::Number(plain.map_or_else(|_| number.to_string(), |plain| plain.to_string()))
        }
        DeValue::Float(number) => Kind::Number(number.to_string()),
        DeValue::Boolean(flag) => Kind::Bool(*flag),
        DeValue::Datetime(time) => Kind::Text(time.to_string()),
        DeValue::Array(items) => Kind::List(items.iter().map(of_value).collect()),
        DeValue::Table(table) => Kind::Table(of_table(table)),
    };
    Value { span: value.span(), kind }
}
