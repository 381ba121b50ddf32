//! Which files a strictly confined command may use, as Landlock rules.
//!
//! Rules belong to inodes, so they are made after the command's view of the file system was built.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError, Scope,
};

use super::public;

/// The newest one whose rights are used. Older kernels enforce what they know of it.
const NEWEST: ABI = ABI::V6;

/// Programs and libraries.
const SYSTEM: [&str; 7] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];
/// What programs ask about the machine and about themselves. Of other processes Landlock hides what matters.
const FACTS: [&str; 2] = ["/proc", "/sys/devices/system/cpu"];
const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// What may be used, and what may be reached.
#[derive(Default)]
pub(super) struct Rules {
    /// May be read and executed.
    pub(super) reads: Vec<PathBuf>,
    /// May be written as well.
    pub(super) writes: Vec<PathBuf>,
    /// TCP may be used.
    pub(super) tcp: bool,
    /// Processes outside may be signalled.
    pub(super) signals: bool,
}

/// What this kernel can enforce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Abilities {
    /// Rules about files.
    pub(super) files: bool,
    /// Rules about TCP (Linux 6.7).
    pub(super) tcp: bool,
    /// Scopes of signals and abstract sockets (Linux 6.12).
    pub(super) scopes: bool,
}

impl Abilities {
    pub(super) fn of_this_kernel() -> Self {
        let hard = || Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
        Self {
            files: hard().handle_access(AccessFs::from_all(ABI::V1)).is_ok(),
            tcp: hard().handle_access(AccessNet::from_all(ABI::V4)).is_ok(),
            scopes: hard().scope(Scope::Signal | Scope::AbstractUnixSocket).is_ok(),
        }
    }
}

impl Rules {
    /// The rules as the kernel takes them.
    pub(super) fn build(&self) -> Result<RulesetCreated, RulesetError> {
        let mut ruleset = Ruleset::default().handle_access(AccessFs::from_all(NEWEST))?;
        if !self.tcp {
            ruleset = ruleset.handle_access(AccessNet::from_all(NEWEST))?;
        }
        ruleset = ruleset.scope(Scope::AbstractUnixSocket)?;
        if !self.signals {
            ruleset = ruleset.scope(Scope::Signal)?;
        }
        let mut ruleset = ruleset.create()?;
        let read = AccessFs::from_read(NEWEST);
        let system = SYSTEM.iter().chain(&FACTS).map(PathBuf::from);
        for path in system.chain(self.reads.iter().cloned()) {
            ruleset = allow(ruleset, &path, read)?;
        }
        ruleset = allow(ruleset, Path::new("/etc"), AccessFs::ReadDir)?;
        for path in public::parts_of(Path::new("/etc")) {
            ruleset = allow(ruleset, &path, read)?;
        }
        for device in DEVICES {
            ruleset = allow(ruleset, Path::new(device), AccessFs::ReadFile | AccessFs::WriteFile)?;
        }
        let devices = AccessFs::MakeBlock | AccessFs::MakeChar;
        for path in &self.writes {
            ruleset = allow(ruleset, path, AccessFs::from_all(NEWEST) & !devices)?;
        }
        Ok(ruleset)
    }
}

/// Allows this below `path`, if it exists.
fn allow(
    ruleset: RulesetCreated,
    path: &Path,
    access: impl Into<BitFlags<AccessFs>>,
) -> Result<RulesetCreated, RulesetError> {
    let Ok(parent) = PathFd::new(path) else { return Ok(ruleset) };
    let access = access.into();
    let access = if path.is_dir() { access } else { access & AccessFs::from_file(NEWEST) };
    ruleset.add_rule(PathBeneath::new(parent, access))
}
