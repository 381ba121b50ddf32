//! Following the manifest that the executor has in force.

use std::collections::BTreeSet;
use std::sync::Arc;

use phoenix_core::explanation::change::differences;
use phoenix_core::lifecycle::{Event, State};
use phoenix_core::manifest::InvalidEntry;
use phoenix_core::name::AbsolutePath;
use phoenix_core::reason::{Reason, Trouble};
use phoenix_core::schedule::Jitter;
use phoenix_protocol::executor::{
    Answer, IssuerFacts, ManifestFacts, ManifestState, Operation, ProgramFacts, Snapshot, SnapshotEntry,
};
use phoenix_protocol::history::Happening;
use tracing::{info, warn};

use super::Engine;
use super::entries::Tracked;
use crate::clock::{host_zone, now};
use crate::executor::Executor;

/// What was fetched.
pub(crate) struct Fetched {
    facts: ManifestFacts,
    issuers: Vec<IssuerFacts>,
    programs: Vec<ProgramFacts>,
    /// All entries; none when the manifest is the known one.
    entries: Option<(Vec<SnapshotEntry>, Vec<InvalidEntry>)>,
}

/// How often a fetch begins anew because the manifest changed under it.
const FETCHES: usize = 10;

/// Lets the executor look at the file and fetches what is in force, unless it is still `known`.
pub(super) async fn fetch(executor: &Executor, known: Option<&str>) -> Result<Fetched, Trouble> {
    let mut first = page(executor, true, usize::MAX >> 1).await?;
    if known == Some(first.manifest.digest.as_str()) {
        let Snapshot { manifest, issuers, programs, .. } = first;
        return Ok(Fetched { facts: manifest, issuers, programs, entries: None });
    }
    for _ in 0..FETCHES {
        let mut entries = Vec::with_capacity(first.total);
        let mut invalid = Vec::new();
        let mut last = first.clone();
        // The first page is fetched even for no entries at all: it names those that are invalid.
        while entries.is_empty() || entries.len() < last.total {
            last = page(executor, false, entries.len()).await?;
            invalid.append(&mut last.invalid);
            if last.manifest.digest != first.manifest.digest || last.entries.is_empty() {
                break;
            }
            entries.append(&mut last.entries);
        }
        if last.manifest.digest == first.manifest.digest && entries.len() == first.total {
            let entries = Some((entries, invalid));
            let Snapshot { manifest, issuers, programs, .. } = first;
            return Ok(Fetched { facts: manifest, issuers, programs, entries });
        }
        first = last;
    }
    Err(Trouble::new(Reason::Stale, "the manifest keeps changing while it is being read"))
}

async fn page(executor: &Executor, refresh: bool, offset: usize) -> Result<Snapshot, Trouble> {
    match executor.ask(Operation::Snapshot { refresh, offset }).await? {
        Answer::Snapshot(snapshot) => Ok(*snapshot),
        _ => Err(Trouble::new(Reason::Internal, "the executor's answer to a snapshot makes no sense")),
    }
}

impl Engine {
    /// Takes in what was fetched.
    pub(super) fn fetched(&mut self, fetched: Result<Fetched, Trouble>) {
        self.fetching = false;
        match fetched {
            Ok(Fetched { facts, issuers, programs, entries }) => {
                self.announce(&facts);
                self.programs = programs;
                self.manifest = Some(facts);
                // Issuers first: a new entry may need one at once.
                self.informed(&issuers);
                if let Some((entries, invalid)) = entries {
                    self.invalid = invalid;
                    self.adopt_manifest(entries);
                }
            }
            Err(trouble) => warn!("cannot fetch the manifest: {trouble}"),
        }
        if std::mem::take(&mut self.fetch_again) {
            self.fetch(true);
        }
    }

    fn announce(&self, facts: &ManifestFacts) {
        let known = self.manifest.as_ref();
        if known.is_some_and(|known| known.state == facts.state && known.digest == facts.digest) {
            return;
        }
        self.note_manifest(facts);
        match (facts.state, &facts.error) {
            (ManifestState::Loaded, _) => info!("{} is in force", facts.path),
            (_, Some(error)) => warn!("{} is not in force: {error}", facts.path),
            (state, None) => warn!("{} is not in force: {state:?}", facts.path),
        }
    }

    /// An entry that comes back one day gets its history back, but not what was asked for it long ago.
    fn forget_orders_of_removed(&mut self, order: &[AbsolutePath]) {
        let kept: BTreeSet<&AbsolutePath> = order.iter().collect();
        for key in self.entries.keys().iter().filter(|key| !kept.contains(key)) {
            let Some(tracked) = self.entries.get_mut(key) else { continue };
            self.waves.remove(key);
            let name = tracked.entry.name.clone();
            if tracked.state.memory.drop_orders() {
                self.remember(key);
            }
            self.note_entry(name.as_str(), Happening::Removed);
        }
    }

    fn adopt_manifest(&mut self, entries: Vec<SnapshotEntry>) {
        let at = now();
        let mut order = Vec::with_capacity(entries.len());
        // Whether each is written otherwise now, or new.
        let mut events = Vec::new();
        let mut news = Vec::new();
        let zone = host_zone();
        for SnapshotEntry { digest, mut entry, warnings } in entries {
            if let Some(window) = &mut entry.window {
                window.timezone.get_or_insert(zone);
            }
            let key = entry.key_path.clone();
            let jitter = Jitter::of(self.journal.seed(), &entry);
            order.push(key.clone());
            if let Some(tracked) = self.entries.get_mut(&key) {
                tracked.warnings = warnings;
                if tracked.digest != digest {
                    let fields = differences(&tracked.entry, &entry).into_iter().map(|found| found.field);
                    news.push((entry.name.clone(), Happening::Changed { fields: fields.collect() }));
                    tracked.entry = Arc::new(entry);
                    tracked.digest = digest;
                    tracked.jitter = jitter;
                    events.push((key, true));
                }
            } else {
                if self.manifest_adopted {
                    news.push((entry.name.clone(), Happening::Added));
                }
                let memory = self.journal.recall(&key).restarted(at);
                let state = State { memory, ..State::default() };
                let tracked = Tracked::new(Arc::new(entry), digest, warnings, jitter, state);
                self.entries.insert(key.clone(), tracked);
                events.push((key, false));
            }
        }
        self.forget_orders_of_removed(&order);
        self.entries.set_order(order);
        self.forget_commands();
        self.decided.retain(|(key, _)| self.entries.get(key).is_some());
        self.orders.forget_removed(&self.entries);
        for (name, what) in news {
            self.note_entry(name.as_str(), what);
        }
        self.manifest_adopted = true;
        for (key, rewritten) in events {
            self.send(&key, if rewritten { Event::Rewritten } else { Event::Look });
        }
    }
}
