//! Applying a profile.
//!
//! The supervisor serves one command only, so it may itself enter the command's name spaces and build its view
//! of the file system, before the fork and in ordinary code ([`prepare`]). What it must not do to itself, for it
//! has to end the command later on, the command's own process does between fork and exec ([`Bonds`]): system
//! calls only, on data that is ready.
//!
//! | module | what |
//! |---|---|
//! | `spaces` | entering name spaces |
//! | `view` | the file system as the command sees it |
//! | `reach` | by which paths a secret can be reached |
//! | `rules`, `public` | which files it may use (Landlock); what everyone may read of `/etc` |
//! | `calls` | which system calls it may make (seccomp) |
//! | `privileges` | capabilities |
//! | `limits`, `group` | limits per process, limits for all its processes together |
//! | `places` | where control groups can be made |
//!
//! A measure that this machine or this user does not allow is left out and told. One that was announced and
//! fails keeps the command from being started; so does, for root, the lack of rules about files in a strict
//! profile: nothing else keeps it from reading the keys.

mod bonds;
mod calls;
mod group;
mod limits;
mod places;
mod privileges;
mod public;
mod reach;
mod rules;
mod spaces;
mod view;

use std::io::{self, Error};
use std::path::{Path, PathBuf};

use rustix::process::{Resource, geteuid};
use rustix::thread::{CapabilitySet, UnshareFlags};

use self::bonds::Bonds;
pub(crate) use self::bonds::Failures;
use self::calls::Calls;
use self::group::Group;
pub(crate) use self::group::end_of;
pub use self::places::make_room_for_groups;
use self::reach::Mounts;
use self::rules::{Abilities, Rules};
use self::view::View;
use crate::measure::{Confinement, Measure};
use crate::profile::{Guest, Limits, Network, Profile, Strict};
use crate::spec::CommandSpec;

/// What a command's own directories for temporary files are mounted on.
const TEMPORARY: [&str; 2] = ["/tmp", "/var/tmp"];

/// Everything that is ready before the fork.
pub(crate) struct Prepared {
    /// What the command's process does to itself.
    pub(crate) bonds: Bonds,
    /// Which step of that failed.
    pub(crate) failures: Failures,
    /// What confines the command, if it starts.
    pub(crate) confinement: Confinement,
    /// What has to be there until the command ended.
    pub(crate) held: Held,
}

/// What has to be there as long as a process of the command is. Dropping it cleans up.
pub(crate) struct Held(Option<Group>);

impl Held {
    /// Kills all processes of the command at once, where it has a control group for that.
    pub(crate) fn end(&self) {
        if let Some(group) = &self.0 {
            group.end();
        }
    }
}

/// Does to this process what the profile wants done before the fork, and gets the rest ready.
///
/// # Errors
/// The profile cannot be applied, in words.
pub(crate) fn prepare(spec: &CommandSpec) -> io::Result<Prepared> {
    let (bonds, failures) = Bonds::none()?;
    let confinement = Confinement { profile: spec.profile.name().to_owned(), ..Confinement::default() };
    let mut prepared = Prepared { bonds, failures, confinement, held: Held(None) };
    prepared.confinement.gained(&[Measure::NoNewPrivileges]);
    match &spec.profile {
        Profile::Plain => {
            prepared.group(None);
            prepared.bonds.filter = calls::no_mounts()?;
            prepared.confinement.gained(&[Measure::NoMounts]);
        }
        Profile::Guest(guest) => prepared.guest(guest, Path::new(spec.program()))?,
        Profile::Strict(strict) => prepared.strict(strict, Path::new(spec.program()))?,
    }
    prepared.confinement = std::mem::take(&mut prepared.confinement).sorted();
    Ok(prepared)
}

impl Prepared {
    fn guest(&mut self, guest: &Guest, program: &Path) -> io::Result<()> {
        let limits = Limits::default();
        self.group(Some(&limits));
        let kinds =
            UnshareFlags::NEWNS | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS | UnshareFlags::NEWCGROUP;
        let measures = view_measures(&guest.hidden);
        match spaces::enter(kinds, false) {
            Ok(()) => {
                guest_view(guest, program, &limits)?.build()?;
                self.confinement.gained(&measures);
            }
            Err(why) => self.confinement.lacks(&measures, &why),
        }
        self.limits(limits::guest(&limits));
        self.capabilities(privileges::GUEST);
        self.calls(&Calls { name_spaces: true, network: Network::None })
    }

    fn strict(&mut self, strict: &Strict, program: &Path) -> io::Result<()> {
        self.group(Some(&strict.limits));
        let private = self.strict_view(strict, program)?;
        let mut bounds = limits::strict(&strict.limits);
        if !self.confinement.has(Measure::ProcessLimit) && private && !geteuid().is_root() {
            // Counted per user name space, so only the command's own processes count (Linux 5.14).
            bounds.push(limits::bound(Resource::Nproc, strict.limits.processes));
            self.confinement.gained(&[Measure::ProcessLimit]);
            self.confinement.missing.retain(|one| one.measure != Measure::ProcessLimit);
        }
        self.limits(bounds);
        self.capabilities(CapabilitySet::empty());
        self.rules(strict, program, private)?;
        self.calls(&Calls { name_spaces: false, network: strict.network })
    }

    /// True when the command has a view of its own.
    fn strict_view(&mut self, strict: &Strict, program: &Path) -> io::Result<bool> {
        let mut kinds =
            UnshareFlags::NEWNS | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS | UnshareFlags::NEWCGROUP;
        let mut measures = view_measures(&[&strict.hidden[..], &strict.secrets].concat());
        if strict.network == Network::None {
            kinds |= UnshareFlags::NEWNET;
            measures.push(Measure::PrivateNetwork);
        }
        if let Err(why) = spaces::enter(kinds, true) {
            self.confinement.lacks(&measures, &why);
            return Ok(false);
        }
        strict_view(strict, program)?.build()?;
        self.confinement.gained(&measures);
        Ok(true)
    }

    fn group(&mut self, limits: Option<&Limits>) {
        let mut group = Group::new(limits);
        let found = group.as_ref().map(|group| group.measures.clone()).unwrap_or_default();
        let wanted = [
            (Measure::ControlGroup, "no control group of version 2 can be made"),
            (Measure::ProcessLimit, "no control group with this limit can be made"),
            (Measure::MemoryLimit, "no control group with this limit can be made"),
        ];
        let count = if limits.is_some() { wanted.len() } else { 1 };
        for (measure, why) in wanted.into_iter().take(count) {
            if found.contains(&measure) {
                self.confinement.gained(&[measure]);
            } else {
                self.confinement.lacks(&[measure], why);
            }
        }
        self.bonds.group = group.as_mut().and_then(|group| group.entrance.take());
        self.held = Held(group);
    }

    fn limits(&mut self, bounds: limits::Bounds) {
        self.bonds.limits = bounds;
        self.confinement.gained(&[Measure::ResourceLimits]);
    }

    fn capabilities(&mut self, kept: CapabilitySet) {
        if privileges::has(CapabilitySet::SETPCAP) {
            self.bonds.capabilities = Some(kept);
            self.confinement.gained(&[Measure::Capabilities]);
        } else {
            self.confinement.lacks(&[Measure::Capabilities], "this process may not change its capabilities");
        }
    }

    fn rules(&mut self, strict: &Strict, program: &Path, private: bool) -> io::Result<()> {
        let abilities = Abilities::of_this_kernel();
        let mut wanted =
            vec![(Measure::FileRules, abilities.files), (Measure::AbstractSockets, abilities.scopes)];
        wanted.extend((!strict.signals).then_some((Measure::Signals, abilities.scopes)));
        wanted.extend((strict.network == Network::None).then_some((Measure::TcpRules, abilities.tcp)));
        for (measure, able) in wanted {
            if able {
                self.confinement.gained(&[measure]);
            } else {
                self.confinement.lacks(&[measure], "this kernel's Landlock does not offer it");
            }
        }
        if !abilities.files {
            return if geteuid().is_root() { Err(unprotected()) } else { Ok(()) };
        }
        let temporary = TEMPORARY.iter().chain(&["/dev/shm"]).filter(|_| private).map(PathBuf::from);
        let rules = Rules {
            reads: strict.reads.iter().cloned().chain([program.to_owned()]).collect(),
            writes: strict.writes.iter().cloned().chain(temporary).collect(),
            tcp: strict.network == Network::Host,
            signals: strict.signals,
        };
        let failed = |error| Error::other(format!("cannot make the rules about files: {error}"));
        self.bonds.rules = Some(rules.build().map_err(failed)?);
        Ok(())
    }

    fn calls(&mut self, calls: &Calls) -> io::Result<()> {
        self.bonds.filter = calls::filter(calls)?;
        self.confinement.gained(&[Measure::SystemCalls, Measure::SocketFamilies]);
        Ok(())
    }
}

/// Measures that name spaces and a view of its own are.
fn view_measures(hidden: &[PathBuf]) -> Vec<Measure> {
    use Measure as M;
    let mut measures =
        vec![M::ReadOnlySystem, M::PrivateTmp, M::PrivateDevices, M::PrivateIpc, M::PrivateNames];
    measures.extend((!hidden.is_empty()).then_some(M::HiddenPaths));
    measures
}

fn guest_view(guest: &Guest, program: &Path, limits: &Limits) -> io::Result<View> {
    let paths = |paths: &[&str]| paths.iter().map(PathBuf::from).collect::<Vec<_>>();
    // Locks and sockets of containers and machines, task logs, the cluster's files; `/proc`, where
    // `lxc-attach` sets security labels.
    let needed = paths(&["/run", "/proc", "/etc/pve", "/var/log/pve"]);
    Ok(View {
        private: paths(&TEMPORARY),
        hidden: paths(&["/root", "/home"]).into_iter().chain(guest.hidden.iter().cloned()).collect(),
        shown: guest.reads.iter().cloned().chain([program.to_owned()]).collect(),
        kept: needed.into_iter().chain(guest.writes.iter().cloned()).collect(),
        secret: other_mounts_of(&guest.hidden)?,
        sealed: paths(&["/proc/sys", "/proc/irq", "/proc/bus", "/proc/sysrq-trigger"]),
        // The cluster's library talks through files in shared memory.
        shared_devices: &["pts", "shm", "mqueue"],
        scratch: limits.scratch,
    })
}

fn strict_view(strict: &Strict, program: &Path) -> io::Result<View> {
    let covered = ["/run", "/root", "/home"].map(PathBuf::from);
    Ok(View {
        private: TEMPORARY.map(PathBuf::from).into(),
        hidden: covered.into_iter().chain(strict.hidden.iter().cloned()).collect(),
        shown: strict.reads.iter().cloned().chain([program.to_owned()]).collect(),
        kept: strict.writes.iter().chain(&strict.sockets).cloned().collect(),
        secret: secrets_within_reach(strict)?,
        sealed: Vec::new(),
        shared_devices: &["pts"],
        scratch: strict.limits.scratch,
    })
}

/// Where else that is shown, for a command that reads whatever it sees.
fn other_mounts_of(hidden: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    let mut ways = Mounts::seen()?.ways(&["/".into()], hidden);
    ways.retain(|way| !hidden.contains(way));
    Ok(ways)
}

fn secrets_within_reach(strict: &Strict) -> io::Result<Vec<PathBuf>> {
    if strict.secrets.is_empty() {
        return Ok(Vec::new());
    }
    let opened: Vec<_> = strict.reads.iter().chain(&strict.writes).cloned().collect();
    Ok(Mounts::seen()?.ways(&opened, &strict.secrets))
}

fn unprotected() -> Error {
    Error::other(
        "as root it could read every key, for this kernel offers no Landlock; boot it with `landlock` in the list \
         of its security modules (`lsm=`)",
    )
}
