//! Reads records back. Lines that cannot be read (torn by a power cut, damaged) are passed over.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use serde::Deserialize;

use super::writer::LARGEST;
use super::{LONGEST, Line};

/// The file that is written to.
pub(super) const NEWER: &str = "history.jsonl";
/// The file before it.
pub(super) const OLDER: &str = "history.1.jsonl";

/// Which records are wanted.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// Only those about the entry of this name, and those about no entry in particular that concern all.
    pub(crate) name: Option<String>,
    /// Only those with a larger number.
    pub(crate) after: u64,
    /// So many at most, the newest.
    pub(crate) limit: usize,
}

/// What of a record is looked at.
#[derive(Deserialize)]
struct Head {
    seq: u64,
    #[serde(default)]
    names: Vec<String>,
}

/// What is `wanted` of the files in `dir`, oldest first.
pub(super) fn read(dir: &Path, wanted: &Wanted) -> Vec<Line> {
    let mut found = VecDeque::new();
    for file in [OLDER, NEWER] {
        each_line(&dir.join(file), |head, text| {
            let named = wanted.name.as_ref().is_none_or(|name| head.names.iter().any(|one| one == name));
            if named && head.seq > wanted.after && wanted.limit > 0 {
                if found.len() == wanted.limit {
                    found.pop_front();
                }
                found.push_back(Line { seq: head.seq, text: text.into() });
            }
        });
    }
    found.into()
}

/// The largest number that was given out.
pub(super) fn last_seq(dir: &Path) -> u64 {
    let last = |file: &str| {
        let mut last = 0;
        each_line(&dir.join(file), |head, _| last = last.max(head.seq));
        last
    };
    // The older file matters only where nothing was written since it was put aside.
    Some(last(NEWER)).filter(|seq| *seq > 0).unwrap_or_else(|| last(OLDER))
}

fn each_line(path: &Path, mut take: impl FnMut(Head, Vec<u8>)) {
    // A file that is not there has no lines; one that cannot be read is as good as absent.
    let Ok(file) = File::open(path) else { return };
    let mut lines = BufReader::new(file.take(2 * LARGEST));
    loop {
        let mut line = Vec::new();
        match lines.read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) if line.len() <= LONGEST + 1 => {
                // What is whole but for its end counts: its number is taken.
                if !line.ends_with(b"\n") {
                    line.push(b'\n');
                }
                if let Ok(head) = serde_json::from_slice(&line) {
                    take(head, line);
                }
            }
            Ok(_) => {}
        }
    }
}
