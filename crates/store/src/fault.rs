//! A seam before every disk-changing system call.
//!
//! Tests use it to stop the commit at each step, to make a step fail with an error of their choice, and to
//! look at the disk between two steps.

use std::path::Path;

use rustix::io::Errno;

/// A disk-changing system call that is about to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// `mkdirat`.
    MakeDirectory,
    /// `openat` with `O_CREAT | O_EXCL`.
    Create,
    /// `fchown`.
    Chown,
    /// `fchmod`.
    Chmod,
    /// `write`.
    Write,
    /// `fsync` of a file.
    SyncFile,
    /// `fsync` of a directory.
    SyncDirectory,
    /// `renameat`.
    Rename,
    /// `unlinkat`.
    Remove,
}

/// Called before each [`Deed`].
pub trait Faults: Send + Sync {
    /// Lets the call happen, or makes it fail with the error. May panic: nothing is cleaned up then, as if the
    /// process had been killed at this point.
    fn before(&self, deed: Deed, path: &Path) -> Result<(), Errno>;
}

/// Lets everything happen.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFaults;

impl Faults for NoFaults {
    fn before(&self, _: Deed, _: &Path) -> Result<(), Errno> {
        Ok(())
    }
}
