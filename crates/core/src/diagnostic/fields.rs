//! Typed values out of a table, every problem reported with its place.

use std::collections::HashSet;
use std::ops::Range;
use std::time::Duration;

use super::report::{Problem, Reading, Report, Reported};
use super::tree::{Kind, Table, Value};
use super::{Severity, suggest};
use crate::settings::parse_duration;

/// How many field names an advice lists.
const FEW: usize = 8;

/// Reader of one table, with an optional second table for the fields that it leaves out.
pub(crate) struct Fields<'t, 'r> {
    own: &'t Table,
    path: String,
    fallback: Option<(&'t Table, &'t str)>,
    /// Marked when a required field is missing.
    span: Range<usize>,
    severity: Severity,
    report: &'r mut Report,
    found: Vec<Found>,
}

/// A problem that was reported, in a form that can be shown without its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) severity: Severity,
    /// The field, what is wrong with it, and what to do.
    pub(crate) sentence: String,
}

impl<'t, 'r> Fields<'t, 'r> {
    /// Problems are of `severity` unless they say otherwise.
    pub(crate) fn new(
        own: &'t Table,
        span: Range<usize>,
        path: impl Into<String>,
        severity: Severity,
        report: &'r mut Report,
    ) -> Self {
        Self { own, path: path.into(), fallback: None, span, severity, report, found: Vec::new() }
    }

    /// Takes fields that are absent from `table`, found at `path`.
    pub(crate) fn or(self, fallback: Option<(&'t Table, &'t str)>) -> Self {
        Self { fallback, ..self }
    }

    /// The value of `key` and its path.
    pub(crate) fn find(&self, key: &str) -> Option<(&'t Value, String)> {
        let from = |table: &'t Table, path: &str| Some((table.get(key)?, join(path, key)));
        from(self.own, &self.path).or_else(|| self.fallback.and_then(|(table, path)| from(table, path)))
    }

    /// The field is there and not null.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    /// The field as `read` understands it; none when it is absent or what is wrong with it was reported.
    pub(crate) fn read<T>(&mut self, key: &str, read: impl FnOnce(&Value) -> Reading<T>) -> Option<T> {
        let (value, path) = self.find(key)?;
        match read(value) {
            Ok(found) => Some(found),
            Err(problems) => {
                for problem in problems.0 {
                    self.report_at(&path, value.span.clone(), problem);
                }
                None
            }
        }
    }

    /// The field as `read` understands it; none when it is absent.
    pub(crate) fn optional<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(&Value) -> Reading<T>,
    ) -> Result<Option<T>, Reported> {
        if self.has(key) { self.read(key, read).map(Some).ok_or(Reported) } else { Ok(None) }
    }

    /// The field as `read` understands it; absence is an error, with `advice`.
    pub(crate) fn require<T>(
        &mut self,
        key: &str,
        advice: &str,
        read: impl FnOnce(&Value) -> Reading<T>,
    ) -> Result<T, Reported> {
        if !self.has(key) {
            self.missing(key, advice);
        }
        self.read(key, read).ok_or(Reported)
    }

    /// Reports that `key` is missing.
    pub(crate) fn missing(&mut self, key: &str, advice: &str) {
        let problem = Problem::new(format!("`{key}` is missing"), advice);
        let (path, span) = (join(&self.path.clone(), key), self.span.clone());
        self.report_at(&path, span, problem);
    }

    /// Reports a problem of the value of `key`, or of the table when there is none.
    pub(crate) fn report(&mut self, key: &str, problem: Problem) {
        let (span, path) = match self.find(key) {
            Some((value, path)) => (value.span.clone(), path),
            None => (self.span.clone(), self.path.clone()),
        };
        self.report_at(&path, span, problem);
    }

    /// Reports a warning about the value of `key`.
    pub(crate) fn warn(&mut self, key: &str, message: impl Into<String>, help: impl Into<String>) {
        self.report(key, Problem::new(message, help).severity(Severity::Warning));
    }

    fn report_at(&mut self, path: &str, span: Range<usize>, problem: Problem) {
        let severity = problem.severity.unwrap_or(self.severity);
        let span = problem.span.clone().unwrap_or(span);
        let path = format!("{path}{}", problem.suffix);
        self.found.push(Found { severity, sentence: problem.sentence(tail(&path)) });
        self.report.add(severity, path, span, problem);
    }

    /// What was reported so far through this reader.
    pub(crate) fn found(&self) -> &[Found] {
        &self.found
    }

    /// Reads the object at `key`, none when there is none. Its problems are of `severity`; that it is no object
    /// is as severe as any problem of this table.
    pub(crate) fn object<T>(
        &mut self,
        key: &str,
        example: &str,
        severity: Severity,
        read: impl FnOnce(&mut Fields<'_, '_>) -> Result<T, Reported>,
    ) -> Result<Option<T>, Reported> {
        self.optional(key, |value| table(value, example).map(|_| ()))?;
        match self.find(key) {
            Some((value, path)) => self.inner(value, path, severity, read).map(Some),
            None => Ok(None),
        }
    }

    /// Reads the object or the array of objects at `key`; an absent field is an empty array.
    pub(crate) fn objects<T>(
        &mut self,
        key: &str,
        example: &str,
        severity: Severity,
        mut read: impl FnMut(&mut Fields<'_, '_>) -> Result<T, Reported>,
    ) -> Result<Vec<T>, Reported> {
        let Some((Value { kind: Kind::List(items), .. }, path)) = self.find(key) else {
            return Ok(self.object(key, example, severity, read)?.into_iter().collect());
        };
        let read_item = |(index, item): (usize, &Value)| {
            let path = format!("{path}[{index}]");
            if let Err(problems) = table(item, example) {
                for problem in problems.0 {
                    self.report_at(&path, item.span.clone(), problem.severity(severity));
                }
            }
            self.inner(item, path, severity, &mut read)
        };
        // All items are read before the first failure ends it, so that all problems are reported.
        let all: Vec<Result<T, Reported>> = items.iter().enumerate().map(read_item).collect();
        all.into_iter().collect()
    }

    fn inner<T>(
        &mut self,
        value: &Value,
        path: String,
        severity: Severity,
        read: impl FnOnce(&mut Fields<'_, '_>) -> Result<T, Reported>,
    ) -> Result<T, Reported> {
        let Kind::Table(own) = &value.kind else { return Err(Reported) };
        let mut fields = Fields::new(own, opening(value), path, severity, &mut *self.report);
        let result = read(&mut fields);
        let found = fields.found;
        self.found.extend(found);
        result
    }

    /// Reports fields that are none of `known` (as `severity`) and repeated fields. Where unknown ones are only worth
    /// a warning, keys that begin with `_` are comments.
    pub(crate) fn check_keys(&mut self, known: &[&str], severity: Severity) {
        let own = self.own;
        let comments = severity == Severity::Warning;
        for (key, _) in &own.pairs {
            if known.contains(&key.text.as_str()) || comments && key.text.starts_with('_') {
                continue;
            }
            let otherwise = match known.len() {
                more if comments && more > FEW => {
                    "remove it, or let its name begin with `_` if it is a comment".to_owned()
                }
                _ => format!("known here: {}", known.join(", ")),
            };
            let advice = suggest::advice(&key.text, known.iter().copied(), otherwise);
            let problem = Problem::new(format!("unknown field `{}`", key.text), advice).severity(severity);
            let path = join(&self.path, &key.text);
            self.report_at(&path, key.span.clone(), problem);
        }
        let mut told = HashSet::new();
        for key in own.repeated.iter().filter(|key| !key.text.starts_with('_')) {
            if told.insert(&key.text) {
                let problem =
                    Problem::new(format!("`{}` occurs twice here", key.text), "keep one of the two");
                let path = join(&self.path, &key.text);
                self.report_at(&path, key.span.clone(), problem);
            }
        }
    }
}

/// `path.key`, or `key` at the top.
pub(crate) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// The part of a path that says which field of an entry is meant: what follows the entry itself.
fn tail(path: &str) -> &str {
    let inside = path.find("].").map_or(path, |at| path.get(at + 2..).unwrap_or_default());
    inside.strip_prefix("defaults.").unwrap_or(inside)
}

/// The brace that opens an object: where it is marked as a whole.
pub(crate) fn opening(value: &Value) -> Range<usize> {
    value.span.start..value.span.end.min(value.span.start + 1)
}

/// The value is not of the kind that the field needs.
pub(crate) fn wrong_type(value: &Value, wanted: &str, help: impl Into<String>) -> Problem {
    Problem::new(format!("{wanted} is needed here, this is {}", value.describe()), help)
}

/// A string.
pub(crate) fn text(value: &Value) -> Reading<&str> {
    match &value.kind {
        Kind::Text(text) => Ok(text),
        Kind::List(_) => {
            Err(wrong_type(value, "a string", "write one text in double quotes, not an array").into())
        }
        _ => Err(wrong_type(value, "a string", "write text in double quotes").into()),
    }
}

/// A string that `parse` understands; its error says what to do.
pub(crate) fn parsed<T, E: std::fmt::Display>(
    parse: impl Fn(&str) -> Result<T, E>,
) -> impl Fn(&Value) -> Reading<T> {
    move |value| parse(text(value)?).map_err(|error| Problem::plain(error.to_string()).into())
}

/// A duration, which is a string because a bare number would leave its unit open.
pub(crate) fn duration(value: &Value) -> Reading<Duration> {
    if let Kind::Number(number) = &value.kind {
        let help = format!("write a number with a unit in double quotes, such as \"{number}s\" or \"24h\"");
        return Err(wrong_type(value, "a duration", help).into());
    }
    parsed(parse_duration)(value)
}

/// `true` or `false`.
pub(crate) fn boolean(value: &Value) -> Reading<bool> {
    match value.kind {
        Kind::Bool(flag) => Ok(flag),
        _ => Err(wrong_type(value, "true or false", "write true or false without quotes").into()),
    }
}

/// A whole number within `range`.
pub(crate) fn number(range: std::ops::RangeInclusive<u32>) -> impl Fn(&Value) -> Reading<u32> {
    move |value| {
        let Kind::Number(text) = &value.kind else {
            return Err(wrong_type(value, "a number", "write digits without quotes").into());
        };
        let inside = text.parse().ok().filter(|number| range.contains(number));
        inside.ok_or_else(|| {
            let limits = format!("write a whole number from {} to {}", range.start(), range.end());
            let whole = text.trim_start_matches('-').bytes().all(|byte| byte.is_ascii_digit());
            let what = if whole { "out of range" } else { "no whole number" };
            Problem::new(format!("{text} is {what}"), limits).into()
        })
    }
}

/// A table, such as `example`.
pub(crate) fn table<'t>(value: &'t Value, example: &str) -> Reading<&'t Table> {
    match &value.kind {
        Kind::Table(table) => Ok(table),
        _ => Err(wrong_type(value, "an object", format!("write it such as {example}")).into()),
    }
}

/// One of a few words.
pub(crate) fn word<T: Copy>(words: &[(&'static str, T)]) -> impl Fn(&Value) -> Reading<T> {
    move |value| {
        let Kind::Text(given) = &value.kind else {
            let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            return Err(wrong_type(value, "a string", format!("write one of: {}", names.join(", "))).into());
        };
        let known = words.iter().find(|(word, _)| word == given);
        known.map(|(_, meaning)| *meaning).ok_or_else(|| {
            let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let help =
                suggest::advice(given, names.iter().copied(), format!("use one of: {}", names.join(", ")));
            Problem::new(format!("`{given}` is not known here"), help).into()
        })
    }
}

/// An array whose every item `read` understands; all items with problems are reported.
pub(crate) fn list<T>(mut read: impl FnMut(&Value) -> Reading<T>) -> impl FnMut(&Value) -> Reading<Vec<T>> {
    move |value| match &value.kind {
        Kind::List(items) => each(items, &mut read),
        _ => Err(wrong_type(value, "an array", "write `[ … ]`").into()),
    }
}

/// As [`list`]; a single item needs no array.
pub(crate) fn one_or_many<T>(
    mut read: impl FnMut(&Value) -> Reading<T>,
) -> impl FnMut(&Value) -> Reading<Vec<T>> {
    move |value| match &value.kind {
        Kind::List(items) => each(items, &mut read),
        _ => read(value).map(|item| vec![item]),
    }
}

fn each<T>(items: &[Value], read: &mut impl FnMut(&Value) -> Reading<T>) -> Reading<Vec<T>> {
    let mut good = Vec::with_capacity(items.len());
    let mut problems = super::report::Problems::default();
    for (index, item) in items.iter().enumerate() {
        match read(item) {
            Ok(item) => good.push(item),
            Err(bad) => problems.0.extend(bad.0.into_iter().map(|problem| {
                let span = problem.span.clone().unwrap_or_else(|| item.span.clone());
                problem.at(span).below(format_args!("[{index}]"))
            })),
        }
    }
    if problems.0.is_empty() { Ok(good) } else { Err(problems) }
}
