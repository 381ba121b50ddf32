//! Problems as they are found, before they are ordered.

use std::collections::HashSet;
use std::ops::Range;

use super::render::shorten;
use super::{Diagnostic, Severity};

/// Something wrong with a value, found by whoever read it; the reader adds the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// None means as severe as the reader of the field thinks.
    pub(crate) severity: Option<Severity>,
    /// None means the whole value.
    pub(crate) span: Option<Range<usize>>,
    /// Appended to the path of the field, such as `[2]` or `.cert`.
    pub(crate) suffix: String,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

impl Problem {
    pub(crate) fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            severity: None,
            span: None,
            suffix: String::new(),
            message: message.into(),
            help: Some(help.into()),
        }
    }

    /// An error that says itself what to do.
    pub(crate) fn plain(error: impl Into<String>) -> Self {
        Self { help: None, ..Self::new(error, "") }
    }

    pub(crate) fn at(self, span: Range<usize>) -> Self {
        Self { span: Some(span), ..self }
    }

    pub(crate) fn below(self, suffix: impl std::fmt::Display) -> Self {
        Self { suffix: format!("{suffix}{}", self.suffix), ..self }
    }

    /// The problem of `field` in one line, for places that cannot quote the text.
    pub(crate) fn sentence(&self, field: &str) -> String {
        let help = self.help.as_ref().map(|help| format!("; {}", shorten(help))).unwrap_or_default();
        let message = shorten(&self.message);
        if field.is_empty() || self.message.contains(&format!("`{field}`")) {
            return format!("{message}{help}");
        }
        format!("{}: {message}{help}", shorten(field))
    }

    pub(crate) fn severity(self, severity: Severity) -> Self {
        Self { severity: Some(severity), ..self }
    }
}

/// One or more problems of one value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Problems(pub(crate) Vec<Problem>);

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

/// What was to be read is wrong, and the report says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reported;

/// What reading a value gives.
pub(crate) type Reading<T> = Result<T, Problems>;

/// Problems of a text. A problem that many entries share (of a value in `defaults`) is kept once.
#[derive(Default)]
pub(crate) struct Report {
    list: Vec<Diagnostic>,
    seen: HashSet<(usize, usize, String)>,
}

impl Report {
    pub(crate) fn add(
        &mut self,
        severity: Severity,
        path: impl Into<String>,
        span: Range<usize>,
        problem: Problem,
    ) {
        if self.seen.insert((span.start, span.end, problem.message.clone())) {
            let Problem { message, help, .. } = problem;
            self.list.push(Diagnostic { severity, path: path.into(), span, message, help });
        }
    }

    /// Something was reported.
    pub(crate) fn is_any(&self) -> bool {
        !self.list.is_empty()
    }

    pub(crate) fn into_list(self) -> Vec<Diagnostic> {
        self.list
    }
}
