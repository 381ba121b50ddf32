//! Noticing that records are not as they were left: a state directory was lost, or restored from an older copy.
//!
//! What is found converges by the ordinary rules; this only sees to it that the operator is told.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Memory, Work};
use crate::facts::{Ledger, Observation, OwnCopy};
use crate::time::Timestamp;

/// How long a notice is shown.
const SHOWN_FOR: Duration = Duration::from_secs(7 * 86_400);
/// Notices that are kept.
const KEPT: usize = 4;

/// Something that was noticed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// When.
    pub at: Timestamp,
    /// What, for people.
    pub text: String,
}

/// The executor's copy of a pair, as far as it tells one from another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownCopy {
    /// SHA-256 of the leaf.
    pub fingerprint: String,
    /// When it was installed or adopted.
    pub installed_at: Timestamp,
    /// When something was last delivered into the guest.
    #[serde(default)]
    pub delivered_at: Option<Timestamp>,
    /// When the command last succeeded.
    #[serde(default)]
    pub activated_at: Option<Timestamp>,
}

impl KnownCopy {
    fn of(own: &OwnCopy, ledger: &Ledger) -> Self {
        Self {
            fingerprint: own.leaf.fingerprint.clone(),
            installed_at: own.installed_at,
            delivered_at: ledger.delivered.as_ref().map(|deed| deed.at),
            activated_at: ledger.activated.as_ref().map(|deed| deed.at),
        }
    }
}

/// Wishes that the executor's ledger shows to be fulfilled, although nobody noted it: the daemon died, or the
/// answer was lost. What was known was noted together with the wishes.
pub(super) fn fulfil_unnoted(memory: &mut Memory, seen: &Observation) {
    let (Some(known), Some(own)) = (&memory.own, &seen.own) else { return };
    let present = KnownCopy::of(own, &seen.ledger);
    let is_another = present.fingerprint != known.fingerprint;
    let installed = is_another
        && present.installed_at >= known.installed_at
        && !own.adopted
        && seen.ledger.rolled_back.is_none();
    memory.reissue &= !installed;
    // What was under way when it was asked for does not count.
    let ordered = memory.order.as_ref().map(|order| order.at);
    let since = |deed: Option<Timestamp>, known: Option<Timestamp>| {
        deed > known && ordered.is_some_and(|ordered| deed > Some(ordered))
    };
    memory.redeliver &= !since(present.delivered_at, known.delivered_at);
    memory.reactivate &= !since(present.activated_at, known.activated_at);
}

/// Compares what is there after `work` with what was there before it.
pub(super) fn compare(memory: &mut Memory, work: Work, seen: &Observation, now: Timestamp) {
    memory.notices.retain(|notice| notice.at.plus(SHOWN_FOR) > now);
    let present = seen.own.as_ref().map(|own| KnownCopy::of(own, &seen.ledger));
    let text = match (&memory.own, &present) {
        (Some(known), None) => Some(format!(
            "the executor has forgotten the pair that was installed at {}: its state was lost or restored from an \
             older copy",
            known.installed_at
        )),
        (Some(known), Some(present)) if known.fingerprint != present.fingerprint => {
            changed(work, seen, known, present)
        }
        _ => None,
    };
    if let Some(text) = text {
        memory.notices.push(Notice { at: now, text });
        let surplus = memory.notices.len().saturating_sub(KEPT);
        memory.notices.drain(..surplus);
    }
    memory.own = present;
}

/// Another copy than before, that no installation of ours explains.
fn changed(work: Work, seen: &Observation, known: &KnownCopy, present: &KnownCopy) -> Option<String> {
    if work == Work::Adopt {
        return Some(format!(
            "a pair that another program put there was taken over in place of the one that was installed at {}. If \
             no other program writes there, the executor's state was restored from an older copy",
            known.installed_at
        ));
    }
    // A rollback exchanges the two pairs that are kept.
    let older = present.installed_at < known.installed_at && seen.ledger.rolled_back.is_none();
    (older && work != Work::Install).then(|| {
        format!(
            "the executor's records end at {} although a pair was installed at {}: its state was restored from an \
             older copy",
            present.installed_at, known.installed_at
        )
    })
}
