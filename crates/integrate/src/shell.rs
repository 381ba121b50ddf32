//! Shell scripts as far as they have to be understood: which lines belong to one command.

use std::ops::Range;

use crate::Unclear;

/// A script, taken apart.
pub(crate) struct Script {
    /// Commands in the order of the file; comments and blank lines are none.
    pub(crate) commands: Vec<Command>,
}

/// A command with its continuation lines, quoted text and here-documents.
pub(crate) struct Command {
    /// Lines, counted from 0.
    pub(crate) lines: Range<usize>,
    /// Its text, here-documents included.
    pub(crate) text: String,
    /// The content of its first here-document.
    pub(crate) document: Option<String>,
}

/// What one line leaves open.
#[derive(Default)]
struct Open {
    quote: Option<char>,
    continued: bool,
}

impl Script {
    /// Takes a script apart.
    pub(crate) fn read(text: &str) -> Result<Self, Unclear> {
        let lines: Vec<&str> = text.lines().collect();
        let mut commands = Vec::new();
        let mut at = 0;
        while let Some(line) = lines.get(at) {
            if line.trim().is_empty() || line.trim_start().starts_with('#') {
                at += 1;
                continue;
            }
            let command = command(&lines, at)?;
            at = command.lines.end;
            commands.push(command);
        }
        Ok(Self { commands })
    }

    /// The function of this name: the place of its first command and of its closing brace.
    pub(crate) fn function(&self, name: &str) -> Option<Range<usize>> {
        let opens = |command: &&Command| {
            let head: String = command.text.split_whitespace().collect();
            head == format!("{name}(){{")
                || head == format!("function{name}{{")
                || head == format!("function{name}(){{")
        };
        let start = self.commands.iter().position(|command| opens(&command))?;
        let length =
            self.commands.iter().skip(start + 1).position(|command| command.text.trim_end() == "}")?;
        Some(start + 1..start + 1 + length)
    }
}

fn command(lines: &[&str], start: usize) -> Result<Command, Unclear> {
    let mut open = Open::default();
    let mut text = String::new();
    let mut at = start;
    loop {
        let Some(line) = lines.get(at) else {
            return Err(Unclear::new(
                start + 1,
                "begins a command that does not end: a quotation mark is missing",
            ));
        };
        text.push_str(line);
        text.push('\n');
        open = rest(line, open.quote);
        at += 1;
        if open.quote.is_none() && !open.continued {
            break;
        }
    }
    let mut document = None;
    for word in here_documents(&text) {
        let end = lines.iter().skip(at).position(|line| line.trim_start_matches('\t') == word);
        let Some(length) = end else {
            return Err(Unclear::new(start + 1, format!("begins a here-document without its end `{word}`")));
        };
        let body: String = lines.iter().skip(at).take(length).flat_map(|line| [*line, "\n"]).collect();
        text.push_str(&body);
        document.get_or_insert(body);
        at += length + 1;
    }
    Ok(Command { lines: start..at, text, document })
}

/// What is open at the end of a line.
fn rest(line: &str, mut quote: Option<char>) -> Open {
    let mut before = ' ';
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (None | Some('"'), '\\') if characters.next().is_none() => {
                return Open { quote, continued: true };
            }
            (None | Some('"'), '\\') => {}
            (None, '#') if before.is_whitespace() => break,
            (None, '\'' | '"') => quote = Some(character),
            (Some(mark), _) if mark == character => quote = None,
            _ => {}
        }
        before = character;
    }
    let end = line.trim_end();
    Open {
        quote,
        continued: quote.is_none() && (end.ends_with("||") || end.ends_with("&&") || end.ends_with('|')),
    }
}

/// The words that end the here-documents of a command.
fn here_documents(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("<<") {
        rest = after;
        if before.ends_with('<') || after.starts_with('<') || after.starts_with('=') {
            rest = after.trim_start_matches('<');
            continue;
        }
        let word: String = after
            .trim_start_matches('-')
            .trim_start_matches([' ', '\t'])
            .chars()
            .take_while(|character| !character.is_whitespace() && !matches!(character, ';' | '|' | '&' | ')'))
            .filter(|character| !matches!(character, '\'' | '"' | '\\'))
            .collect();
        if word.chars().next().is_some_and(|first| first.is_alphabetic() || first == '_') {
            words.push(word);
        }
    }
    words
}

/// The word that says what a command does, without `if`, `!` and the like before it.
pub(crate) fn first_word(command: &str) -> &str {
    let before = ["if", "elif", "while", "until", "!", "then", "do", "else", "sudo"];
    let mut words = command.split_whitespace().peekable();
    while let Some(word) = words.next() {
        if !before.contains(&word) || words.peek().is_none() {
            return word.trim_end_matches(';');
        }
    }
    ""
}
