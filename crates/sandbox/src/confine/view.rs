//! The file system as a command sees it: read-only, with directories of its own in place of shared ones.
//!
//! Built in the mount name space of the supervisor. What has to stay visible is cloned first (open_tree(2)) and
//! attached again above what covers it.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Error};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount, mount_bind,
    mount_bind_recursive, mount_change, move_mount, open_tree, unmount,
};

use crate::system;

/// Devices that can do no harm.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
/// Links of every device directory: what they point to, and their name.
const DEVICE_LINKS: [(&str, &str); 5] = [
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
    ("pts/ptmx", "ptmx"),
];

/// Keeps mounts of this process to itself; what is mounted outside later on is seen.
pub(super) fn detach() -> io::Result<()> {
    Ok(mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?)
}

/// What a command is to see.
pub(super) struct View {
    /// Directories that are replaced by empty writable ones, as far as they exist.
    pub(super) private: Vec<PathBuf>,
    /// Directories and files that are replaced by empty read-only ones, as far as they exist.
    pub(super) hidden: Vec<PathBuf>,
    /// What stays visible below the former, read-only.
    pub(super) shown: Vec<PathBuf>,
    /// What stays as it is, wherever it is.
    pub(super) kept: Vec<PathBuf>,
    /// Directories and files that are replaced like hidden ones, also where they are named to be shown or kept.
    pub(super) secret: Vec<PathBuf>,
    /// What becomes read-only within the latter.
    pub(super) sealed: Vec<PathBuf>,
    /// Directories of the device directory that are shared with everybody.
    pub(super) shared_devices: &'static [&'static str],
    /// Bytes that fit into each private directory.
    pub(super) scratch: u64,
}

/// A part of the old view that is put into the new one.
struct Piece {
    path: PathBuf,
    directory: bool,
    tree: OwnedFd,
}

/// One change of the view, at one path.
enum Layer {
    Private(PathBuf),
    Hidden(PathBuf),
    Piece(Piece),
}

impl Layer {
    fn path(&self) -> &Path {
        match self {
            Self::Private(path) | Self::Hidden(path) => path,
            Self::Piece(piece) => &piece.path,
        }
    }
}

impl View {
    /// Makes this process, which must be alone and detached in its mount name space, see it.
    ///
    /// # Errors
    /// A step that failed, in words.
    pub(super) fn build(&self) -> io::Result<()> {
        let layers = self.layers()?;
        let devices = devices(self.shared_devices)?;
        system::set_read_only(CWD, Path::new("/"), true, true)
            .map_err(|error| told("make read-only", Path::new("/"), error))?;
        replace_devices(devices)?;
        layers.iter().try_for_each(|layer| self.apply(layer))?;
        let hidden = layers.into_iter().filter_map(|layer| match layer {
            Layer::Hidden(path) if path.is_dir() => Some(path),
            _ => None,
        });
        for path in hidden.chain(existing(&self.sealed)) {
            seal(&path).map_err(|error| told("seal", &path, error))?;
        }
        Ok(())
    }

    /// All changes, outer ones first, for they would cover what is within.
    fn layers(&self) -> io::Result<Vec<Layer>> {
        let private = existing(&self.private);
        let kept = existing(&self.kept).into_iter().map(|path| Piece::of(path, false));
        let shown = existing(&self.covered()).into_iter().map(|path| Piece::of(path, true));
        let pieces = shown.chain(kept).collect::<io::Result<Vec<_>>>()?;
        self.hidden.iter().chain(&self.secret).for_each(|path| take_away(path));
        let hidden = existing(&self.hidden);
        let named = |path: &PathBuf| pieces.iter().any(|piece| piece.path == *path);
        let mut layers: Vec<_> = private.iter().cloned().map(Layer::Private).collect();
        layers.extend(hidden.iter().filter(|path| !named(path)).cloned().map(Layer::Hidden));
        layers.extend(pieces.into_iter().map(Layer::Piece));
        // At one path the last layer counts, and sorting keeps their order.
        layers.extend(existing(&self.secret).into_iter().map(Layer::Hidden));
        layers.sort_by(|one, other| one.path().cmp(other.path()));
        Ok(layers)
    }

    /// What has to be shown because something around it is replaced. By name: hidden directories are not looked at.
    fn covered(&self) -> Vec<PathBuf> {
        let covers =
            || self.private.iter().chain(&self.hidden).map(PathBuf::as_path).chain([Path::new("/dev")]);
        let within = |path: &Path| covers().any(|cover| path.starts_with(cover));
        let real = |path: &PathBuf| fs::canonicalize(path).is_ok_and(|real| within(&real));
        self.shown.iter().filter(|path| within(path) || real(path)).cloned().collect()
    }

    fn apply(&self, layer: &Layer) -> io::Result<()> {
        match layer {
            Layer::Private(path) => cover(path, &format!("mode=1777,size={}", self.scratch)),
            Layer::Hidden(path) if path.is_dir() => cover(path, "mode=0755,size=1m"),
            // It may be gone already with what is around it.
            Layer::Hidden(path) if !path.exists() => Ok(()),
            Layer::Hidden(path) => {
                mount_bind("/dev/null", path.as_path()).map_err(|error| told("hide", path, error))
            }
            Layer::Piece(piece) => piece.attach().map_err(|error| told("show", &piece.path, error)),
        }
    }
}

impl Piece {
    fn of(path: PathBuf, read_only: bool) -> io::Result<Self> {
        let flags =
            OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
        let failed = |error: Error| told("keep in view", &path, error);
        let tree = open_tree(CWD, &path, flags).map_err(|error| failed(error.into()))?;
        if read_only {
            system::set_read_only(&tree, Path::new(""), true, true).map_err(failed)?;
        }
        Ok(Self { directory: path.is_dir(), path, tree })
    }

    fn attach(&self) -> io::Result<()> {
        if !self.path.exists() {
            if let Some(parent) = self.path.parent() {
                DirBuilder::new().recursive(true).mode(0o755).create(parent)?;
            }
            if self.directory { fs::create_dir(&self.path)? } else { File::create(&self.path).map(drop)? }
        }
        self.attach_at(&self.path)
    }

    fn attach_at(&self, place: &Path) -> io::Result<()> {
        Ok(move_mount(&self.tree, "", CWD, place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
    }
}

fn devices(shared: &[&str]) -> io::Result<Vec<Piece>> {
    let path = |name: &&str| Path::new("/dev").join(name);
    let nodes = DEVICES
        .iter()
        .map(path)
        .filter(|path| fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_char_device()));
    let shared = shared.iter().map(path).filter(|path| path.is_dir());
    nodes.chain(shared).map(|path| Piece::of(path, false)).collect()
}

fn replace_devices(devices: Vec<Piece>) -> io::Result<()> {
    let place = Path::new("/dev");
    cover(place, "mode=0755,size=1m")?;
    for piece in devices {
        piece.attach().map_err(|error| told("show", &piece.path, error))?;
    }
    for (target, name) in DEVICE_LINKS {
        symlink(target, place.join(name)).map_err(|error| told("link", &place.join(name), error))?;
    }
    let shm = place.join("shm");
    if !shm.exists() {
        fs::create_dir(&shm).and_then(|()| cover(&shm, "mode=1777,size=16m"))?;
    }
    system::set_read_only(CWD, place, true, false).map_err(|error| told("seal", place, error))
}

/// Takes whatever is mounted at `path` out of the view, without a look at it: the storage may hang, and is no
/// business of this command. Nothing is done about a path that is no mount point.
fn take_away(path: &Path) {
    const AT_MOST: usize = 16;
    let flags = UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
    let _ = (0..AT_MOST).take_while(|_| unmount(path, flags).is_ok()).count();
}

/// An empty directory in memory above one that is there.
fn cover(path: &Path, options: &str) -> io::Result<()> {
    let options = std::ffi::CString::new(options)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("tmpfs", path, "tmpfs", flags, &*options).map_err(|error| told("cover", path, error))
}

/// Makes one directory read-only, mount point or not; what is mounted below stays as it is.
fn seal(path: &Path) -> io::Result<()> {
    if system::set_read_only(CWD, path, true, false).is_err() {
        // With what is attached below, which would be covered otherwise.
        mount_bind_recursive(path, path)?;
        system::set_read_only(CWD, path, true, false)?;
    }
    Ok(())
}

/// Real paths of those that exist, each once.
fn existing(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut real: Vec<_> = paths.iter().filter_map(|path| fs::canonicalize(path).ok()).collect();
    real.sort();
    real.dedup();
    real
}

fn told(what: &str, path: &Path, error: impl Into<Error>) -> Error {
    let error = error.into();
    Error::new(error.kind(), format!("cannot {what} {}: {error}", path.display()))
}
