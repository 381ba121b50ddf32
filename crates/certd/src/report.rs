//! The status document's account of one certificate.

use phoenix_core::facts::OwnCopy;
use phoenix_core::lifecycle::{
    Availability, Failure, Phase, Reach, Stage, State, Work, is_own, proves_nothing, renew_at, standing,
};
use phoenix_core::manifest::Entry;
use phoenix_core::reason::{Reason, RetryClass};
use phoenix_core::rules::{self, Pair, TIMELY, USABLE};
use phoenix_core::schedule::Jitter;
use phoenix_core::time::Timestamp;
use phoenix_protocol::control::{
    CertificateState, CertificateStatus, Deployment, LastError, Served, StageState,
};

/// What is reported about.
pub(crate) struct Subject<'a> {
    /// What the manifest wants.
    pub entry: &'a Entry,
    /// Warnings about the entry itself.
    pub warnings: &'a [String],
    /// Where it stands.
    pub state: &'a State,
    /// Spread of the renewal time.
    pub jitter: Jitter,
    /// Whether an issuer can be asked.
    pub availability: &'a Availability,
}

/// The account of one certificate at `now`.
pub(crate) fn certificate(subject: &Subject<'_>, now: Timestamp) -> CertificateStatus {
    let Subject { entry, state, .. } = subject;
    let seen = state.seen.as_ref();
    let leaf = seen.and_then(|seen| {
        seen.live.leaf.as_ref().or_else(|| {
            // Without a view of the storage, our own copy tells what lies there.
            seen.target_trouble.as_ref().and(seen.own.as_ref()).map(|own| &own.leaf)
        })
    });
    let trouble = weightiest(state, subject.availability);
    let (condition, finding) = condition(subject, trouble.as_ref(), now);
    CertificateStatus {
        name: entry.name.to_string(),
        common_name: entry.common_name.clone(),
        sans: entry.sans.iter().map(ToString::to_string).collect(),
        cert_path: entry.cert_path.to_string(),
        key_path: entry.key_path.to_string(),
        issuer: entry.issuers.first().map(ToString::to_string).unwrap_or_default(),
        state: condition,
        serial: leaf.map(|leaf| leaf.serial.clone()),
        fingerprint_sha256: leaf.map(|leaf| leaf.fingerprint.clone()),
        not_before: leaf.map(|leaf| leaf.not_before),
        not_after: leaf.map(|leaf| leaf.not_after),
        renew_at: seen.and_then(|seen| renew_at(entry, subject.jitter, seen)),
        deployment: deployment(subject),
        served: state.memory.served.as_ref().map(|served| Served {
            fingerprint_sha256: served.fingerprint.clone(),
            serial: served.serial.clone(),
            not_after: served.not_after,
            at: served.at,
        }),
        reason: finding.map(|reason| reason.code().to_owned()),
        warnings: warnings(subject),
        attempts: trouble.as_ref().map_or(0, |(_, failure)| failure.attempts),
        next_attempt_at: trouble.as_ref().map(|(_, failure)| failure.next_attempt_at),
        last_error: trouble.map(|(stage, failure)| LastError {
            stage: stage.as_str().to_owned(),
            message: failure.trouble.message,
            at: failure.at,
        }),
    }
}

/// About the entry, about its certificate, and about records that are not as they were left.
fn warnings(subject: &Subject<'_>) -> Vec<String> {
    let memory = &subject.state.memory;
    let set_aside = subject.state.seen.iter().flat_map(|seen| &seen.set_aside).map(|path| {
        format!(
            "a damaged record was set aside as {path}; what it held is forgotten. Remove the file when you have \
             seen to the cause"
        )
    });
    let noticed = memory.notices.iter().map(|notice| format!("noticed at {}: {}", notice.at, notice.text));
    let lasting = subject.warnings.iter().chain(&memory.warnings).chain(&memory.remarks).cloned();
    lasting.chain(set_aside).chain(noticed).collect()
}

/// The failure that matters most.
pub(crate) fn weightiest(state: &State, availability: &Availability) -> Option<(Stage, Failure)> {
    by_weight(state, availability).into_iter().next()
}

/// All failures, what is blocked before what is retried before what waits. What an entry waits for at an issuer is
/// told as the issuer is now, not as it was when the entry looked last.
pub(crate) fn by_weight(state: &State, availability: &Availability) -> Vec<(Stage, Failure)> {
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

fn condition(
    subject: &Subject<'_>,
    trouble: Option<&(Stage, Failure)>,
    now: Timestamp,
) -> (CertificateState, Option<Reason>) {
    use CertificateState as C;
    let Subject { entry, state, .. } = subject;
    let failure = trouble.map(|(_, failure)| failure.trouble.reason);
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
        let state = match reason.class() {
            RetryClass::Blocked => C::Blocked,
            RetryClass::Waiting => C::Waiting,
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

fn deployment(subject: &Subject<'_>) -> Deployment {
    let Subject { entry, state, .. } = subject;
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
    let stage = |done: bool, stages: &[Stage]| match done {
        true => StageState::Done,
        false if failed(stages) => StageState::Failed,
        false => StageState::Pending,
    };
    let standing = standing(entry, seen, &state.memory);
    let written = seen.own.as_ref().is_some_and(|own| is_own(seen, own));
    let deliver_stages: &[Stage] = if phoenix_core::lifecycle::delivered_by_command(entry) {
        &[Stage::Deliver, Stage::Activate]
    } else {
        &[Stage::Deliver]
    };
    Deployment {
        written: stage(written, &[Stage::Issue, Stage::Write]),
        delivered: standing.delivered.map_or(StageState::None, |done| stage(done, deliver_stages)),
        activated: standing.activated.map_or(StageState::None, |done| stage(done, &[Stage::Activate])),
        verified: standing.verified.map_or(StageState::None, |done| stage(done, &[Stage::Verify])),
    }
}

#[cfg(test)]
mod tests;
