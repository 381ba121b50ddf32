//! YAML that is edited line by line: whatever is not touched stays as it was written.
//!
//! Only block mappings are followed, which is how Traefik's configuration is written. Where the way to a key leads
//! through anything else (flow style, anchors, tags), the text is refused with the line.

use std::ops::Range;

use crate::Unclear;

/// A YAML text.
pub(crate) struct Yaml {
    lines: Vec<String>,
    end: &'static str,
}

/// A key of a block mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    /// Its line, counted from 0.
    pub(crate) line: usize,
    /// Columns before it.
    pub(crate) indent: usize,
    /// What stands behind the colon, without comment and quotation marks.
    pub(crate) value: String,
    /// The lines below it that belong to it.
    pub(crate) body: Range<usize>,
}

impl Yaml {
    /// Reads a text with one document.
    pub(crate) fn parse(text: &str) -> Result<Self, Unclear> {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let mut starts = lines.iter().enumerate().filter(|(_, line)| line.starts_with("---"));
        if let Some((number, _)) = starts.nth(1) {
            return Err(Unclear::new(number + 1, "begins a second document; one is expected"));
        }
        let tab = lines.iter().position(|line| line.trim_start_matches(' ').starts_with('\t'));
        if let Some(number) = tab {
            return Err(Unclear::new(number + 1, "is indented with a tab, which YAML does not allow"));
        }
        Ok(Self { lines, end: if text.ends_with('\n') { "\n" } else { "" } })
    }

    /// The text with its edits.
    pub(crate) fn text(&self) -> String {
        self.lines.join("\n") + self.end
    }

    /// The key at the end of a way from the root; none when there is none.
    pub(crate) fn find(&self, way: &[&str]) -> Result<Option<Node>, Unclear> {
        let mut range = 0..self.lines.len();
        let mut found: Option<Node> = None;
        for key in way {
            if let Some(node) = found.as_ref().filter(|node| !node.value.is_empty() && !is_empty(&node.value))
            {
                let message = format!(
                    "has `{}` where a block with `{key}` is expected; write it as a block, then run this again",
                    node.value
                );
                return Err(Unclear::new(node.line + 1, message));
            }
            let Some(node) = self.child(range, key)? else { return Ok(None) };
            range = node.body.clone();
            found = Some(node);
        }
        Ok(found)
    }

    /// Keys of the mapping in `range`.
    pub(crate) fn keys(&self, range: Range<usize>) -> Vec<(usize, String)> {
        let Some(indent) = self.indent_of(&range) else { return Vec::new() };
        range.filter_map(|line| Some((line, self.key_at(line, indent)?))).collect()
    }

    /// All lines.
    pub(crate) fn all(&self) -> Range<usize> {
        0..self.lines.len()
    }

    fn child(&self, range: Range<usize>, key: &str) -> Result<Option<Node>, Unclear> {
        let Some(indent) = self.indent_of(&range) else { return Ok(None) };
        let mut lines = range.clone().filter(|line| self.key_at(*line, indent).as_deref() == Some(key));
        let Some(line) = lines.next() else { return Ok(None) };
        if let Some(again) = lines.next() {
            return Err(Unclear::new(again + 1, format!("has `{key}` a second time; keep one of them")));
        }
        let end = (line + 1..range.end).find(|below| self.ends_block(*below, indent)).unwrap_or(range.end);
        // Blank lines and comments before the next key belong to that.
        let last = (line + 1..end).rev().find(|below| self.is_content(*below));
        let body = line + 1..last.map_or(line + 1, |last| last + 1);
        Ok(Some(Node { line, indent, value: self.value_at(line), body }))
    }

    /// Columns before the first key of a range.
    fn indent_of(&self, range: &Range<usize>) -> Option<usize> {
        range.clone().find(|line| self.is_content(*line)).and_then(|line| Some(indent(self.lines.get(line)?)))
    }

    fn is_content(&self, line: usize) -> bool {
        self.lines.get(line).is_some_and(|line| {
            let line = line.trim_start();
            !line.is_empty() && !line.starts_with('#') && !line.starts_with("---")
        })
    }

    /// A line that no longer belongs to a key at `column`: not deeper, and no item of a list at the same column.
    fn ends_block(&self, line: usize, column: usize) -> bool {
        self.is_content(line)
            && self.lines.get(line).is_some_and(|line| {
                indent(line) < column || (indent(line) == column && !line.trim_start().starts_with("- "))
            })
    }

    fn key_at(&self, line: usize, column: usize) -> Option<String> {
        let text = self.lines.get(line).filter(|text| self.is_content(line) && indent(text) == column)?;
        let (key, rest) = text.trim_start().split_once(':')?;
        (rest.is_empty() || rest.starts_with(' ')).then(|| key.trim().trim_matches(['"', '\'']).to_owned())
    }

    fn value_at(&self, line: usize) -> String {
        let text = self.lines.get(line).map_or("", String::as_str);
        let (_, rest) = text.split_once(':').unwrap_or_default();
        let (value, _) = split_comment(rest);
        value.trim().trim_matches(['"', '\'']).to_owned()
    }

    /// Writes another value behind a key that has no body; a comment stays.
    pub(crate) fn set(&mut self, node: &Node, value: &str) {
        if let Some(text) = self.lines.get_mut(node.line) {
            let (key, rest) = text.split_once(':').unwrap_or_default();
            let (old, _) = split_comment(rest);
            let comment = rest.get(old.trim_end().len()..).unwrap_or_default();
            let between = if value.is_empty() { "" } else { " " };
            let mut line = format!("{key}:{between}{value}{comment}");
            line.truncate(line.trim_end().len());
            *text = line;
        }
    }

    /// Gives a key another name.
    pub(crate) fn rename(&mut self, node: &Node, name: &str) {
        if let Some(text) = self.lines.get_mut(node.line) {
            let (_, rest) = text.split_once(':').unwrap_or_default();
            *text = format!("{}{name}:{rest}", " ".repeat(node.indent));
        }
    }

    /// Removes a key with all that belongs to it.
    pub(crate) fn remove(&mut self, node: &Node) {
        self.lines.drain(node.line..node.body.end.max(node.line + 1));
    }

    /// Puts lines at the end of a key's body, each indented below it. `lines` are indented from 0.
    pub(crate) fn append(&mut self, node: &Node, lines: &[String]) {
        let column =
            self.indent_of(&node.body).filter(|column| *column > node.indent).unwrap_or(node.indent + 2);
        self.insert(node.body.end, column, lines);
    }

    /// Puts lines at the end of the text, not indented.
    pub(crate) fn append_to_root(&mut self, lines: &[String]) {
        self.insert(self.lines.len(), 0, lines);
    }

    fn insert(&mut self, at: usize, column: usize, lines: &[String]) {
        let lines = lines.iter().map(|line| format!("{}{line}", " ".repeat(column)));
        self.lines.splice(at..at, lines);
    }
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// An empty mapping in flow style: as good as none.
pub(crate) fn is_empty(value: &str) -> bool {
    value.trim() == "{}"
}

/// A value and the comment behind it.
fn split_comment(rest: &str) -> (&str, &str) {
    let mut quote = None;
    let mut before = ' ';
    for (at, character) in rest.char_indices() {
        match (quote, character) {
            (None, '#') if before == ' ' => return rest.split_at(at),
            (None, '"' | '\'') => quote = Some(character),
            (Some(mark), _) if mark == character => quote = None,
            _ => {}
        }
        before = character;
    }
    (rest, "")
}
