//! Reading of files that decide what runs as root.
//!
//! A path is walked component by component from `/`, each opened relative to the one before and judged by its
//! descriptor, so that nothing can be exchanged between check and use. Symbolic links are followed (a
//! configuration directory may be one), but only such as root or the executor's own user made, in directories
//! that nobody else can write.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use phoenix_core::time::Timestamp;
use rustix::fs::{FileType, Mode, OFlags, Stat};

/// Largest configuration or manifest that is read.
pub(crate) const MAX_SIZE: u64 = 16 * 1024 * 1024;
/// Longest chain of symbolic links that is followed.
const MAX_LINKS: usize = 16;
/// Write permission for the group or for everybody. With an ACL the group bits are its mask, so that a writer
/// named by an ACL shows here too.
const WRITABLE_BY_OTHERS: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// What distinguishes one version of a file from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    size: i64,
    modified: (i64, u64),
    changed: (i64, u64),
}

impl From<&Stat> for Stamp {
    fn from(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: stat.st_size,
            modified: (stat.st_mtime, stat.st_mtime_nsec),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        }
    }
}

impl Stamp {
    /// The file changed less than `span` before `now`, or later: it may change again within the resolution of its
    /// time stamps, so that this version cannot be told from the next.
    pub(crate) fn changed_within(&self, span: Duration, now: Timestamp) -> bool {
        now.minus(span).unix() <= self.changed.0
    }

    #[cfg(test)]
    pub(crate) fn sample(inode: u64) -> Self {
        Self { device: 1, inode, size: 1, modified: (0, 0), changed: (0, 0) }
    }
}

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// There is no such file.
    #[error("`{0}` does not exist")]
    Missing(PathBuf),
    /// Somebody besides root can change the file or what its path leads to.
    #[error("`{path}` is not trusted: {why}")]
    Untrusted {
        /// The component that is not protected.
        path: PathBuf,
        /// What is wrong and how to mend it.
        why: String,
    },
    /// Not a regular file, too large, or a loop of links.
    #[error("`{path}` cannot be used: {why}")]
    Unusable {
        /// The component in question.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The file system answered with an error.
    #[error("`{path}` cannot be read: {error}")]
    Io {
        /// The component in question.
        path: PathBuf,
        /// The error.
        error: io::Error,
    },
}

/// A protected file, opened.
#[derive(Debug)]
pub(crate) struct TrustedFile {
    file: File,
    path: PathBuf,
    stamp: Stamp,
}

impl TrustedFile {
    /// Opens the regular file at `path` after checking it and every directory and link on the way.
    pub(crate) fn open(path: &Path) -> Result<Self, Refusal> {
        Walk::new()?.down_to(path)
    }

    /// Version of the file when it was opened.
    pub(crate) fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    /// The content as text, bounded. A file that changes while it is read is refused: half of it would be old.
    pub(crate) fn read(self) -> Result<String, Refusal> {
        let io = |error| Refusal::Io { path: self.path.clone(), error };
        let mut bytes = Vec::new();
        (&self.file).take(MAX_SIZE + 1).read_to_end(&mut bytes).map_err(io)?;
        if bytes.len() as u64 > MAX_SIZE {
            return Err(self.unusable(&format!("it is larger than {MAX_SIZE} bytes")));
        }
        let after = rustix::fs::fstat(&self.file).map_err(|error| io(error.into()))?;
        if Stamp::from(&after) != self.stamp {
            return Err(self.unusable("it changed while it was read; it is read again at the next look"));
        }
        match phoenix_core::diagnostic::text(&bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(error) => Err(self.unusable(&error.to_string())),
        }
    }

    fn unusable(&self, why: &str) -> Refusal {
        Refusal::Unusable { path: self.path.clone(), why: why.to_owned() }
    }
}

/// A way from `/` down.
struct Walk {
    own_uid: u32,
    /// Open directories from `/` to where the walk stands.
    trail: Vec<(OwnedFd, PathBuf)>,
    links: usize,
}

impl Walk {
    fn new() -> Result<Self, Refusal> {
        let own_uid = rustix::process::geteuid().as_raw();
        let root = PathBuf::from("/");
        let fd = rustix::fs::open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|error| Refusal::Io { path: root.clone(), error: error.into() })?;
        let walk = Self { own_uid, trail: vec![(fd, root)], links: 0 };
        let (fd, path) = walk.here()?;
        walk.judge(&stat(fd, path)?, path, FileType::Directory)?;
        Ok(walk)
    }

    fn here(&self) -> Result<(&OwnedFd, &Path), Refusal> {
        let (fd, path) = self.trail.last().ok_or_else(|| Refusal::Unusable {
            path: PathBuf::from("/"),
            why: "the path leads above the root directory".to_owned(),
        })?;
        Ok((fd, path))
    }

    fn down_to(mut self, path: &Path) -> Result<TrustedFile, Refusal> {
        let mut ahead: VecDeque<OsString> = plain_parts(path);
        while let Some(part) = ahead.pop_front() {
            if part == ".." {
                if self.trail.len() > 1 {
                    self.trail.pop();
                }
                continue;
            }
            let (dir, dir_path) = self.here()?;
            let shown = dir_path.join(&part);
            let fd = open_at(dir, &part, OFlags::PATH, &shown)?;
            let facts = stat(&fd, &shown)?;
            match FileType::from_raw_mode(facts.st_mode) {
                FileType::Symlink => self.follow(&fd, &facts, &shown, &mut ahead)?,
                FileType::Directory => {
                    self.judge(&facts, &shown, FileType::Directory)?;
                    self.trail.push((fd, shown));
                }
                FileType::RegularFile if ahead.is_empty() => return self.open(&part, shown),
                _ if ahead.is_empty() => {
                    return Err(Refusal::Unusable {
                        path: shown,
                        why: "it is not a regular file".to_owned(),
                    });
                }
                _ => {
                    return Err(Refusal::Unusable { path: shown, why: "it is not a directory".to_owned() });
                }
            }
        }
        Err(Refusal::Unusable { path: path.to_owned(), why: "it is a directory".to_owned() })
    }

    /// Puts the target of a link in front of what is still ahead.
    fn follow(
        &mut self,
        link: &OwnedFd,
        facts: &Stat,
        shown: &Path,
        ahead: &mut VecDeque<OsString>,
    ) -> Result<(), Refusal> {
        self.judge_owner(facts, shown)?;
        self.links += 1;
        if self.links > MAX_LINKS {
            return Err(Refusal::Unusable {
                path: shown.to_owned(),
                why: format!("more than {MAX_LINKS} symbolic links on the way"),
            });
        }
        let target = rustix::fs::readlinkat(link, "", Vec::new())
            .map_err(|error| Refusal::Io { path: shown.to_owned(), error: error.into() })?;
        let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
        if target.is_absolute() {
            self.trail.truncate(1);
        }
        for part in plain_parts(&target).into_iter().rev() {
            ahead.push_front(part);
        }
        Ok(())
    }

    /// Opens the file itself and judges what was opened.
    fn open(&self, name: &OsStr, shown: PathBuf) -> Result<TrustedFile, Refusal> {
        let (dir, _) = self.here()?;
        // Non-blocking: should a pipe have been put there since, opening it must not wait for a writer.
        let fd = open_at(dir, name, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY, &shown)?;
        let facts = stat(&fd, &shown)?;
        self.judge(&facts, &shown, FileType::RegularFile)?;
        Ok(TrustedFile { file: File::from(fd), path: shown, stamp: Stamp::from(&facts) })
    }

    fn judge(&self, facts: &Stat, shown: &Path, wanted: FileType) -> Result<(), Refusal> {
        if FileType::from_raw_mode(facts.st_mode) != wanted {
            return Err(Refusal::Unusable {
                path: shown.to_owned(),
                why: format!("it is not a {wanted:?}").to_lowercase(),
            });
        }
        self.judge_owner(facts, shown)?;
        let sticky_directory = wanted == FileType::Directory && facts.st_mode & STICKY != 0;
        if facts.st_mode & WRITABLE_BY_OTHERS != 0 && !sticky_directory {
            return Err(Refusal::Untrusted {
                path: shown.to_owned(),
                why: format!(
                    "others can write it (mode {:04o}). Do `chmod go-w {}`",
                    facts.st_mode & 0o7777,
                    shown.display()
                ),
            });
        }
        Ok(())
    }

    fn judge_owner(&self, facts: &Stat, shown: &Path) -> Result<(), Refusal> {
        if facts.st_uid == 0 || facts.st_uid == self.own_uid {
            return Ok(());
        }
        Err(Refusal::Untrusted {
            path: shown.to_owned(),
            why: format!(
                "it belongs to user {}, who can change it. Do `chown -h root {}`",
                facts.st_uid,
                shown.display()
            ),
        })
    }
}

fn plain_parts(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

fn open_at(dir: &OwnedFd, name: &OsStr, flags: OFlags, shown: &Path) -> Result<OwnedFd, Refusal> {
    rustix::fs::openat(dir, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()).map_err(
        |error| match error {
            rustix::io::Errno::NOENT => Refusal::Missing(shown.to_owned()),
            other => Refusal::Io { path: shown.to_owned(), error: other.into() },
        },
    )
}

fn stat(fd: &OwnedFd, shown: &Path) -> Result<Stat, Refusal> {
    rustix::fs::fstat(fd).map_err(|error| Refusal::Io { path: shown.to_owned(), error: error.into() })
}

#[cfg(test)]
mod tests;
