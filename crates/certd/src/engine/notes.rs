//! What the history is told: decisions, deeds, failures, orders, issuers, manifests.
//!
//! What happened to an entry is told by how its state changed, not by what was done to it, so that nothing that
//! changes it can be forgotten here.

use std::collections::BTreeMap;

use phoenix_core::lifecycle::{Failure, Phase, Reach, Stage, State, Work};
use phoenix_core::name::AbsolutePath;
use phoenix_core::reason::{RetryClass, Trouble};
use phoenix_core::time::Timestamp;
use phoenix_protocol::executor::ManifestFacts;
use phoenix_protocol::history::Happening;

use super::Engine;
use super::entries::Tracked;
use crate::clock::now;

/// What is compared with what comes after.
pub(super) struct Before {
    work: Option<Work>,
    reached: Option<Reach>,
    failures: BTreeMap<Stage, Failure>,
    trouble: Option<Trouble>,
}

impl Before {
    /// `state` before an event that brings this trouble.
    pub(super) fn new(state: &State, trouble: Option<&Trouble>) -> Self {
        Self {
            work: work(state),
            reached: state.reached,
            failures: state.memory.failures.clone(),
            trouble: trouble.cloned(),
        }
    }
}

impl Before {
    /// `work`, a look, ended better than the one before it.
    fn is_surpassed_by(&self, work: Work, state: &State) -> bool {
        let overcome =
            self.failures.contains_key(&work.stage()) && !state.memory.failures.contains_key(&work.stage());
        work != Work::Observe && (overcome || (work == Work::Verify && state.reached > self.reached))
    }
}

/// What is under way.
fn work(state: &State) -> Option<Work> {
    match state.phase {
        Phase::Working { work, .. } => Some(work),
        Phase::Idle => None,
    }
}

/// Sweeps look at everything, time and again: a look is worth a word only when it is the first that ends well.
fn is_look(work: Work) -> bool {
    matches!(work, Work::Observe | Work::Verify | Work::Recheck)
}

impl Engine {
    /// What is begun for an entry.
    pub(super) fn note_begun(&self, tracked: &Tracked) {
        let Some(work) = work(&tracked.state).filter(|work| !is_look(*work)) else { return };
        let finding = tracked.state.finding.as_ref();
        let what = Happening::Begun {
            work,
            reason: finding.map(|finding| finding.reason),
            message: finding.map(|finding| finding.message.clone()).unwrap_or_default(),
        };
        self.history.note([tracked.entry.name.as_str()], what, now());
    }

    /// How the state of an entry has changed.
    pub(super) fn note_change(&self, key: &AbsolutePath, before: &Before, at: Timestamp) {
        let Some(tracked) = self.entries.get(key) else { return };
        let (name, state) = (tracked.entry.name.as_str(), &tracked.state);
        if let Some(work) = before.work.filter(|before| work(state) != Some(*before)) {
            let untold =
                before.trouble.as_ref().filter(|_| !state.memory.failures.contains_key(&work.stage()));
            let what = match (&before.trouble, untold) {
                (None, _) if is_look(work) && !before.is_surpassed_by(work, state) => None,
                (None, _) => {
                    let leaf = state.seen.as_ref().and_then(|seen| seen.live.leaf.as_ref());
                    Some(Happening::Done { work, serial: leaf.map(|leaf| leaf.serial.clone()) })
                }
                // Begun before a newer order: it does not count, but it happened.
                (Some(_), Some(trouble)) => Some(Happening::Failed {
                    stage: work.stage(),
                    reason: trouble.reason,
                    message: trouble.message.clone(),
                    attempts: 0,
                    next_attempt_at: None,
                }),
                (Some(_), None) => None,
            };
            if let Some(what) = what {
                self.history.note([name], what, at);
            }
        }
        for (stage, failure) in &state.memory.failures {
            let looked_before = *stage == Stage::Observe && before.failures.contains_key(stage);
            if !looked_before && is_news(before.failures.get(stage), failure, state.awaits_issuer) {
                let what = Happening::Failed {
                    stage: *stage,
                    reason: failure.trouble.reason,
                    message: failure.trouble.message.clone(),
                    attempts: failure.attempts,
                    next_attempt_at: Some(failure.next_attempt_at),
                };
                self.history.note([name], what, at);
            }
        }
    }

    /// A manifest came into force, or one was refused.
    pub(super) fn note_manifest(&self, facts: &ManifestFacts) {
        let what = Happening::Manifest { state: facts.state, error: facts.error.clone() };
        self.history.note([], what, now());
    }

    /// Issuers that can be asked and could not before, or the other way round.
    pub(super) fn note_issuers(&mut self) {
        // Before the executor has told about them, none can be asked, and that is no news.
        if self.manifest.is_none() {
            return;
        }
        for (issuer, trouble) in self.authorities.troubles() {
            let was_ready = self.issuers_ready.get(issuer).copied().unwrap_or(true);
            let what = match (was_ready, trouble) {
                (true, Some(trouble)) => Happening::IssuerLost {
                    issuer: issuer.to_string(),
                    reason: trouble.reason,
                    message: trouble.message.clone(),
                },
                (false, None) => Happening::IssuerBack { issuer: issuer.to_string() },
                _ => continue,
            };
            self.history.note([], what, now());
            self.issuers_ready.insert(issuer.clone(), trouble.is_none());
        }
    }

    /// An entry is new, differs from what it was, or is gone. What is there at the start is not new.
    pub(super) fn note_entry(&self, name: &str, what: Happening) {
        if self.manifest_adopted {
            self.history.note([name], what, now());
        }
    }
}

/// A failure that was not there before, is another one, or was met once more. What waits for an issuer is told once,
/// as the issuer's.
fn is_news(before: Option<&Failure>, after: &Failure, awaits_issuer: bool) -> bool {
    match before {
        None => !(awaits_issuer && after.attempts == 0),
        Some(before) => {
            let again =
                after.attempts > before.attempts && after.trouble.reason.class() != RetryClass::Waiting;
            again || (after.trouble.reason != before.trouble.reason && !awaits_issuer)
        }
    }
}
