//! The entries in force, their states and their timers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use phoenix_core::lifecycle::{Stage, State, valid_until};
use phoenix_core::manifest::Entry;
use phoenix_core::name::{AbsolutePath, IssuerName};
use phoenix_core::schedule::Jitter;
use phoenix_core::time::Timestamp;
use tokio::sync::Semaphore;

/// Looks at consumers at the same time: each may take a thread for as long as its deadline.
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
    /// Its place in the manifest.
    place: usize,
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
        Self {
            entry,
            digest,
            warnings,
            jitter,
            state,
            incarnation: 0,
            place: 0,
            wake: None,
            looked_at: false,
        }
    }

    /// When its timer fires.
    pub(crate) fn wakes_at(&self) -> Option<Timestamp> {
        self.wake
    }
}

/// All entries in force. What an entry is known by across manifest edits is its key path.
pub(crate) struct Entries {
    // In boxes: half of the places in a tree are empty.
    tracked: BTreeMap<AbsolutePath, Box<Tracked>>,
    order: Vec<AbsolutePath>,
    /// Places in `order`, sorted by name: names differ.
    by_name: Vec<usize>,
    /// Places in `order`, sorted by common name, the first one in the manifest first.
    by_common_name: Vec<usize>,
    timers: BTreeSet<(Timestamp, AbsolutePath)>,
    unseen: usize,
    incarnations: u64,
    probes: Arc<Semaphore>,
}

impl Default for Entries {
    fn default() -> Self {
        Self {
            tracked: BTreeMap::new(),
            order: Vec::new(),
            by_name: Vec::new(),
            by_common_name: Vec::new(),
            timers: BTreeSet::new(),
            unseen: 0,
            incarnations: 0,
            probes: Arc::new(Semaphore::new(PROBES)),
        }
    }
}

impl Entries {
    /// The entry with this key path.
    pub(crate) fn get(&self, key: &AbsolutePath) -> Option<&Tracked> {
        self.tracked.get(key).map(Box::as_ref)
    }

    /// The entry with this key path.
    pub(crate) fn get_mut(&mut self, key: &AbsolutePath) -> Option<&mut Tracked> {
        self.tracked.get_mut(key).map(Box::as_mut)
    }

    /// Keys of all entries, in manifest order.
    pub(crate) fn keys(&self) -> Vec<AbsolutePath> {
        self.order.clone()
    }

    /// All entries, in manifest order.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = &Tracked> {
        // Each is put in its place, which is faster than to look for each by its path.
        let mut places: Vec<Option<&Tracked>> = vec![None; self.order.len()];
        for tracked in self.tracked.values() {
            if let Some(place) = places.get_mut(tracked.place) {
                *place = Some(tracked);
            }
        }
        places.into_iter().flatten()
    }

    /// Keys of the entries that one of `issuers` serves.
    pub(crate) fn of_any(&self, issuers: &BTreeSet<IssuerName>) -> Vec<AbsolutePath> {
        let served = |tracked: &Tracked| tracked.entry.issuers.iter().any(|issuer| issuers.contains(issuer));
        self.tracked.iter().filter(|(_, tracked)| served(tracked)).map(|(key, _)| key.clone()).collect()
    }

    /// Entries that wait for this issuer, in the order of their keys.
    pub(super) fn waiting(&self, issuer: &IssuerName) -> impl Iterator<Item = (&AbsolutePath, &Tracked)> {
        let waits =
            move |tracked: &Tracked| tracked.state.awaits_issuer && tracked.entry.issuers.contains(issuer);
        let all = self.tracked.iter().map(|(key, tracked)| (key, tracked.as_ref()));
        all.filter(move |(_, tracked)| waits(tracked))
    }

    /// Of the entries that wait for this issuer and have a certificate that is valid, the one whose expires first, and
    /// when.
    pub(super) fn first_to_expire(
        &self,
        issuer: &IssuerName,
        now: Timestamp,
    ) -> Option<(Timestamp, &AbsolutePath)> {
        let expiry = |(key, tracked): (_, &Tracked)| Some((valid_until(&tracked.state)?, key));
        self.waiting(issuer).filter_map(expiry).filter(|(until, _)| *until > now).min()
    }

    /// The entry with this name or full common name, and its key. Of several with that common name, the first.
    pub(crate) fn find(&self, name: &str) -> Option<(&AbsolutePath, &Tracked)> {
        self.search(&self.by_name, name, |tracked| tracked.entry.name.as_str())
            .or_else(|| self.search(&self.by_common_name, name, |tracked| &tracked.entry.common_name))
    }

    fn search(
        &self,
        index: &[usize],
        wanted: &str,
        of: fn(&Tracked) -> &str,
    ) -> Option<(&AbsolutePath, &Tracked)> {
        let at = index.partition_point(|place| self.at(*place).is_some_and(|(_, found)| of(found) < wanted));
        self.at(*index.get(at)?).filter(|(_, found)| of(found) == wanted)
    }

    /// The entry in this place of the manifest, and its key.
    fn at(&self, place: usize) -> Option<(&AbsolutePath, &Tracked)> {
        let (key, tracked) = self.tracked.get_key_value(self.order.get(place)?)?;
        Some((key, tracked))
    }

    /// Places in the manifest, sorted by a text of the entries.
    fn sorted(&self, of: fn(&Tracked) -> &str) -> Vec<usize> {
        let mut places: Vec<usize> = (0..self.order.len()).collect();
        places.sort_by_key(|place| self.at(*place).map(|(_, tracked)| of(tracked)));
        places
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
        self.tracked.insert(key, Box::new(Tracked { incarnation: self.incarnations, ..tracked }));
        self.unseen += 1;
    }

    /// The manifest's order; entries that are not in it are dropped. To be called whenever a name has changed.
    pub(crate) fn set_order(&mut self, order: Vec<AbsolutePath>) {
        let kept: BTreeSet<&AbsolutePath> = order.iter().collect();
        self.tracked.retain(|key, _| kept.contains(key));
        self.timers.retain(|(_, key)| kept.contains(key));
        self.unseen = self.tracked.values().filter(|tracked| !tracked.looked_at).count();
        for (place, key) in order.iter().enumerate() {
            if let Some(tracked) = self.tracked.get_mut(key) {
                tracked.place = place;
            }
        }
        self.order = order;
        self.by_name = self.sorted(|tracked| tracked.entry.name.as_str());
        self.by_common_name = self.sorted(|tracked| &tracked.entry.common_name);
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

    /// What limits looks at consumers.
    pub(crate) fn probes(&self) -> Arc<Semaphore> {
        self.probes.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    /// Entries of these names and common names, in this order; that of their keys is another one.
    fn entries(wanted: &[(&str, &str)]) -> Entries {
        samples::entries(wanted.iter().enumerate().map(|(place, (name, common_name))| {
            let key = format!("/mnt/{}/key.pem", wanted.len() - place);
            let besides = serde_json::json!({ "common_name": common_name, "key_path": key });
            samples::tracked(samples::entry(name, &besides), State::default())
        }))
    }

    fn found<'a>(entries: &'a Entries, name: &str) -> Option<&'a str> {
        entries.find(name).map(|(_, tracked)| tracked.entry.name.as_str())
    }

    #[test]
    fn an_entry_is_found_by_name_and_by_common_name() {
        let entries = entries(&[
            ("web", "web.example.org"),
            ("api", "api.example.org"),
            ("zed", "shared.example.org"),
            ("abc", "shared.example.org"),
        ]);
        for (wanted, name) in [
            ("web", Some("web")),
            ("abc", Some("abc")),
            ("api.example.org", Some("api")),
            ("shared.example.org", Some("zed")),
            ("example.org", None),
            ("aaa", None),
            ("zzz", None),
            ("", None),
        ] {
            assert_eq!(found(&entries, wanted), name, "{wanted}");
        }
    }

    #[test]
    fn what_is_no_longer_in_the_manifest_is_not_found() {
        let mut entries = entries(&[("web", "web.example.org"), ("api", "api.example.org")]);
        let left = entries.keys().split_off(1);
        entries.set_order(left);
        assert_eq!([found(&entries, "web"), found(&entries, "web.example.org")], [None, None]);
        assert_eq!(found(&entries, "api"), Some("api"));
    }
}
