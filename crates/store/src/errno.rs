//! System errors as sentences for the operator. The one place that maps an error number to a reason.

use std::path::{Path, PathBuf};

use phoenix_core::reason::{Reason, Trouble};
use rustix::io::Errno;

/// A system call that failed: what was attempted, on which path, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot {} `{}`: {errno}", attempt.words(), path.display())]
pub(crate) struct Failure {
    pub(crate) attempt: Attempt,
    pub(crate) path: PathBuf,
    pub(crate) errno: Errno,
    /// The directory is on NFS, where a refusal usually comes from the server.
    pub(crate) nfs: bool,
}

/// What was attempted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// Open or look at a directory on the way.
    Enter,
    /// Look at or read a file.
    Read,
    /// Create a file or directory.
    Create,
    /// Change owner.
    Chown,
    /// Change mode.
    Chmod,
    /// Write content.
    Write,
    /// Make durable.
    Sync,
    /// Rename into place.
    Rename,
    /// Remove.
    Remove,
}

impl Attempt {
    const fn words(self) -> &'static str {
        match self {
            Self::Enter => "enter",
            Self::Read => "read",
            Self::Create => "create",
            Self::Chown => "set the owner of",
            Self::Chmod => "set the mode of",
            Self::Write => "write",
            Self::Sync => "make durable",
            Self::Rename => "rename into place",
            Self::Remove => "remove",
        }
    }
}

impl Failure {
    pub(crate) fn new(attempt: Attempt, path: &Path, errno: Errno) -> Self {
        Self { attempt, path: path.to_path_buf(), errno, nfs: false }
    }

    fn judge(&self, root: bool) -> (Reason, &'static str, &'static str) {
        match self.errno {
            Errno::NOSPC => (Reason::DiskFull, "no space is left on the file system", "free some space"),
            Errno::DQUOT => {
                (Reason::DiskFull, "the disk quota is used up", "free some space or raise the quota")
            }
            Errno::ROFS => (
                Reason::ReadOnly,
                "the file system is read-only",
                "mount it read-write (after I/O errors the kernel makes it read-only: see `dmesg`)",
            ),
            Errno::PERM | Errno::ACCESS => self.judge_refusal(root),
            Errno::LOOP => (
                Reason::Symlink,
                "it is a symlink",
                "put a real file or directory there, or write the path that the link leads to into the manifest",
            ),
            Errno::NOTDIR => (
                Reason::NotAFile,
                "a part of the path is not a directory",
                "move it out of the way or correct the path in the manifest",
            ),
            Errno::ISDIR => (
                Reason::NotAFile,
                "it is a directory",
                "move it out of the way or correct the path in the manifest",
            ),
            Errno::NAMETOOLONG => {
                (Reason::NotAFile, "the name is too long", "shorten the path in the manifest")
            }
            Errno::INVAL if self.attempt == Attempt::Chown => (
                Reason::MissingOwner,
                "the owner does not exist where this program runs",
                "set `owner` to an id that is mapped here",
            ),
            other => judge_rest(other),
        }
    }

    fn judge_refusal(&self, root: bool) -> (Reason, &'static str, &'static str) {
        match (root, self.attempt) {
            (true, Attempt::Chown) => (
                Reason::RootSquash,
                "the server or file system lets root change no owner (root squash)",
                "export the directory with `no_root_squash`, or give this program CAP_CHOWN",
            ),
            (true, _) if self.nfs => (
                Reason::RootSquash,
                "the NFS server refuses root (root squash)",
                "export the directory with `no_root_squash`",
            ),
            (false, Attempt::Chown) => (
                Reason::PermissionDenied,
                "only root may give a file to another user",
                "set `owner` to the user this program runs as, or run it as root",
            ),
            (false, _) => (
                Reason::PermissionDenied,
                "permission denied",
                "give the user this program runs as access to it, or run it as root",
            ),
            (true, _) => (
                Reason::PermissionDenied,
                "permission denied although this program is root",
                "look for an immutable attribute (`lsattr -d`), and at the unit's ReadWritePaths and capabilities",
            ),
        }
    }
}

fn judge_rest(errno: Errno) -> (Reason, &'static str, &'static str) {
    match errno {
        Errno::IO => (Reason::IoError, "I/O error", "see `dmesg` and look after the disk or the file server"),
        Errno::STALE => (Reason::IoError, "stale file handle", "mount the file system again"),
        Errno::TIMEDOUT => {
            (Reason::StorageHangs, "the file server does not answer", "look after the file server")
        }
        Errno::NOENT => {
            (Reason::IoError, "it disappeared meanwhile", "see which other program works in this directory")
        }
        Errno::EXIST | Errno::NOTEMPTY => {
            (Reason::IoError, "something is already there", "see which other program works in this directory")
        }
        Errno::BUSY => (
            Reason::IoError,
            "it is in use",
            "a file that is itself a mount point cannot be replaced: mount its directory instead",
        ),
        Errno::XDEV => (Reason::IoError, "the path leaves its directory", "correct the path in the manifest"),
        Errno::NOSYS => (Reason::Internal, "the kernel is too old", "use Linux 5.8 or newer"),
        Errno::MFILE | Errno::NFILE => (Reason::Internal, "too many open files", "raise LimitNOFILE"),
        Errno::NOMEM => (Reason::Internal, "out of memory", "raise the memory limit"),
        _ => (Reason::IoError, "", "see `dmesg` and look after the file system"),
    }
}

/// The sentence for a failure of a process that is root, or is not.
fn describe(failure: &Failure, root: bool) -> Trouble {
    let (reason, problem, advice) = failure.judge(root);
    let problem = if problem.is_empty() { failure.errno.to_string() } else { problem.to_owned() };
    let (attempt, path) = (failure.attempt.words(), failure.path.display());
    Trouble::new(reason, format!("cannot {attempt} `{path}`: {problem}; {advice}"))
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        describe(&failure, rustix::process::geteuid().is_root())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(attempt: Attempt, errno: Errno, nfs: bool) -> Failure {
        Failure { attempt, path: "/r/a".into(), errno, nfs }
    }

    #[test]
    fn every_error_number_has_its_reason() {
        let table = [
            (Attempt::Write, Errno::NOSPC, true, Reason::DiskFull),
            (Attempt::Write, Errno::DQUOT, true, Reason::DiskFull),
            (Attempt::Create, Errno::ROFS, true, Reason::ReadOnly),
            (Attempt::Chown, Errno::PERM, true, Reason::RootSquash),
            (Attempt::Chown, Errno::PERM, false, Reason::PermissionDenied),
            (Attempt::Chown, Errno::INVAL, true, Reason::MissingOwner),
            (Attempt::Create, Errno::ACCESS, true, Reason::PermissionDenied),
            (Attempt::Create, Errno::ACCESS, false, Reason::PermissionDenied),
            (Attempt::Enter, Errno::LOOP, true, Reason::Symlink),
            (Attempt::Enter, Errno::NOTDIR, true, Reason::NotAFile),
            (Attempt::Rename, Errno::ISDIR, true, Reason::NotAFile),
            (Attempt::Create, Errno::NAMETOOLONG, true, Reason::NotAFile),
            (Attempt::Sync, Errno::IO, true, Reason::IoError),
            (Attempt::Enter, Errno::STALE, true, Reason::IoError),
            (Attempt::Enter, Errno::TIMEDOUT, true, Reason::StorageHangs),
            (Attempt::Enter, Errno::NOSYS, true, Reason::Internal),
            (Attempt::Enter, Errno::MFILE, true, Reason::Internal),
            (Attempt::Write, Errno::FBIG, true, Reason::IoError),
        ];
        for (attempt, errno, root, reason) in table {
            let trouble = describe(&failure(attempt, errno, false), root);
            assert_eq!(trouble.reason, reason, "{attempt:?} {errno:?}");
            assert!(trouble.message.contains("`/r/a`"), "{}", trouble.message);
            assert!(trouble.message.contains("; "), "no advice: {}", trouble.message);
        }
    }

    #[test]
    fn a_refusal_to_root_on_nfs_names_the_export_option() {
        for attempt in [Attempt::Create, Attempt::Chown, Attempt::Enter] {
            let trouble = describe(&failure(attempt, Errno::ACCESS, true), true);
            assert_eq!(trouble.reason, Reason::RootSquash);
            assert!(trouble.message.contains("no_root_squash"));
        }
    }

    #[test]
    fn an_unknown_error_keeps_the_systems_words() {
        let trouble = describe(&failure(Attempt::Write, Errno::FBIG, false), true);
        assert!(trouble.message.contains("File too large"), "{}", trouble.message);
    }
}
