//! What was written to a tree, so that it can be taken back: a file of the tree itself, as git or a backup moves it.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest as sha256};
use serde::{Deserialize, Serialize};

use crate::apply::{BACKUP, write};
use crate::{Tree, TreeError};

/// Below the installation. Its end keeps it out of every search of the tree.
const NAME: &str = "etc/integrate";

/// Why the record of a tree is of no use.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file cannot be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The file cannot be written.
    #[error("cannot write {path}: {source}")]
    Unwritable {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not what was written.
    #[error(
        "{path} is no record of what `integrate --apply` wrote: {why}. Put the backups back by hand \
         (find DIR -name '*{BACKUP}')"
    )]
    Spoiled {
        /// Which one.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The same installation, by way of another directory.
    #[error(
        "{path} was written with another --tree, in which the installation is `{installation}`: name that directory"
    )]
    OtherTree {
        /// Which one.
        path: PathBuf,
        /// The installation below the tree of then; empty when it was the tree.
        installation: PathBuf,
    },
}

/// Files and directories, relative to the tree.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    /// The installation below the tree.
    installation: PathBuf,
    /// In the order in which they were first written.
    pub(crate) files: Vec<Written>,
    /// Made for files that were not there, each after the one above it.
    pub(crate) directories: Vec<PathBuf>,
}

/// A file that was written.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Written {
    pub(crate) path: PathBuf,
    /// SHA-256 of what was there before any of ours, which the backup holds; none when there was no file.
    pub(crate) before: Option<String>,
    /// SHA-256 of what was written last.
    pub(crate) after: String,
}

impl Record {
    /// The record of a tree; an empty one when there is none.
    pub(crate) fn read(tree: &Tree) -> Result<Self, RecordError> {
        let path = path(tree);
        let Some(text) = tree.read(&path)? else {
            return Ok(Self { installation: tree.base().to_owned(), ..Self::default() });
        };
        let spoiled = |why| RecordError::Spoiled { path: path.clone(), why };
        let record: Self = serde_json::from_str(&text).map_err(|error| spoiled(error.to_string()))?;
        let paths = record.files.iter().map(|file| &file.path).chain(&record.directories);
        if let Some(outside) = paths.into_iter().find(|path| !is_below(path)) {
            return Err(spoiled(format!("`{}` is not below the tree", outside.display())));
        }
        if record.installation != tree.base() {
            return Err(RecordError::OtherTree { path, installation: record.installation });
        }
        Ok(record)
    }

    /// Writes the record; one with nothing in it is removed.
    pub(crate) fn write(&self, tree: &Tree) -> Result<(), RecordError> {
        let path = path(tree);
        let target = tree.root().join(&path);
        let done = if self.files.is_empty() {
            fs::remove_file(&target).or_else(|error| match error.kind() {
                io::ErrorKind::NotFound => Ok(()),
                _ => Err(error),
            })
        } else {
            serde_json::to_string_pretty(self)
                .map_err(io::Error::from)
                .and_then(|text| write(&target, &(text + "\n"), None))
        };
        done.map_err(|source| RecordError::Unwritable { path, source })
    }

    /// Adds a file that is about to be written, and the directories that will be made for it.
    pub(crate) fn add(&mut self, tree: &Tree, path: &Path, before: Option<String>, after: String) {
        let missing: Vec<_> = path
            .ancestors()
            .skip(1)
            .take_while(|directory| fs::symlink_metadata(tree.root().join(directory)).is_err())
            .filter(|directory| !self.directories.iter().any(|known| known == directory))
            .map(Path::to_owned)
            .collect();
        self.directories.extend(missing.into_iter().rev());
        let written = Written { path: path.to_owned(), before, after };
        match self.files.iter_mut().find(|known| known.path == path) {
            Some(known) => *known = written,
            None => self.files.push(written),
        }
    }
}

fn path(tree: &Tree) -> PathBuf {
    tree.base().join(format!("{NAME}{BACKUP}"))
}

/// A path that leads nowhere but into the tree, since root follows it.
fn is_below(path: &Path) -> bool {
    path.file_name().is_some() && path.components().all(|part| matches!(part, Component::Normal(_)))
}

/// SHA-256 in hexadecimal.
pub(crate) fn digest(text: &str) -> String {
    let digits = |byte: &u8| [byte >> 4, byte & 15].map(|half| char::from_digit(half.into(), 16));
    sha256(&SHA256, text.as_bytes()).as_ref().iter().flat_map(digits).flatten().collect()
}
