//! Where control groups of commands can be made: cgroups(7), and `Delegate=` in systemd.resource-control(5).

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::fs::getxattr;

const ROOT: &str = "/sys/fs/cgroup";
/// The group that this process moves into, so that the one above it has no processes and can hand down controllers.
const OWN: &str = "main";
/// What commands are to be limited by.
const CONTROLLERS: [&str; 2] = ["pids", "memory"];

/// Makes room for control groups of commands: where the own group is one that systemd has delegated, this process
/// moves with all its threads into a group below it, and lets that group's neighbours be limited. False when nothing
/// is delegated. To be called once, before commands are run.
///
/// # Errors
/// Why the process could not move. It is where it was, and commands have no groups then.
pub fn make_room_for_groups() -> io::Result<bool> {
    let own = fs::read_to_string("/proc/self/cgroup")?;
    match unified(&own).map(|path| Path::new(ROOT).join(path)).filter(|here| is_delegated(here)) {
        Some(here) => make_room_in(&here).map(|()| true),
        None => Ok(false),
    }
}

fn make_room_in(here: &Path) -> io::Result<()> {
    let own = here.join(OWN);
    DirBuilder::new().recursive(true).create(&own)?;
    write_existing(&own.join("cgroup.procs"), "0")?;
    for controller in CONTROLLERS {
        // The machine may not have it, and which limits are in force is told of every command.
        let _: io::Result<()> =
            write_existing(&here.join("cgroup.subtree_control"), &format!("+{controller}"));
    }
    Ok(())
}

/// Writes to a file of a control group. Never makes one: a file system that is no control group has no limits.
pub(super) fn write_existing(file: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new().write(true).open(file)?.write_all(text.as_bytes())
}

/// Directories in which this process may make groups.
pub(super) fn of_this_process() -> Vec<PathBuf> {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    places(Path::new(ROOT), &own, is_delegated)
}

/// Of version 2 the own group, where it hands down limits, and the one above it, where that was delegated; of version 1
/// the own one of the `pids` hierarchy. `own` is the content of `/proc/self/cgroup`.
fn places(root: &Path, own: &str, is_delegated: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
    let first = own.lines().filter_map(|line| {
        let (controllers, path) = fields(line)?;
        controllers.split(',').any(|one| one == "pids").then(|| root.join("pids").join(path))
    });
    let mut places: Vec<_> = first.collect();
    if let Some(here) = unified(own).map(|path| root.join(path)) {
        let above = here.parent().filter(|above| *above != root && is_delegated(above)).map(Path::to_owned);
        places.extend(Some(here).filter(|here| hands_down(here)).into_iter().chain(above));
    }
    places
}

/// Controllers and path of a line of `/proc/self/cgroup`. Version 2 names no controllers.
fn fields(line: &str) -> Option<(&str, &str)> {
    let mut fields = line.splitn(3, ':').skip(1);
    Some((fields.next()?, fields.next()?.trim_start_matches('/')))
}

/// The own group of version 2.
fn unified(own: &str) -> Option<&str> {
    own.lines().filter_map(fields).find(|(controllers, _)| controllers.is_empty()).map(|(_, path)| path)
}

/// A version 2 group whose children have limits.
fn hands_down(place: &Path) -> bool {
    let controllers = fs::read_to_string(place.join("cgroup.subtree_control")).unwrap_or_default();
    controllers.split_whitespace().any(|one| CONTROLLERS.contains(&one))
}

/// As systemd marks a group that is ours to change.
fn is_delegated(place: &Path) -> bool {
    let mut value = [0; 8];
    ["trusted.delegate", "user.delegate"].iter().any(|name| {
        getxattr(place, *name, &mut value).is_ok_and(|length| value.starts_with(b"1") && length == 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_made_where_they_have_limits_or_where_systemd_has_delegated() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        for (group, controllers) in
            [("a/main", ""), ("a", "cpu pids"), ("b", "pids"), ("c", "cpu"), ("d/main", "")]
        {
            fs::create_dir_all(path(group)).unwrap();
            fs::write(path(group).join("cgroup.subtree_control"), controllers).unwrap();
        }
        let cases: [(&str, &[&str]); 7] = [
            ("0::/b", &["b"]),
            ("0::/c", &[]),
            ("0::/a/main", &[]),
            ("0::/d/main", &["d"]),
            ("8:pids:/x/y\n4:memory:/z\n0::/c", &["pids/x/y"]),
            ("3:cpu,pids:/", &["pids"]),
            ("nonsense\n\n1:2", &[]),
        ];
        for (own, expected) in cases {
            let expected: Vec<_> = expected.iter().map(|name| path(name)).collect();
            assert_eq!(places(root.path(), own, |place| place.ends_with("d")), expected, "{own}");
        }
    }

    #[test]
    fn what_is_no_control_group_gets_no_files() {
        let dir = tempfile::tempdir().unwrap();
        assert!(make_room_in(dir.path()).is_err());
        assert!(!dir.path().join("main/cgroup.procs").exists());
    }
}
