//! What the daemon may ask for, done.
//!
//! | module | operations |
//! |---|---|
//! | [`observe`] | `observe`, and the facts that other operations answer with |
//! | [`issue`] | `prepare`, `install` |
//! | [`token`] | `token` |
//! | [`keep`] | `adopt`, `restore` |
//! | [`issuers`] | facts of the issuers, `trust`, `install_roots` |
//! | [`rollback`] | `rollback` |
//! | [`sign`] | `sign` |
//! | [`chain`] | `chain` |
//! | [`check`] | `run_check` |
//! | [`challenge`] | `challenge` |
//! | [`deliver`] | `deliver` |
//! | [`recheck`] | `recheck` |
//! | [`activate`] | `activate` |
//! | [`budget`] | how often a command may run early |
//! | [`command`] | running programs |
//! | [`profiles`] | how far each program is confined |
//! | [`programs`] | what of that is in force on this machine |
//! | [`trail`] | which programs were run for a request |
//! | [`advice`] | what to open for a command that its profile has stopped |
//! | [`allowed`] | may this program be run |

mod activate;
mod advice;
mod allowed;
mod budget;
mod bundle;
mod chain;
mod challenge;
mod check;
mod command;
mod deliver;
mod issue;
mod issuers;
mod keep;
mod observe;
mod profiles;
mod programs;
mod recheck;
mod rollback;
mod sign;
mod token;
mod trail;

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use phoenix_core::manifest::Entry;
use phoenix_core::name::IssuerName;
use phoenix_core::reason::{Reason, Trouble};
use phoenix_core::settings::Settings;
use phoenix_protocol::executor::{Answer, EntryRef, Operation, ProgramFacts, Snapshot};
use phoenix_sandbox::{Cancel, Runner};
use phoenix_store::{EntryStore, Store};

use crate::anchors::Anchors;
use crate::authority::{Authority, Kept};
use crate::clock;
use crate::server::{Key, LaneKind};
use crate::tokens::Keyring;
use budget::Budgets;
pub(crate) use trail::Trail;

/// Everything that operations work with. Shared by all connections.
pub(crate) struct Executor {
    settings: Arc<Settings>,
    authority: Authority,
    anchors: Anchors,
    keyring: Keyring,
    store: Store,
    runner: Arc<dyn Runner>,
    cancel: Cancel,
    measured: OnceLock<Vec<ProgramFacts>>,
    budgets: Budgets,
}

impl Executor {
    pub(crate) fn new(settings: Settings, store: Store, runner: Arc<dyn Runner>, cancel: Cancel) -> Self {
        let settings = Arc::new(settings);
        let kept = Kept::new(store.state().clone());
        Self {
            authority: Authority::open(Arc::clone(&settings), kept, clock::now()),
            anchors: Anchors::new(settings.issuers.clone(), store.state().clone()),
            keyring: Keyring::default(),
            store,
            runner,
            cancel,
            measured: OnceLock::new(),
            budgets: Budgets::default(),
            settings,
        }
    }

    /// Ends running commands and lets no other begin.
    pub(crate) fn end_commands(&self) {
        self.cancel.cancel();
    }

    /// On which threads an operation runs, and what it must have for itself.
    pub(crate) fn placement(&self, operation: &Operation) -> Result<(LaneKind, Vec<Key>), Trouble> {
        match operation {
            // A manifest on storage that hangs costs one thread, not one for each look at it; and a slow look at an
            // old version cannot replace what a later one found.
            Operation::Snapshot { refresh: true, .. } => Ok((LaneKind::Files, vec![Key::Manifest])),
            Operation::Hello { .. } | Operation::Snapshot { .. } | Operation::Trust { .. } => {
                Ok((LaneKind::Files, Vec::new()))
            }
            Operation::Token { entry, issuer, purpose, .. } => {
                let entry = &self.known(entry)?.entry;
                Ok((LaneKind::Files, self.token_keys(entry, issuer, purpose)))
            }
            Operation::Observe { entry }
            | Operation::Prepare { entry }
            | Operation::Install { entry, .. }
            | Operation::Adopt { entry }
            | Operation::Restore { entry }
            | Operation::Rollback { entry, .. }
            | Operation::InstallRoots { entry }
            | Operation::Chain { entry }
            | Operation::Sign { entry, .. } => {
                Ok((LaneKind::Files, vec![pair_key(&self.known(entry)?.entry)]))
            }
            Operation::Challenge { entry, issuer, domain, value, .. } => {
                // Judged before it waits for its turn: what waits is small.
                challenge::Record { domain, value }.name_for(&self.known(entry)?.entry)?;
                // Hooks that edit a zone must not do so at the same time.
                Ok((LaneKind::Commands, vec![Key::Target(format!("dns of {issuer}"))]))
            }
            Operation::RunCheck { entry, check } => {
                let entry = &self.known(entry)?.entry;
                let target = check::target(entry, *check).map(Key::Target);
                Ok((LaneKind::Commands, [pair_key(entry)].into_iter().chain(target).collect()))
            }
            Operation::Deliver { entry } | Operation::Recheck { entry } => {
                self.command_placement(std::slice::from_ref(entry))
            }
            Operation::Activate { entries } => self.command_placement(entries),
        }
    }

    fn command_placement(&self, entries: &[EntryRef]) -> Result<(LaneKind, Vec<Key>), Trouble> {
        let mut keys = Vec::new();
        let mut names = BTreeSet::new();
        for wanted in entries {
            let entry = &self.known(wanted)?.entry;
            if !names.insert(&wanted.name) {
                let message = format!("`{}` is named twice in one request.", wanted.name);
                return Err(Trouble::new(Reason::BadRequest, message));
            }
            keys.push(pair_key(entry));
            keys.extend(activate::targets(entry).into_iter().map(Key::Target));
        }
        Ok((LaneKind::Commands, keys))
    }

    /// Does what is asked for. Programs that are run for it leave their traces in `trail`.
    pub(crate) fn perform(&self, operation: Operation, trail: &Trail) -> Result<Answer, Trouble> {
        match operation {
            Operation::Hello { .. } => {
                Err(Trouble::new(Reason::BadRequest, "`hello` comes first, and once."))
            }
            Operation::Snapshot { refresh, offset } => Ok(self.snapshot(refresh, offset)),
            Operation::Observe { entry } => {
                let known = self.known(&entry)?;
                Ok(Answer::Observed(Box::new(self.observe(&known.entry)?)))
            }
            Operation::Prepare { entry } => self.prepare(&self.known(&entry)?.entry),
            Operation::Token { entry, issuer, purpose, ca_time } => {
                self.token(&self.known(&entry)?.entry, &issuer, &purpose, ca_time)
            }
            Operation::Install { entry, stage, issuer, chain } => {
                self.install(&self.known(&entry)?.entry, &stage, &issuer, &chain)
            }
            Operation::Adopt { entry } => self.adopt(&self.known(&entry)?.entry),
            Operation::Restore { entry } => self.restore(&self.known(&entry)?.entry),
            Operation::Deliver { entry } => self.deliver(&self.known(&entry)?.entry, trail),
            Operation::Activate { entries } => self.activate(&entries, trail),
            Operation::Trust { issuer, root } => self.trust(&issuer, &root),
            Operation::Recheck { entry } => self.recheck(&self.known(&entry)?.entry, trail),
            Operation::Chain { entry } => self.chain(&self.known(&entry)?.entry),
            Operation::Rollback { entry, to } => self.rollback(&self.known(&entry)?.entry, to),
            Operation::RunCheck { entry, check } => self.run_check(&self.known(&entry)?.entry, check, trail),
            Operation::Sign { entry, fingerprint, scheme, message } => {
                self.sign(&self.known(&entry)?.entry, &fingerprint, scheme, &message)
            }
            Operation::InstallRoots { entry } => self.install_roots(&self.known(&entry)?.entry),
            Operation::Challenge { entry, issuer, step, domain, value } => {
                let record = challenge::Record { domain: &domain, value: &value };
                self.challenge(&self.known(&entry)?.entry, &issuer, step, record, trail)
            }
        }
    }

    fn known(&self, wanted: &EntryRef) -> Result<Arc<crate::authority::Known>, Trouble> {
        self.authority.entry(wanted)
    }

    fn store_of(&self, entry: &Entry) -> EntryStore {
        self.store.entry(entry)
    }

    fn snapshot(&self, refresh: bool, offset: usize) -> Answer {
        if refresh {
            self.authority.refresh(clock::now());
        }
        let page = self.authority.snapshot(offset, self.issuer_facts());
        Answer::Snapshot(Box::new(Snapshot { programs: self.program_facts(), ..page }))
    }
}

/// A pair is known by its key path, whatever its entry is called.
fn pair_key(entry: &Entry) -> Key {
    Key::Pair(entry.key_path.to_string())
}

/// Refuses an issuer that the entry does not name.
fn check_issuer(entry: &Entry, issuer: &IssuerName) -> Result<(), Trouble> {
    if entry.issuers.contains(issuer) {
        return Ok(());
    }
    let message = format!("The manifest does not let issuer `{issuer}` serve `{}`.", entry.name);
    Err(Trouble::new(Reason::BadRequest, message))
}
