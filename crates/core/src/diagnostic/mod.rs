//! Diagnostics with a place in a file.
//!
//! The manifest and the configuration are read into a tree whose values know their place (`tree`, filled by
//! `json` and `toml`); `fields` takes typed values out of it and collects every problem with its place in a
//! `report`; `render` draws them as rustc does, and [`Located`] is the same for machines.

mod encoding;
pub(crate) mod fields;
pub(crate) mod json;
pub(crate) mod place;
pub(crate) mod render;
pub(crate) mod report;
pub mod suggest;
pub(crate) mod toml;
pub(crate) mod tree;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::{Serialize, Serializer};

pub use encoding::{NotText, text};
pub use place::Located;
pub use render::Colour;

use place::Lines;

/// How much a problem spoils.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The entry is invalid and nothing is done for it; at the level of a file: the file is refused.
    Error,
    /// The certificate is still issued and written; the stage that the problem belongs to is blocked.
    StageError,
    /// Works as written, but hardly as meant.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::StageError => "stage error",
            Self::Warning => "warning",
        })
    }
}

/// One problem and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How much it spoils.
    pub severity: Severity,
    /// The value in words, such as `certificates[3].sans`; empty for the file as a whole.
    pub path: String,
    /// Bytes of the text; always on character boundaries within it.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// Every problem of one text, in the order of their places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics {
    file: String,
    text: Arc<str>,
    list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Orders `list` by place and bends spans that do not lie on characters of `text` onto it.
    pub(crate) fn new(file: &str, text: &str, mut list: Vec<Diagnostic>) -> Self {
        for diagnostic in &mut list {
            diagnostic.span = place::fit(text, &diagnostic.span);
        }
        list.sort_by(|a, b| {
            (a.span.start, a.severity, a.span.end).cmp(&(b.span.start, b.severity, b.span.end))
        });
        Self { file: file.to_owned(), text: text.into(), list }
    }

    /// A problem of the whole file that has no place in its text: it cannot be read, is not UTF-8, is too large.
    pub fn of_file(file: &str, message: impl Into<String>, help: impl Into<String>) -> Self {
        let whole = Diagnostic {
            severity: Severity::Error,
            path: String::new(),
            span: 0..0,
            message: message.into(),
            help: Some(help.into()),
        };
        Self { file: file.to_owned(), text: "".into(), list: vec![whole] }
    }

    /// The file that the text came from.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The problems, ordered by place.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.list.iter()
    }

    /// There is nothing to report.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Number of problems.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// How many problems are of this severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.list.iter().filter(|diagnostic| diagnostic.severity == severity).count()
    }

    /// There is an error or a stage error: `validate` exits with 1.
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|diagnostic| diagnostic.severity != Severity::Warning)
    }

    /// Every problem with file, line and column, for `--json`.
    pub fn located(&self) -> Vec<Located> {
        let lines = Lines::of(&self.text);
        self.list.iter().map(|diagnostic| Located::new(&self.file, &lines, diagnostic)).collect()
    }

    /// The report for people: for each problem its file, line and column, the quoted line with the place
    /// marked, and what to do; at the end how many there are. Lines are bounded in length.
    pub fn render(&self, colour: Colour) -> String {
        render::report(self, &Lines::of(&self.text), colour)
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Colour::Plain))
    }
}

impl std::error::Error for Diagnostics {}

impl Serialize for Diagnostics {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.located())
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests;
