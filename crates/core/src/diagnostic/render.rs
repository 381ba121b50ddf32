//! Diagnostics for people, drawn as rustc draws them.
//!
//! Only a window of the offending line is handed to the drawing library: a manifest may be one line of
//! megabytes, and each of its problems must still cost little and fit a terminal.

use std::fmt::Write as _;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::place::{Lines, floor};
use super::{Diagnostic, Diagnostics, Severity};

/// Most characters of a source line that are quoted.
const QUOTED: usize = 160;
/// Characters of them that stand before the marked place.
const BEFORE: usize = 60;
/// Most problems that are drawn: the report has to fit a message between processes, too.
const DRAWN: usize = 1000;
/// Most characters of a message: it may repeat a value of the file.
const MESSAGE: usize = 600;
/// Most characters of the words for a place: a key of the file is part of them.
const PATH: usize = 100;

/// Whether the report is coloured for a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// Plain text.
    Plain,
    /// ANSI colours.
    Ansi,
}

/// A cut of the quoted line and the marked bytes within it.
struct Quote {
    text: String,
    marked: std::ops::Range<usize>,
}

pub(super) fn report(diagnostics: &Diagnostics, lines: &Lines<'_>, colour: Colour) -> String {
    let renderer = match colour {
        Colour::Plain => Renderer::plain(),
        Colour::Ansi => Renderer::styled(),
    };
    let renderer = renderer.term_width(QUOTED + 40);
    let mut out = String::new();
    for diagnostic in diagnostics.iter().take(DRAWN) {
        out.push_str(&one(&renderer, colour, lines, diagnostics.file(), diagnostic));
        out.push_str("\n\n");
    }
    if diagnostics.len() > DRAWN {
        let _ = write!(out, "… and {} more\n\n", diagnostics.len() - DRAWN);
    }
    out.push_str(&summary(diagnostics));
    out
}

fn one(
    renderer: &Renderer,
    colour: Colour,
    lines: &Lines<'_>,
    file: &str,
    diagnostic: &Diagnostic,
) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::StageError => Level::ERROR.with_name("stage error"),
        Severity::Warning => Level::WARNING,
    };
    let help = diagnostic.help.as_ref().map(|help| Level::HELP.message(shorten(help)));
    let title = level.clone().primary_title(shorten(&diagnostic.message));
    if lines.text().is_empty() {
        return renderer.render(&[title.element(Origin::path(file)).elements(help)]);
    }
    let place = lines.place(diagnostic.span.start);
    let quote = quote(lines, diagnostic);
    let mark = AnnotationKind::Primary.span(quote.marked).label(bounded(&diagnostic.path, PATH));
    let snippet = Snippet::source(quote.text).line_start(place.line).annotation(mark);
    // Drawn in two parts with our own heading between them: the library would give the column within the cut.
    let title = renderer.render(&[Group::with_title(title)]);
    let body = renderer.render(&[Group::with_level(level).element(snippet).elements(help)]);
    let arrow = match colour {
        Colour::Plain => "-->",
        Colour::Ansi => "\u{1b}[1m\u{1b}[94m-->\u{1b}[0m",
    };
    let indent = place.line.to_string().len();
    let file = visible(file);
    format!("{title}\n{:indent$}{arrow} {file}:{}:{}\n{body}", "", place.line, place.column)
}

/// The marked part of the line with some of its surroundings; only what lies on the first line is marked.
fn quote(lines: &Lines<'_>, diagnostic: &Diagnostic) -> Quote {
    let line = lines.line(diagnostic.span.start);
    let start = diagnostic.span.start.min(line.end);
    let end = diagnostic.span.end.clamp(start, line.end);
    let cut = |from: usize, to: usize| lines.text().get(floor(lines.text(), from)..to).unwrap_or_default();
    // No character is longer than four bytes, so that these cuts hold all that is shown of a line of any length.
    let before = visible(cut(line.start.max(start.saturating_sub(4 * BEFORE)), start));
    let shown = floor(lines.text(), line.end.min(start + 4 * QUOTED));
    let marked: String = visible(cut(start, end.min(shown))).chars().take(QUOTED - BEFORE).collect();
    let after = if end < shown { visible(cut(end, shown)) } else { String::new() };
    let skipped = before.chars().count().saturating_sub(BEFORE);
    let head: String = before.chars().skip(skipped).collect();
    let room = QUOTED.saturating_sub(head.chars().count() + marked.chars().count());
    let text = format!("{head}{marked}{}", after.chars().take(room).collect::<String>());
    Quote { marked: head.len()..head.len() + marked.len(), text }
}

/// Tabs and characters that are not seen as one visible column each, so that the mark stands below what it marks
/// and a terminal shows what is there.
fn visible(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\t' => ' ',
            c if c.is_control() || is_unseen(c) => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// Shows nothing, or changes how the text around it is shown: zero-width and bidirectional characters.
pub(crate) const fn is_unseen(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// A message as it may be shown anywhere: bounded, on one line, with nothing that a terminal would obey.
pub(super) fn shorten(text: &str) -> String {
    bounded(text, MESSAGE)
}

/// At most `most` characters of a text. What is left out is in its middle: messages begin with the value that
/// they are about, and end with what is wrong with it.
fn bounded(text: &str, most: usize) -> String {
    let Some((cut, _)) = text.char_indices().nth(most) else { return visible(text) };
    let tail = most * 2 / 3;
    let (end, _) = text.char_indices().rev().nth(tail).unwrap_or((cut, ' '));
    let head: String = text.chars().take(most - tail).collect();
    format!("{}…{}", visible(&head), visible(text.get(end..).unwrap_or_default()))
}

fn summary(diagnostics: &Diagnostics) -> String {
    let counts = [Severity::Error, Severity::StageError, Severity::Warning].map(|severity| {
        let count = diagnostics.count(severity);
        (count > 0).then(|| format!("{count} {severity}{}", if count == 1 { "" } else { "s" }))
    });
    let counts: Vec<String> = counts.into_iter().flatten().collect();
    if counts.is_empty() {
        return format!("{}: no problems\n", diagnostics.file());
    }
    format!("{}: {}\n", diagnostics.file(), counts.join(", "))
}
