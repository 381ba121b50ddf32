//! The way back: every file as it was before the first plan was written.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::apply::backup_of;
use crate::record::{Record, RecordError, Written, digest};
use crate::{Remark, Tree};

/// What was taken back.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reverted {
    /// Files that are as they were, relative to the tree.
    pub restored: Vec<PathBuf>,
    /// Files that were not there before, and are gone again.
    pub removed: Vec<PathBuf>,
    /// Files that were left as they are, and why. Their backups stay, and a later run looks at them again.
    pub left: Vec<Remark>,
}

/// What becomes of a file.
enum Step {
    Restore,
    Remove,
    /// It is as it was.
    Nothing,
}

/// Takes back what [`crate::apply`] wrote to `tree`: backups return to their places, files that were not there are
/// removed, and so are the directories that were made for them. What somebody changed since is left as it is, and
/// told. A second run finds nothing to do.
///
/// # Errors
/// The record of what was written is not to be trusted, or cannot be kept.
pub fn revert(tree: &Tree) -> Result<Reverted, RecordError> {
    let mut record = Record::read(tree)?;
    let mut reverted = Reverted::default();
    for file in std::mem::take(&mut record.files) {
        let path = file.path.clone();
        match take_back(tree, &file) {
            Ok(Step::Restore) => reverted.restored.push(path),
            Ok(Step::Remove) => reverted.removed.push(path),
            Ok(Step::Nothing) => {}
            Err(message) => {
                reverted.left.push(Remark { path, message });
                record.files.push(file);
            }
        }
    }
    for directory in record.directories.iter().rev() {
        // One that holds something else stays.
        let _ = fs::remove_dir(tree.root().join(directory));
    }
    record.write(tree)?;
    Ok(reverted)
}

/// Returns what was done, or why the file was left as it is.
fn take_back(tree: &Tree, file: &Written) -> Result<Step, String> {
    let step = step(tree, file)?;
    carry_out(tree.root(), &file.path, &step).map_err(|error| format!("cannot be put back: {error}"))?;
    Ok(step)
}

fn step(tree: &Tree, file: &Written) -> Result<Step, String> {
    let read = |path: &Path| match tree.read(path) {
        Ok(text) => Ok(text.map(|text| digest(&text))),
        Err(error) => Err(error.why()),
    };
    let now = read(&file.path)?;
    if now == file.before {
        return Ok(Step::Nothing);
    }
    let written = now.as_ref() == Some(&file.after);
    let why = match (&file.before, now) {
        (None, _) if written => return Ok(Step::Remove),
        (None, _) => "was changed since it was written: remove it if nobody needs it",
        (Some(_), None) => "is not there any more; its backup is kept",
        (Some(_), Some(_)) if !written => {
            "was changed since it was written, which would be lost: compare it with its backup, and put that in its \
             place"
        }
        (before, _) if read(&backup_of(&file.path))? == *before => return Ok(Step::Restore),
        _ => "has no backup with what was there before",
    };
    Err(why.to_owned())
}

fn carry_out(root: &Path, path: &Path, step: &Step) -> io::Result<()> {
    let (target, backup) = (root.join(path), root.join(backup_of(path)));
    match step {
        Step::Restore => fs::rename(backup, &target)?,
        Step::Remove => fs::remove_file(&target)?,
        Step::Nothing if fs::symlink_metadata(&backup).is_ok() => fs::remove_file(backup)?,
        Step::Nothing => return Ok(()),
    }
    target.parent().map_or(Ok(()), |directory| fs::File::open(directory)?.sync_all())
}
