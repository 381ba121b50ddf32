//! A directory that is removed at the end, with every process that was started in it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::process;

/// A scratch directory, owned by the running user, mode 0755: programs refuse what lies below anything looser.
#[derive(Debug)]
pub struct Scratch {
    dir: TempDir,
}

impl Scratch {
    /// A new, empty directory.
    pub fn new() -> Result<Self> {
        Self::below(&std::env::temp_dir())
    }

    /// One in memory where there is such a place: for suites that make thousands of files durable.
    pub fn in_memory() -> Result<Self> {
        let memory = Path::new("/dev/shm");
        if memory.is_dir() { Self::below(memory) } else { Self::new() }
    }

    fn below(parent: &Path) -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("phoenix-test-")
            .tempdir_in(parent)
            .with_context(|| format!("no scratch directory in {}", parent.display()))?;
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755))?;
        Ok(Self { dir })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A path below it; parents are not made.
    pub fn join(&self, below: impl AsRef<Path>) -> PathBuf {
        let below = below.as_ref();
        self.path().join(below.strip_prefix("/").unwrap_or(below))
    }

    /// A directory below it, made with its parents.
    pub fn directory(&self, below: impl AsRef<Path>) -> Result<PathBuf> {
        let path = self.join(below);
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(path)
    }

    /// A file below it with this content and mode, its parents made, replaced by renaming when it is there.
    pub fn file(&self, below: impl AsRef<Path>, content: impl AsRef<[u8]>, mode: u32) -> Result<PathBuf> {
        let path = self.join(below);
        replace(&path, content.as_ref(), mode)?;
        Ok(path)
    }
}

/// Writes a file beside `path` and renames it there.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    let parent = path.parent().context("a file needs a directory")?;
    fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    let fresh = path.with_extension("new");
    fs::write(&fresh, content).with_context(|| format!("cannot write {}", fresh.display()))?;
    fs::set_permissions(&fresh, fs::Permissions::from_mode(mode))?;
    fs::rename(&fresh, path).with_context(|| format!("cannot write {}", path.display()))
}

impl Drop for Scratch {
    /// Whatever still names this directory on its command line was started by the test and must not outlive it.
    fn drop(&mut self) {
        process::kill_all_naming(self.path());
    }
}
