//! Equal commands of several entries run once.
//!
//! Entries with the same command line form a group. One whose files are in place is *ready* and is held until
//! those of its group that are on their way have arrived too, or until its patience ends; then everything that
//! is ready departs together, as one wave. Entries of the group that wait for another attempt are *invited* to
//! come along, so that a command that fails is tried again once for all of them.
//!
//! | module | duty |
//! |---|---|
//! | `part` | what an entry is to its group, from its state |
//! | `runs` | when each command line ran last: what a restart budget counts from |

mod part;
mod runs;

#[cfg(test)]
mod tests;

pub use part::{LONGEST_HOLD, Part, part};
pub use runs::{Runs, has_run, recorded_run};

use std::collections::{BTreeMap, BTreeSet};

use crate::time::Timestamp;

/// Largest wave: the facts of all of its entries come back in one answer of the executor.
pub const LARGEST: usize = 256;

/// The groups and who takes which part in them. `K` is what entries are known by.
#[derive(Debug)]
pub struct Waves<K> {
    groups: BTreeMap<Vec<String>, Group<K>>,
    /// The group that an entry takes part in. Entries at rest take part in none.
    member_of: BTreeMap<K, Vec<String>>,
}

#[derive(Debug)]
struct Group<K> {
    /// Ready, with the end of its patience.
    held: BTreeMap<K, Timestamp>,
    coming: BTreeSet<K>,
    willing: BTreeSet<K>,
    /// Invited since the last departure.
    invited: BTreeSet<K>,
    /// In the wave whose command runs now.
    running: BTreeSet<K>,
}

impl<K> Default for Group<K> {
    fn default() -> Self {
        Self {
            held: BTreeMap::new(),
            coming: BTreeSet::new(),
            willing: BTreeSet::new(),
            invited: BTreeSet::new(),
            running: BTreeSet::new(),
        }
    }
}

impl<K> Default for Waves<K> {
    fn default() -> Self {
        Self { groups: BTreeMap::new(), member_of: BTreeMap::new() }
    }
}

impl<K: Ord + Clone> Waves<K> {
    /// Notes which part an entry takes in the group of its command line. Called whenever its state has changed.
    pub fn place(&mut self, key: &K, command: Option<&[String]>, part: Part, now: Timestamp) {
        let command = command.filter(|_| part != Part::Away);
        if let Some(old) = self.member_of.get(key)
            && command != Some(old.as_slice())
        {
            self.remove(key);
        }
        let Some(command) = command else { return };
        if !self.member_of.contains_key(key) {
            self.member_of.insert(key.clone(), command.to_vec());
        }
        match self.groups.get_mut(command) {
            Some(group) => group.place(key, part, now),
            None => self.groups.entry(command.to_vec()).or_default().place(key, part, now),
        }
    }

    /// Forgets an entry.
    pub fn remove(&mut self, key: &K) {
        let Some(command) = self.member_of.remove(key) else { return };
        if let Some(group) = self.groups.get_mut(&command) {
            group.leave(key);
            group.invited.remove(key);
            if group.is_empty() {
                self.groups.remove(&command);
            }
        }
    }

    /// The entry is ready and its command has not been begun.
    pub fn is_held(&self, key: &K) -> bool {
        self.group_of(key).is_some_and(|group| group.held.contains_key(key))
    }

    /// Entries of this command line that are ready and whose command has not been begun.
    pub fn held_for(&self, command: &[String]) -> Vec<K> {
        self.groups.get(command).map_or_else(Vec::new, |group| group.held.keys().cloned().collect())
    }

    /// The command line runs now.
    pub fn is_running(&self, command: &[String]) -> bool {
        self.groups.get(command).is_some_and(|group| !group.running.is_empty())
    }

    /// The entry was invited to a wave that departs whether it comes along or not: its own restart budget does
    /// not hold it back.
    pub fn is_invited(&self, key: &K) -> bool {
        self.group_of(key).is_some_and(|group| group.invited.contains(key))
    }

    /// Those who wait for another attempt while others of their group are ready: each is told once for each wave
    /// ([`crate::lifecycle::Event::Invited`]).
    pub fn invite(&mut self) -> Vec<K> {
        let mut fresh = Vec::new();
        for group in self.groups.values_mut().filter(|group| !group.held.is_empty()) {
            let known = fresh.len();
            fresh.extend(group.willing.difference(&group.invited).cloned());
            group.invited.extend(fresh.iter().skip(known).cloned());
        }
        fresh
    }

    /// Waves that depart now: the members of each, whose command is to be run once.
    pub fn depart(&mut self, now: Timestamp) -> Vec<Vec<K>> {
        let due = self.groups.values_mut().filter(|group| group.departs_at(now).is_some_and(|at| at <= now));
        due.map(Group::depart).collect()
    }

    /// When the next wave departs although not everybody has arrived.
    pub fn next_departure(&self, now: Timestamp) -> Option<Timestamp> {
        self.groups.values().filter_map(|group| group.departs_at(now)).min()
    }

    /// The clock was set: whoever was held until some time of the old one is held no longer.
    pub fn clock_set(&mut self, now: Timestamp) {
        for until in self.groups.values_mut().flat_map(|group| group.held.values_mut()) {
            *until = (*until).min(now);
        }
    }

    fn group_of(&self, key: &K) -> Option<&Group<K>> {
        self.groups.get(self.member_of.get(key)?)
    }
}

impl<K: Ord + Clone> Group<K> {
    fn is_empty(&self) -> bool {
        self.held.is_empty() && self.coming.is_empty() && self.willing.is_empty() && self.running.is_empty()
    }

    /// When what is held departs; none while nothing is held or the command runs.
    fn departs_at(&self, now: Timestamp) -> Option<Timestamp> {
        if !self.running.is_empty() {
            return None;
        }
        let patience_ends = self.held.values().min().copied()?;
        let complete = self.coming.is_empty() || self.held.len() >= LARGEST;
        Some(if complete { now } else { patience_ends })
    }

    /// Those who have waited longest go first when there are too many.
    fn depart(&mut self) -> Vec<K> {
        let mut held: Vec<(Timestamp, K)> =
            std::mem::take(&mut self.held).into_iter().map(|(key, at)| (at, key)).collect();
        held.sort();
        let left = held.split_off(held.len().min(LARGEST));
        self.held = left.into_iter().map(|(at, key)| (key, at)).collect();
        self.invited.clear();
        let wave: Vec<K> = held.into_iter().map(|(_, key)| key).collect();
        self.running = wave.iter().cloned().collect();
        wave
    }

    fn place(&mut self, key: &K, part: Part, now: Timestamp) {
        match part {
            Part::Ready { .. } if self.running.contains(key) => return,
            Part::Ready { patience } => {
                self.coming.remove(key);
                self.willing.remove(key);
                self.held.entry(key.clone()).or_insert_with(|| now.plus(patience));
                return;
            }
            Part::Coming | Part::Willing | Part::Away => self.leave(key),
        }
        match part {
            Part::Coming => drop(self.coming.insert(key.clone())),
            Part::Willing => drop(self.willing.insert(key.clone())),
            Part::Ready { .. } | Part::Away => {}
        }
    }

    fn leave(&mut self, key: &K) {
        self.held.remove(key);
        self.coming.remove(key);
        self.willing.remove(key);
        self.running.remove(key);
        if self.held.is_empty() && self.running.is_empty() {
            // Nobody is left to go along with.
            self.invited.clear();
        }
    }
}
