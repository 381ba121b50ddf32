//! Noticing that records are not as they were left: a state directory was lost, or restored from an older copy.
//!
//! What is found converges by the ordinary rules; this only sees to it that the operator is told.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Memory, Work};
use crate::facts::{Observation, OwnCopy};
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
}

impl KnownCopy {
    fn of(own: &OwnCopy) -> Self {
        Self { fingerprint: own.leaf.fingerprint.clone(), installed_at: own.installed_at }
    }
}

/// Compares what is there after `work` with what was there before it.
pub(super) fn compare(memory: &mut Memory, work: Work, seen: &Observation, now: Timestamp) {
    memory.notices.retain(|notice| notice.at.plus(SHOWN_FOR) > now);
    let present = seen.own.as_ref().map(KnownCopy::of);
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
