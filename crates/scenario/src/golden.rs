//! The files of scenarios: a sentence, then lines of the script with what they lead to below them.

use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Set to anything: what scenarios lead to is written into their files instead of being compared.
const BLESS: &str = "BLESS";
/// What a line of the script led to is indented by that much.
const INDENT: &str = "    ";

/// One file.
#[derive(Clone, Debug)]
pub struct Golden {
    /// Where it lies.
    pub path: PathBuf,
    /// What an operator expects: everything before the first empty line.
    pub expectation: String,
    text: String,
}

/// A line of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// To be carried out.
    Word(&'a str),
    /// To be kept as it is.
    Remark(&'a str),
}

/// Every scenario of a directory, in the order of their names.
pub fn directory(path: &Path) -> Vec<Golden> {
    let listed = std::fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut paths: Vec<PathBuf> = listed.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    paths.sort();
    paths.iter().map(|path| Golden::read(path)).collect()
}

impl Golden {
    fn read(path: &Path) -> Self {
        let text =
            std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let expectation = text.split("\n\n").next().unwrap_or_default().to_owned();
        assert!(!expectation.trim().is_empty(), "{} says nothing of what is expected", path.display());
        Self { path: path.to_owned(), expectation, text }
    }

    /// One that lies in no file.
    pub fn made(expectation: &str, script: &[&str]) -> Self {
        let text = format!("{expectation}\n\n{}\n", script.join("\n"));
        Self { path: PathBuf::new(), expectation: expectation.to_owned(), text }
    }

    /// Its name, without directory and ending.
    pub fn name(&self) -> String {
        self.path.file_stem().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    }

    /// The script, without what its lines led to.
    pub(crate) fn lines(&self) -> Vec<Line<'_>> {
        let script = self.text.get(self.expectation.len()..).unwrap_or_default();
        let kept = script.lines().filter(|line| !line.starts_with(INDENT));
        kept.map(|line| match line.trim() {
            "" => Line::Remark(""),
            remark if remark.starts_with('#') => Line::Remark(remark),
            word => Line::Word(word),
        })
        .collect()
    }

    /// The file as it is when the words of its script led to `outcomes`.
    pub(crate) fn with(&self, outcomes: &[Vec<String>]) -> String {
        let mut out = self.expectation.clone();
        let mut outcomes = outcomes.iter();
        for line in self.lines() {
            let (Line::Word(text) | Line::Remark(text)) = line;
            let _ = writeln!(out, "{text}");
            if let Line::Word(_) = line {
                for told in outcomes.next().into_iter().flatten() {
                    let _ = writeln!(out, "{}", format!("{INDENT}{told}").trim_end());
                }
            }
        }
        out.trim_end().to_owned() + "\n"
    }

    /// Compares the file with how it should be, or writes it anew when that is wanted.
    ///
    /// # Errors
    /// Where they differ.
    pub fn check(&self, wanted: &str) -> Result<(), String> {
        if std::env::var_os(BLESS).is_some() && self.text != wanted {
            return std::fs::write(&self.path, wanted)
                .map_err(|error| format!("{}: {error}", self.path.display()));
        }
        if self.text == wanted {
            return Ok(());
        }
        Err(format!(
            "{}: {}\n{}\n(with {BLESS}=1 it is written anew: judge the difference before you commit it)",
            self.path.display(),
            self.expectation.lines().next().unwrap_or_default(),
            difference(&self.text, wanted)
        ))
    }
}

/// The lines between the first and the last that differ.
pub fn difference(old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let same = |one: &&str, other: &&str| one == other;
    let head = old.iter().zip(&new).take_while(|(one, other)| same(one, other)).count();
    let rest = old.len().min(new.len()) - head;
    let tail = old.iter().rev().zip(new.iter().rev()).take(rest).take_while(|(one, other)| same(one, other));
    let tail = tail.count();
    let before = old.iter().take(head).skip(head.saturating_sub(3)).map(|line| format!("  {line}"));
    let gone = old.iter().take(old.len() - tail).skip(head).map(|line| format!("- {line}"));
    let come = new.iter().take(new.len() - tail).skip(head).map(|line| format!("+ {line}"));
    before.chain(gone).chain(come).collect::<Vec<_>>().join("\n")
}
