//! How what an operator asked for stands for one entry.

use phoenix_core::account::by_weight;
use phoenix_core::lifecycle::{Availability, Failure, Phase, Reach, Stage, proves_nothing, serves, standing};
use phoenix_core::reason::{Reason, RetryClass};
use phoenix_protocol::control::{EntryResult, Outcome};

use super::entries::Tracked;
use super::orders::Verb;
use crate::clock::now;

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
    // What fails beyond it is no affair of the order.
    let failures = by_weight(&tracked.state, availability);
    let (stage, failure) = failures.iter().find(|(stage, _)| wanted.covers(*stage))?;
    failed(tracked, *stage, failure)
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
    // What keeps it from being taken, or what it has shown. Where no pair of ours serves, that is the issuer too.
    let serves = serves(&tracked.entry, seen, now());
    let before = |stage: Stage| stage != Stage::Issue || !serves;
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

#[cfg(test)]
mod tests {
    use phoenix_core::facts::FileFact;
    use phoenix_core::lifecycle::State;
    use phoenix_core::reason::Trouble;
    use phoenix_core::time::Timestamp;
    use serde_json::json;

    use super::super::samples;
    use super::*;

    /// An entry whose issuer cannot be reached and that an operator wants looked at, and until when its certificate is
    /// valid, in seconds from now.
    fn asked(left: i64, change: impl FnOnce(&mut State)) -> Option<EntryResult> {
        let entry = samples::entry("web", &json!({ "verify": { "tls": "10.0.0.1:443" } }));
        let at = now();
        let mut state = samples::installed(&entry, Timestamp::from_unix(at.unix() + left), at);
        let away = Trouble::new(Reason::CaUnreachable, "nobody answers");
        state.memory.reverify = true;
        state.memory.fail(Stage::Issue, away.clone(), None, at);
        change(&mut state);
        let availability = Availability::Unavailable { trouble: away, next_look: at };
        of_look(&samples::tracked(entry, state), &availability)
    }

    fn seen(state: &mut State) -> &mut phoenix_core::facts::Observation {
        state.seen.as_mut().unwrap()
    }

    #[test]
    fn a_look_that_cannot_be_taken_for_want_of_a_certificate_is_answered_at_once_with_the_reason() {
        type Change = fn(&mut State);
        let cases: [(&str, i64, Change); 3] = [
            ("none of ours", 3600, |state| seen(state).own = None),
            ("another one in its place", 3600, |state| seen(state).live.cert = FileFact::Missing),
            ("expired", -1, |_| ()),
        ];
        for (case, left, change) in cases {
            let told = asked(left, change).unwrap_or_else(|| panic!("{case}: it is waited for"));
            assert_eq!(
                (told.result, told.reason.as_deref()),
                (Outcome::Failed, Some("ca-unreachable")),
                "{case}"
            );
            assert!(told.error.is_some_and(|error| error.contains("nobody answers")), "{case}");
        }
    }

    #[test]
    fn an_issuer_that_is_away_keeps_no_look_from_being_taken_where_a_certificate_of_ours_serves() {
        assert!(asked(3600, |_| ()).is_none());
        assert!(asked(3600, |state| state.memory.reissue = true).is_none());
    }

    #[test]
    fn what_fails_beyond_an_order_is_no_failure_of_it() {
        let entry = samples::entry("web", &json!({ "post_renewal_command": "pct exec 102 -- reload" }));
        let at = now();
        let mut state = samples::installed(&entry, Timestamp::from_unix(at.unix() + 3600), at);
        state.memory.fail(Stage::Activate, Trouble::new(Reason::CommandFailed, "exit code 1"), None, at);
        let tracked = samples::tracked(entry, state);
        let result = |reach| of_order(&tracked, Verb::Renew, reach, &Availability::Ready);
        assert!(result(Reach::Written).is_none(), "it goes on");
        assert!(result(Reach::Delivered).is_none());
        assert_eq!(result(Reach::Activated).map(|told| told.result), Some(Outcome::Failed));
    }

    #[test]
    fn a_rollback_that_is_refused_is_answered_with_the_reason_and_other_orders_go_on() {
        let entry = samples::entry("web", &json!({ "paused": true }));
        let at = now();
        let mut state = samples::installed(&entry, Timestamp::from_unix(at.unix() + 3600), at);
        state.refused = Some(Trouble::new(Reason::Paused, "the entry is paused: no pair is put back"));
        let tracked = samples::tracked(entry, state);
        let told = of_order(&tracked, Verb::Rollback, Reach::Verified, &Availability::Ready).unwrap();
        assert_eq!((told.result, told.reason.as_deref()), (Outcome::Failed, Some("paused")));
        assert_eq!(told.error.as_deref(), Some("the entry is paused: no pair is put back"));
        let told = of_order(&tracked, Verb::Sync, Reach::Verified, &Availability::Ready).unwrap();
        assert_eq!(told.error.as_deref(), Some("web is paused in the manifest"));
    }
}
