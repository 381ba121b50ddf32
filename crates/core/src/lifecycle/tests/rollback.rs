//! A certificate that its consumer does not take, and the previous pair in its place.

use super::proof::*;
use super::*;

/// Renews in vain, until the previous pair is in place and in use. Returns old, new and when it is tried again.
fn taken_back(bench: &mut Bench) -> (LeafFacts, LeafFacts, Timestamp) {
    bench.entry.rollback = true;
    let old = proven(bench);
    let new = renewed(bench, Some(true));
    assert_eq!(next(bench, fails(Reason::ServesDefault)), Action::Rollback);
    let back = rolled_back(bench, &old, &new);
    assert_eq!(next(bench, Event::RolledBack(Ok(back.clone()))), Action::Activate);
    let mut deployed = bench.deployed(&old);
    deployed.ledger.rolled_back = back.ledger.rolled_back;
    assert_eq!(next(bench, Event::Activated(Ok(deployed))), Action::Verify);
    let at = wake(&next(bench, passes(&old)));
    (old, new, at)
}

#[test]
fn the_previous_pair_is_put_back_used_and_told_of() {
    let mut bench = verifying();
    let (old, _, at) = taken_back(&mut bench);
    let failure = &bench.state.memory.failures[&Stage::Verify];
    assert_eq!(failure.trouble.reason, Reason::RolledBack);
    assert!(failure.trouble.message.contains("so it was seen"), "{}", failure.trouble.message);
    assert_eq!(bench.state.reached, None, "the order is not fulfilled by the old pair");
    assert!(bench.state.memory.order.is_some());
    // A tenth of what the old pair has left, an hour at most.
    let left = old.not_after.since(bench.now);
    assert_eq!(at, bench.now.plus((left / 10).min(crate::backoff::LONGEST)));
}

#[test]
fn the_new_pair_is_tried_again_and_taken_back_again_with_a_count() {
    let mut bench = verifying();
    let (old, new, at) = taken_back(&mut bench);
    bench.now = at;
    let mut seen = bench.deployed(&old);
    seen.ledger.rolled_back = Some(new.fingerprint.clone());
    bench.send(Event::Look);
    assert_eq!(next(&mut bench, Event::Observed(Ok(seen))), Action::Reinstate);
    let written = bench.written(&new);
    assert_eq!(next(&mut bench, Event::Reinstated(Ok(written))), Action::Activate);
    let deployed = bench.deployed(&new);
    assert_eq!(next(&mut bench, Event::Activated(Ok(deployed.clone()))), Action::Verify);
    assert_eq!(next(&mut bench, fails(Reason::ServesDefault)), Action::Rollback);
    assert_eq!(bench.state.memory.rollback.as_ref().unwrap().attempts, 2);
}

#[test]
fn a_sync_tries_the_new_pair_at_once_and_its_success_ends_the_alarm() {
    let mut bench = verifying();
    let (old, new, _) = taken_back(&mut bench);
    let mut seen = bench.deployed(&old);
    seen.ledger.rolled_back = Some(new.fingerprint.clone());
    bench.send(Event::Ordered(Request {
        reissue: false,
        redeploy: false,
        reverify: false,
        urgent: false,
        reach: Reach::Verified,
    }));
    assert_eq!(next(&mut bench, Event::Observed(Ok(seen))), Action::Reinstate);
    let (written, deployed) = (bench.written(&new), bench.deployed(&new));
    bench.send(Event::Reinstated(Ok(written)));
    bench.send(Event::Activated(Ok(deployed)));
    bench.send(passes(&new));
    assert_eq!(bench.state.memory.rollback, None);
    assert!(bench.state.memory.failures.is_empty());
    assert_eq!((bench.state.reached, &bench.state.memory.order), (Some(Reach::Verified), &None));
}

#[test]
fn a_renew_while_rolled_back_gets_a_certificate_of_its_own() {
    let mut bench = verifying();
    let (old, new, _) = taken_back(&mut bench);
    let mut seen = bench.deployed(&old);
    seen.ledger.rolled_back = Some(new.fingerprint.clone());
    bench.send(renew(Reach::Verified));
    assert_eq!(next(&mut bench, Event::Observed(Ok(seen))), Action::Issue);
}

#[test]
fn a_pair_that_was_put_back_stays_although_it_is_due_and_not_although_it_is_expired() {
    let mut bench = verifying();
    let (old, new, at) = taken_back(&mut bench);
    let mut seen = bench.deployed(&old);
    seen.ledger.rolled_back = Some(new.fingerprint.clone());
    bench.entry.renew_before = crate::manifest::RenewBefore::Percent(50);
    bench.now = at.minus(Duration::from_secs(10));
    bench.send(Event::Look);
    assert!(matches!(next(&mut bench, Event::Observed(Ok(seen.clone()))), Action::WakeAt(Some(_))));
    bench.now = old.not_after.plus(Duration::from_secs(1));
    bench.state.memory.rollback.as_mut().unwrap().step =
        RollbackStep::InPlace { retry_at: bench.now.plus(DAY) };
    bench.send(Event::Look);
    assert_eq!(next(&mut bench, Event::Observed(Ok(seen))), Action::Issue);
}

#[test]
fn without_a_previous_pair_there_is_the_alarm_and_the_command_again() {
    let mut bench = verifying();
    bench.entry.rollback = true;
    proven(&mut bench);
    let leaf = renewed(&mut bench, Some(true));
    assert_eq!(next(&mut bench, fails(Reason::ServesDefault)), Action::Rollback);
    let none = Trouble::new(Reason::Missing, "no earlier pair of it is kept");
    let deployed = bench.deployed(&leaf);
    bench.now = wake(&next(&mut bench, Event::RolledBack(Err(none))));
    assert_eq!(bench.state.memory.failures[&Stage::Verify].trouble.reason, Reason::ServesDefault);
    bench.send(Event::Look);
    assert_eq!(next(&mut bench, Event::Observed(Ok(deployed.clone()))), Action::Activate);
    bench.send(Event::Activated(Ok(deployed)));
    // It is not asked for again.
    assert!(matches!(next(&mut bench, fails(Reason::ServesDefault)), Action::WakeAt(_)));
}

#[test]
fn a_storage_that_fails_puts_the_rollback_off() {
    let mut bench = verifying();
    bench.entry.rollback = true;
    proven(&mut bench);
    let leaf = renewed(&mut bench, Some(true));
    bench.send(fails(Reason::Unreachable));
    let full = Trouble::new(Reason::DiskFull, "no space left");
    bench.now = wake(&next(&mut bench, Event::RolledBack(Err(full))));
    bench.send(Event::Look);
    let deployed = bench.deployed(&leaf);
    assert_eq!(next(&mut bench, Event::Observed(Ok(deployed))), Action::Rollback);
}

#[test]
fn a_command_that_failed_and_broke_its_consumer_is_rolled_back_and_one_that_did_not_is_not() {
    for (reason, expected) in
        [(Reason::Unreachable, true), (Reason::ServesDefault, true), (Reason::ServesOther, false)]
    {
        let mut bench = verifying();
        bench.entry.rollback = true;
        let old = proven(&mut bench);
        bench.send(renew(Reach::Verified));
        let before = bench.deployed(&old);
        bench.send(Event::Observed(Ok(before)));
        let offer = Offer { reachable: Some(true), ..bench.offer() };
        bench.send(Event::Issued(Ok(offer)));
        bench.pass(5);
        let leaf = bench.leaf();
        let written = bench.written(&leaf);
        bench.send(Event::Installed(Ok((written, vec![]))));
        // It is looked at once what the consumer does now.
        assert_eq!(next(&mut bench, Event::Activated(Err(command_failed()))), Action::Verify, "{reason}");
        let action = next(&mut bench, fails(reason));
        assert_eq!(action == Action::Rollback, expected, "{reason}: {action:?}");
    }
}

#[test]
fn what_failed_in_the_same_way_with_the_previous_pair_takes_no_new_one_back() {
    for (before, after, expected) in [
        (None, Reason::RefusesClient, true),
        (Some(Reason::RefusesClient), Reason::RefusesClient, false),
        (Some(Reason::Unreachable), Reason::Unreachable, false),
        (Some(Reason::ServesOther), Reason::ServesOther, false),
        (Some(Reason::WrongStatus), Reason::RefusesClient, true),
        (Some(Reason::Internal), Reason::ServesDefault, true),
    ] {
        let mut bench = verifying();
        bench.entry.rollback = true;
        let old = proven(&mut bench);
        let ailing = |offer| Offer { reachable: Some(true), ailing: before, ..offer };
        let new = renewed_by(&mut bench, ailing);
        let action = next(&mut bench, fails(after));
        assert_eq!(action == Action::Rollback, expected, "{before:?} {after}: {action:?}");
        if !expected {
            // It mends, and fails anew: that is no longer what it was before.
            bench.send(passes(&new));
            assert_eq!(bench.state.memory.ailing, None, "{before:?} {after}");
        }
        assert_ne!(old, new);
    }
}

#[test]
fn a_pair_that_is_about_to_expire_is_not_put_back_any_more() {
    for (left, expected) in [(3600, true), (599, false), (0, false)] {
        let mut bench = verifying();
        let (old, new, at) = taken_back(&mut bench);
        bench.now = at;
        let mut seen = bench.deployed(&old);
        seen.ledger.rolled_back = Some(new.fingerprint.clone());
        bench.send(Event::Look);
        assert_eq!(next(&mut bench, Event::Observed(Ok(seen))), Action::Reinstate);
        let written = bench.written(&new);
        bench.send(Event::Reinstated(Ok(written)));
        let deployed = bench.deployed(&new);
        bench.send(Event::Activated(Ok(deployed)));
        bench.state.memory.in_use_until = Some(bench.now.plus(Duration::from_secs(left)));
        let action = next(&mut bench, fails(Reason::ServesDefault));
        assert_eq!(action == Action::Rollback, expected, "{left}: {action:?}");
    }
}

#[test]
fn a_rollback_that_nobody_remembers_is_known_from_the_ledger() {
    let mut bench = verifying();
    let (old, new, _) = taken_back(&mut bench);
    let mut seen = bench.deployed(&old);
    seen.ledger.rolled_back = Some(new.fingerprint.clone());
    bench.state = State::default();
    bench.send(Event::Look);
    bench.send(Event::Observed(Ok(seen)));
    bench.send(passes(&old));
    let rollback = bench.state.memory.rollback.as_ref().unwrap();
    assert_eq!(rollback.failed, new.fingerprint);
    assert!(matches!(rollback.step, RollbackStep::InPlace { retry_at } if retry_at > bench.now));
    assert_eq!(bench.state.memory.failures[&Stage::Verify].trouble.reason, Reason::RolledBack);
}

#[test]
fn everything_about_consumers_is_remembered_across_a_restart() {
    let mut bench = verifying();
    taken_back(&mut bench);
    let json = serde_json::to_string(&bench.state.memory).unwrap();
    assert_eq!(serde_json::from_str::<Memory>(&json).unwrap(), bench.state.memory);
    // Journals of earlier versions know nothing of it.
    assert_eq!(serde_json::from_str::<Memory>("{}").unwrap(), Memory::default());
}
