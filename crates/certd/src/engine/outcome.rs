//! How what an operator asked for stands for one entry.

use phoenix_core::account::{by_weight, weightiest};
use phoenix_core::lifecycle::{Availability, Failure, Phase, Reach, Stage, proves_nothing, standing};
use phoenix_core::reason::{Reason, RetryClass};
use phoenix_protocol::control::{EntryResult, Outcome};

use super::entries::Tracked;
use super::orders::Verb;

/// How an order stands; none while it is under way.
pub(super) fn of_order(
    tracked: &Tracked,
    verb: Verb,
    wanted: Reach,
    availability: &Availability,
) -> Option<EntryResult> {
    if let Some(refused) = tracked.state.refused.as_ref().filter(|_| verb == Verb::Rollback) {
        return Some(done(tracked, Outcome::Failed, Some(refused.message.clone()), Some(refused.reason)));
    }
    if tracked.state.reached >= Some(wanted) {
        let outcome = match wanted {
            Reach::Written => Outcome::Written,
            Reach::Verified if !tracked.entry.verify.is_empty() => Outcome::Verified,
            _ => Outcome::Unverified,
        };
        return Some(done(tracked, outcome, None, None));
    }
    if let Some(result) = untouched(tracked, wanted) {
        return Some(result);
    }
    let (stage, failure) = weightiest(&tracked.state, availability)?;
    failed(tracked, stage, &failure)
}

/// How a look at the consumer stands; none while it is under way. What does not keep it from being taken, such as an
/// issuer that is away, is of no account.
pub(super) fn of_look(tracked: &Tracked, availability: &Availability) -> Option<EntryResult> {
    let (state, memory) = (&tracked.state, &tracked.state.memory);
    let seen = state.seen.as_ref()?;
    match standing(&tracked.entry, seen, memory).verified {
        Some(true) => return Some(done(tracked, Outcome::Verified, None, None)),
        None => return Some(done(tracked, Outcome::Unverified, None, None)),
        Some(false) => {}
    }
    if let Some(result) = untouched(tracked, Reach::Verified) {
        return Some(result);
    }
    if memory.reverify && state.phase != Phase::Idle {
        return None;
    }
    // What keeps it from being taken, or what it has shown.
    let before = |stage: Stage| stage != Stage::Issue || seen.own.is_none();
    let told = |stage: Stage| if memory.reverify { before(stage) } else { stage == Stage::Verify };
    let failures = by_weight(state, availability);
    let (stage, failure) = failures.iter().find(|(stage, _)| told(*stage))?;
    failed(tracked, *stage, failure)
}

/// Nothing is done about it for now.
fn untouched(tracked: &Tracked, wanted: Reach) -> Option<EntryResult> {
    let name = &tracked.entry.name;
    if tracked.entry.paused {
        let error = format!("{name} is paused in the manifest");
        return Some(done(tracked, Outcome::Failed, Some(error), Some(Reason::Paused)));
    }
    let until = held(tracked).filter(|held| *held < wanted)?;
    let error = format!("{name} is held at {until:?} until the next sync or renewal");
    Some(done(tracked, Outcome::Waiting, Some(error), Some(Reason::Held)))
}

fn failed(tracked: &Tracked, stage: Stage, failure: &Failure) -> Option<EntryResult> {
    let outcome = match failure.trouble.reason {
        // Nothing has failed: the next look is waited for.
        Reason::LookPutOff => return None,
        // Only a consumer that could be reached before proves anything by being out of reach.
        _ if stage == Stage::Verify && proves_nothing(&tracked.state.memory) => Outcome::Unverified,
        Reason::RolledBack => Outcome::Failed,
        reason if reason.class() == RetryClass::Waiting => Outcome::Waiting,
        _ => Outcome::Failed,
    };
    let error = format!(
        "{}: {} Next attempt at {}",
        stage.as_str(),
        failure.trouble.sentence(),
        failure.next_attempt_at
    );
    Some(done(tracked, outcome, Some(error), Some(failure.trouble.reason)))
}

fn done(tracked: &Tracked, result: Outcome, error: Option<String>, reason: Option<Reason>) -> EntryResult {
    let leaf = tracked.state.seen.as_ref().and_then(|seen| seen.live.leaf.as_ref());
    EntryResult {
        name: tracked.entry.name.to_string(),
        result,
        serial: leaf.map(|leaf| leaf.serial.clone()),
        error,
        reason: reason.map(|reason| reason.code().to_owned()),
    }
}

/// How far the present certificate may go, if not all the way.
fn held(tracked: &Tracked) -> Option<Reach> {
    let own = tracked.state.seen.as_ref()?.own.as_ref()?;
    let hold = tracked.state.memory.hold.as_ref()?;
    (hold.fingerprint == own.leaf.fingerprint).then_some(hold.reach)
}
