//! How an entry is told: the one word for its state, the reason for it, and how far its certificate has come.
//!
//! The order in which states come before each other is part of the control API.

use serde::{Deserialize, Serialize};

use crate::facts::OwnCopy;
use crate::lifecycle::{
    Availability, Failure, Phase, Reach, Stage, State, Work, delivered_by_command, is_own, proves_nothing,
    renew_at, standing,
};
use crate::manifest::Entry;
use crate::reason::{Reason, RetryClass};
use crate::rules::{self, Pair, TIMELY, USABLE};
use crate::schedule::Jitter;
use crate::time::Timestamp;

/// Where several fit, the first of this order is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CertificateState {
    /// The files are not a usable pair.
    Invalid,
    /// Past notAfter.
    Expired,
    /// There are no files.
    Missing,
    /// Paused in the manifest.
    Paused,
    /// Retrying cannot help until someone changes something.
    Blocked,
    /// A failure is being retried.
    Retrying,
    /// Waits for something that comes back by itself.
    Waiting,
    /// A certificate is being requested.
    Issuing,
    /// A certificate is being delivered, activated or verified.
    Deploying,
    /// The renewal time has come.
    Due,
    /// Nothing to do.
    Ok,
}

/// How far the present certificate has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// On the live paths.
    pub written: StageState,
    /// In the guest.
    pub delivered: StageState,
    /// The command succeeded.
    pub activated: StageState,
    /// Seen at the consumer.
    pub verified: StageState,
}

/// A stage of the deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StageState {
    /// Done for the present certificate.
    Done,
    /// Still to be done.
    Pending,
    /// Tried and failed; will be retried.
    Failed,
    /// Not known (a report from files alone).
    Unknown,
    /// Not configured for this entry.
    None,
}

/// What is told about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// What the manifest wants.
    pub entry: &'a Entry,
    /// Where it stands.
    pub state: &'a State,
    /// Spread of the renewal time.
    pub jitter: Jitter,
    /// Whether an issuer can be asked.
    pub availability: &'a Availability,
}

/// The failure that matters most.
pub fn weightiest(state: &State, availability: &Availability) -> Option<(Stage, Failure)> {
    by_weight(state, availability).into_iter().next()
}

/// All failures, what is blocked before what is retried before what waits. What an entry waits for at an issuer is
/// told as the issuer is now, not as it was when the entry looked last.
pub fn by_weight(state: &State, availability: &Availability) -> Vec<(Stage, Failure)> {
    let weight = |failure: &Failure| match failure.trouble.reason.class() {
        RetryClass::Blocked => 0,
        RetryClass::Transport | RetryClass::CaFault | RetryClass::LocalIo | RetryClass::Command => 1,
        RetryClass::Waiting => 2,
    };
    let present = |(stage, failure): (&Stage, &Failure)| match availability {
        Availability::Unavailable { trouble, next_look } if *stage == Stage::Issue => {
            let now = Failure { trouble: trouble.clone(), next_attempt_at: *next_look, ..failure.clone() };
            (*stage, now)
        }
        _ => (*stage, failure.clone()),
    };
    let mut failures: Vec<(Stage, Failure)> = state.memory.failures.iter().map(present).collect();
    failures.sort_by_key(|(stage, failure)| (weight(failure), *stage));
    failures
}

/// The state that is told at `now`, and the reason for it.
pub fn condition(subject: &Subject<'_>, now: Timestamp) -> (CertificateState, Option<Reason>) {
    use CertificateState as C;
    let Subject { entry, state, .. } = subject;
    let failure = weightiest(state, subject.availability).map(|(_, failure)| failure.trouble.reason);
    if let Some(seen) = &state.seen {
        let live = Pair::live(entry, &seen.live, None, now);
        let problem = rules::first(&[USABLE], &live).map(|finding| finding.reason);
        match problem {
            // What cannot be looked at is neither missing nor invalid.
            Some(_) if seen.target_trouble.is_some() => {}
            Some(Reason::Expired) => return (C::Expired, failure.or(problem)),
            Some(Reason::Missing) => return (C::Missing, failure.or(problem)),
            Some(_) => return (C::Invalid, failure.or(problem)),
            None => {}
        }
    }
    if entry.paused {
        return (C::Paused, Some(Reason::Paused));
    }
    if let Some(reason) = failure {
        // The new certificate is not in use, and is tried again; one that an operator took back waits for them.
        let ordered = state.memory.rollback.as_ref().is_some_and(|known| known.ordered);
        let state = match reason.class() {
            RetryClass::Blocked => C::Blocked,
            RetryClass::Waiting if reason != Reason::RolledBack || ordered => C::Waiting,
            _ => C::Retrying,
        };
        return (state, Some(reason));
    }
    let finding = state.finding.as_ref().map(|finding| finding.reason);
    let Some(seen) = &state.seen else { return (C::Waiting, None) };
    let standing = standing(entry, seen, &state.memory);
    let held = |own: &OwnCopy| {
        state.memory.hold.as_ref().is_some_and(|hold| hold.fingerprint == own.leaf.fingerprint)
    };
    if standing.written && !standing.reached(Reach::Verified) && seen.own.as_ref().is_some_and(held) {
        return (C::Waiting, Some(Reason::Held));
    }
    if let Phase::Working { work, .. } = state.phase {
        match work {
            Work::Issue | Work::Install | Work::Adopt | Work::Restore => return (C::Issuing, finding),
            Work::Deliver | Work::Activate | Work::Rollback | Work::Reinstate => {
                return (C::Deploying, finding);
            }
            // A sweep looks at what is in order.
            Work::Observe | Work::Verify | Work::Recheck => {}
        }
    }
    if standing.written && !standing.reached(Reach::Verified) {
        return (C::Deploying, finding);
    }
    let renewal = renew_at(entry, subject.jitter, seen);
    let due = rules::first(&[TIMELY], &Pair::live(entry, &seen.live, renewal, now));
    if due.is_some() || state.memory.reissue {
        return (C::Due, due.map(|due| due.reason).or(Some(Reason::Forced)));
    }
    (C::Ok, None)
}

/// How far the present certificate has come.
pub fn deployment(entry: &Entry, state: &State) -> Deployment {
    let Some(seen) = &state.seen else {
        return Deployment {
            written: StageState::Unknown,
            delivered: StageState::Unknown,
            activated: StageState::Unknown,
            verified: if entry.verify.is_empty() { StageState::None } else { StageState::Unknown },
        };
    };
    // What waits for a guest or an issuer has not failed.
    let has_failed = |failure: &Failure| failure.trouble.reason.class() != RetryClass::Waiting;
    let nothing_proven = proves_nothing(&state.memory);
    let failed = |stages: &[Stage]| {
        stages.iter().any(|stage| {
            state.memory.failures.get(stage).is_some_and(has_failed)
                && !(*stage == Stage::Verify && nothing_proven)
        })
    };
    let unseen = seen.target_trouble.is_some() && seen.own.is_some();
    let stage = |done: bool, stages: &[Stage]| match done {
        true => StageState::Done,
        // While the paths cannot be looked at, nobody knows whether our pair still lies there.
        false if unseen => StageState::Unknown,
        false if failed(stages) => StageState::Failed,
        false => StageState::Pending,
    };
    let standing = standing(entry, seen, &state.memory);
    let written = seen.own.as_ref().is_some_and(|own| is_own(seen, own));
    let deliver_stages: &[Stage] =
        if delivered_by_command(entry) { &[Stage::Deliver, Stage::Activate] } else { &[Stage::Deliver] };
    Deployment {
        written: stage(written, &[Stage::Issue, Stage::Write]),
        delivered: standing.delivered.map_or(StageState::None, |done| stage(done, deliver_stages)),
        activated: standing.activated.map_or(StageState::None, |done| stage(done, &[Stage::Activate])),
        verified: standing.verified.map_or(StageState::None, |done| stage(done, &[Stage::Verify])),
    }
}
