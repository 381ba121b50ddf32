//! Target roots: the only places below which live files are written.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use phoenix_core::name::AbsolutePath;
use phoenix_core::reason::{Reason, Trouble};
use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::disk::{Dir, Disk, Identity};
use crate::errno::{Attempt, Failure};
use crate::state::StateDir;
use crate::walk::{self, Walked};

/// Where the mount point of each root is remembered, in the state directory.
const MEMORY: &str = "roots.json";

/// The configured target roots.
#[derive(Debug)]
pub(crate) struct TargetRoots {
    roots: Vec<Root>,
    state: StateDir,
    memory: Mutex<Memory>,
}

#[derive(Debug)]
struct Root {
    path: AbsolutePath,
    /// Without symlinks; set when the root was first seen and kept for the life of the process.
    real: OnceLock<PathBuf>,
    /// The directory that was there when its mount point was found to be right last. While it is the same one on the
    /// same mount, so is the mount point.
    proven: Mutex<Option<Identity>>,
}

/// Per root: the mount point that held it when it was last seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
struct Memory(BTreeMap<AbsolutePath, PathBuf>);

impl TargetRoots {
    /// Remembers the configured roots. None of them is looked at before it is needed.
    pub(crate) fn open(paths: &[AbsolutePath], state: StateDir) -> Self {
        let root = |path: &AbsolutePath| Root {
            path: path.clone(),
            real: OnceLock::new(),
            proven: Mutex::default(),
        };
        let roots = paths.iter().map(root).collect();
        let memory = state.read_json(MEMORY).unwrap_or_else(|trouble| {
            tracing::warn!("which target roots were mount points is forgotten: {trouble}");
            None
        });
        Self { roots, state, memory: Mutex::new(memory.unwrap_or_default()) }
    }

    /// The deepest root above `path`.
    pub(crate) fn find(&self, path: &AbsolutePath) -> Result<usize, Trouble> {
        let above = |root: &Root| {
            path.as_path() != root.path.as_path() && path.as_path().starts_with(root.path.as_path())
        };
        let found = self.roots.iter().enumerate().filter(|(_, root)| above(root));
        found.max_by_key(|(_, root)| root.path.as_str().len()).map(|(index, _)| index).ok_or_else(|| {
            let all: Vec<&str> = self.roots.iter().map(|root| root.path.as_str()).collect();
            let message = format!(
                "`{path}` is outside the target roots ({}); correct the path, or add its root to \
                 `executor.target_roots` in certd.toml",
                if all.is_empty() { "there are none".to_owned() } else { all.join(", ") }
            );
            Trouble::new(Reason::OutsideRoots, message)
        })
    }

    /// The path below its root's real place, where that is known already.
    pub(crate) fn real_path(&self, path: &Path) -> PathBuf {
        let found = self.roots.iter().filter_map(|root| {
            let below = path.strip_prefix(root.path.as_path()).ok()?;
            Some((root.path.as_str().len(), root.real.get()?.join(below)))
        });
        found.max_by_key(|(length, _)| *length).map_or_else(|| path.to_owned(), |(_, real)| real)
    }

    /// Walks from the root above `path` to the directory that holds `path`.
    pub(crate) fn walk_to(&self, path: &AbsolutePath) -> Result<Walked, Trouble> {
        let (root, components) = self.way_to(path)?;
        Ok(walk::walk(self.enter(root)?, &components)?)
    }

    /// As [`Self::walk_to`], in one step where there is nothing to tell of the way: whose directories lie on it is not.
    pub(crate) fn reach(&self, path: &AbsolutePath) -> Result<Walked, Trouble> {
        let (root, components) = self.way_to(path)?;
        let dir = self.enter(root)?;
        match walk::leap(&dir, &components) {
            Some(walked) => Ok(walked),
            None => Ok(walk::walk(dir, &components)?),
        }
    }

    /// The root above `path`, and the directories between the two.
    fn way_to<'a>(&self, path: &'a AbsolutePath) -> Result<(&Root, Vec<&'a str>), Trouble> {
        let index = self.find(path)?;
        let Some(root) = self.roots.get(index) else {
            return Err(Trouble::new(Reason::OutsideRoots, format!("`{path}` is outside the target roots")));
        };
        let below = path.as_str().strip_prefix(root.path.as_str()).unwrap_or_default();
        let mut components: Vec<&str> = below.split('/').filter(|part| !part.is_empty()).collect();
        components.pop();
        Ok((root, components))
    }

    /// Walks to the directory that holds `path` and makes what is missing on the way.
    pub(crate) fn create_to(&self, disk: &Disk, path: &AbsolutePath, temp: &str) -> Result<Dir, Trouble> {
        Ok(walk::create_missing(disk, self.walk_to(path)?, temp)?)
    }

    fn enter(&self, root: &Root) -> Result<Dir, Trouble> {
        let real = root.resolve()?;
        let dir = Dir::open(real).map_err(|failure| root.explain(failure))?;
        root.check_owner(&dir)?;
        let identity = dir.identity();
        let mut proven = root.proven.lock().unwrap_or_else(PoisonError::into_inner);
        if identity.is_none() || *proven != identity {
            *proven = None;
            self.check_mount(root, real)?;
            *proven = identity;
        }
        drop(proven);
        Ok(dir)
    }

    /// A root whose mount point is gone shows the empty directory below it: nothing may be written there.
    fn check_mount(&self, root: &Root, real: &Path) -> Result<(), Trouble> {
        let Some(now) = mount_point(real) else { return Ok(()) };
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let before = memory.0.get(&root.path);
        if before == Some(&now) {
            return Ok(());
        }
        if let Some(before) = before.filter(|before| before.starts_with(&now)) {
            let message = format!(
                "target root `{}` is not mounted: `{}` was a mount point when last seen and is not now; mount \
                 it (if the files live on the underlying disk on purpose now, remove `{}`)",
                root.path,
                before.display(),
                self.state.path().join(MEMORY).display()
            );
            return Err(Trouble::new(Reason::StorageAbsent, message));
        }
        memory.0.insert(root.path.clone(), now);
        if let Err(trouble) = self.state.write_json(MEMORY, &*memory) {
            tracing::warn!(root = %root.path, "the mount point of a target root is not remembered: {trouble}");
        }
        Ok(())
    }
}

impl Root {
    fn resolve(&self) -> Result<&Path, Trouble> {
        if let Some(real) = self.real.get() {
            return Ok(real);
        }
        let real = fs::canonicalize(self.path.as_path()).map_err(|error| {
            if error.kind() == ErrorKind::NotFound {
                return self.absent();
            }
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            Failure::new(Attempt::Enter, self.path.as_path(), errno).into()
        })?;
        Ok(self.real.get_or_init(|| real))
    }

    fn explain(&self, failure: Failure) -> Trouble {
        if failure.errno == Errno::NOENT { self.absent() } else { failure.into() }
    }

    fn absent(&self) -> Trouble {
        let message = format!(
            "target root `{}` does not exist; mount or create it (nothing is created there by itself)",
            self.path
        );
        Trouble::new(Reason::StorageAbsent, message)
    }

    fn check_owner(&self, dir: &Dir) -> Result<(), Trouble> {
        let owner = dir.attributes()?.uid;
        if owner == 0 || owner == rustix::process::geteuid().as_raw() {
            return Ok(());
        }
        let message = format!(
            "target root `{}` belongs to user {owner}: a target root must belong to root, or to the user this \
             program runs as; run `chown root {}` or name a directory further up",
            self.path, self.path
        );
        Err(Trouble::new(Reason::PermissionDenied, message))
    }
}

/// The nearest mount point at or above `path`; none when the kernel does not tell (before Linux 5.8).
fn mount_point(path: &Path) -> Option<PathBuf> {
    path.ancestors().find_map(|at| {
        let seen =
            statx(CWD, at, AtFlags::NO_AUTOMOUNT | AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty()).ok()?;
        let known = seen.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT);
        (known && seen.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)).then(|| at.to_path_buf())
    })
}
