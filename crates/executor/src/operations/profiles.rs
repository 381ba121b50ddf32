//! Under which profile a program runs: its settings, the files of the entries it runs for, and everything that is
//! kept from it.
//!
//! A strictly confined command is allowed what is listed, so secrets have to be hidden from it only where something
//! listed leads to them, which the sandbox finds out. `pct` and `qm` bear no such list; from them whole target roots are hidden, as far as the
//! system itself does not live there.

use std::path::{Path, PathBuf};

use phoenix_core::manifest::Entry;
use phoenix_core::name::AbsolutePath;
use phoenix_core::settings::{Confined, IssuerKind, Opened, PasswordSource, ProvisionerSettings, Settings};
use phoenix_sandbox::{Guest, Limits, Network, Profile, Strict};
use phoenix_store::Store;

use crate::authority::InForce;

/// Where systemd puts the credentials of its services (systemd.exec(5)).
const CREDENTIALS: &str = "/run/credentials";
/// What `pct` and `qm` live in. A target root here is not hidden as a whole, only the keys in it.
const SYSTEM: [&str; 12] = [
    "/bin", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr", "/var/lib",
];

/// Makes the profiles of the programs that are run for some entries.
pub(super) struct Profiles<'a> {
    settings: &'a Settings,
    entries: &'a [&'a Entry],
    in_force: &'a InForce,
    store: &'a Store,
}

impl<'a> Profiles<'a> {
    /// For commands of these entries, which see their files and no others.
    pub(super) fn new(
        settings: &'a Settings,
        in_force: &'a InForce,
        store: &'a Store,
        entries: &'a [&'a Entry],
    ) -> Self {
        Self { settings, entries, in_force, store }
    }

    /// The profile of a program. One that the configuration does not know is confined like any other.
    pub(super) fn of(&self, program: &str) -> Profile {
        match self.settings.executor.program(program).map(|known| &known.confined) {
            Some(Confined::Plain) => Profile::Plain,
            Some(Confined::Guest { reads, writes }) => Profile::Guest(self.guest(reads, writes)),
            Some(Confined::Strict(opened)) => Profile::Strict(self.strict(opened)),
            None => Profile::Strict(self.strict(&Opened::default())),
        }
    }

    fn guest(&self, reads: &[AbsolutePath], writes: &[AbsolutePath]) -> Guest {
        let roots = || {
            let roots = self.settings.executor.target_roots.iter();
            roots.map(AbsolutePath::as_path).filter(|root| !holds_the_system(root))
        };
        let apart = |path: &PathBuf| !roots().any(|root| path.starts_with(root));
        let mut hidden = self.private();
        hidden.push(CREDENTIALS.into());
        hidden.extend(roots().map(Path::to_path_buf));
        hidden.extend(self.secrets().filter(apart));
        Guest { hidden, reads: self.reads(reads, writes), writes: paths(writes).collect() }
    }

    fn strict(&self, opened: &Opened) -> Strict {
        let opens_files = !opened.reads.is_empty() || !opened.writes.is_empty();
        let limits = Limits::default();
        Strict {
            reads: self.reads(&opened.reads, &opened.writes),
            writes: paths(&opened.writes).collect(),
            sockets: paths(&opened.sockets).collect(),
            hidden: self.private(),
            secrets: self.secrets().filter(|_| opens_files).map(|path| self.store.real_path(&path)).collect(),
            network: if opened.network { Network::Host } else { Network::None },
            signals: opened.signals,
            limits: Limits {
                memory: opened.memory.map_or(limits.memory, |mebibytes| u64::from(mebibytes) << 20),
                ..limits
            },
        }
    }

    /// The executor's own: its state, and the way to it.
    fn private(&self) -> Vec<PathBuf> {
        let executor = &self.settings.executor;
        paths([&executor.state_dir, &executor.socket]).collect()
    }

    /// Passwords of provisioners, and the keys of entries that the command does not run for.
    fn secrets(&self) -> impl Iterator<Item = PathBuf> {
        let own: Vec<_> = self.entries.iter().map(|entry| &entry.key_path).collect();
        let keys = self.in_force.entries().iter().map(|known| &known.entry.key_path);
        let keys = keys.filter(move |path| !own.contains(path));
        paths(password_files(self.settings).chain(keys))
    }

    /// What may be read: what was opened, and the entries' own files, unless a directory around them may be written
    /// anyway.
    fn reads(&self, opened: &[AbsolutePath], writes: &[AbsolutePath]) -> Vec<PathBuf> {
        let writable = |path: &PathBuf| writes.iter().any(|open| path.starts_with(open.as_path()));
        self.own_files().filter(|path| !writable(path)).chain(paths(opened)).collect()
    }

    /// Certificates and keys of the entries.
    fn own_files(&self) -> impl Iterator<Item = PathBuf> {
        self.entries.iter().flat_map(|entry| {
            let always = [Some(&entry.cert_path), Some(&entry.key_path)];
            paths(always.into_iter().chain([entry.chain_path.as_ref(), entry.ca_path.as_ref()]).flatten())
        })
    }
}

fn paths<'p>(paths: impl IntoIterator<Item = &'p AbsolutePath>) -> impl Iterator<Item = PathBuf> {
    paths.into_iter().map(|path| path.as_path().to_path_buf())
}

fn holds_the_system(root: &Path) -> bool {
    SYSTEM.iter().any(|path| root.starts_with(path) || Path::new(path).starts_with(root))
}

fn password_files(settings: &Settings) -> impl Iterator<Item = &AbsolutePath> {
    settings
        .issuers
        .iter()
        .filter_map(|issuer| match &issuer.kind {
            IssuerKind::StepCa(kind) => Some([Some(&kind.provisioner), kind.client_provisioner.as_ref()]),
            IssuerKind::Acme(_) => None,
        })
        .flatten()
        .flatten()
        .filter_map(|provisioner: &ProvisionerSettings| match &provisioner.password {
            Some(PasswordSource::File(path)) => Some(path),
            _ => None,
        })
}
