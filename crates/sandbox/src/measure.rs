//! What confines a command, measure by measure, and what of it is in force.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One way in which a command is confined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// Set-user-id programs and file capabilities give it nothing (`PR_SET_NO_NEW_PRIVS`).
    NoNewPrivileges,
    /// It mounts and unmounts nothing (seccomp(2)); among the refused system calls of the stricter profiles.
    NoMounts,
    /// Its capability bounding set is cut down; ambient and inheritable sets are empty (capabilities(7)).
    Capabilities,
    /// System calls that no command needs are refused (seccomp(2)).
    SystemCalls,
    /// Only the socket address families that it needs can be used.
    SocketFamilies,
    /// It reads and writes the files of a list and no others (landlock(7)).
    FileRules,
    /// No TCP connection goes out, no TCP port is opened (landlock(7)).
    TcpRules,
    /// No process outside is reached through an abstract unix socket (landlock(7)).
    AbstractSockets,
    /// No process outside gets a signal of it (landlock(7)).
    Signals,
    /// The file system is read-only, but for what is named.
    ReadOnlySystem,
    /// Temporary directories of its own, which vanish with it.
    PrivateTmp,
    /// A device directory with harmless devices only.
    PrivateDevices,
    /// Directories with keys and state are replaced by empty ones.
    HiddenPaths,
    /// Its own System V shared memory, semaphores and message queues.
    PrivateIpc,
    /// A network of its own, without any interface that is up.
    PrivateNetwork,
    /// Its own host name and its own view of control groups.
    PrivateNames,
    /// Limits of processor time, address space, descriptors and file size per process; no core files.
    ResourceLimits,
    /// A control group of its own, by which all its processes are killed at once in the end (cgroups(7)).
    ControlGroup,
    /// A limit of processes and threads for the whole command.
    ProcessLimit,
    /// A limit of memory for the whole command.
    MemoryLimit,
}

impl Measure {
    /// Its stable name, as in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoNewPrivileges => "no-new-privileges",
            Self::NoMounts => "no-mounts",
            Self::Capabilities => "capabilities",
            Self::SystemCalls => "system-calls",
            Self::SocketFamilies => "socket-families",
            Self::FileRules => "file-rules",
            Self::TcpRules => "tcp-rules",
            Self::AbstractSockets => "abstract-sockets",
            Self::Signals => "signals",
            Self::ReadOnlySystem => "read-only-system",
            Self::PrivateTmp => "private-tmp",
            Self::PrivateDevices => "private-devices",
            Self::HiddenPaths => "hidden-paths",
            Self::PrivateIpc => "private-ipc",
            Self::PrivateNetwork => "private-network",
            Self::PrivateNames => "private-names",
            Self::ResourceLimits => "resource-limits",
            Self::ControlGroup => "control-group",
            Self::ProcessLimit => "process-limit",
            Self::MemoryLimit => "memory-limit",
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A measure of the profile that this machine, or this user, does not allow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// The measure.
    pub measure: Measure,
    /// Why it is not in force, in words.
    pub why: String,
}

/// What confined a command.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    /// Name of the profile. Empty for a command that never came so far.
    pub profile: String,
    /// Measures in force while it ran.
    pub in_force: Vec<Measure>,
    /// Measures of the profile that were not.
    pub missing: Vec<Missing>,
}

impl Confinement {
    /// True when this measure was in force.
    pub fn has(&self, measure: Measure) -> bool {
        self.in_force.contains(&measure)
    }

    pub(crate) fn gained(&mut self, measures: &[Measure]) {
        self.in_force.extend_from_slice(measures);
    }

    pub(crate) fn lacks(&mut self, measures: &[Measure], why: &str) {
        self.missing.extend(measures.iter().map(|&measure| Missing { measure, why: why.to_owned() }));
    }

    /// In the order of [`Measure`], so that equal confinements are equal values.
    pub(crate) fn sorted(mut self) -> Self {
        self.in_force.sort_unstable();
        self.missing.sort_by_key(|missing| missing.measure);
        self
    }
}

/// `strict: a, b; missing: c (why)`.
impl fmt::Display for Confinement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.in_force.iter().map(|measure| measure.name()).collect();
        write!(f, "{}: {}", self.profile, names.join(", "))?;
        if !self.missing.is_empty() {
            let missing: Vec<_> =
                self.missing.iter().map(|one| format!("{} ({})", one.measure, one.why)).collect();
            write!(f, "; missing: {}", missing.join(", "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_measure_is_its_name_in_json() {
        for measure in [Measure::NoNewPrivileges, Measure::TcpRules, Measure::PrivateNames] {
            assert_eq!(serde_json::to_value(measure).unwrap(), measure.name());
        }
    }

    #[test]
    fn a_confinement_is_told_in_one_line_with_what_is_missing() {
        let mut confinement = Confinement { profile: "strict".into(), ..Confinement::default() };
        confinement.gained(&[Measure::SystemCalls, Measure::NoNewPrivileges]);
        confinement.lacks(&[Measure::FileRules], "no Landlock");
        assert_eq!(
            confinement.sorted().to_string(),
            "strict: no-new-privileges, system-calls; missing: file-rules (no Landlock)"
        );
    }
}
