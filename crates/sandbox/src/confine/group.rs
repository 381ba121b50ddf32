//! The control group of a command: limits for all its processes together, where the machine has the controllers, and
//! one stroke that ends them all.
//!
//! Of version 1 only the `pids` controller is used; its `memory` controller cannot be handed out safely, and it ends
//! nobody.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};
use std::{process, thread};

use rustix::fs::{AtFlags, Mode, OFlags, open, unlinkat};
use rustix::io::Errno;

use super::places::{self, write_existing};
use crate::measure::Measure;
use crate::profile::Limits;

const PREFIX: &str = "phoenix-command-";
/// How long those who were killed may take to be gone, and the pause between two looks.
const PATIENCE: Duration = Duration::from_secs(1);
/// The same for those whom nobody has asked to be ended.
const MOMENT: Duration = Duration::from_millis(200);
const PAUSE: Duration = Duration::from_millis(2);

/// A control group that is ended and removed when this is dropped.
pub(super) struct Group {
    parent: OwnedFd,
    name: String,
    /// Writing `0` into it moves the writer into the group.
    pub(super) entrance: Option<File>,
    /// Writing `1` into it kills everybody in the group.
    end: Option<File>,
    /// What it enforces.
    pub(super) measures: Vec<Measure>,
}

impl Group {
    /// The best group that can be had, without limits if none are given.
    pub(super) fn new(limits: Option<&Limits>) -> Option<Self> {
        places::of_this_process().iter().find_map(|place| Self::below(place, limits).ok())
    }

    fn below(place: &Path, limits: Option<&Limits>) -> io::Result<Self> {
        remove_abandoned(place);
        let name = name_for(process::id());
        let path = place.join(&name);
        fs::create_dir(&path)?;
        // Kept from before the mounts become read-only: through it the group is removed in the end.
        let parent = open(place, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let parent = parent.inspect_err(|_| drop(fs::remove_dir(&path)))?;
        let mut group = Self { parent, name, entrance: None, end: None, measures: Vec::new() };
        group.end = writable(&path.join("cgroup.kill")).ok();
        group.measures.extend(group.end.as_ref().map(|_| Measure::ControlGroup));
        if let Some(limits) = limits {
            group.limit(&path, limits);
        }
        if group.measures.is_empty() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        group.entrance = Some(writable(&path.join("cgroup.procs"))?);
        Ok(group)
    }

    fn limit(&mut self, path: &Path, limits: &Limits) {
        let wanted = [
            ("pids.max", limits.processes, Measure::ProcessLimit),
            ("memory.max", limits.memory, Measure::MemoryLimit),
        ];
        for (file, value, measure) in wanted {
            if write_existing(&path.join(file), &value.to_string()).is_ok() {
                self.measures.push(measure);
            }
        }
        // Half a command is no use. Without it the kernel chooses one of the processes.
        let _: io::Result<()> = write_existing(&path.join("memory.oom.group"), "1");
    }

    /// Kills everybody in the group at once, however fast they fork.
    pub(super) fn end(&self) {
        if let Some(mut end) = self.end.as_ref() {
            // Fails only for a group that is gone.
            let _: io::Result<()> = end.write_all(b"1");
        }
    }

    fn remove(&self) -> rustix::io::Result<()> {
        unlinkat(&self.parent, self.name.as_str(), AtFlags::REMOVEDIR)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.remove() != Err(Errno::BUSY) {
            return;
        }
        self.end();
        // Whoever cannot be killed keeps the group, which a later command removes.
        let _: bool = soon(PATIENCE, || self.remove() != Err(Errno::BUSY));
    }
}

/// Ends what the supervisor with this process id has left behind, if it had a group.
pub(crate) fn end_of(supervisor: u32) {
    for place in places::of_this_process() {
        clear(&place.join(name_for(supervisor)));
    }
}

/// Ends the groups of supervisors that were killed. Waits a moment for all of them together: who cannot be killed, since
/// his storage hangs, would delay every command after him.
fn remove_abandoned(place: &Path) {
    let names = fs::read_dir(place).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let is_abandoned = |name: &OsString| {
        let id = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        id.is_some_and(|id| !Path::new("/proc").join(id).exists())
    };
    let mut left: Vec<_> = names.filter(is_abandoned).map(|name| place.join(name)).collect();
    // Not there in version 1, of which only an empty group goes.
    left.retain(|path| {
        write_existing(&path.join("cgroup.kill"), "1").is_ok() || fs::remove_dir(path).is_err()
    });
    let _: bool = soon(MOMENT, || {
        left.retain(|path| fs::remove_dir(path).is_err() && path.exists());
        left.is_empty()
    });
}

/// Ends a group that is no longer looked after. Somebody else may be faster, and of version 1 only an empty one goes.
fn clear(path: &Path) {
    if path.is_dir() && write_existing(&path.join("cgroup.kill"), "1").is_ok() {
        let _: bool = soon(PATIENCE, || fs::remove_dir(path).is_ok() || !path.exists());
    } else {
        let _: io::Result<()> = fs::remove_dir(path);
    }
}

/// True once it is so; false when that takes too long.
fn soon(patience: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    while !is_so() {
        if started.elapsed() >= patience {
            return false;
        }
        thread::sleep(PAUSE);
    }
    true
}

fn writable(file: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).open(file)
}

fn name_for(supervisor: u32) -> String {
    format!("{PREFIX}{supervisor}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_without_limits_is_no_group_and_stays_empty() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Group::below(dir.path(), Some(&Limits::default())).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
