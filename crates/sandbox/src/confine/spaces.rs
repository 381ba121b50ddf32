//! Name spaces of a command. Its supervisor enters them before it starts the command, so everything in here is
//! ordinary code, and the supervisor keeps its rights in them.

use std::{fs, io};

use rustix::process::{DumpableBehavior, getegid, geteuid, set_dumpable_behavior};
use rustix::thread::{CapabilitySet, UnshareFlags};

use super::{privileges, view};
use crate::system;

/// Enters new name spaces of these kinds, a mount name space among them. Who may not is given a user name space
/// first, if `as_user` allows it.
///
/// # Errors
/// Why not, in words. What the command sees is unchanged then.
pub(super) fn enter(kinds: UnshareFlags, as_user: bool) -> Result<(), String> {
    if privileges::has(CapabilitySet::SYS_ADMIN) {
        system::unshare(kinds).map_err(|error| format!("no name spaces: {error}"))?;
    } else if as_user {
        enter_as_user(kinds)?;
    } else {
        return Err("needs root".to_owned());
    }
    view::detach().map_err(|error| format!("nothing can be mounted: {error}"))
}

fn enter_as_user(kinds: UnshareFlags) -> Result<(), String> {
    if user_name_spaces_are_powerless() {
        return Err("user name spaces of normal users are restricted on this machine".to_owned());
    }
    let (user, group) = (geteuid(), getegid());
    system::unshare(kinds | UnshareFlags::NEWUSER).map_err(|error| format!("no user name space: {error}"))?;
    let map = |id: u32| format!("{id} {id} 1");
    write_maps(&map(user.as_raw()), &map(group.as_raw()))
        .map_err(|error| format!("no user of its own in its user name space: {error}"))
}

/// True where entering one succeeds and then everything in it is refused, which could not be undone
/// (AppArmor of Ubuntu 24.04 and later).
fn user_name_spaces_are_powerless() -> bool {
    let switch = fs::read_to_string("/proc/sys/kernel/apparmor_restrict_unprivileged_userns");
    switch.is_ok_and(|value| value.trim() == "1")
}

/// Maps its own user and group to themselves: user_namespaces(7).
fn write_maps(user: &str, group: &str) -> io::Result<()> {
    // The files belong to root while this process may not be dumped.
    set_dumpable_behavior(DumpableBehavior::Dumpable)?;
    let written = fs::write("/proc/self/setgroups", "deny")
        .and_then(|()| fs::write("/proc/self/uid_map", user))
        .and_then(|()| fs::write("/proc/self/gid_map", group));
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    written
}
