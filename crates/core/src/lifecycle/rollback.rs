//! A new certificate that its consumer does not take, and the previous one in its place.
//!
//! The executor keeps both pairs and says in its ledger which one was taken back. What is remembered here is why,
//! and when the newer one is tried again: a tenth of what the previous one has left, or when an operator says so.
//!
//! An operator may want the previous pair back as well. That stays until the next scheduled renewal.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Memory, Order, Reach, State};
use crate::backoff::{LONGEST, LONGEST_EXPIRED, SHORTEST};
use crate::facts::{Ledger, Observation};
use crate::manifest::Entry;
use crate::reason::{Reason, RetryClass, Trouble};
use crate::time::Timestamp;

/// A pair that has no more than this left, or a twentieth of a lifetime, is not put back any more.
const SOON: Duration = Duration::from_secs(600);

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
    /// An operator wanted it; nothing was seen at a consumer.
    #[serde(default)]
    pub ordered: bool,
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
    /// Moves what lies after `now` back to it, the wait included. True when something did.
    pub(super) fn rewind(&mut self, now: Timestamp) -> bool {
        let before = (self.at, self.step);
        let ahead = self.at.since(now);
        self.at = self.at.minus(ahead);
        if let Step::InPlace { retry_at } = &mut self.step {
            *retry_at = retry_at.minus(ahead);
            if !self.ordered {
                *retry_at = (*retry_at).min(now.plus(LONGEST));
            }
        }
        (self.at, self.step) != before
    }
}

/// An operator wants the pair before the present one back, whatever was asked for before.
pub(super) fn order(memory: &mut Memory, now: Timestamp) {
    memory.drop_orders();
    memory.roll_back = true;
    memory.order = Some(Order { hurry: Some(Reach::Verified), ..Order::new(Reach::Verified, now) });
    memory.hold = None;
    memory.failures.clear();
}

/// Takes an operator's order up, on the newest facts. Whether there is such a pair is the executor's to say.
pub(super) fn take_order(state: &mut State, paused: bool, now: Timestamp) {
    if !std::mem::take(&mut state.memory.roll_back) {
        return;
    }
    if paused {
        let why = "the entry is paused in the manifest, and nothing is done for it: no pair is put back, now or later";
        return refuse(state, Trouble::new(Reason::Paused, why));
    }
    let own = state.seen.as_ref().and_then(|seen| Some((seen.own.as_ref()?, &seen.ledger.rolled_back)));
    let Some((own, taken_back)) = own else {
        let why = "there is no previous pair to put back: nothing has been installed yet";
        return refuse(state, Trouble::new(Reason::Missing, why));
    };
    let failed = taken_back.as_ref().unwrap_or(&own.leaf.fingerprint).clone();
    state.memory.rollback = Some(Rollback {
        failed,
        trouble: Trouble::new(Reason::RolledBack, "an operator asked for it"),
        at: now,
        attempts: 0,
        step: Step::Wanted,
        ordered: true,
    });
}

/// The order cannot be carried out: everything stays as it is.
fn refuse(state: &mut State, trouble: Trouble) {
    state.memory.rollback = None;
    state.memory.drop_orders();
    state.refused = Some(trouble);
}

/// The certificate in place did not show itself at its consumer: has the previous one put back, where the manifest
/// wants that and it can be.
pub(super) fn want(state: &mut State, entry: &Entry, trouble: &Trouble, now: Timestamp) {
    let Some(seen) = state.seen.as_ref().filter(|seen| seen.ledger.rolled_back.is_none()) else { return };
    let Some(own) = seen.own.as_ref().filter(|own| entry.rollback && !own.adopted) else { return };
    let before = state.memory.rollback.take().filter(|before| before.failed == own.leaf.fingerprint);
    let step = match &before {
        Some(Rollback { step: Step::Impossible, .. }) => Step::Impossible,
        _ if ends_soon(&state.memory, own.leaf.lifetime(), now) => Step::Impossible,
        _ => Step::Wanted,
    };
    state.memory.rollback = Some(Rollback {
        failed: own.leaf.fingerprint.clone(),
        trouble: trouble.clone(),
        at: now,
        attempts: before.map_or(0, |before| before.attempts).saturating_add(1),
        step,
        ordered: false,
    });
}

/// What consumers used before would expire in place, or nearly so: to put it back once more helps nobody, and each
/// attempt with the newer pair would follow the last one faster.
fn ends_soon(memory: &Memory, lifetime: Duration, now: Timestamp) -> bool {
    memory.in_use_until.is_some_and(|until| until.since(now) <= (lifetime / 20).min(SOON))
}

/// Brings what is remembered in line with what the executor says is in place. `renewal` is when that would be renewed.
pub(super) fn reconcile(memory: &mut Memory, seen: &Observation, renewal: Option<Timestamp>, now: Timestamp) {
    let Some(own) = &seen.own else { return };
    match (&seen.ledger.rolled_back, memory.rollback.take()) {
        (Some(failed), Some(known)) if *failed == known.failed => {
            let step = match known.step {
                Step::InPlace { .. } | Step::Lost => known.step,
                Step::Wanted | Step::Impossible | Step::Tried => {
                    // What was seen was seen of the other pair.
                    memory.verified = None;
                    let retry_at = if known.ordered {
                        scheduled(renewal, own.leaf.not_after, now)
                    } else {
                        next_try(own.leaf.not_after, now)
                    };
                    Step::InPlace { retry_at }
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
                ordered: false,
            });
        }
        (None, Some(known)) if known.failed == own.leaf.fingerprint => {
            let verified = memory.verified.as_ref().is_some_and(|deed| deed.fingerprint == known.failed);
            let step = match known.step {
                Step::InPlace { .. } | Step::Lost => Step::Tried,
                step => step,
            };
            // What an operator takes back was never doubted: it goes although it is seen, and comes back unproven.
            let proven = if known.ordered { step == Step::Tried } else { verified };
            memory.rollback = (!proven).then_some(Rollback { step, ..known });
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

/// When a pair that an operator put back is renewed as ever; one whose time for that is over stays for half of what it
/// has left.
fn scheduled(renewal: Option<Timestamp>, not_after: Timestamp, now: Timestamp) -> Timestamp {
    renewal.filter(|at| *at > now).unwrap_or_else(|| now.plus(not_after.since(now) / 2))
}

/// An operator wants to see it tried again, or wants no pair put back any more.
pub(super) fn hurry(memory: &mut Memory, now: Timestamp) {
    memory.roll_back = false;
    memory.rollback.take_if(|known| known.ordered && known.step == Step::Wanted);
    if let Some(Rollback { step: Step::InPlace { retry_at }, .. }) = &mut memory.rollback {
        *retry_at = (*retry_at).min(now);
    }
}

/// The previous pair is in place because an operator wants it to be.
pub(super) fn is_as_ordered(memory: &Memory) -> bool {
    memory.rollback.as_ref().is_some_and(|known| known.ordered && matches!(known.step, Step::InPlace { .. }))
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
pub(super) fn refused(state: &mut State, trouble: &Trouble) -> bool {
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
    let ordered = |known: &Rollback| known.ordered && known.step == Step::Wanted;
    if lasting && state.memory.rollback.as_ref().is_some_and(ordered) {
        refuse(state, trouble.clone());
    } else if lasting && let Some(rollback) = &mut state.memory.rollback {
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
    if rollback.ordered {
        let message = format!(
            "the previous certificate was put back by an operator at {}. The newer one is put in place again at \
             {retry_at}, or by `phoenix-certctl sync {name}`; `phoenix-certctl renew {name}` requests another",
            rollback.at,
            name = entry.name
        );
        return Some((Trouble::new(Reason::RolledBack, message), retry_at));
    }
    let message = format!(
        "the previous certificate was put back, because the new one was not seen at its consumer: {} The new one \
         is tried again at {retry_at}, or by `phoenix-certctl sync {}`",
        rollback.trouble.sentence(),
        entry.name
    );
    Some((Trouble::new(Reason::RolledBack, message), retry_at))
}
