//! Control groups of a command, where this process may make any: version 2 below a directory that was delegated
//! to it, or version 1.
//!
//! Of version 1 only the `pids` controller is used; its `memory` controller cannot be handed out safely.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process;

use rustix::fs::{AtFlags, Mode, OFlags, getxattr, open, unlinkat};

use crate::measure::Measure;
use crate::profile::Limits;

const ROOT: &str = "/sys/fs/cgroup";
const PREFIX: &str = "phoenix-command-";

/// A control group that vanishes when this is dropped, if nobody is left in it.
pub(super) struct Group {
    parent: OwnedFd,
    name: String,
    /// Writing `0` into it moves the writer into the group.
    pub(super) entrance: Option<File>,
    /// What it enforces.
    pub(super) measures: Vec<Measure>,
}

impl Group {
    /// The best group that can be had.
    pub(super) fn new(limits: &Limits) -> Option<Self> {
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        places(Path::new(ROOT), &own).iter().find_map(|place| Self::below(place, limits).ok())
    }

    fn below(place: &Path, limits: &Limits) -> io::Result<Self> {
        remove_abandoned(place);
        let name = format!("{PREFIX}{}", process::id());
        let path = place.join(&name);
        fs::create_dir(&path)?;
        // Kept from before the mounts become read-only: through it the group is removed in the end.
        let parent = open(place, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let parent = parent.inspect_err(|_| drop(fs::remove_dir(&path)))?;
        let mut group = Self { parent, name, entrance: None, measures: Vec::new() };
        let wanted = [
            ("pids.max", limits.processes, Measure::ProcessLimit),
            ("memory.max", limits.memory, Measure::MemoryLimit),
        ];
        for (file, value, measure) in wanted {
            if set(&path.join(file), value).is_ok() {
                group.measures.push(measure);
            }
        }
        if group.measures.is_empty() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        group.entrance = Some(OpenOptions::new().write(true).open(path.join("cgroup.procs"))?);
        Ok(group)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Fails while somebody is left, who could not be killed; the group is removed by a later command then.
        let _: rustix::io::Result<()> = unlinkat(&self.parent, self.name.as_str(), AtFlags::REMOVEDIR);
    }
}

fn set(file: &Path, value: u64) -> io::Result<()> {
    // Never created: a file system that is no control group has no limits.
    OpenOptions::new().write(true).open(file)?.write_all(value.to_string().as_bytes())
}

/// Directories in which a group may be made: of version 2 the own one and, if it was delegated, the one above;
/// of version 1 the own one of the `pids` hierarchy. `own` is the content of `/proc/self/cgroup`: cgroups(7).
fn places(root: &Path, own: &str) -> Vec<PathBuf> {
    let mut places = Vec::new();
    for line in own.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let path = path.trim_start_matches('/');
        if controllers.split(',').any(|one| one == "pids") {
            places.push(root.join("pids").join(path));
        } else if controllers.is_empty() {
            let here = root.join(path);
            let above =
                here.parent().filter(|above| *above != root && is_delegated(above)).map(Path::to_owned);
            places.extend([Some(here), above].into_iter().flatten().filter(|place| hands_down(place)));
        }
    }
    places
}

/// A version 2 group whose children have limits.
fn hands_down(place: &Path) -> bool {
    let controllers = fs::read_to_string(place.join("cgroup.subtree_control")).unwrap_or_default();
    controllers.split_whitespace().any(|one| one == "pids" || one == "memory")
}

/// As systemd marks a group that is ours to change: `Delegate=` in systemd.resource-control(5).
fn is_delegated(place: &Path) -> bool {
    let mut value = [0; 8];
    ["trusted.delegate", "user.delegate"].iter().any(|name| {
        getxattr(place, *name, &mut value).is_ok_and(|length| value.starts_with(b"1") && length == 1)
    })
}

/// Removes groups of supervisors that were killed.
fn remove_abandoned(place: &Path) {
    let names = fs::read_dir(place).into_iter().flatten().flatten().map(|entry| entry.file_name());
    for name in names {
        let id = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        if id.is_some_and(|id| !Path::new("/proc").join(id).exists()) {
            // Somebody else may have been faster.
            let _: io::Result<()> = fs::remove_dir(place.join(name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_made_where_their_limits_are_in_force() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        for (group, controllers) in [("a/main", ""), ("a", "cpu pids"), ("b", "pids"), ("c", "cpu")] {
            fs::create_dir_all(path(group)).unwrap();
            fs::write(path(group).join("cgroup.subtree_control"), controllers).unwrap();
        }
        let cases: [(&str, &[&str]); 6] = [
            ("0::/b", &["b"]),
            ("0::/c", &[]),
            ("0::/a/main", &[]),
            ("8:pids:/x/y\n4:memory:/z\n0::/c", &["pids/x/y"]),
            ("3:cpu,pids:/", &["pids"]),
            ("nonsense\n\n1:2", &[]),
        ];
        for (own, expected) in cases {
            let expected: Vec<_> = expected.iter().map(|name| path(name)).collect();
            assert_eq!(places(root.path(), own), expected, "{own}");
        }
    }

    #[test]
    fn a_directory_without_limits_is_no_group_and_stays_empty() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Group::below(dir.path(), &Limits::default()).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
