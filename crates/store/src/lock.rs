//! One executor per state directory.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{self, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::disk::{Attributes, Dir};
use crate::errno::{Attempt, Failure};

/// Why the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It cannot be made or opened.
    #[error("cannot use the state directory `{}`: {source}; see that its parent exists and can be written", path.display())]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// Another user owns it.
    #[error(
        "the state directory `{}` belongs to user {owner}: private keys are kept in it, so it must belong to the \
         user this program runs as; run `chown` or name another directory as `executor.state_dir`",
        path.display()
    )]
    Owner {
        /// The directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// A file in it cannot be written.
    #[error("cannot prepare the state directory: {0}")]
    Layout(#[from] phoenix_core::reason::Trouble),
}

/// The state directory, locked for as long as this value lives.
#[derive(Debug)]
pub struct StateLock {
    dir: Dir,
    /// Closing it releases the lock.
    file: OwnedFd,
}

impl StateLock {
    /// Makes the state directory (0700) if it is missing and takes its lock. While another executor holds it,
    /// calls `on_wait` once and waits.
    pub fn acquire(path: &Path, on_wait: impl FnOnce()) -> Result<Self, OpenError> {
        let unusable = |errno: Errno| OpenError::Unusable { path: path.to_path_buf(), source: errno.into() };
        make_private(path).map_err(unusable)?;
        let real = std::fs::canonicalize(path)
            .map_err(|source| OpenError::Unusable { path: path.to_path_buf(), source })?;
        let dir = Dir::open(&real).map_err(|failure| unusable(failure.errno))?;
        check_private(&dir, path)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = fs::open(real.join("lock"), flags, Mode::RUSR | Mode::WUSR).map_err(unusable)?;
        wait_for(&file, on_wait).map_err(unusable)?;
        Ok(Self { dir, file })
    }

    /// The directory, and the descriptor to keep open as long as it is used.
    pub(crate) fn into_parts(self) -> (Dir, OwnedFd) {
        (self.dir, self.file)
    }
}

fn make_private(path: &Path) -> Result<(), Errno> {
    match fs::mkdir(path, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno),
    }
}

fn check_private(dir: &Dir, path: &Path) -> Result<(), OpenError> {
    let unusable =
        |failure: Failure| OpenError::Unusable { path: path.to_path_buf(), source: failure.errno.into() };
    let Attributes { kind, uid, mode, .. } = dir.attributes().map_err(unusable)?;
    if uid != rustix::process::geteuid().as_raw() {
        return Err(OpenError::Owner { path: path.to_path_buf(), owner: uid });
    }
    debug_assert_eq!(kind, FileType::Directory);
    if mode & 0o077 != 0 {
        fs::chmod(dir.path(), Mode::RWXU)
            .map_err(|errno| unusable(Failure::new(Attempt::Chmod, dir.path(), errno)))?;
    }
    Ok(())
}

fn wait_for(file: &OwnedFd, on_wait: impl FnOnce()) -> Result<(), Errno> {
    match fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => on_wait(),
        other => return other,
    }
    loop {
        match fs::flock(file, FlockOperation::LockExclusive) {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_newcomer_waits_until_the_holder_ends() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("state");
        let first = StateLock::acquire(&path, || panic!("nobody holds it")).unwrap();
        let (waiting, is_waiting) = channel();
        let newcomer = std::thread::spawn({
            let path = path.clone();
            move || StateLock::acquire(&path, || waiting.send(()).unwrap()).is_ok()
        });
        is_waiting.recv().unwrap();
        assert!(!newcomer.is_finished());
        drop(first);
        assert!(newcomer.join().unwrap());
    }

    #[test]
    fn the_directory_is_made_private() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("state");
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        let _lock = StateLock::acquire(&path, || ()).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_directory_of_somebody_else_or_none_at_all_is_refused() {
        let scratch = tempfile::tempdir().unwrap();
        std::os::unix::fs::chown(scratch.path(), Some(12_345), None).unwrap();
        let error = StateLock::acquire(scratch.path(), || ()).unwrap_err();
        assert!(matches!(error, OpenError::Owner { owner: 12_345, .. }), "{error}");
        let error = StateLock::acquire(&scratch.path().join("a/b"), || ()).unwrap_err();
        assert!(matches!(error, OpenError::Unusable { .. }), "{error}");
    }
}
