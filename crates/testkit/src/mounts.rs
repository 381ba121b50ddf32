//! File systems that refuse: full, read-only, closed even to root. Unmounted when dropped.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::process::run;

/// A mounted file system. Drop it before the scratch directory that it is mounted in.
#[derive(Debug)]
pub struct Mount {
    at: PathBuf,
}

impl Mount {
    /// A file system of 64 KiB without a free byte.
    pub fn full(at: &Path) -> Result<Self> {
        let mount = Self::of("tmpfs", "size=64k", at)?;
        let mut filler = File::create(at.join("filler"))?;
        while filler.write_all(&[0; 512]).is_ok() {}
        Ok(mount)
    }

    /// An empty file system that is mounted read-only.
    pub fn read_only(at: &Path) -> Result<Self> {
        Self::of("tmpfs", "ro,size=64k", at)
    }

    /// A file system in which not even root may make a file.
    pub fn forbidding(at: &Path) -> Result<Self> {
        Self::of("sysfs", "nosuid", at)
    }

    /// An empty file system with room.
    pub fn roomy(at: &Path) -> Result<Self> {
        Self::of("tmpfs", "size=4m", at)
    }

    fn of(kind: &str, options: &str, at: &Path) -> Result<Self> {
        fs::create_dir_all(at).with_context(|| format!("cannot make {}", at.display()))?;
        run("mount", ["-t", kind, "-o", options, "none", &at.display().to_string()])?;
        Ok(Self { at: at.to_path_buf() })
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.at
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = run("umount", ["--lazy", &self.at.display().to_string()]);
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn each_refuses_in_its_own_way_and_is_gone_afterwards() {
        let scratch = Scratch::new().unwrap();
        let refusal = |mount: &Mount| fs::write(mount.path().join("new"), [7; 4096]).unwrap_err().kind();
        let [full, closed, forbidding] = ["full", "closed", "forbidding"].map(|name| scratch.join(name));
        let mounts = [
            (Mount::full(&full).unwrap(), ErrorKind::StorageFull),
            (Mount::read_only(&closed).unwrap(), ErrorKind::ReadOnlyFilesystem),
            (Mount::forbidding(&forbidding).unwrap(), ErrorKind::PermissionDenied),
        ];
        for (mount, wanted) in &mounts {
            assert_eq!(refusal(mount), *wanted, "{mount:?}");
        }
        drop(mounts);
        assert!(fs::write(forbidding.join("new"), "room").is_ok());
    }
}
