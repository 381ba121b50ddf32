//! Text in columns.

use std::fmt::Write;

use anstyle::Style;
use unicode_width::UnicodeWidthStr;

/// Space between two columns.
const GAP: &str = "  ";

/// Text with its colour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// Text without colour.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), style: Style::new() }
    }

    /// The same in `style`.
    pub fn styled(self, style: Style) -> Self {
        Self { style, ..self }
    }
}

/// Rows below a header, every column as wide as its widest cell.
#[derive(Clone, Debug)]
pub struct Table {
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table without rows.
    pub fn new(header: &[&str]) -> Self {
        let bold = Style::new().bold();
        Self { rows: vec![header.iter().map(|text| Cell::new(*text).styled(bold)).collect()] }
    }

    /// Adds a row.
    pub fn push(&mut self, row: Vec<Cell>) {
        self.rows.push(row);
    }

    /// The table as lines, with colours as escape sequences.
    pub fn render(&self) -> String {
        let mut widths: Vec<usize> = Vec::new();
        for row in &self.rows {
            widths.resize(widths.len().max(row.len()), 0);
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.text.width());
            }
        }
        self.rows.iter().map(|row| render_row(row, &widths)).collect()
    }
}

/// Nothing follows the last cell that is not empty.
fn render_row(row: &[Cell], widths: &[usize]) -> String {
    let used = row.iter().rposition(|cell| !cell.text.is_empty()).map_or(0, |last| last + 1);
    let mut line = String::new();
    for (index, (cell, width)) in row.iter().zip(widths).take(used).enumerate() {
        let (on, off) = (cell.style, cell.style.render_reset());
        // Writing to a string cannot fail.
        let _ = write!(line, "{on}{}{off}", cell.text);
        if index + 1 < used {
            line.push_str(&" ".repeat(width.saturating_sub(cell.text.width())));
            line.push_str(GAP);
        }
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;

    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_a_terminal_shows() {
        let mut table = Table::new(&["NAME", "STATE", "PROBLEM"]);
        table.push(vec![Cell::new("証明書"), Cell::new("ok"), Cell::new("")]);
        table.push(vec![Cell::new("a"), Cell::new("blocked"), Cell::new("disk-full")]);
        assert_eq!(
            strip_str(&table.render()).to_string(),
            "NAME    STATE    PROBLEM\n\
             証明書  ok\n\
             a       blocked  disk-full\n"
        );
    }
}
