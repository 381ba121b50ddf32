//! Directories by descriptor, and every disk-changing system call, each behind the seam of [`crate::fault`].

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, RenameFlags, ResolveFlags, Stat, StatxFlags};
use rustix::io::Errno;
use zeroize::Zeroizing;

use crate::errno::{Attempt, Failure};
use crate::fault::{Deed, Faults};

/// No symlink is followed anywhere and nothing above the starting directory is reached.
const PLAIN: ResolveFlags =
    ResolveFlags::NO_SYMLINKS.union(ResolveFlags::NO_MAGICLINKS).union(ResolveFlags::BENEATH);

/// How much a file may grow between the look at its size and the end of its reading.
const SLACK: usize = 512;

/// `f_type` of NFS in statfs(2).
const NFS_SUPER_MAGIC: u64 = 0x6969;

/// An open directory. Everything in it is reached relative to the descriptor, so that a directory that is
/// moved or replaced by a link meanwhile changes nothing.
#[derive(Debug)]
pub(crate) struct Dir {
    fd: OwnedFd,
    path: PathBuf,
}

/// A directory on a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    mount: u64,
    device: (u32, u32),
    inode: u64,
}

/// Owner and kind of something in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) kind: FileType,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mode: u16,
}

impl From<Stat> for Attributes {
    fn from(stat: Stat) -> Self {
        Self {
            kind: FileType::from_raw_mode(stat.st_mode),
            uid: stat.st_uid,
            gid: stat.st_gid,
            mode: (stat.st_mode & 0o7777) as u16,
        }
    }
}

/// What a bounded read found.
pub(crate) enum Found {
    Missing,
    /// Not a regular file.
    Odd(FileType),
    TooLarge,
    File {
        bytes: Zeroizing<Vec<u8>>,
        attributes: Attributes,
    },
}

impl Dir {
    /// Opens an absolute path on which no component may be a symlink.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let fail = |errno| Failure::new(Attempt::Enter, path, errno);
        let top =
            fs::open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).map_err(fail)?;
        let relative = path.strip_prefix("/").unwrap_or(path);
        let relative = if relative.as_os_str().is_empty() { Path::new(".") } else { relative };
        let fd = fs::openat2(&top, relative, Self::flags(), Mode::empty(), PLAIN).map_err(fail)?;
        Ok(Self { fd, path: path.to_path_buf() })
    }

    /// A path descriptor needs no read permission on the directory, which root squash may deny.
    fn flags() -> OFlags {
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn fail(&self, attempt: Attempt, name: &str, errno: Errno) -> Failure {
        let path = if name.is_empty() { self.path.clone() } else { self.join(name) };
        Failure { attempt, path, errno, nfs: self.is_nfs() }
    }

    fn is_nfs(&self) -> bool {
        fs::fstatfs(&self.fd).is_ok_and(|stat| stat.f_type as u64 == NFS_SUPER_MAGIC)
    }

    pub(crate) fn attributes(&self) -> Result<Attributes, Failure> {
        fs::fstat(&self.fd).map(Attributes::from).map_err(|errno| self.fail(Attempt::Enter, "", errno))
    }

    /// Which directory this is, and on which mount; none when the kernel does not tell (before Linux 5.8).
    pub(crate) fn identity(&self) -> Option<Identity> {
        let wanted = StatxFlags::INO | StatxFlags::MNT_ID;
        let seen = fs::statx(&self.fd, "", AtFlags::EMPTY_PATH | AtFlags::NO_AUTOMOUNT, wanted).ok()?;
        let told = StatxFlags::from_bits_retain(seen.stx_mask).contains(wanted);
        let device = (seen.stx_dev_major, seen.stx_dev_minor);
        told.then_some(Identity { mount: seen.stx_mnt_id, device, inode: seen.stx_ino })
    }

    /// The directory `name` in this one; none when there is no such thing.
    pub(crate) fn enter(&self, name: &str) -> Result<Option<Self>, Failure> {
        match fs::openat2(&self.fd, name, Self::flags(), Mode::empty(), PLAIN) {
            Ok(fd) => Ok(Some(Self { fd, path: self.join(name) })),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.fail(Attempt::Enter, name, errno)),
        }
    }

    /// Attributes of `name` itself, were it a symlink; none when there is no such thing.
    pub(crate) fn look(&self, name: &str) -> Result<Option<Attributes>, Failure> {
        match fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat.into())),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.fail(Attempt::Read, name, errno)),
        }
    }

    /// Reads a regular file of at most `limit` bytes. Never blocks on a FIFO and never opens a device that was
    /// there from the start.
    pub(crate) fn read(&self, name: &str, limit: usize) -> Result<Found, Failure> {
        match self.look(name)? {
            None => return Ok(Found::Missing),
            Some(found) if found.kind != FileType::RegularFile => return Ok(Found::Odd(found.kind)),
            Some(_) => {}
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = match fs::openat2(&self.fd, name, flags, Mode::empty(), PLAIN) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(Found::Missing),
            Err(Errno::LOOP) => return Ok(Found::Odd(FileType::Symlink)),
            Err(errno) => return Err(self.fail(Attempt::Read, name, errno)),
        };
        let fail = |errno| self.fail(Attempt::Read, name, errno);
        let stat = fs::fstat(&file).map_err(fail)?;
        let (size, attributes) = (stat.st_size, Attributes::from(stat));
        if attributes.kind != FileType::RegularFile {
            return Ok(Found::Odd(attributes.kind));
        }
        let found = read_bounded(&file, size, limit).map_err(fail)?;
        Ok(found.map_or(Found::TooLarge, |bytes| Found::File { bytes, attributes }))
    }

    /// Names in this directory, in no order.
    pub(crate) fn names(&self) -> Result<Vec<String>, Failure> {
        self.listing()?.collect()
    }

    fn is_empty(&self) -> Result<bool, Failure> {
        self.listing()?.next().transpose().map(|first| first.is_none())
    }

    fn listing(&self) -> Result<impl Iterator<Item = Result<String, Failure>> + '_, Failure> {
        let fail = |errno| self.fail(Attempt::Read, "", errno);
        let names = fs::Dir::new(self.readable()?)
            .map_err(fail)?
            .map(move |item| item.map(|item| item.file_name().to_string_lossy().into_owned()).map_err(fail));
        Ok(names.filter(|name| !matches!(name.as_deref(), Ok("." | ".."))))
    }

    /// A descriptor of the same directory that can be listed, changed and synced.
    fn readable(&self) -> Result<OwnedFd, Failure> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        fs::openat2(&self.fd, ".", flags, Mode::empty(), PLAIN)
            .map_err(|errno| self.fail(Attempt::Enter, "", errno))
    }
}

/// Reads at most `limit` bytes; none when there is more, or when a file of `size` bytes grew by far meanwhile.
fn read_bounded(file: &OwnedFd, size: i64, limit: usize) -> Result<Option<Zeroizing<Vec<u8>>>, Errno> {
    let room = usize::try_from(size).unwrap_or(0).min(limit) + SLACK;
    // One allocation of the final size: a growing vector would leave copies of a key behind.
    let mut bytes = Zeroizing::new(vec![0; room]);
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match rustix::io::read(file, rest) {
            Ok(0) => break,
            Ok(count) => {
                filled += count;
                // A read that ends where the file ends has seen its end.
                if i64::try_from(filled) == Ok(size) {
                    break;
                }
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    bytes.truncate(filled);
    Ok((filled <= limit && filled < room).then_some(bytes))
}

/// A new file that is being written.
pub(crate) struct NewFile {
    fd: OwnedFd,
    path: PathBuf,
    nfs: bool,
}

impl NewFile {
    fn fail(&self, attempt: Attempt, errno: Errno) -> Failure {
        Failure { attempt, path: self.path.clone(), errno, nfs: self.nfs }
    }
}

/// The disk-changing system calls.
#[derive(Clone)]
pub(crate) struct Disk {
    faults: Arc<dyn Faults>,
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Disk")
    }
}

impl Disk {
    pub(crate) fn new(faults: Arc<dyn Faults>) -> Self {
        Self { faults }
    }

    /// Creates `name`, which must not exist, readable by its owner alone.
    pub(crate) fn create(&self, dir: &Dir, name: &str) -> Result<NewFile, Failure> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let path = dir.join(name);
        let fd = self
            .faults
            .before(Deed::Create, &path)
            .and_then(|()| fs::openat(&dir.fd, name, flags, Mode::RUSR | Mode::WUSR))
            .map_err(|errno| dir.fail(Attempt::Create, name, errno))?;
        Ok(NewFile { fd, path, nfs: dir.is_nfs() })
    }

    /// Gives a new file to its final owner; no call at all when it has that owner already.
    pub(crate) fn chown(&self, file: &NewFile, uid: u32, gid: u32) -> Result<(), Failure> {
        self.chown_fd(&file.fd, &file.path, uid, gid).map_err(|errno| file.fail(Attempt::Chown, errno))
    }

    fn chown_fd(&self, fd: &OwnedFd, path: &Path, uid: u32, gid: u32) -> Result<(), Errno> {
        let now = fs::fstat(fd)?;
        if (now.st_uid, now.st_gid) == (uid, gid) {
            return Ok(());
        }
        self.faults.before(Deed::Chown, path)?;
        fs::fchown(fd, Some(fs::Uid::from_raw(uid)), Some(fs::Gid::from_raw(gid)))
    }

    /// Sets the permission bits of a new file.
    pub(crate) fn chmod(&self, file: &NewFile, mode: u16) -> Result<(), Failure> {
        self.faults
            .before(Deed::Chmod, &file.path)
            .and_then(|()| fs::fchmod(&file.fd, Mode::from_raw_mode(u32::from(mode))))
            .map_err(|errno| file.fail(Attempt::Chmod, errno))
    }

    /// Writes all of `bytes`.
    pub(crate) fn write(&self, file: &NewFile, bytes: &[u8]) -> Result<(), Failure> {
        let fail = |errno| file.fail(Attempt::Write, errno);
        let mut rest = bytes;
        while !rest.is_empty() {
            self.faults.before(Deed::Write, &file.path).map_err(fail)?;
            match rustix::io::write(&file.fd, rest) {
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(fail(errno)),
            }
        }
        Ok(())
    }

    /// Makes a new file durable.
    pub(crate) fn sync(&self, file: &NewFile) -> Result<(), Failure> {
        self.faults
            .before(Deed::SyncFile, &file.path)
            .and_then(|()| fs::fsync(&file.fd))
            .map_err(|errno| file.fail(Attempt::Sync, errno))
    }

    /// Makes the names in a directory durable.
    pub(crate) fn sync_dir(&self, dir: &Dir) -> Result<(), Failure> {
        let fd = dir.readable()?;
        self.faults
            .before(Deed::SyncDirectory, dir.path())
            .and_then(|()| fs::fsync(fd.as_fd()))
            .map_err(|errno| dir.fail(Attempt::Sync, "", errno))
    }

    /// Renames `from` in one directory to `to` in another of the same file system.
    pub(crate) fn rename(&self, old: (&Dir, &str), new: (&Dir, &str)) -> Result<(), Failure> {
        let ((from_dir, from), (to_dir, to)) = (old, new);
        self.faults
            .before(Deed::Rename, &to_dir.join(to))
            .and_then(|()| fs::renameat(&from_dir.fd, from, &to_dir.fd, to))
            .map_err(|errno| to_dir.fail(Attempt::Rename, to, errno))
    }

    /// Renames within a directory to a name that must not exist; `false` when it does. NFS has no such rename:
    /// there a plain one, which replaces at most an empty directory.
    pub(crate) fn rename_new(&self, dir: &Dir, from: &str, to: &str) -> Result<bool, Failure> {
        let done = self.faults.before(Deed::Rename, &dir.join(to)).and_then(|()| {
            match fs::renameat_with(&dir.fd, from, &dir.fd, to, RenameFlags::NOREPLACE) {
                Err(Errno::INVAL | Errno::NOSYS) => fs::renameat(&dir.fd, from, &dir.fd, to),
                other => other,
            }
        });
        match done {
            Ok(()) => Ok(true),
            Err(Errno::EXIST | Errno::NOTEMPTY) => Ok(false),
            Err(errno) => Err(dir.fail(Attempt::Rename, to, errno)),
        }
    }

    /// Removes a file or an empty directory; `false` when there is no such thing.
    pub(crate) fn remove(&self, dir: &Dir, name: &str) -> Result<bool, Failure> {
        let Some(found) = dir.look(name)? else { return Ok(false) };
        let flags = if found.kind == FileType::Directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        let done = self
            .faults
            .before(Deed::Remove, &dir.join(name))
            .and_then(|()| fs::unlinkat(&dir.fd, name, flags));
        match done {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(dir.fail(Attempt::Remove, name, errno)),
        }
    }

    /// Makes a directory that only its owner may enter.
    pub(crate) fn make_private_dir(&self, dir: &Dir, name: &str) -> Result<Dir, Failure> {
        self.faults
            .before(Deed::MakeDirectory, &dir.join(name))
            .and_then(|()| fs::mkdirat(&dir.fd, name, Mode::RWXU))
            .map_err(|errno| dir.fail(Attempt::Create, name, errno))?;
        dir.enter(name)?.ok_or_else(|| dir.fail(Attempt::Enter, name, Errno::NOENT))
    }

    /// Owner and mode of a new directory. One that holds something is not new: whoever owns the directory above
    /// has put another in its place, to be given what it holds.
    pub(crate) fn dress_dir(&self, dir: &Dir, uid: u32, gid: u32, mode: u16) -> Result<(), Failure> {
        let fd = dir.readable()?;
        if !dir.is_empty()? {
            return Err(dir.fail(Attempt::Create, "", Errno::NOTEMPTY));
        }
        self.chown_fd(&fd, dir.path(), uid, gid).map_err(|errno| dir.fail(Attempt::Chown, "", errno))?;
        self.faults
            .before(Deed::Chmod, dir.path())
            .and_then(|()| fs::fchmod(&fd, Mode::from_raw_mode(u32::from(mode))))
            .map_err(|errno| dir.fail(Attempt::Chmod, "", errno))
    }
}
