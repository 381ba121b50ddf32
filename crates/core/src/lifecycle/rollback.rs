//! A new certificate that its consumer does not take, and the previous one in its place.
//!
//! The executor keeps both pairs and says in its ledger which one was taken back. What is remembered here is why,
//! and when the newer one is tried again: a tenth of what the previous one has left, or when an operator says so.

use serde::{Deserialize, Serialize};

use super::{Memory, State};
use crate::backoff::{LONGEST, LONGEST_EXPIRED, SHORTEST};
use crate::facts::{Ledger, Observation};
use crate::manifest::Entry;
use crate::reason::{Reason, RetryClass, Trouble};
use crate::time::Timestamp;

/// A certificate that its consumer did not take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollback {
    /// Fingerprint of the certificate.
    pub failed: String,
    /// What was seen at the consumer.
    pub trouble: Trouble,
    /// When that was.
    pub at: Timestamp,
    /// How many times it was put in place in vain.
    pub attempts: u32,
    /// How far it has come.
    pub step: Step,
}

/// How far taking back has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The previous pair is to be put in place.
    Wanted,
    /// There is no previous pair that could be.
    Impossible,
    /// The previous pair is in place.
    InPlace {
        /// When the newer one is tried again.
        retry_at: Timestamp,
    },
    /// The previous pair is in place, and the newer one cannot be put there any more: another is wanted.
    Lost,
    /// The newer pair is in place once more and has to show itself.
    Tried,
}

impl Rollback {
    /// Moves what lies after `now` back to it, the wait included.
    pub(super) fn rewind(&mut self, now: Timestamp) {
        let ahead = self.at.since(now);
        self.at = self.at.minus(ahead);
        if let Step::InPlace { retry_at } = &mut self.step {
            *retry_at = retry_at.minus(ahead).min(now.plus(LONGEST));
        }
    }
}

/// The certificate in place did not show itself at its consumer: has the previous one put back, where the manifest
/// wants that and it can be.
pub(super) fn want(state: &mut State, entry: &Entry, trouble: &Trouble, now: Timestamp) {
    let Some(seen) = state.seen.as_ref().filter(|seen| seen.ledger.rolled_back.is_none()) else { return };
    let Some(own) = seen.own.as_ref().filter(|own| entry.rollback && !own.adopted) else { return };
    let before = state.memory.rollback.take().filter(|before| before.failed == own.leaf.fingerprint);
    let step = match &before {
        Some(Rollback { step: Step::Impossible, .. }) => Step::Impossible,
        _ => Step::Wanted,
    };
    state.memory.rollback = Some(Rollback {
        failed: own.leaf.fingerprint.clone(),
        trouble: trouble.clone(),
        at: now,
        attempts: before.map_or(0, |before| before.attempts).saturating_add(1),
        step,
    });
}

/// Brings what is remembered in line with what the executor says is in place.
pub(super) fn reconcile(memory: &mut Memory, seen: &Observation, now: Timestamp) {
    let Some(own) = &seen.own else { return };
    match (&seen.ledger.rolled_back, memory.rollback.take()) {
        (Some(failed), Some(known)) if *failed == known.failed => {
            let step = match known.step {
                Step::InPlace { .. } | Step::Lost => known.step,
                Step::Wanted | Step::Impossible | Step::Tried => {
                    // What was seen was seen of the other pair.
                    memory.verified = None;
                    Step::InPlace { retry_at: next_try(own.leaf.not_after, now) }
                }
            };
            memory.rollback = Some(Rollback { step, ..known });
        }
        (Some(failed), _) => {
            memory.rollback = Some(Rollback {
                failed: failed.clone(),
                trouble: Trouble::new(Reason::RolledBack, "it was taken back"),
                at: now,
                attempts: 1,
                step: Step::InPlace { retry_at: next_try(own.leaf.not_after, now) },
            });
        }
        (None, Some(known)) if known.failed == own.leaf.fingerprint => {
            let verified = memory.verified.as_ref().is_some_and(|deed| deed.fingerprint == known.failed);
            let step = match known.step {
                Step::InPlace { .. } | Step::Lost => Step::Tried,
                step => step,
            };
            memory.rollback = (!verified).then_some(Rollback { step, ..known });
        }
        // Another pair was installed.
        (None, _) => {}
    }
}

/// A tenth of what the pair in place has left, so that the newer one is tried several times before the end.
fn next_try(not_after: Timestamp, now: Timestamp) -> Timestamp {
    let left = not_after.since(now);
    now.plus(if left.is_zero() { LONGEST_EXPIRED } else { (left / 10).clamp(SHORTEST, LONGEST) })
}

/// An operator wants to see it tried again.
pub(super) fn hurry(memory: &mut Memory, now: Timestamp) {
    if let Some(Rollback { step: Step::InPlace { retry_at }, .. }) = &mut memory.rollback {
        *retry_at = (*retry_at).min(now);
    }
}

/// The pair in place is the previous one.
pub fn is_rolled_back(ledger: &Ledger) -> bool {
    ledger.rolled_back.is_some()
}

/// When the newer pair is tried again, while the previous one is in place.
pub(super) fn retry_at(memory: &Memory) -> Option<Timestamp> {
    match memory.rollback.as_ref()?.step {
        Step::InPlace { retry_at } => Some(retry_at),
        _ => None,
    }
}

/// The executor would not exchange the pairs: there is none, or none that is still good.
pub(super) fn refused(memory: &mut Memory, trouble: &Trouble) -> bool {
    let lasting = !matches!(trouble.reason.class(), RetryClass::LocalIo | RetryClass::Waiting)
        && !matches!(
            trouble.reason,
            Reason::ExecutorGone
                | Reason::StorageAbsent
                | Reason::PermissionDenied
                | Reason::RootSquash
                | Reason::MissingOwner
                | Reason::Symlink
                | Reason::OutsideRoots
                | Reason::NotAFile
        );
    if lasting && let Some(rollback) = &mut memory.rollback {
        rollback.step = match rollback.step {
            Step::Wanted | Step::Impossible | Step::Tried => Step::Impossible,
            Step::InPlace { .. } | Step::Lost => Step::Lost,
        };
    }
    lasting
}

/// What is told while the previous pair is in place.
pub(super) fn alarm(entry: &Entry, memory: &Memory) -> Option<(Trouble, Timestamp)> {
    let rollback = memory.rollback.as_ref()?;
    let Step::InPlace { retry_at } = rollback.step else { return None };
    let message = format!(
        "the previous certificate was put back, because the new one was not seen at its consumer: {}. The new one \
         is tried again at {retry_at}, or by `phoenix-certctl sync {}`",
        rollback.trouble.message.trim_end_matches('.'),
        entry.name
    );
    Some((Trouble::new(Reason::RolledBack, message), retry_at))
}
