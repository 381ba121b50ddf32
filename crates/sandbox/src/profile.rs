//! How far a command is confined: chosen by the caller, by program.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::measure::Measure;

/// The confinement of one command.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// What every command gets: a session of its own, no inherited descriptors, `no_new_privs`, no mounts.
    #[default]
    Plain,
    /// For `pct` and `qm`: as much as entering a guest bears. It must see the host's processes, network and
    /// `/run`, and no Landlock domain is possible.
    Guest(Guest),
    /// For any other program.
    Strict(Strict),
}

/// Settings of [`Profile::Guest`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guest {
    /// Directories and files with secrets, which are replaced by empty ones.
    pub hidden: Vec<PathBuf>,
    /// Files and directories that stay visible in the former, read-only.
    pub reads: Vec<PathBuf>,
    /// Directories and files that it may write, beyond those that `pct` and `qm` are known to need.
    pub writes: Vec<PathBuf>,
}

/// Settings of [`Profile::Strict`]. Without any the command reads the programs and libraries of the system and
/// what everyone may read of `/etc`, writes to temporary directories of its own, and reaches nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Strict {
    /// Further files and directory trees that it may read and execute.
    pub reads: Vec<PathBuf>,
    /// Files and directory trees that it may also write.
    pub writes: Vec<PathBuf>,
    /// Unix sockets below `/run` that it may connect to.
    pub sockets: Vec<PathBuf>,
    /// Directories and files with secrets, which are replaced by empty ones even where the rules about files do
    /// not hide them already. What is named above stays visible in them.
    pub hidden: Vec<PathBuf>,
    /// Files that are replaced by empty ones wherever what is named above leads to them, by links and other mounts too,
    /// even where one is named itself.
    pub secrets: Vec<PathBuf>,
    /// Which network it sees.
    pub network: Network,
    /// Whether it may send signals to processes outside, as `nginx -s reload` does.
    pub signals: bool,
    /// Bounds on what it uses.
    pub limits: Limits,
}

/// Which network a command sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// None.
    #[default]
    None,
    /// That of the host: IPv4, IPv6 and netlink sockets, no raw ones.
    Host,
}

/// Bounds on what one command uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Processes and threads together.
    pub processes: u64,
    /// Bytes of address space of each process, and of memory of all together.
    pub memory: u64,
    /// Bytes of one file that it writes.
    pub file_size: u64,
    /// Bytes of all its temporary files together.
    pub scratch: u64,
    /// Open descriptors of each process.
    pub open_files: u64,
    /// Processor time of each process.
    pub processor: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: u64 = 1 << 20;
        Self {
            processes: 128,
            memory: 2048 * MIB,
            file_size: 256 * MIB,
            scratch: 64 * MIB,
            open_files: 256,
            processor: Duration::from_secs(600),
        }
    }
}

impl Strict {
    /// Adds something that may be read.
    pub fn read(mut self, path: impl Into<PathBuf>) -> Self {
        self.reads.push(path.into());
        self
    }

    /// Adds something that may be written.
    pub fn write(mut self, path: impl Into<PathBuf>) -> Self {
        self.writes.push(path.into());
        self
    }

    /// Adds a file that nothing leads to.
    pub fn secret(mut self, path: impl Into<PathBuf>) -> Self {
        self.secrets.push(path.into());
        self
    }

    /// Adds something that is replaced by an empty directory or file.
    pub fn hide(mut self, path: impl Into<PathBuf>) -> Self {
        self.hidden.push(path.into());
        self
    }
}

impl Profile {
    /// Its stable name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Guest(_) => "guest",
            Self::Strict(_) => "strict",
        }
    }

    /// The measures that it consists of, where machine and user allow all of them. What is in force for a
    /// command is told by [`crate::Finished::confinement`].
    pub fn measures(&self) -> Vec<Measure> {
        use Measure as M;
        let mut measures = vec![M::NoNewPrivileges];
        if matches!(self, Self::Plain) {
            measures.extend([M::NoMounts, M::ControlGroup]);
            return measures;
        }
        measures.extend([M::Capabilities, M::SystemCalls, M::SocketFamilies]);
        if let Self::Strict(strict) = self {
            measures.extend([M::FileRules, M::AbstractSockets]);
            measures.extend((!strict.signals).then_some(M::Signals));
            if strict.network == Network::None {
                measures.extend([M::TcpRules, M::PrivateNetwork]);
            }
        }
        measures.extend([M::ReadOnlySystem, M::PrivateTmp, M::PrivateDevices]);
        measures.extend(self.hidden().next().map(|_| M::HiddenPaths));
        measures.extend([M::PrivateIpc, M::PrivateNames, M::ResourceLimits]);
        measures.extend([M::ControlGroup, M::ProcessLimit, M::MemoryLimit]);
        measures.sort_unstable();
        measures
    }

    /// What is replaced by emptiness.
    fn hidden(&self) -> impl Iterator<Item = &PathBuf> {
        let (hidden, secrets): (&[_], &[_]) = match self {
            Self::Plain => (&[], &[]),
            Self::Guest(guest) => (&guest.hidden, &[]),
            Self::Strict(strict) => (&strict.hidden, &strict.secrets),
        };
        hidden.iter().chain(secrets)
    }

    /// Why it cannot be applied at all, in words.
    pub(crate) fn defect(&self) -> Option<String> {
        let named = match self {
            Self::Strict(strict) => vec![&strict.reads, &strict.writes, &strict.sockets],
            Self::Guest(guest) => vec![&guest.reads, &guest.writes],
            Self::Plain => vec![],
        };
        let unsound = |path: &&PathBuf| !path.is_absolute() || path.components().any(is_upwards);
        let paths = named.into_iter().flatten().chain(self.hidden());
        let root = self.hidden().find(|path| path.as_path() == Path::new("/"));
        paths
            .into_iter()
            .find(unsound)
            .or(root)
            .map(|path| format!("{} cannot be a path of a confinement profile", path.display()))
    }
}

fn is_upwards(component: Component<'_>) -> bool {
    component == Component::ParentDir
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_depend_on_what_is_opened() {
        let closed = Profile::Strict(Strict::default()).measures();
        let open = Strict { network: Network::Host, signals: true, ..Strict::default().hide("/x") };
        let open = Profile::Strict(open).measures();
        for measure in [Measure::TcpRules, Measure::PrivateNetwork, Measure::Signals] {
            assert!(closed.contains(&measure) && !open.contains(&measure), "{measure}");
        }
        assert!(open.contains(&Measure::HiddenPaths) && !closed.contains(&Measure::HiddenPaths));
        assert_eq!(
            Profile::Plain.measures(),
            [Measure::NoNewPrivileges, Measure::NoMounts, Measure::ControlGroup]
        );
        assert!(!Profile::Guest(Guest::default()).measures().contains(&Measure::FileRules));
    }

    #[test]
    fn paths_of_a_profile_are_absolute_and_go_downwards() {
        let refused = [
            Profile::Strict(Strict::default().read("etc")),
            Profile::Strict(Strict::default().write("/a/../b")),
            Profile::Strict(Strict::default().hide("/")),
            Profile::Guest(Guest { hidden: vec!["".into()], ..Guest::default() }),
        ];
        for profile in refused {
            assert!(profile.defect().is_some(), "{profile:?}");
        }
        assert_eq!(Profile::Strict(Strict::default().read("/").hide("/a/b")).defect(), None);
        assert_eq!(Profile::Plain.defect(), None);
    }
}
