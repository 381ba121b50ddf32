//! Writing a plan: backups first, then each file replaced as a whole.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::{Change, Plan, Tree};

/// Appended to the name of a file's backup. With dots in its name neither cron nor run-parts(8) takes it for theirs.
pub(crate) const BACKUP: &str = ".before-phoenix-certd";
/// Mode of a new file.
const NEW_MODE: u32 = 0o644;

/// What was written.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Files, relative to the tree.
    pub written: Vec<PathBuf>,
    /// Backups of what was there, relative to the tree.
    pub backups: Vec<PathBuf>,
}

/// Why a plan was not written, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Something is not understood.
    #[error("nothing is written while something is not understood: {0} place(s), see above")]
    Refused(usize),
    /// A file changed between plan and deed.
    #[error("{0} changed meanwhile; what was written before it stays, run the command again")]
    Changed(PathBuf),
    /// A file cannot be written.
    #[error("cannot write {path}: {source}")]
    Unwritable {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be read again.
    #[error(transparent)]
    Tree(#[from] crate::TreeError),
}

/// Writes `plan` to `tree`. Every file that is replaced is kept beside it first, with its owner and mode; a backup
/// of an earlier run is not overwritten, since it holds what was there before any of ours.
///
/// # Errors
/// Refusals in the plan, files that changed since, or that cannot be written. Files written before the error stay.
pub fn apply(tree: &Tree, plan: &Plan) -> Result<Applied, ApplyError> {
    if !plan.refusals.is_empty() {
        return Err(ApplyError::Refused(plan.refusals.len()));
    }
    let mut applied = Applied::default();
    for change in &plan.changes {
        if tree.read(&change.path)? != change.before {
            return Err(ApplyError::Changed(change.path.clone()));
        }
        let unwritable = |source| ApplyError::Unwritable { path: change.path.clone(), source };
        if let Some(backup) = replace(tree.root(), change).map_err(unwritable)? {
            applied.backups.push(backup);
        }
        applied.written.push(change.path.clone());
    }
    Ok(applied)
}

/// Returns the backup's path, if one was made.
fn replace(root: &Path, change: &Change) -> io::Result<Option<PathBuf>> {
    let target = root.join(&change.path);
    let directory = target.parent().unwrap_or(root);
    fs::create_dir_all(directory)?;
    let Some(before) = &change.before else {
        write(directory, &target, &change.after, None)?;
        return Ok(None);
    };
    let facts = fs::symlink_metadata(&target)?;
    let mut backup = change.path.clone().into_os_string();
    backup.push(BACKUP);
    let backup = PathBuf::from(backup);
    let made = if fs::symlink_metadata(root.join(&backup)).is_ok() {
        None
    } else {
        write(directory, &root.join(&backup), before, Some(&facts))?;
        Some(backup)
    };
    write(directory, &target, &change.after, Some(&facts))?;
    Ok(made)
}

/// A temporary file in the same directory, renamed when it is complete: readers see the old text or the new one.
fn write(directory: &Path, target: &Path, text: &str, like: Option<&fs::Metadata>) -> io::Result<()> {
    let mut file = NamedTempFile::new_in(directory)?;
    file.write_all(text.as_bytes())?;
    if let Some(facts) = like {
        std::os::unix::fs::fchown(file.as_file(), Some(facts.uid()), Some(facts.gid()))?;
    }
    let mode = like.map_or(NEW_MODE, |facts| facts.mode() & 0o7777);
    file.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    file.persist(target)?;
    fs::File::open(directory)?.sync_all()
}
