//! Needs that end by themselves, orders that end too early, clocks that go back.

use super::*;
use crate::manifest::{Delivery, Mode, San};

pub(super) fn sync(reach: Reach) -> Event {
    Event::Ordered(Request { reissue: false, redeploy: false, reverify: false, urgent: false, reach })
}

fn gone() -> Trouble {
    Trouble::new(Reason::ExecutorGone, "the connection ended")
}

#[test]
fn a_command_that_succeeded_although_its_answer_was_lost_is_no_failure_any_more() {
    let mut bench = Bench::new();
    let leaf = bench.leaf();
    let written = bench.written(&leaf);
    bench.send(Event::Look);
    assert_eq!(bench.send(Event::Observed(Ok(written))), [Action::Activate]);
    bench.send(Event::Activated(Err(gone())));
    assert!(bench.state.memory.failures.contains_key(&Stage::Activate));
    bench.send(Event::Look);
    let deployed = bench.deployed(&leaf);
    bench.send(Event::Observed(Ok(deployed)));
    assert!(bench.state.memory.failures.is_empty(), "{:?}", bench.state.memory.failures);
}

#[test]
fn a_failed_issue_is_forgotten_when_nothing_is_wanted_any_more() {
    let mut bench = Bench::new();
    let leaf = bench.settle();
    bench.now = schedule_of(&bench, &leaf);
    bench.send(Event::Look);
    let deployed = bench.deployed(&leaf);
    assert_eq!(bench.send(Event::Observed(Ok(deployed))), [Action::Issue]);
    bench.send(Event::Issued(Err((Stage::Issue, Trouble::new(Reason::TokenRefused, "401")))));
    let later = samples::leaf(&bench.entry, bench.now, bench.now.plus(DAY));
    let mut replaced = bench.written(&leaf);
    replaced.live = samples::live(&later);
    bench.send(Event::Look);
    assert_eq!(bench.send(Event::Observed(Ok(replaced))), [Action::Adopt]);
    let deployed = bench.deployed(&later);
    bench.send(Event::Adopted(Ok(deployed)));
    assert!(bench.state.memory.failures.is_empty(), "{:?}", bench.state.memory.failures);
}

#[test]
fn an_order_is_not_fulfilled_by_a_certificate_that_a_rule_wants_replaced() {
    let mut bench = Bench::new();
    let leaf = bench.settle();
    let before = bench.deployed(&leaf);
    bench.entry.sans.push(San::Ip("10.0.0.9".parse().unwrap()));
    bench.send(sync(Reach::Written));
    assert_eq!(bench.send(Event::Observed(Ok(before))), [Action::Issue]);
    assert_eq!(bench.state.reached, None);
    assert!(bench.state.memory.order.is_some());
    let offer = bench.offer();
    bench.send(Event::Issued(Ok(offer)));
    bench.pass(5);
    let next = bench.leaf();
    let written = bench.written(&next);
    bench.send(Event::Installed(Ok((written, vec![]))));
    assert_eq!(bench.state.memory.order, None);
    assert!(bench.state.reached >= Some(Reach::Written));
}

#[test]
fn waits_do_not_grow_when_the_clock_is_set_back() {
    let mut bench = Bench::new();
    let leaf = bench.leaf();
    let written = bench.written(&leaf);
    bench.send(Event::Look);
    bench.send(Event::Observed(Ok(written.clone())));
    bench.now = NOW.plus(DAY / 2);
    bench.send(Event::Activated(Err(command_failed())));
    bench.now = NOW;
    bench.send(Event::Look);
    let actions = bench.send(Event::Observed(Ok(written)));
    assert_eq!(actions, [Action::WakeAt(Some(NOW.plus(Duration::from_secs(5))))]);
}

#[test]
fn issuances_from_the_future_do_not_count_for_ever() {
    let mut memory = Memory { issued: vec![NOW.plus(DAY * 3650), NOW], ..Memory::default() };
    memory.rewind(NOW);
    assert_eq!(memory.issued, [NOW, NOW]);
}

#[test]
fn work_that_succeeds_without_effect_is_a_failure_and_not_repeated_at_once() {
    let mut bench = Bench::new();
    bench.entry.command = None;
    let leaf = bench.settle();
    let mut loose = bench.written(&leaf);
    if let FileFact::Present { mode, .. } = &mut loose.live.key {
        *mode = 0o777;
    }
    bench.send(Event::Look);
    assert_eq!(bench.send(Event::Observed(Ok(loose.clone()))), [Action::Restore]);
    let actions = bench.send(Event::Restored(Ok(loose)));
    assert_eq!(actions, [Action::WakeAt(Some(bench.now.plus(Duration::from_secs(2))))]);
    let failure = &bench.state.memory.failures[&Stage::Write];
    assert_eq!((failure.trouble.reason, failure.attempts), (Reason::ModeDrift, 1));
}

#[test]
fn an_operators_renew_goes_before_another_writer() {
    let mut bench = Bench::new();
    let leaf = bench.settle();
    let older = samples::leaf(&bench.entry, NOW.minus(DAY / 2), NOW.plus(DAY / 2));
    let mut foreign = bench.deployed(&leaf);
    foreign.live = samples::live(&older);
    foreign.ledger.foreign_writes = FOREIGN_WRITES;
    bench.send(renew(Reach::Verified));
    assert_eq!(bench.send(Event::Observed(Ok(foreign))), [Action::Issue]);
}

#[test]
fn a_wrong_command_does_not_keep_the_files_from_the_guest() {
    let explicit = Delivery::Explicit {
        cert: None,
        key: None,
        ca: None,
        owner: None,
        key_mode: Mode(0o600),
        cert_mode: Mode(0o644),
    };
    // Copies in the guest's /tmp are for the command: without it nobody takes them away.
    for (delivery, delivers) in [(explicit, true), (Delivery::Legacy { ca: false }, false)] {
        let mut bench = Bench::new();
        bench.entry.command = None;
        bench.entry.stage_errors =
            vec![StageError { stage: crate::manifest::Stage::Activate, message: "not allowed".into() }];
        bench.entry.delivery = Some(delivery);
        let leaf = bench.leaf();
        let written = bench.written(&leaf);
        bench.send(Event::Look);
        let actions = bench.send(Event::Observed(Ok(written)));
        assert_eq!(actions == [Action::Deliver], delivers, "{actions:?}");
        assert_eq!(bench.state.memory.failures.contains_key(&Stage::Activate), !delivers);
    }
}

#[test]
fn a_first_look_that_fails_is_repeated_with_growing_spacing() {
    let mut bench = Bench::new();
    let mut spacings = Vec::new();
    for _ in 0..4 {
        bench.send(Event::Look);
        let actions = bench.send(Event::Observed(Err(gone())));
        let [Action::WakeAt(Some(at))] = actions[..] else { panic!("{actions:?}") };
        spacings.push(at.since(bench.now).as_secs());
        bench.now = at;
    }
    assert_eq!(spacings, [2, 4, 8, 16]);
}

#[test]
fn a_wish_to_do_again_what_is_not_configured_does_not_outlive_its_order() {
    let mut bench = Bench::new();
    bench.entry.command = None;
    let leaf = bench.settle();
    bench.send(Event::Ordered(Request {
        reissue: false,
        redeploy: true,
        reverify: false,
        urgent: false,
        reach: Reach::Verified,
    }));
    let written = bench.written(&leaf);
    bench.send(Event::Observed(Ok(written)));
    assert_eq!(bench.state.memory.order, None);
    assert!(!bench.state.memory.redeliver && !bench.state.memory.reactivate);
}

#[test]
fn files_that_cannot_be_put_back_are_tried_as_often_as_if_nothing_were_valid() {
    let mut bench = Bench::new();
    let leaf = bench.settle();
    let mut seen = bench.deployed(&leaf);
    seen.live = samples::nothing();
    for _ in 0..12 {
        bench.send(Event::Look);
        assert_eq!(bench.send(Event::Observed(Ok(seen.clone()))), [Action::Restore]);
        let full = Trouble::new(Reason::DiskFull, "no space left");
        let actions = bench.send(Event::Restored(Err(full)));
        let [Action::WakeAt(Some(at))] = actions[..] else { panic!("{actions:?}") };
        assert!(at.since(bench.now) <= crate::backoff::LONGEST_EXPIRED, "{at}");
        bench.now = at;
    }
}

#[test]
fn a_wait_that_a_wrong_clock_chose_does_not_outlast_the_certificate() {
    let mut bench = Bench::new();
    let leaf = bench.settle();
    let deployed = bench.deployed(&leaf);
    bench.now = leaf.not_after.plus(DAY);
    bench.send(Event::Look);
    assert_eq!(bench.send(Event::Observed(Ok(deployed.clone()))), [Action::Issue]);
    for _ in 0..10 {
        let refused = Trouble::new(Reason::CaForbids, "this name is not allowed");
        bench.send(Event::Issued(Err((Stage::Issue, refused))));
        bench.pass(300);
        bench.send(Event::Look);
        assert_eq!(bench.send(Event::Observed(Ok(deployed.clone()))), [Action::Issue]);
    }
    bench.send(Event::Issued(Err((Stage::Issue, Trouble::new(Reason::CaForbids, "again")))));
    bench.now = leaf.not_after.minus(Duration::from_secs(60));
    bench.send(Event::Look);
    let next = bench.now.plus(Duration::from_secs(6));
    assert_eq!(bench.send(Event::Observed(Ok(deployed))), [Action::WakeAt(Some(next))]);
}

#[test]
fn an_own_copy_that_serves_is_put_back_before_the_ca_is_asked_for_a_fitting_one() {
    let mut bench = Bench::new();
    let leaf = bench.settle();
    bench.entry.sans.push(San::Ip("10.0.0.9".parse().unwrap()));
    let mut seen = bench.deployed(&leaf);
    seen.live = samples::nothing();
    bench.send(Event::Look);
    assert_eq!(bench.send(Event::Observed(Ok(seen))), [Action::Restore]);
    let deployed = bench.deployed(&leaf);
    assert_eq!(bench.send(Event::Restored(Ok(deployed))), [Action::Issue]);
}

#[test]
fn files_that_vanish_shorten_the_waits_that_began_while_they_were_there() {
    let mut bench = Bench::new();
    let leaf = samples::leaf(&bench.entry, NOW, NOW.plus(DAY * 10));
    let deployed = bench.deployed(&leaf);
    bench.entry.sans.push(San::Ip("10.0.0.9".parse().unwrap()));
    bench.send(Event::Look);
    assert_eq!(bench.send(Event::Observed(Ok(deployed.clone()))), [Action::Issue]);
    let refused = || Trouble::new(Reason::CaForbids, "this name is not allowed");
    let mut actions = bench.send(Event::Issued(Err((Stage::Issue, refused()))));
    for _ in 0..10 {
        let [Action::WakeAt(Some(at))] = actions[..] else { panic!("{actions:?}") };
        bench.now = at;
        bench.send(Event::Look);
        assert_eq!(bench.send(Event::Observed(Ok(deployed.clone()))), [Action::Issue]);
        actions = bench.send(Event::Issued(Err((Stage::Issue, refused()))));
    }
    assert_eq!(actions, [Action::WakeAt(Some(bench.now.plus(crate::backoff::LONGEST)))]);
    let mut gone = deployed;
    gone.live = samples::nothing();
    gone.own = None;
    bench.send(Event::Look);
    let soon = bench.now.plus(crate::backoff::LONGEST_EXPIRED);
    assert_eq!(bench.send(Event::Observed(Ok(gone))), [Action::WakeAt(Some(soon))]);
}

#[test]
fn a_guest_that_is_off_is_looked_for_every_minute_at_last_and_costs_no_attempt() {
    let mut bench = Bench::new();
    let leaf = bench.leaf();
    let written = bench.written(&leaf);
    bench.send(Event::Look);
    bench.send(Event::Observed(Ok(written.clone())));
    let mut waits = Vec::new();
    let reasons =
        [Reason::GuestOff, Reason::GuestLocked, Reason::GuestOff, Reason::GuestAbsent, Reason::GuestOff];
    for reason in reasons {
        let actions = bench.send(Event::Activated(Err(Trouble::new(reason, "away"))));
        let [Action::WakeAt(Some(at))] = actions[..] else { panic!("{actions:?}") };
        waits.push(at.since(bench.now).as_secs());
        assert_eq!(bench.state.memory.failures[&Stage::Activate].attempts, 0);
        bench.now = at;
        bench.send(Event::Look);
        assert_eq!(bench.send(Event::Observed(Ok(written.clone()))), [Action::Activate]);
    }
    assert_eq!(waits, [10, 20, 40, 60, 60]);
    // It is back, and off again later: that is another absence.
    bench.send(Event::Activated(Err(command_failed())));
    let actions = bench.send(Event::Activated(Err(Trouble::new(Reason::GuestOff, "away"))));
    assert_eq!(actions, [Action::WakeAt(Some(bench.now.plus(crate::backoff::WAITING)))]);
}

#[test]
fn a_trouble_that_a_look_told_of_is_over_when_a_look_no_longer_does() {
    for reason in
        [Reason::StorageAbsent, Reason::StorageHangs, Reason::Symlink, Reason::NotAFile, Reason::IoError]
    {
        let mut bench = Bench::new();
        let leaf = bench.settle();
        let good = bench.deployed(&leaf);
        let mut bad = good.clone();
        bad.target_trouble = Some(Trouble::new(reason, "in the way"));
        bad.live = samples::nothing();
        bench.send(Event::Look);
        bench.send(Event::Observed(Ok(bad)));
        assert!(bench.state.memory.failures.contains_key(&Stage::Write), "{reason}");
        let mut elsewhere = good.clone();
        elsewhere.live = samples::nothing();
        bench.send(Event::Look);
        assert_eq!(bench.send(Event::Observed(Ok(elsewhere))), [Action::Restore], "{reason}: at once");
        assert!(bench.state.memory.failures.is_empty(), "{reason}");
    }
}

#[test]
fn a_trouble_that_writing_met_keeps_its_spacing_whatever_looks_see() {
    for reason in [Reason::Symlink, Reason::NotAFile, Reason::StorageHangs] {
        let mut bench = Bench::new();
        let leaf = bench.settle();
        let mut seen = bench.deployed(&leaf);
        seen.live.cert = FileFact::Unreadable { why: "it is a directory".into() };
        seen.live.leaf = None;
        bench.send(Event::Look);
        assert_eq!(bench.send(Event::Observed(Ok(seen.clone()))), [Action::Restore], "{reason}");
        let mut last = Duration::ZERO;
        for attempt in 1..=3 {
            let actions = bench.send(Event::Restored(Err(Trouble::new(reason, "in the way"))));
            let [Action::WakeAt(Some(at))] = actions[..] else { panic!("{actions:?}") };
            assert_eq!(bench.state.memory.failures[&Stage::Write].attempts, attempt, "{reason}");
            assert!(at.since(bench.now) > last, "{reason}, attempt {attempt}");
            last = at.since(bench.now);
            // A look in between changes nothing.
            bench.pass(1);
            bench.send(Event::Look);
            assert_eq!(bench.send(Event::Observed(Ok(seen.clone()))), actions, "{reason}");
            bench.now = at;
            bench.send(Event::Look);
            assert_eq!(bench.send(Event::Observed(Ok(seen.clone()))), [Action::Restore], "{reason}");
        }
    }
}
