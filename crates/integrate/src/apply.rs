//! Writing a plan: backups first, then each file replaced as a whole.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::record::{Record, digest};
use crate::{Change, Plan, RecordError, Tree};

/// Appended to the name of a file's backup. With dots in its name neither cron, in `etc/cron.d`, nor run-parts(8)
/// takes it for theirs.
pub(crate) const BACKUP: &str = ".before-phoenix-certd";
/// Every file in here is a user's table for cron(8), whatever its name: backups lie in the directory above.
const USERS_TABLES: &str = "var/spool/cron/crontabs";
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
    /// What was written cannot be recorded, without which there would be no way back.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// Writes `plan` to `tree`. Every file that is replaced is kept beside it first, with its owner and mode; a backup
/// of an earlier run is not overwritten, since it holds what was there before any of ours. What is written is
/// recorded for [`crate::revert`].
///
/// # Errors
/// Refusals in the plan, files that changed since, or that cannot be written. Files written before the error stay.
pub fn apply(tree: &Tree, plan: &Plan) -> Result<Applied, ApplyError> {
    if !plan.refusals.is_empty() {
        return Err(ApplyError::Refused(plan.refusals.len()));
    }
    let mut record = Record::read(tree)?;
    let mut applied = Applied::default();
    for change in &plan.changes {
        if tree.read(&change.path)? != change.before {
            return Err(ApplyError::Changed(change.path.clone()));
        }
        let unwritable = |source| ApplyError::Unwritable { path: change.path.clone(), source };
        applied.backups.extend(back_up(tree, change).map_err(unwritable)?);
        let before = tree.read(&backup_of(&change.path))?.map(|text| digest(&text));
        record.add(tree, &change.path, before, digest(&change.after));
        // First the record: what it has and what is not written yet is still as it was, which is seen by its digest.
        record.write(tree)?;
        replace(tree.root(), change).map_err(unwritable)?;
        applied.written.push(change.path.clone());
    }
    Ok(applied)
}

/// Where the backup of a file lies.
pub(crate) fn backup_of(path: &Path) -> PathBuf {
    let above = path.parent().filter(|directory| directory.ends_with(USERS_TABLES)).and_then(Path::parent);
    let beside =
        above.zip(path.file_name()).map_or_else(|| path.to_owned(), |(above, name)| above.join(name));
    let mut backup = beside.into_os_string();
    backup.push(BACKUP);
    PathBuf::from(backup)
}

/// Returns the backup's path, if one was made.
fn back_up(tree: &Tree, change: &Change) -> io::Result<Option<PathBuf>> {
    let Some(before) = &change.before else { return Ok(None) };
    let backup = backup_of(&change.path);
    let target = tree.root().join(&backup);
    if fs::symlink_metadata(&target).is_ok() {
        return Ok(None);
    }
    let facts = fs::symlink_metadata(tree.root().join(&change.path))?;
    write(&target, before, Some(&facts))?;
    Ok(Some(backup))
}

fn replace(root: &Path, change: &Change) -> io::Result<()> {
    let target = root.join(&change.path);
    if change.before.is_some() {
        return write(&target, &change.after, Some(&fs::symlink_metadata(&target)?));
    }
    fs::create_dir_all(target.parent().unwrap_or(root))?;
    write(&target, &change.after, None)
}

/// A temporary file in the same directory, renamed when it is complete: readers see the old text or the new one.
pub(crate) fn write(target: &Path, text: &str, like: Option<&fs::Metadata>) -> io::Result<()> {
    let directory = target.parent().unwrap_or(Path::new("."));
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
