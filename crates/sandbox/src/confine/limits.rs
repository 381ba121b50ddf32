//! Resource limits of each process of a command.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::profile::Limits;

/// Limits to be set, worked out before the fork.
pub(super) type Bounds = Vec<(Resource, Rlimit)>;

/// Limits of a strictly confined command.
pub(super) fn strict(limits: &Limits) -> Bounds {
    let mut bounds = guest(limits);
    bounds.push(bound(Resource::Fsize, limits.file_size));
    bounds
}

/// Limits that `pct` and `qm` bear: not of the file size, for `lxc-attach` executes itself from a memory file.
pub(super) fn guest(limits: &Limits) -> Bounds {
    vec![
        bound(Resource::Core, 0),
        bound(Resource::Cpu, limits.processor.as_secs().max(1)),
        bound(Resource::As, limits.memory),
        bound(Resource::Nofile, limits.open_files),
    ]
}

/// Never above what is allowed already.
pub(super) fn bound(resource: Resource, value: u64) -> (Resource, Rlimit) {
    let value = getrlimit(resource).maximum.map_or(value, |maximum| maximum.min(value));
    (resource, Rlimit { current: Some(value), maximum: Some(value) })
}

/// Sets them for this process. System calls only.
pub(super) fn set(bounds: &[(Resource, Rlimit)]) -> io::Result<()> {
    bounds.iter().try_for_each(|&(resource, limit)| Ok(setrlimit(resource, limit)?))
}
