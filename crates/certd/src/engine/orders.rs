//! Who waits for what, and how far it has come.

use std::collections::{BTreeMap, BTreeSet};

use phoenix_core::lifecycle::{Action, Reach};
use phoenix_core::name::{AbsolutePath, CertName};
use phoenix_core::reason::Reason;
use phoenix_core::time::Timestamp;
use phoenix_protocol::control::{EntryResult, Outcome, Progress};
use tokio::sync::mpsc;

use super::entries::Entries;
use super::outcome;
use crate::authorities::Authorities;
use crate::clock::now;

/// Orders that someone waits for.
#[derive(Default)]
pub(crate) struct Orders(Vec<Waiter>);

struct Waiter {
    keys: Vec<(AbsolutePath, CertName)>,
    /// Of these, those without a result.
    open: BTreeSet<AbsolutePath>,
    results: BTreeMap<AbsolutePath, EntryResult>,
    verb: Verb,
    reach: Reach,
    deadline: Timestamp,
    progress: mpsc::UnboundedSender<Progress>,
}

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    /// New certificates.
    Renew,
    /// The desired state.
    Sync,
    /// A look at the consumers.
    Verify,
    /// The previous pair.
    Rollback,
}

impl Verb {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Renew => "renew",
            Self::Sync => "sync",
            Self::Verify => "verify",
            Self::Rollback => "rollback",
        }
    }

    /// The two cannot both be fulfilled: one wants the previous pair in place, the other the newest.
    fn contradicts(self, other: Self) -> bool {
        let looks = [self, other].contains(&Self::Verify);
        !looks && (self == Self::Rollback) != (other == Self::Rollback)
    }
}

/// Said of an entry whose command is held for others.
pub(super) const HELD: &str = "waiting for other certificates that share the command";

/// What an action is called in progress lines and in the log.
pub(super) fn words(action: &Action) -> &'static str {
    match action {
        Action::Observe => "looking",
        Action::Issue => "requesting a certificate",
        Action::Install(_) => "writing the new pair",
        Action::Adopt => "taking over the pair that is there",
        Action::Restore => "putting our own copy back",
        Action::Deliver => "delivering into the guest",
        Action::Activate => "running the command",
        Action::Verify => "looking at the consumer",
        Action::Recheck => "looking into the guest",
        Action::Rollback => "putting the previous pair back",
        Action::Reinstate => "trying the new pair again",
        Action::WakeAt(_) | Action::Remember => "waiting",
    }
}

impl Orders {
    /// Begins to wait for these entries, until `deadline`, and returns the lines that tell how it goes; without a deadline
    /// nobody waits, and the order is accepted.
    pub(super) fn place(
        &mut self,
        keys: Vec<(AbsolutePath, CertName)>,
        verb: Verb,
        reach: Reach,
        deadline: Option<Timestamp>,
        entries: &Entries,
    ) -> mpsc::UnboundedReceiver<Progress> {
        let (progress, lines) = mpsc::unbounded_channel();
        let mut waiter = Waiter {
            open: keys.iter().map(|(key, _)| key.clone()).collect(),
            keys,
            results: BTreeMap::new(),
            verb,
            reach,
            deadline: deadline.unwrap_or_else(now),
            progress,
        };
        if deadline.is_none() {
            waiter.fill(Outcome::Accepted, "", entries);
        }
        self.0.push(waiter);
        self.finish();
        lines
    }

    /// When the next waiter has waited long enough.
    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.0.iter().map(|waiter| waiter.deadline).min()
    }

    /// Tells those who wait for an entry what is being done for it.
    pub(super) fn progress(&self, key: &AbsolutePath, name: &CertName, message: &str) {
        for waiter in self.0.iter().filter(|waiter| waiter.open.contains(key)) {
            let line = Progress::Stage { name: name.to_string(), message: message.to_owned() };
            let _ = waiter.progress.send(line);
        }
    }

    /// An entry changed: whoever waits for it may be done.
    pub(super) fn update(&mut self, key: &AbsolutePath, entries: &Entries, authorities: &Authorities) {
        if self.0.is_empty() {
            return;
        }
        let Some(tracked) = entries.get(key) else { return };
        let availability = authorities.availability(&tracked.entry, now());
        for waiter in self.0.iter_mut().filter(|waiter| waiter.open.contains(key)) {
            let result = match waiter.verb {
                Verb::Verify => outcome::of_look(tracked, &availability),
                verb => outcome::of_order(tracked, verb, waiter.reach, &availability),
            };
            if let Some(result) = result {
                waiter.settle(key, result);
            }
        }
        self.finish();
    }

    /// Ends the waits that have lasted long enough.
    pub(super) fn expire(&mut self, at: Timestamp, entries: &Entries) {
        for waiter in self.0.iter_mut().filter(|waiter| waiter.deadline <= at) {
            waiter.fill(Outcome::Timeout, "not done in time; it goes on in the background", entries);
        }
        self.finish();
    }

    /// An order that contradicts earlier ones ends them.
    pub(super) fn overtake(&mut self, keys: &[(AbsolutePath, CertName)], verb: Verb) {
        for waiter in self.0.iter_mut().filter(|waiter| waiter.verb.contradicts(verb)) {
            for (key, name) in keys.iter().filter(|(key, _)| waiter.open.remove(key)) {
                let ended = EntryResult {
                    name: name.to_string(),
                    result: Outcome::Failed,
                    serial: None,
                    error: Some(format!("it was overtaken: {} was asked for meanwhile", verb.as_str())),
                    reason: None,
                };
                waiter.results.insert(key.clone(), ended);
            }
        }
        self.finish();
    }

    /// Entries that are no longer in the manifest will never be done.
    pub(super) fn forget_removed(&mut self, entries: &Entries) {
        for waiter in &mut self.0 {
            for (key, name) in waiter.keys.clone() {
                if entries.get(&key).is_none() && waiter.open.contains(&key) {
                    let gone = EntryResult {
                        name: name.to_string(),
                        result: Outcome::Failed,
                        serial: None,
                        error: Some("the entry was removed from the manifest".into()),
                        reason: Some(Reason::UnknownEntry.code().into()),
                    };
                    waiter.settle(&key, gone);
                }
            }
        }
        self.finish();
    }

    fn finish(&mut self) {
        self.0.retain_mut(|waiter| {
            if waiter.progress.is_closed() {
                return false;
            }
            if !waiter.open.is_empty() {
                return true;
            }
            let results = waiter.keys.iter().filter_map(|(key, _)| waiter.results.remove(key)).collect();
            let _ = waiter.progress.send(Progress::End { results });
            false
        });
    }
}

impl Waiter {
    fn settle(&mut self, key: &AbsolutePath, result: EntryResult) {
        self.open.remove(key);
        self.results.insert(key.clone(), result);
    }

    fn fill(&mut self, outcome: Outcome, why: &str, entries: &Entries) {
        for (key, name) in &self.keys {
            if !self.open.remove(key) {
                continue;
            }
            let seen = entries.get(key).and_then(|tracked| tracked.state.seen.as_ref());
            let result = EntryResult {
                name: name.to_string(),
                result: outcome,
                serial: seen.and_then(|seen| Some(seen.live.leaf.as_ref()?.serial.clone())),
                error: (outcome != Outcome::Accepted).then(|| why.to_owned()),
                reason: None,
            };
            self.results.insert(key.clone(), result);
        }
    }
}
