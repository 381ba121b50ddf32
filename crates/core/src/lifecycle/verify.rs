//! Seeing that the consumer uses the certificate, and what follows when it does not.
//!
//! A consumer that was reached and uses something else gets its command once more, with spacing. One that cannot
//! be reached proves something only if it could be reached before the change. Where something else is wrong than the
//! certificate in use (a consumer that lets everybody in, a backend behind it that is down, an expired certificate of
//! the client that looks), no command mends it and no pair is at fault: it is looked at again, and nothing else.

use super::completion::failed;
use super::rollback;
use super::{Context, Memory, Stage, State};
use crate::facts::{Deed, OwnCopy, Served};
use crate::manifest::{Delivery, Entry, Verify};
use crate::reason::{Reason, RetryClass, Trouble};
use crate::schedule::Spread;
use crate::time::Timestamp;

/// How long what lies in the guest is believed before a command is run: delivery and command usually follow each
/// other at once.
const BELIEVED: std::time::Duration = std::time::Duration::from_secs(60);

/// How a look at the consumers of an entry ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// Digest of the verifications that were carried out ([`verify_digest`]); none when none was.
    pub of: Option<String>,
    /// What the consumer was seen to use, if something was seen.
    pub served: Option<Served>,
    /// What did not pass failed at a consumer that uses this entry's certificate.
    pub takes: bool,
    /// What is odd about that although it passes, for people.
    pub remarks: Vec<String>,
    /// Every verification of the entry passed, or the first that did not and why.
    pub result: Result<(), Trouble>,
}

/// What a verification that did not pass says about the consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It was reached and does not use the certificate: its command has had no effect.
    Unmoved,
    /// It was reached, and something else than its certificate is what fails.
    Amiss,
    /// It could not be reached.
    Absent,
    /// Nothing: the look itself failed.
    Nothing,
}

fn verdict(reason: Reason, takes: bool) -> Verdict {
    match reason {
        Reason::AcceptsAnyone | Reason::DemandsClient => Verdict::Amiss,
        Reason::RefusesClient | Reason::WrongStatus | Reason::CheckFailed | Reason::Unreachable if takes => {
            Verdict::Amiss
        }
        Reason::ServesOther
        | Reason::ServesExpired
        | Reason::ServesDefault
        | Reason::RefusesClient
        | Reason::WrongStatus
        | Reason::CheckFailed => Verdict::Unmoved,
        Reason::Unreachable => Verdict::Absent,
        _ => Verdict::Nothing,
    }
}

/// Digest of verifications as configured; none when there are none.
pub fn verify_digest(verify: &[Verify]) -> Option<String> {
    if verify.is_empty() {
        return None;
    }
    let mut text = Spread::new(0);
    serde_json::to_writer(&mut text, verify).ok()?;
    text.part(&[0]);
    Some(format!("{:016x}", text.finish()))
}

/// The certificate with this fingerprint was seen at its consumer; none when no verification is configured.
pub(super) fn is_verified(entry: &Entry, fingerprint: &str, memory: &Memory) -> Option<bool> {
    let seen = |deed: &Deed| {
        deed.fingerprint == fingerprint && Some(&deed.of) == verify_digest(&entry.verify).as_ref()
    };
    (!entry.verify.is_empty()).then(|| !memory.reverify && memory.verified.as_ref().is_some_and(seen))
}

/// No verification is configured any more: what earlier ones saw is of no account.
pub(super) fn forget(memory: &mut Memory) {
    memory.verified = None;
    memory.proven = None;
    memory.served = None;
    memory.reachable = None;
    memory.ailing = None;
    memory.remarks.clear();
    memory.rerun = false;
}

/// The consumer could not be reached, and whether it could be before the change is not known or known not to be
/// so: nothing is proven.
pub fn proves_nothing(memory: &Memory) -> bool {
    let unreachable = memory
        .failures
        .get(&Stage::Verify)
        .is_some_and(|failure| failure.trouble.reason == Reason::Unreachable);
    unreachable && memory.reachable != Some(true)
}

/// Although the look at it failed: the consumer was seen with the certificate, or cannot be seen at all. Then it counts
/// as one that nothing is configured to look at.
pub(super) fn is_taken_to_be_in_use(memory: &Memory, own: &OwnCopy) -> bool {
    let served = memory.served.as_ref();
    proves_nothing(memory) || served.is_some_and(|served| served.fingerprint == own.leaf.fingerprint)
}

/// The files were delivered so long ago that it is looked whether the guest still has them.
pub(super) fn wants_recheck(
    entry: &Entry,
    delivered: Option<&Deed>,
    memory: &Memory,
    now: Timestamp,
) -> bool {
    matches!(entry.delivery, Some(Delivery::Explicit { .. }))
        && delivered.is_some_and(|deed| {
            let recent = |at: Timestamp| at <= now && now.since(at) <= BELIEVED;
            !recent(deed.at) && !memory.rechecked.is_some_and(recent)
        })
}

/// The command failed where a consumer that it broke is to get its previous pair back: it is looked once what the
/// consumer does now. A look that was put off is waited for once after the first failure, and tried once after every
/// later one; then the command is the better chance of a consumer that nobody can look at.
pub(super) fn may_be_broken(entry: &Entry, memory: &Memory) -> bool {
    let Some(failure) = memory.failures.get(&Stage::Activate) else { return false };
    let unlooked = memory.failures.get(&Stage::Verify).is_none_or(|look| {
        look.trouble.reason == Reason::LookPutOff && (look.attempts <= 1 || look.at < failure.at)
    });
    let unseen_since = memory.verified.as_ref().is_none_or(|deed| deed.at < failure.at);
    entry.rollback
        && !entry.verify.is_empty()
        && unlooked
        && unseen_since
        && failure.trouble.reason.class() == RetryClass::Command
}

/// Takes in the end of a verification.
pub(super) fn absorb(state: &mut State, context: &Context<'_>, seen: Verification, now: Timestamp) {
    let Some(own) = state.seen.as_ref().and_then(|seen| seen.own.as_ref()) else { return };
    let fingerprint = own.leaf.fingerprint.clone();
    let memory = &mut state.memory;
    let known = memory.proven.as_ref() == Some(&fingerprint);
    let Verification { of, served, takes, remarks, result } = seen;
    if of.is_some() && of != verify_digest(&context.entry.verify) {
        // The manifest asks for another look now: what this one saw says nothing about it.
        return;
    }
    let verdict = result.as_ref().err().map(|trouble| verdict(trouble.reason, takes));
    if verdict != Some(Verdict::Nothing) {
        memory.reverify = false;
        memory.remarks = remarks;
        memory.served = served.or(memory.served.take());
    }
    match verdict {
        None => {
            memory.overcome(Stage::Verify);
            memory.rerun = false;
            memory.reachable = Some(true);
            memory.ailing = None;
            memory.proven = Some(fingerprint.clone());
            memory.verified =
                verify_digest(&context.entry.verify).map(|of| Deed { fingerprint, of, at: now });
        }
        Some(Verdict::Nothing) => {}
        Some(Verdict::Amiss) => {
            memory.reachable = Some(true);
            memory.verified = None;
            // Whatever comes later, the pair has been in use.
            memory.proven = takes.then_some(fingerprint).or(memory.proven.take());
        }
        Some(Verdict::Unmoved) => {
            memory.reachable = Some(true);
            memory.verified = None;
            run_again(context.entry, memory);
        }
        Some(Verdict::Absent) => {
            memory.verified = None;
            if known {
                // Nothing of ours changed: it went away by itself, and serves what it serves when it is back.
                memory.reachable = Some(false);
            } else if memory.reachable == Some(true) {
                run_again(context.entry, memory);
            }
        }
    }
    let Err(trouble) = result else { return };
    let command_failed = state.memory.failures.contains_key(&Stage::Activate);
    let hurt = match verdict {
        // After a command that failed, another certificate is the previous one, which serves.
        Some(Verdict::Unmoved) => !command_failed || trouble.reason != Reason::ServesOther,
        Some(Verdict::Absent) => state.memory.reachable == Some(true),
        _ => false,
    };
    // What failed in the same way with the previous pair is not the fault of this one.
    let new = state.memory.ailing != Some(trouble.reason);
    if hurt && new && !known {
        rollback::want(state, context.entry, &trouble, now);
    }
    failed(state, Stage::Verify, trouble, now);
}

/// The command is run once more; without one, the files are delivered once more.
fn run_again(entry: &Entry, memory: &mut Memory) {
    memory.rerun = entry.command.is_some() || entry.delivery.is_some();
}
