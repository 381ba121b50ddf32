//! What the daemon remembers across restarts: one append-only file of JSON lines.
//!
//! Each line replaces what earlier lines say about the same thing. A line that cannot be read (a torn last line
//! after a power cut, a damaged sector) is skipped: the executor's ledger is the truth about what was done, so
//! the worst that a lost line costs is an early retry. The file is written anew when it has grown well beyond
//! what is alive in it.

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod any_bytes;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use phoenix_core::lifecycle::Memory;
use phoenix_core::name::{AbsolutePath, IssuerName};
use phoenix_core::time::Timestamp;
use phoenix_core::waves::Runs;
use serde::{Deserialize, Serialize};
use tracing::warn;

/// Largest journal that is read at start. Ten thousand entries take a tenth of it.
const MAX_JOURNAL: u64 = 64 * 1024 * 1024;
/// Longest line; longer ones are damage.
const MAX_LINE: usize = 256 * 1024;
/// The file is written anew when it has this many lines more than four for each thing that is alive.
const SLACK: usize = 1000;

#[derive(Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
enum Line {
    /// Chosen once for each installation: the spread of renewal times.
    Seed { seed: u64 },
    /// What is remembered about an entry.
    Entry { key_path: AbsolutePath, memory: Box<Memory> },
    /// An issuer that has answered at least once.
    Answered { issuer: IssuerName },
    /// When a command line ran last.
    Ran { command: Vec<String>, at: Timestamp },
    /// The daemon was at work then.
    Alive { at: Timestamp },
}

/// The open journal.
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    lines: usize,
    /// Lines were written and may not be on the disk yet.
    unsynced: bool,
    /// The last line may be torn: nothing can be appended to it.
    torn: bool,
    seed: u64,
    /// The line of each entry: a fraction of what the memory in it takes, and needed again when all is written anew.
    entries: BTreeMap<AbsolutePath, Box<[u8]>>,
    answered: BTreeSet<IssuerName>,
    runs: Runs,
    alive: Option<Timestamp>,
    found: Found,
}

/// What was there when the journal was opened.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Found {
    /// Nothing.
    pub fresh: bool,
    /// When the daemon was at work last.
    pub ended: Option<Timestamp>,
}

impl Journal {
    /// Opens or makes the journal in `dir`. A damaged one is used as far as it can be read.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        let path = dir.join("journal.jsonl");
        let mut seed = None;
        let mut entries = BTreeMap::new();
        let mut answered = BTreeSet::new();
        let mut runs = Runs::default();
        let mut alive = None;
        let mut damaged = 0_u32;
        let lines = read_lines(&path)?;
        let whole = lines.len().saturating_sub(1);
        for (number, line) in lines.into_iter().enumerate() {
            match serde_json::from_slice(&line) {
                Ok(Line::Seed { seed: value }) => seed = Some(value),
                Ok(entry @ Line::Entry { .. }) => {
                    let line = serde_json::to_vec(&entry)?;
                    if let Line::Entry { key_path, .. } = entry {
                        entries.insert(key_path, line.into_boxed_slice());
                    }
                }
                Ok(Line::Answered { issuer }) => {
                    answered.insert(issuer);
                }
                Ok(Line::Ran { command, at }) => drop(runs.note(&command, at)),
                Ok(Line::Alive { at }) => alive = alive.max(Some(at)),
                // A power cut may end the file in the middle of a line; the first one was whole before it had its name.
                Err(_) => damaged += u32::from(number == 0 || number < whole || ends_whole(&path)),
            }
        }
        if damaged > 0 {
            warn!("{damaged} lines of {} cannot be read and are left out", path.display());
            std::fs::copy(&path, aside(dir))?;
        }
        let found = Found { fresh: seed.is_none(), ended: alive };
        let seed = seed.unwrap_or_else(fresh_seed);
        let file = File::open("/dev/null")?;
        let mut journal = Self {
            path,
            file,
            lines: 0,
            unsynced: false,
            torn: false,
            seed,
            entries,
            answered,
            runs,
            alive,
            found,
        };
        journal.rewrite()?;
        Ok(journal)
    }

    /// What was there when it was opened.
    pub(crate) fn found(&self) -> Found {
        self.found
    }

    /// Remembers that the daemon is at work, durably after the next [`Self::sync`].
    pub(crate) fn remember_alive(&mut self, at: Timestamp) -> io::Result<()> {
        self.alive = Some(at);
        self.append(&Line::Alive { at })
    }

    /// The seed of the renewal times' spread.
    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// What is remembered about the entry with this key path.
    pub(crate) fn recall(&self, key_path: &AbsolutePath) -> Memory {
        let line = self.entries.get(key_path).and_then(|line| serde_json::from_slice(line).ok());
        match line {
            Some(Line::Entry { memory, .. }) => *memory,
            _ => Memory::default(),
        }
    }

    /// The issuer has answered at least once, ever.
    pub(crate) fn has_answered(&self, issuer: &IssuerName) -> bool {
        self.answered.contains(issuer)
    }

    /// Remembers, durably after the next [`Self::sync`].
    pub(crate) fn remember(&mut self, key_path: &AbsolutePath, memory: &Memory) -> io::Result<()> {
        let line = Line::Entry { key_path: key_path.clone(), memory: Box::new(memory.clone()) };
        let line = serde_json::to_vec(&line)?;
        let appended = self.append_bytes(&line);
        self.entries.insert(key_path.clone(), line.into_boxed_slice());
        // Too long a journal is written anew with what it has just been told.
        if appended? { Ok(()) } else { self.rewrite() }
    }

    /// Remembers that an issuer exists, durably after the next [`Self::sync`].
    pub(crate) fn remember_answer(&mut self, issuer: &IssuerName) -> io::Result<()> {
        if self.answered.insert(issuer.clone()) {
            self.append(&Line::Answered { issuer: issuer.clone() })?;
        }
        Ok(())
    }

    /// When a command line ran last.
    pub(crate) fn last_run(&self, command: &[String]) -> Option<Timestamp> {
        self.runs.last(command)
    }

    /// Remembers that a command line ran, durably after the next [`Self::sync`].
    pub(crate) fn remember_run(&mut self, command: &[String], at: Timestamp) -> io::Result<()> {
        if self.runs.note(command, at) {
            self.append(&Line::Ran { command: command.to_vec(), at })?;
        }
        Ok(())
    }

    /// Forgets runs of command lines that nobody has any more.
    pub(crate) fn retain_runs(&mut self, kept: impl Fn(&[String]) -> bool) {
        self.runs.retain(kept);
    }

    /// The clock was set: nothing that is remembered lies in the future.
    pub(crate) fn rewind(&mut self, now: Timestamp) {
        self.runs.rewind(now);
    }

    fn append(&mut self, line: &Line) -> io::Result<()> {
        let line = serde_json::to_vec(line)?;
        if self.append_bytes(&line)? { Ok(()) } else { self.rewrite() }
    }

    /// Appends a line; false when the file is to be written anew instead.
    fn append_bytes(&mut self, line: &[u8]) -> io::Result<bool> {
        if self.torn || self.lines > SLACK + 4 * (self.entries.len() + self.answered.len() + self.runs.len())
        {
            return Ok(false);
        }
        self.torn = true;
        self.file.write_all(&[line, b"\n"].concat())?;
        self.torn = false;
        self.lines += 1;
        self.unsynced = true;
        Ok(true)
    }

    /// Makes everything that was remembered durable, in one go for however many entries.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        if self.torn {
            return self.rewrite();
        }
        if std::mem::take(&mut self.unsynced) {
            self.file.sync_data()?;
        }
        Ok(())
    }

    /// Writes everything that is alive to a new file and puts it in place of the old one.
    fn rewrite(&mut self) -> io::Result<()> {
        let dir = self.path.parent().unwrap_or(Path::new("/"));
        let mut fresh = tempfile::NamedTempFile::new_in(dir)?;
        let mut others = vec![Line::Seed { seed: self.seed }];
        others.extend(self.answered.iter().map(|issuer| Line::Answered { issuer: issuer.clone() }));
        others.extend(self.runs.iter().map(|(command, at)| Line::Ran { command: command.to_vec(), at }));
        others.extend(self.alive.map(|at| Line::Alive { at }));
        let mut out = BufWriter::new(&mut fresh);
        for line in &others {
            serde_json::to_writer(&mut out, line)?;
            out.write_all(b"\n")?;
        }
        for line in self.entries.values() {
            out.write_all(line)?;
            out.write_all(b"\n")?;
        }
        out.flush()?;
        drop(out);
        fresh.as_file().sync_all()?;
        fresh.persist(&self.path)?;
        File::open(dir)?.sync_all()?;
        self.file = OpenOptions::new().append(true).mode(0o600).open(&self.path)?;
        self.lines = others.len() + self.entries.len();
        self.unsynced = false;
        self.torn = false;
        Ok(())
    }
}

/// Where a journal with lines that could not be read is kept for whoever looks into it.
pub(crate) fn aside(dir: &Path) -> PathBuf {
    dir.join("damaged-journal.jsonl")
}

/// The file does not end in the middle of a line.
fn ends_whole(path: &Path) -> bool {
    let last = File::open(path).and_then(|mut file| {
        let mut byte = [0];
        std::io::Seek::seek(&mut file, io::SeekFrom::End(-1))?;
        file.read_exact(&mut byte).map(|()| byte)
    });
    last.is_ok_and(|byte| byte == *b"\n")
}

fn read_lines(path: &Path) -> io::Result<Vec<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut lines = Vec::new();
    for line in BufReader::new(file.take(MAX_JOURNAL)).split(b'\n') {
        let line = line?;
        if line.len() <= MAX_LINE && !line.is_empty() {
            lines.push(line);
        }
    }
    Ok(lines)
}

/// Some number that differs from installation to installation. Nothing secret hangs on it.
fn fresh_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}

#[cfg(test)]
mod tests {
    use phoenix_core::lifecycle::Stage;
    use phoenix_core::reason::{Reason, Trouble};

    use super::*;

    fn failed() -> Memory {
        let mut memory = Memory::default();
        let trouble = Trouble::new(Reason::CommandFailed, "exit code 3");
        memory.fail(Stage::Activate, trouble, None, Timestamp::from_unix(1000));
        memory
    }

    fn key(number: u32) -> AbsolutePath {
        format!("/mnt/{number}/key.pem").parse().unwrap()
    }

    #[test]
    fn what_was_remembered_is_recalled_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path()).unwrap();
        let issuer: IssuerName = "phoenix".parse().unwrap();
        journal.remember(&key(1), &Memory::default()).unwrap();
        journal.remember(&key(1), &failed()).unwrap();
        journal.remember_answer(&issuer).unwrap();
        let seed = journal.seed();
        drop(journal);
        let journal = Journal::open(dir.path()).unwrap();
        assert_eq!(journal.recall(&key(1)), failed());
        assert_eq!(journal.recall(&key(2)), Memory::default());
        assert!(journal.has_answered(&issuer));
        assert_eq!(journal.seed(), seed);
    }

    #[test]
    fn damage_costs_no_more_than_the_damaged_lines() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path()).unwrap();
        journal.remember(&key(1), &failed()).unwrap();
        journal.remember(&key(2), &failed()).unwrap();
        let path = dir.path().join("journal.jsonl");
        let text = std::fs::read(&path).unwrap();
        let whole: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
        for cut in 0..text.len() {
            std::fs::write(&path, &text[..cut]).unwrap();
            let journal = Journal::open(dir.path()).unwrap();
            let kept: Vec<&[u8]> = text[..cut].split(|byte| *byte == b'\n').collect();
            for (line, number) in [(1, 1), (2, 2)] {
                let intact = kept.get(line) == whole.get(line);
                assert_eq!(journal.recall(&key(number)) == failed(), intact, "cut at {cut}");
            }
        }
        std::fs::write(&path, b"\xff\xfe{}\n[]\n").unwrap();
        assert_eq!(Journal::open(dir.path()).unwrap().recall(&key(1)), Memory::default());
    }

    #[test]
    fn the_file_does_not_grow_without_bound() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path()).unwrap();
        for _ in 0..3 * SLACK {
            journal.remember(&key(1), &failed()).unwrap();
        }
        let text = std::fs::read_to_string(dir.path().join("journal.jsonl")).unwrap();
        assert!(text.lines().count() <= SLACK + 10, "{}", text.lines().count());
        assert_eq!(journal.recall(&key(1)), failed());
    }
}
