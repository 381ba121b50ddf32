//! An operator wants the previous pair back.

use super::proof::{fails, next, passes, proven, renewed, rolled_back, verifying, wake};
use super::*;

/// A renewed certificate that is in use, its predecessor, and facts of the newer one.
fn in_use(bench: &mut Bench) -> (LeafFacts, LeafFacts, Observation) {
    let old = proven(bench);
    let new = renewed(bench, Some(true));
    bench.send(passes(&new));
    let deployed = bench.deployed(&new);
    (old, new, deployed)
}

/// The older pair is in place and in use because an operator wanted it. Returns when the newer one comes back.
fn put_back(bench: &mut Bench) -> (LeafFacts, LeafFacts, Timestamp) {
    let (old, new, deployed) = in_use(bench);
    bench.pass(600);
    assert_eq!(bench.send(Event::OrderedBack), [Action::Observe]);
    assert_eq!(next(bench, Event::Observed(Ok(deployed))), Action::Rollback);
    let back = rolled_back(bench, &old, &new);
    assert_eq!(next(bench, Event::RolledBack(Ok(back))), Action::Activate);
    assert!(bench.state.reached < Some(Reach::Activated));
    assert_eq!(next(bench, Event::Activated(Ok(of_the_older(bench, &old, &new)))), Action::Verify);
    let at = wake(&next(bench, passes(&old)));
    (old, new, at)
}

fn of_the_older(bench: &Bench, old: &LeafFacts, new: &LeafFacts) -> Observation {
    let mut seen = bench.deployed(old);
    seen.ledger.rolled_back = Some(new.fingerprint.clone());
    seen
}

#[test]
fn the_order_is_fulfilled_when_the_previous_pair_is_in_use() {
    let mut bench = verifying();
    let (old, _, at) = put_back(&mut bench);
    assert_eq!((bench.state.reached, &bench.state.memory.order), (Some(Reach::Verified), &None));
    let failure = &bench.state.memory.failures[&Stage::Verify];
    assert_eq!(failure.trouble.reason, Reason::RolledBack);
    for words in ["put back by an operator", "phoenix-certctl sync one", "phoenix-certctl renew one"] {
        assert!(failure.trouble.message.contains(words), "{}", failure.trouble.message);
    }
    assert_eq!(at, schedule_of(&bench, &old), "it stays until it is renewed as ever");
}

#[test]
fn for_a_paused_entry_the_order_is_refused_and_not_carried_out_later() {
    let mut bench = verifying();
    let (_, _, deployed) = in_use(&mut bench);
    bench.entry.paused = true;
    bench.send(Event::OrderedBack);
    let actions = bench.send(Event::Observed(Ok(deployed.clone())));
    assert!(!actions.contains(&Action::Rollback), "{actions:?}");
    assert_eq!(bench.state.refused.as_ref().map(|trouble| trouble.reason), Some(Reason::Paused));
    assert_eq!((&bench.state.memory.rollback, &bench.state.memory.order), (&None, &None));
    bench.entry.paused = false;
    bench.send(Event::Look);
    let actions = bench.send(Event::Observed(Ok(deployed)));
    assert!(!actions.contains(&Action::Rollback), "{actions:?}");
}

#[test]
fn it_stays_through_looks_and_sweeps_and_a_clock_that_jumps() {
    let mut bench = verifying();
    let (old, new, at) = put_back(&mut bench);
    let seen = of_the_older(&bench, &old, &new);
    for (event, moment) in [
        (Event::Look, bench.now.plus(Duration::from_secs(7200))),
        (Event::Look, bench.now),
        (Event::Rewritten, bench.now),
        (Event::Look, at.minus(Duration::from_secs(1))),
    ] {
        bench.now = moment;
        bench.send(event);
        assert_eq!(
            wake(&next(&mut bench, Event::Observed(Ok(seen.clone())))),
            at.max(moment.plus(crate::backoff::SHORTEST))
        );
    }
    bench.send(Event::Sweep);
    assert_eq!(next(&mut bench, Event::Observed(Ok(seen))), Action::Verify);
    assert_eq!(wake(&next(&mut bench, passes(&old))), at);
}

#[test]
fn at_the_scheduled_renewal_the_newer_pair_comes_back_and_nothing_has_to_be_proven_of_it() {
    let mut bench = verifying();
    let (old, new, at) = put_back(&mut bench);
    bench.now = at;
    bench.send(Event::Look);
    let seen = of_the_older(&bench, &old, &new);
    assert_eq!(next(&mut bench, Event::Observed(Ok(seen))), Action::Reinstate);
    let written = bench.written(&new);
    assert_eq!(next(&mut bench, Event::Reinstated(Ok(written))), Action::Activate);
    assert_eq!(bench.state.memory.rollback, None);
}

#[test]
fn one_whose_renewal_was_due_already_stays_for_half_of_what_it_has_left() {
    let mut bench = verifying();
    let (old, new, deployed) = in_use(&mut bench);
    bench.now = schedule_of(&bench, &old).plus(Duration::from_secs(60));
    bench.send(Event::OrderedBack);
    assert_eq!(next(&mut bench, Event::Observed(Ok(deployed))), Action::Rollback);
    let back = rolled_back(&bench, &old, &new);
    bench.send(Event::RolledBack(Ok(back)));
    bench.send(Event::Activated(Ok(of_the_older(&bench, &old, &new))));
    let at = wake(&next(&mut bench, passes(&old)));
    assert_eq!(at, bench.now.plus(old.not_after.since(bench.now) / 2));
}

#[test]
fn a_sync_brings_the_newer_pair_back_and_a_renew_another_one() {
    for (order, wanted) in
        [(super::corners::sync(Reach::Verified), Action::Reinstate), (renew(Reach::Verified), Action::Issue)]
    {
        let mut bench = verifying();
        let (old, new, _) = put_back(&mut bench);
        bench.send(order);
        assert_eq!(bench.state.reached, None);
        let seen = of_the_older(&bench, &old, &new);
        assert_eq!(next(&mut bench, Event::Observed(Ok(seen))), wanted);
    }
}

#[test]
fn without_a_previous_pair_the_order_is_refused_and_nothing_else_changes() {
    let mut bench = verifying();
    let leaf = proven(&mut bench);
    let before = bench.state.memory.clone();
    bench.send(Event::OrderedBack);
    let deployed = bench.deployed(&leaf);
    assert_eq!(next(&mut bench, Event::Observed(Ok(deployed))), Action::Rollback);
    let trouble = Trouble::new(Reason::Missing, "no earlier pair of it is kept");
    assert!(matches!(next(&mut bench, Event::RolledBack(Err(trouble.clone()))), Action::WakeAt(_)));
    assert_eq!((&bench.state.refused, bench.state.reached), (&Some(trouble), Some(Reach::Verified)));
    assert_eq!(bench.state.memory, before);
}

#[test]
fn where_nothing_was_installed_the_order_is_refused_and_the_certificate_is_requested_as_ever() {
    let mut bench = verifying();
    bench.send(Event::OrderedBack);
    let nothing = samples::blank(&bench.entry, bench.now);
    assert_eq!(next(&mut bench, Event::Observed(Ok(nothing))), Action::Issue);
    let refused = bench.state.refused.as_ref().unwrap();
    assert!(refused.message.contains("nothing has been installed"), "{refused}");
    assert_eq!(bench.state.memory.order, None);
}

#[test]
fn a_disk_that_fails_is_tried_again_for_the_order() {
    let mut bench = verifying();
    let (_, _, deployed) = in_use(&mut bench);
    bench.send(Event::OrderedBack);
    assert_eq!(next(&mut bench, Event::Observed(Ok(deployed.clone()))), Action::Rollback);
    let full = Trouble::new(Reason::DiskFull, "the disk is full");
    let at = wake(&next(&mut bench, Event::RolledBack(Err(full))));
    assert_eq!(bench.state.memory.failures[&Stage::Write].trouble.reason, Reason::DiskFull);
    bench.now = at;
    bench.send(Event::Look);
    assert_eq!(next(&mut bench, Event::Observed(Ok(deployed))), Action::Rollback);
}

#[test]
fn a_pair_that_was_taken_back_already_is_kept_by_the_order() {
    let mut bench = verifying();
    bench.entry.rollback = true;
    let old = proven(&mut bench);
    let new = renewed(&mut bench, Some(true));
    assert_eq!(next(&mut bench, fails(Reason::ServesDefault)), Action::Rollback);
    let back = rolled_back(&bench, &old, &new);
    bench.send(Event::RolledBack(Ok(back)));
    let seen = of_the_older(&bench, &old, &new);
    bench.send(Event::Activated(Ok(seen.clone())));
    let soon = wake(&next(&mut bench, passes(&old)));
    bench.send(Event::OrderedBack);
    assert_eq!(next(&mut bench, Event::Observed(Ok(seen))), Action::Verify);
    let at = wake(&next(&mut bench, passes(&old)));
    assert_eq!((at, bench.state.reached), (schedule_of(&bench, &old), Some(Reach::Verified)));
    assert!(soon < at);
}

#[test]
fn an_order_in_the_middle_of_other_work_is_carried_out_after_it() {
    let mut bench = verifying();
    let (_, _, deployed) = in_use(&mut bench);
    bench.send(super::corners::sync(Reach::Verified));
    assert_eq!(bench.send(Event::OrderedBack), []);
    assert_eq!(next(&mut bench, Event::Observed(Ok(deployed.clone()))), Action::Observe);
    assert!(bench.state.memory.roll_back, "it was forgotten");
    assert_eq!(next(&mut bench, Event::Observed(Ok(deployed))), Action::Rollback);
}
