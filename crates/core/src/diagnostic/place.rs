//! From byte offsets to lines and columns.

use std::ops::Range;

use serde::Serialize;

use super::{Diagnostic, Severity};

/// A problem with its place in words and numbers: the machine-readable form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Located {
    /// How much it spoils.
    pub severity: Severity,
    /// The file.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The value, such as `certificates[3].sans`; empty for the file as a whole.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Located {
    pub(super) fn new(file: &str, lines: &Lines<'_>, diagnostic: &Diagnostic) -> Self {
        let place = lines.place(diagnostic.span.start);
        Self {
            severity: diagnostic.severity,
            file: file.to_owned(),
            line: place.line,
            column: place.column,
            path: diagnostic.path.clone(),
            message: diagnostic.message.clone(),
            help: diagnostic.help.clone(),
        }
    }
}

/// Line and column, from 1; the column counts characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// Where the lines of a text begin, so that many places can be found cheaply.
pub(crate) struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
    /// Characters before each block of [`BLOCK`] bytes: a file of one very long line is not counted anew for
    /// each place in it.
    counted: Vec<usize>,
}

const BLOCK: usize = 1024;
/// Stands in front of a text to say that it is UTF-8.
const MARK: char = '\u{feff}';

impl<'a> Lines<'a> {
    pub(crate) fn of(text: &'a str) -> Self {
        // No editor counts or shows a byte order mark.
        let first = if text.starts_with(MARK) { MARK.len_utf8() } else { 0 };
        let starts = std::iter::once(first)
            .chain(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1))
            .collect();
        let counted = text
            .as_bytes()
            .chunks(BLOCK)
            .scan(0, |sum, block| {
                let before = *sum;
                *sum += characters(block);
                Some(before)
            })
            .collect();
        Self { text, starts, counted }
    }

    /// Line and column of a byte offset; an offset outside the text is bent onto it.
    pub(crate) fn place(&self, offset: usize) -> Place {
        let offset = floor(self.text, offset);
        let line = self.line_of(offset);
        let start = self.starts.get(line).copied().unwrap_or(0).min(offset);
        let column = self.characters_before(offset).saturating_sub(self.characters_before(start));
        Place { line: line + 1, column: column + 1 }
    }

    fn characters_before(&self, offset: usize) -> usize {
        let block = offset / BLOCK;
        let rest = self.text.as_bytes().get(block * BLOCK..offset).unwrap_or_default();
        match self.counted.get(block) {
            Some(before) => before + characters(rest),
            None => self.text.chars().count(),
        }
    }

    /// The line that holds a byte offset, without its end of line, as a range of the text.
    pub(crate) fn line(&self, offset: usize) -> Range<usize> {
        let line = self.line_of(floor(self.text, offset));
        let start = self.starts.get(line).copied().unwrap_or(0);
        let end = self.starts.get(line + 1).map_or(self.text.len(), |next| next - 1);
        let content = self.text.get(start..end).unwrap_or_default();
        start..start + content.trim_end_matches('\r').len()
    }

    pub(crate) fn text(&self) -> &'a str {
        self.text
    }

    fn line_of(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset).saturating_sub(1)
    }
}

/// How many characters begin in these bytes of UTF-8.
fn characters(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0b1100_0000 != 0b1000_0000).count()
}

/// The last character boundary at or before `offset`.
pub(crate) fn floor(text: &str, offset: usize) -> usize {
    let mut at = offset.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// `span` within `text`, on character boundaries, never ending before it begins.
pub(crate) fn fit(text: &str, span: &Range<usize>) -> Range<usize> {
    let start = floor(text, span.start);
    let mut end = span.end.clamp(start, text.len());
    while !text.is_char_boundary(end) {
        end += 1;
    }
    start..end
}
