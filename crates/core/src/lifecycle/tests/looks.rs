//! What a look at a consumer means for its command, and what it leaves alone.

use super::proof::{amiss, explicit, fails, next, passes, proven, renewed, served, unseen, verifying, wake};
use super::*;
use crate::manifest::Verify;

#[test]
fn who_serves_the_certificate_and_fails_for_another_reason_gets_neither_its_command_nor_the_previous_pair() {
    for reason in [Reason::RefusesClient, Reason::WrongStatus, Reason::CheckFailed, Reason::Unreachable] {
        let mut bench = verifying();
        bench.entry.rollback = true;
        proven(&mut bench);
        let leaf = renewed(&mut bench, Some(true));
        let deployed = bench.deployed(&leaf);
        let mut spacings = Vec::new();
        for _ in 0..3 {
            let at = wake(&next(&mut bench, amiss(&leaf, reason)));
            assert_eq!(bench.state.memory.failures[&Stage::Verify].trouble.reason, reason);
            assert!(!proves_nothing(&bench.state.memory), "{reason}");
            spacings.push(at.since(bench.now));
            bench.now = at;
            bench.send(Event::Look);
            assert_eq!(next(&mut bench, Event::Observed(Ok(deployed.clone()))), Action::Verify, "{reason}");
        }
        assert!(spacings.is_sorted_by(|one, next| one < next), "{spacings:?}");
        // It has been in use: that it is out of reach later does not bring the previous pair back either.
        assert!(matches!(next(&mut bench, fails(Reason::Unreachable)), Action::WakeAt(_)), "{reason}");
        assert_eq!(bench.state.memory.rollback, None, "{reason}");
    }
}

#[test]
fn a_consumer_that_cannot_be_seen_counts_as_one_that_is_not_looked_at() {
    let mut bench = verifying();
    let old = proven(&mut bench);
    let leaf = renewed(&mut bench, Some(false));
    assert_eq!(bench.state.memory.in_use_until, Some(old.not_after));
    bench.send(fails(Reason::Unreachable));
    assert_eq!(bench.state.memory.in_use_until, Some(leaf.not_after));

    let mut bench = verifying();
    proven(&mut bench);
    let leaf = renewed(&mut bench, Some(true));
    bench.send(amiss(&leaf, Reason::WrongStatus));
    assert_eq!(bench.state.memory.in_use_until, Some(leaf.not_after));
}

#[test]
fn a_look_into_the_guest_does_not_shorten_the_wait_of_a_command_that_failed() {
    let mut bench = verifying();
    bench.entry.delivery = Some(explicit());
    let leaf = bench.leaf();
    let mut delivered = bench.deployed(&leaf);
    delivered.ledger.activated = None;
    bench.send(Event::Look);
    assert_eq!(next(&mut bench, Event::Observed(Ok(delivered.clone()))), Action::Activate);
    let mut last = Duration::ZERO;
    for attempt in 1..=6 {
        let at = wake(&next(&mut bench, Event::Activated(Err(command_failed()))));
        assert!(at.since(bench.now) > last, "attempt {attempt}");
        last = at.since(bench.now);
        // A sweep in between looks, too.
        bench.send(Event::Sweep);
        assert_eq!(next(&mut bench, Event::Observed(Ok(delivered.clone()))), Action::Recheck);
        assert_eq!(next(&mut bench, Event::Rechecked(Ok(delivered.clone()))), Action::WakeAt(Some(at)));
        bench.now = at;
        bench.send(Event::Look);
        let mut action = next(&mut bench, Event::Observed(Ok(delivered.clone())));
        if action == Action::Recheck {
            action = next(&mut bench, Event::Rechecked(Ok(delivered.clone())));
        }
        assert_eq!(action, Action::Activate, "attempt {attempt}");
    }
}

#[test]
fn verify_looks_again_and_leaves_what_is_held_as_it_is() {
    let mut bench = verifying();
    let leaf = proven(&mut bench);
    let ask =
        Request { reissue: false, redeploy: false, reverify: true, urgent: false, reach: Reach::Verified };
    bench.send(Event::Ordered(ask.clone()));
    let deployed = bench.deployed(&leaf);
    assert_eq!(next(&mut bench, Event::Observed(Ok(deployed.clone()))), Action::Verify);
    bench.send(passes(&leaf));
    assert_eq!((bench.state.reached, &bench.state.memory.order), (Some(Reach::Verified), &None));

    let hold = Hold { fingerprint: leaf.fingerprint.clone(), reach: Reach::Written };
    bench.state.memory.hold = Some(hold.clone());
    bench.send(Event::Ordered(ask));
    bench.send(Event::Observed(Ok(deployed)));
    assert_eq!(bench.state.memory.hold, Some(hold));
}

#[test]
fn a_command_that_fails_although_its_consumer_uses_the_certificate_is_looked_at_once_and_retried() {
    let mut bench = verifying();
    bench.entry.rollback = true;
    proven(&mut bench);
    bench.send(renew(Reach::Verified));
    let before = bench.state.seen.clone().unwrap();
    bench.send(Event::Observed(Ok(before)));
    let offer = Offer { reachable: Some(true), ..bench.offer() };
    bench.send(Event::Issued(Ok(offer)));
    bench.pass(5);
    let leaf = bench.leaf();
    let written = bench.written(&leaf);
    bench.send(Event::Installed(Ok((written.clone(), vec![]))));
    for _ in 0..3 {
        assert_eq!(next(&mut bench, Event::Activated(Err(command_failed()))), Action::Verify);
        let failure = bench.state.memory.failures[&Stage::Activate].clone();
        bench.pass(1);
        assert_eq!(next(&mut bench, passes(&leaf)), Action::WakeAt(Some(failure.next_attempt_at)));
        bench.now = failure.next_attempt_at;
        bench.send(Event::Look);
        assert_eq!(next(&mut bench, Event::Observed(Ok(written.clone()))), Action::Activate);
    }
}

fn verify() -> Event {
    Event::Ordered(Request {
        reissue: false,
        redeploy: false,
        reverify: true,
        urgent: false,
        reach: Reach::Verified,
    })
}

#[test]
fn verify_looks_at_once_and_leaves_the_spacing_of_the_command_as_it_was() {
    let mut bench = verifying();
    proven(&mut bench);
    let leaf = renewed(&mut bench, Some(true));
    let deployed = bench.deployed(&leaf);
    let mut spacings = Vec::new();
    for _ in 0..4 {
        let at = wake(&next(&mut bench, fails(Reason::ServesOther)));
        spacings.push(at.since(bench.now).as_secs());
        bench.pass(1);
        bench.send(verify());
        assert_eq!(next(&mut bench, Event::Observed(Ok(deployed.clone()))), Action::Verify);
    }
    assert_eq!(spacings, [5, 10, 20, 40]);
    bench.now = wake(&next(&mut bench, fails(Reason::ServesOther)));
    bench.send(Event::Look);
    assert_eq!(next(&mut bench, Event::Observed(Ok(deployed))), Action::Activate, "its time has come");
}

#[test]
fn a_look_that_passes_ends_the_wish_to_run_the_command_again() {
    let mut bench = verifying();
    proven(&mut bench);
    let leaf = renewed(&mut bench, Some(true));
    let deployed = bench.deployed(&leaf);
    bench.send(fails(Reason::ServesOther));
    bench.send(verify());
    assert_eq!(next(&mut bench, Event::Observed(Ok(deployed))), Action::Verify);
    let renewal = schedule_of(&bench, &leaf);
    assert_eq!(next(&mut bench, passes(&leaf)), Action::WakeAt(Some(renewal)));
    assert!(bench.state.memory.failures.is_empty() && !bench.state.memory.rerun);
}

#[test]
fn a_look_that_passes_leaves_what_an_operator_forced() {
    let mut bench = verifying();
    let leaf = proven(&mut bench);
    let deployed = bench.deployed(&leaf);
    bench.send(Event::Ordered(Request {
        reissue: false,
        redeploy: true,
        reverify: false,
        urgent: false,
        reach: Reach::Verified,
    }));
    bench.send(verify());
    bench.send(Event::Observed(Ok(deployed.clone())));
    assert_eq!(next(&mut bench, Event::Observed(Ok(deployed))), Action::Activate);
}

#[test]
fn verify_is_no_order_that_would_stay_open_where_the_certificate_is_held() {
    let mut bench = verifying();
    let leaf = bench.leaf();
    bench.state.memory.hold = Some(Hold { fingerprint: leaf.fingerprint.clone(), reach: Reach::Written });
    bench.send(verify());
    let written = bench.written(&leaf);
    assert!(matches!(next(&mut bench, Event::Observed(Ok(written))), Action::WakeAt(_)));
    assert_eq!(bench.state.memory.order, None);
}

#[test]
fn what_a_look_saw_that_the_manifest_no_longer_asks_for_is_of_no_account() {
    let other = |leaf: &LeafFacts| samples::leaf(&samples::entry("other"), leaf.not_before, leaf.not_after);
    for of_old in [true, false] {
        let mut bench = verifying();
        proven(&mut bench);
        let leaf = renewed(&mut bench, Some(true));
        let deployed = bench.deployed(&leaf);
        let begun = verify_digest(&bench.entry.verify);
        let Verify::Tls { address, .. } = &mut bench.entry.verify[0] else { panic!() };
        *address = "10.0.0.112:2376".into();
        bench.send(Event::Rewritten);
        let of = if of_old { begun } else { verify_digest(&bench.entry.verify) };
        for result in [Ok(()), Err(Trouble::new(Reason::ServesOther, "another one"))] {
            let mut bench = bench.again();
            let served = Some(served(&other(&leaf), NOW));
            let seen = Verification { of: of.clone(), served: served.clone(), result, ..unseen() };
            assert_eq!(next(&mut bench, Event::Verified(Box::new(seen))), Action::Observe);
            let memory = &bench.state.memory;
            let counts = memory.served == served && (memory.verified.is_some() || memory.rerun);
            assert_eq!(counts, !of_old, "{memory:?}");
            if of_old {
                assert_eq!(next(&mut bench, Event::Observed(Ok(deployed.clone()))), Action::Verify);
            }
        }
    }
}

#[test]
fn after_every_run_of_the_command_it_is_looked_what_the_consumer_does() {
    // Its line was edited.
    let mut bench = verifying();
    let leaf = proven(&mut bench);
    let deployed = bench.deployed(&leaf);
    let mut edited = deployed.clone();
    edited.command_digest = Some("another".into());
    bench.send(Event::Rewritten);
    assert_eq!(next(&mut bench, Event::Observed(Ok(edited.clone()))), Action::Activate);
    edited.ledger.activated.as_mut().unwrap().of = "another".into();
    assert_eq!(next(&mut bench, Event::Activated(Ok(edited))), Action::Verify);
    assert_eq!(bench.state.reached, Some(Reach::Activated));

    // The guest had lost its files.
    let mut bench = verifying();
    bench.entry.delivery = Some(explicit());
    let leaf = proven(&mut bench);
    let deployed = bench.deployed(&leaf);
    bench.send(Event::Sweep);
    bench.send(Event::Observed(Ok(deployed.clone())));
    let mut reverted = deployed.clone();
    reverted.ledger.delivered = None;
    assert_eq!(next(&mut bench, Event::Rechecked(Ok(reverted))), Action::Deliver);
    assert_eq!(next(&mut bench, Event::Delivered(Ok(deployed.clone()))), Action::Activate);
    assert_eq!(next(&mut bench, Event::Activated(Ok(deployed))), Action::Verify);

    // Where there is no command, the consumer reads what was delivered.
    let mut bench = verifying();
    bench.entry.delivery = Some(explicit());
    let leaf = proven(&mut bench);
    bench.entry.command = None;
    let deployed = Observation { command_digest: None, ..bench.deployed(&leaf) };
    let mut reverted = deployed.clone();
    reverted.ledger.delivered = None;
    bench.send(Event::Sweep);
    bench.send(Event::Observed(Ok(deployed.clone())));
    assert_eq!(next(&mut bench, Event::Rechecked(Ok(reverted))), Action::Deliver);
    assert_eq!(next(&mut bench, Event::Delivered(Ok(deployed))), Action::Verify);
}

#[test]
fn a_look_that_is_put_off_again_does_not_hold_back_a_command_that_failed() {
    let mut bench = verifying();
    bench.entry.rollback = true;
    proven(&mut bench);
    let leaf = renewed(&mut bench, Some(true));
    let written = bench.written(&leaf);
    bench.state.phase = Phase::Working { work: Work::Activate, again: false };
    bench.state.seen = Some(written.clone());
    assert_eq!(next(&mut bench, Event::Activated(Err(command_failed()))), Action::Verify, "once");
    let mut runs = 0;
    let mut action = next(&mut bench, fails(Reason::LookPutOff));
    for _ in 0..6 {
        bench.now = wake(&action);
        bench.send(Event::Look);
        action = match next(&mut bench, Event::Observed(Ok(written.clone()))) {
            Action::Verify => next(&mut bench, fails(Reason::LookPutOff)),
            Action::Activate => {
                runs += 1;
                // Every run may have broken it: there is a look after each, and no command waits for that.
                assert_eq!(
                    next(&mut bench, Event::Activated(Err(command_failed()))),
                    Action::Verify,
                    "{runs}"
                );
                next(&mut bench, fails(Reason::LookPutOff))
            }
            other => panic!("{other:?}"),
        };
    }
    assert_eq!(runs, 5, "one more look, and then the command");
    // As soon as somebody has a turn for it, it is seen that it is broken.
    bench.now = wake(&action);
    bench.send(Event::Look);
    assert_eq!(next(&mut bench, Event::Observed(Ok(written))), Action::Activate);
    assert_eq!(next(&mut bench, Event::Activated(Err(command_failed()))), Action::Verify);
    assert_eq!(next(&mut bench, fails(Reason::ServesDefault)), Action::Rollback);
}
