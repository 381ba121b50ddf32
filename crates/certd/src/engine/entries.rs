//! The entries in force, their states and their timers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use phoenix_core::lifecycle::{Action, Stage, State};
use phoenix_core::manifest::Entry;
use phoenix_core::name::{AbsolutePath, IssuerName};
use phoenix_core::schedule::Jitter;
use phoenix_core::time::Timestamp;
use tokio::sync::Semaphore;

/// Entries that are looked at at the same time: enough to keep the executor busy, few enough that an urgent
/// request does not queue behind ten thousand looks.
const LOOKS: usize = 16;

/// Verifications at the same time: each may take a thread for as long as its deadline.
const PROBES: usize = 16;

/// An entry in force.
pub(crate) struct Tracked {
    /// What the manifest wants.
    pub entry: Arc<Entry>,
    /// Its digest.
    pub digest: String,
    /// Warnings about the entry itself.
    pub warnings: Vec<String>,
    /// Spread of the renewal time.
    pub jitter: Jitter,
    /// Where it stands.
    pub state: State,
    /// Differs for each time that an entry came into the manifest: what ends for an earlier one is not its own.
    pub incarnation: u64,
    wake: Option<Timestamp>,
    looked_at: bool,
}

impl Tracked {
    /// An entry that has not been looked at yet.
    pub(crate) fn new(
        entry: Arc<Entry>,
        digest: String,
        warnings: Vec<String>,
        jitter: Jitter,
        state: State,
    ) -> Self {
        Self { entry, digest, warnings, jitter, state, incarnation: 0, wake: None, looked_at: false }
    }

    /// When its timer fires.
    pub(crate) fn wakes_at(&self) -> Option<Timestamp> {
        self.wake
    }
}

/// All entries in force. What an entry is known by across manifest edits is its key path.
pub(crate) struct Entries {
    tracked: BTreeMap<AbsolutePath, Tracked>,
    order: Vec<AbsolutePath>,
    timers: BTreeSet<(Timestamp, AbsolutePath)>,
    unseen: usize,
    incarnations: u64,
    gate: Arc<Semaphore>,
    probes: Arc<Semaphore>,
}

impl Default for Entries {
    fn default() -> Self {
        Self {
            tracked: BTreeMap::new(),
            order: Vec::new(),
            timers: BTreeSet::new(),
            unseen: 0,
            incarnations: 0,
            gate: Arc::new(Semaphore::new(LOOKS)),
            probes: Arc::new(Semaphore::new(PROBES)),
        }
    }
}

impl Entries {
    /// The entry with this key path.
    pub(crate) fn get(&self, key: &AbsolutePath) -> Option<&Tracked> {
        self.tracked.get(key)
    }

    /// The entry with this key path.
    pub(crate) fn get_mut(&mut self, key: &AbsolutePath) -> Option<&mut Tracked> {
        self.tracked.get_mut(key)
    }

    /// Keys of all entries, in manifest order.
    pub(crate) fn keys(&self) -> Vec<AbsolutePath> {
        self.order.clone()
    }

    /// All entries, in manifest order.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = &Tracked> {
        self.order.iter().filter_map(|key| self.tracked.get(key))
    }

    /// Keys of the entries that one of `issuers` serves.
    pub(crate) fn of_any(&self, issuers: &BTreeSet<IssuerName>) -> Vec<AbsolutePath> {
        let served = |tracked: &Tracked| tracked.entry.issuers.iter().any(|issuer| issuers.contains(issuer));
        self.tracked.iter().filter(|(_, tracked)| served(tracked)).map(|(key, _)| key.clone()).collect()
    }

    /// The entry with this name or full common name, and its key.
    pub(crate) fn find(&self, name: &str) -> Option<(&AbsolutePath, &Tracked)> {
        let by = |test: &dyn Fn(&Tracked) -> bool| {
            self.order.iter().filter_map(|key| self.tracked.get_key_value(key)).find(|(_, t)| test(t))
        };
        by(&|tracked| tracked.entry.name.as_str() == name)
            .or_else(|| by(&|tracked| tracked.entry.common_name == name))
    }

    /// Some entry has not been looked at yet.
    pub(crate) fn any_unseen(&self) -> bool {
        self.unseen > 0
    }

    /// Notes that an entry has been looked at, if it has.
    pub(crate) fn note_look(&mut self, key: &AbsolutePath) {
        let Some(tracked) = self.tracked.get_mut(key) else { return };
        let looked =
            tracked.state.seen.is_some() || tracked.state.memory.failures.contains_key(&Stage::Observe);
        if looked && !tracked.looked_at {
            tracked.looked_at = true;
            self.unseen -= 1;
        }
    }

    /// Puts an entry under its key.
    pub(crate) fn insert(&mut self, key: AbsolutePath, tracked: Tracked) {
        self.incarnations += 1;
        self.tracked.insert(key, Tracked { incarnation: self.incarnations, ..tracked });
        self.unseen += 1;
    }

    /// The manifest's order; entries that are not in it are dropped.
    pub(crate) fn set_order(&mut self, order: Vec<AbsolutePath>) {
        let kept: BTreeSet<&AbsolutePath> = order.iter().collect();
        self.tracked.retain(|key, _| kept.contains(key));
        self.timers.retain(|(_, key)| kept.contains(key));
        self.unseen = self.tracked.values().filter(|tracked| !tracked.looked_at).count();
        self.order = order;
    }

    /// Sets or removes an entry's timer.
    pub(crate) fn set_wake(&mut self, key: &AbsolutePath, wake: Option<Timestamp>) {
        let Some(tracked) = self.tracked.get_mut(key) else { return };
        if let Some(old) = std::mem::replace(&mut tracked.wake, wake) {
            self.timers.remove(&(old, key.clone()));
        }
        if let Some(wake) = wake {
            self.timers.insert((wake, key.clone()));
        }
    }

    /// When the next timer fires.
    pub(crate) fn next_wake(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Takes the timers that have fired.
    pub(crate) fn due(&mut self, now: Timestamp) -> Vec<AbsolutePath> {
        let mut due = Vec::new();
        while let Some((at, key)) = self.timers.first().filter(|(at, _)| *at <= now).cloned() {
            self.timers.remove(&(at, key.clone()));
            if let Some(tracked) = self.tracked.get_mut(&key) {
                tracked.wake = None;
            }
            due.push(key);
        }
        due
    }

    /// What limits `action` to so many at the same time, if anything does.
    pub(crate) fn gate(&self, action: &Action) -> Option<Arc<Semaphore>> {
        match action {
            Action::Observe => Some(self.gate.clone()),
            _ => None,
        }
    }

    /// What limits looks at consumers.
    pub(crate) fn probes(&self) -> Arc<Semaphore> {
        self.probes.clone()
    }
}
