//! Root and password files: often in a guest's directory, which others can write.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use phoenix_core::reason::Reason;
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};
use zeroize::Zeroizing;

use crate::authority::{Refusal, Stamp, TrustedFile};

/// Why a file of an issuer cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GuardedError {
    /// There is no such file, or not yet.
    #[error("does not exist")]
    Missing,
    /// The path or part of it is a symbolic link.
    #[error(
        "is or lies behind a symbolic link, which whoever can write there could point anywhere: name the file \
         itself"
    )]
    Link,
    /// Not a regular file.
    #[error("is not a regular file")]
    NotAFile,
    /// Larger than is ever read.
    #[error("is larger than {0} bytes")]
    TooLarge(u64),
    /// The file system does not answer.
    #[error("lies on storage that does not answer")]
    Hangs,
    /// Another error.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// A file that was opened without following a symbolic link anywhere on its path.
pub(crate) struct GuardedFile {
    file: File,
    stamp: Stamp,
}

impl GuardedFile {
    pub(crate) fn open(path: &Path) -> Result<Self, GuardedError> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let fd =
            rustix::fs::openat2(CWD, path, flags, Mode::empty(), resolve).map_err(|error| match error {
                rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR => GuardedError::Missing,
                rustix::io::Errno::LOOP => GuardedError::Link,
                other => GuardedError::Io(other.into()),
            })?;
        let facts = rustix::fs::fstat(&fd).map_err(io::Error::from)?;
        if FileType::from_raw_mode(facts.st_mode) != FileType::RegularFile {
            return Err(GuardedError::NotAFile);
        }
        Ok(Self { file: File::from(fd), stamp: Stamp::from(&facts) })
    }

    /// Version of the file.
    pub(crate) fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    /// The content, wiped from memory when dropped.
    pub(crate) fn read(&self, limit: u64) -> Result<Zeroizing<Vec<u8>>, GuardedError> {
        // Reserved at once: growing would leave copies of a password in freed memory.
        let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(limit).unwrap_or(0) + 2));
        (&self.file).take(limit + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            return Err(GuardedError::TooLarge(limit));
        }
        Ok(bytes)
    }
}

impl GuardedError {
    /// How a failure to read a file that an issuer needs is retried.
    pub(super) fn reason(&self) -> Reason {
        match self {
            Self::Hangs => Reason::StorageHangs,
            _ => Reason::IssuerNotReady,
        }
    }
}

/// Why others can change the file at `path`, if they can.
pub(crate) fn writable_by_others(path: &Path) -> Option<String> {
    match TrustedFile::open(path) {
        Err(error @ Refusal::Untrusted { .. }) => Some(error.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn links_special_files_and_oversize_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("root.crt");
        assert!(matches!(GuardedFile::open(&file), Err(GuardedError::Missing)));
        fs::write(&file, "12345").unwrap();
        assert_eq!(&**GuardedFile::open(&file).unwrap().read(5).unwrap(), b"12345");
        assert!(matches!(GuardedFile::open(&file).unwrap().read(4), Err(GuardedError::TooLarge(4))));
        let link = dir.path().join("link");
        symlink(&file, &link).unwrap();
        assert!(matches!(GuardedFile::open(&link), Err(GuardedError::Link)));
        fs::remove_file(&link).unwrap();
        symlink(dir.path(), &link).unwrap();
        assert!(matches!(GuardedFile::open(&link.join("root.crt")), Err(GuardedError::Link)));
        assert!(matches!(GuardedFile::open(dir.path()), Err(GuardedError::NotAFile)));
        let fifo = dir.path().join("fifo");
        rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::from(0o600), 0).unwrap();
        assert!(matches!(GuardedFile::open(&fifo), Err(GuardedError::NotAFile)));
    }

    #[test]
    fn a_writable_directory_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("root.crt");
        fs::write(&file, "x").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(writable_by_others(&file), None);
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o770)).unwrap();
        let why = writable_by_others(&file).unwrap();
        assert!(why.contains(&dir.path().display().to_string()), "{why}");
    }
}
