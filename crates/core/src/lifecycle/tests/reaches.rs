//! Orders that end before others do: each keeps to its own reach, and none lends another its force or its hurry.

use super::proof::{explicit, fails, proven, verifying, wake};
use super::*;
use crate::manifest::Delivery;

fn sync(reach: Reach, redeploy: bool) -> Request {
    Request { reissue: false, redeploy, reverify: false, urgent: false, reach }
}

fn new(reach: Reach) -> Request {
    Request { reissue: true, redeploy: false, reverify: false, urgent: true, reach }
}

/// A certificate whose consumer was looked at, in vain, and will be looked at again.
fn looked_at_in_vain(delivery: Option<Delivery>) -> (Bench, Observation, Timestamp) {
    let mut bench = verifying();
    bench.entry.delivery = delivery;
    let leaf = proven(&mut bench);
    let deployed = bench.deployed(&leaf);
    bench.send(Event::Sweep);
    bench.send(Event::Observed(Ok(deployed.clone())));
    let next = wake(&super::proof::next(&mut bench, fails(Reason::ServesOther)));
    (bench, deployed, next)
}

#[test]
fn an_order_that_ends_before_the_consumer_is_looked_at_does_not_wait_for_the_next_look() {
    for (reach, redeploy, expected) in [
        (Reach::Activated, true, Some(Action::Activate)),
        (Reach::Activated, false, Some(Action::Activate)),
        (Reach::Delivered, true, None),
        (Reach::Written, true, None),
    ] {
        let (mut bench, deployed, next) = looked_at_in_vain(None);
        assert!(bench.state.memory.rerun);
        bench.send(Event::Ordered(sync(reach, redeploy)));
        let actions = bench.send(Event::Observed(Ok(deployed.clone())));
        assert_eq!(actions, [expected.clone().unwrap_or(Action::WakeAt(Some(next)))], "{reach:?}");
        if expected.is_some() {
            // The look keeps its own time.
            assert_eq!(bench.send(Event::Activated(Ok(deployed))), [Action::WakeAt(Some(next))]);
        }
        assert_eq!(bench.state.memory.order, None, "{reach:?}");
        assert!(bench.state.reached >= Some(reach), "{reach:?}");
        assert_eq!(bench.state.memory.failures[&Stage::Verify].next_attempt_at, next);
    }
}

#[test]
fn a_delivery_that_was_asked_for_does_not_wait_for_a_look_either() {
    let mut bench = verifying();
    bench.entry.delivery = Some(explicit());
    let leaf = bench.leaf();
    let mut seen = bench.deployed(&leaf);
    seen.delivery_digest = Some("delivery".into());
    bench.send(Event::Look);
    assert_eq!(bench.send(Event::Observed(Ok(seen.clone()))), [Action::Verify]);
    let actions = bench.send(fails(Reason::LookPutOff));
    let [Action::WakeAt(Some(next))] = actions[..] else { panic!("{actions:?}") };
    bench.send(Event::Ordered(sync(Reach::Delivered, true)));
    assert_eq!(bench.send(Event::Observed(Ok(seen.clone()))), [Action::Deliver]);
    assert_eq!(bench.send(Event::Delivered(Ok(seen))), [Action::WakeAt(Some(next))]);
    assert_eq!(bench.state.reached, Some(Reach::Activated));
}

#[test]
fn it_does_not_wait_although_an_order_that_includes_the_look_is_open() {
    let (mut bench, deployed, _) = looked_at_in_vain(None);
    bench.send(Event::Ordered(sync(Reach::Verified, false)));
    assert_eq!(bench.send(Event::Observed(Ok(deployed.clone()))), [Action::Activate]);
    assert_eq!(bench.send(Event::Activated(Ok(deployed.clone()))), [Action::Verify]);
    let waits = bench.send(fails(Reason::ServesOther));
    assert!(matches!(waits[..], [Action::WakeAt(Some(_))]), "{waits:?}");
    bench.send(Event::Ordered(sync(Reach::Activated, true)));
    assert_eq!(bench.send(Event::Observed(Ok(deployed.clone()))), [Action::Activate]);
    bench.send(Event::Activated(Ok(deployed)));
    let open = bench.state.memory.order.as_ref().unwrap();
    assert_eq!((open.reach, open.nearer), (Reach::Verified, None));
}

#[test]
fn a_look_that_was_put_off_is_not_waited_for_before_a_command_that_was_asked_for() {
    let (mut bench, deployed, next) = looked_at_in_vain(None);
    bench.state.memory.reverify = true;
    bench.send(Event::Look);
    assert_eq!(bench.send(Event::Observed(Ok(deployed.clone()))), [Action::WakeAt(Some(next))]);
    bench.send(Event::Ordered(sync(Reach::Activated, false)));
    assert_eq!(bench.send(Event::Observed(Ok(deployed))), [Action::Activate]);
}

#[test]
fn copies_for_a_command_are_not_made_anew_by_an_order_that_ends_before_it() {
    for (reach, expected) in [(Reach::Delivered, false), (Reach::Activated, true)] {
        let mut bench = Bench::new();
        bench.entry.delivery = Some(Delivery::Legacy { ca: false });
        let leaf = bench.leaf();
        let mut seen = bench.deployed(&leaf);
        seen.delivery_digest = Some("delivery".into());
        bench.send(Event::Look);
        bench.send(Event::Observed(Ok(seen.clone())));
        bench.pass(10);
        bench.send(Event::Ordered(sync(reach, true)));
        let actions = bench.send(Event::Observed(Ok(seen.clone())));
        assert_eq!(actions == [Action::Activate], expected, "{reach:?}: {actions:?}");
        if expected {
            bench.send(Event::Activated(Ok(seen)));
        }
        let memory = &bench.state.memory;
        assert_eq!((&memory.order, &memory.hold, memory.redeliver), (&None, &None, false), "{reach:?}");
        assert_eq!(bench.state.reached, Some(Reach::Verified), "{reach:?}");
    }
}

/// What is remembered of two orders that follow each other.
fn after(first: &Request, second: &Request) -> Memory {
    let mut memory = Memory::default();
    for request in [first, second] {
        super::order::accept(&mut memory, request, NOW);
    }
    memory
}

#[test]
fn what_is_done_again_is_within_the_reach_of_the_order_that_asked_for_it() {
    for (reach, again) in [
        (Reach::Written, (false, false, false)),
        (Reach::Delivered, (true, false, false)),
        (Reach::Activated, (true, true, false)),
        (Reach::Verified, (true, true, true)),
    ] {
        let memory = after(&sync(Reach::Verified, false), &sync(reach, true));
        assert_eq!((memory.redeliver, memory.reactivate, memory.reverify), again, "{reach:?}");
        assert_eq!(memory.order.unwrap().reach, Reach::Verified, "{reach:?}");
    }
}

#[test]
fn a_failure_beyond_an_order_keeps_its_spacing_although_one_that_goes_farther_is_open() {
    let mut memory = Memory::default();
    super::order::accept(&mut memory, &sync(Reach::Verified, false), NOW);
    memory.fail(Stage::Activate, command_failed(), None, NOW);
    super::order::accept(&mut memory, &sync(Reach::Written, false), NOW);
    assert!(memory.failures.contains_key(&Stage::Activate));
}

#[test]
fn of_several_orders_each_keeps_its_reach_and_its_hurry() {
    use Reach::{Activated, Delivered, Verified, Written};
    for (first, second, reach, hurry) in [
        // What was asked for the certificate that is replaced is not asked for the new one.
        (sync(Verified, false), new(Written), Written, Some(Written)),
        (sync(Verified, false), new(Verified), Verified, Some(Verified)),
        // One certificate is enough for both.
        (new(Verified), new(Written), Verified, Some(Verified)),
        (new(Written), new(Delivered), Delivered, Some(Delivered)),
        // It is used as far as the one asks, and in a hurry as far as the other does.
        (new(Written), sync(Verified, false), Verified, Some(Written)),
        (new(Activated), sync(Verified, false), Verified, Some(Activated)),
        (sync(Written, false), sync(Delivered, false), Delivered, None),
    ] {
        let order = after(&first, &second).order.unwrap();
        assert_eq!((order.reach, order.hurry), (reach, hurry), "{first:?}, then {second:?}");
    }
}

/// A certificate whose time has come is being requested; what lies there is in use.
fn being_renewed() -> Bench {
    let mut bench = Bench::new();
    let leaf = bench.settle();
    let deployed = bench.deployed(&leaf);
    bench.now = schedule_of(&bench, &leaf);
    bench.send(Event::Look);
    assert_eq!(bench.send(Event::Observed(Ok(deployed))), [Action::Issue]);
    bench
}

#[test]
fn a_scheduled_renewal_that_an_order_meets_on_its_way_is_not_held_for_it() {
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum When {
        BeforeIt,
        WhileIssuing,
        WhileInstalling,
    }
    for when in [When::BeforeIt, When::WhileIssuing, When::WhileInstalling] {
        for request in [sync(Reach::Written, false), new(Reach::Written)] {
            let held = request.reissue;
            let mut bench = being_renewed();
            let before = bench.state.seen.clone().unwrap();
            let order = Event::Ordered(request);
            if when == When::BeforeIt {
                bench.state.phase = Phase::Idle;
                assert_eq!(bench.send(order.clone()), [Action::Observe]);
                assert_eq!(bench.send(Event::Observed(Ok(before))), [Action::Issue]);
            }
            if when == When::WhileIssuing {
                assert_eq!(bench.send(order.clone()), []);
            }
            let offer = bench.offer();
            assert_eq!(bench.send(Event::Issued(Ok(offer.clone()))), [Action::Install(offer)]);
            if when == When::WhileInstalling {
                assert_eq!(bench.send(order), []);
            }
            bench.pass(5);
            let next = bench.leaf();
            let mut written = bench.written(&next);
            written.own.as_mut().unwrap().installed_at = bench.now;
            let mut actions = bench.send(Event::Installed(Ok((written.clone(), vec![]))));
            if actions == [Action::Observe] {
                actions = bench.send(Event::Observed(Ok(written)));
            }
            assert_eq!(actions == [Action::Activate], !held, "{when:?}, held: {held}: {actions:?}");
            assert_eq!(bench.state.memory.hold.is_some(), held, "{when:?}");
            assert_eq!(bench.state.memory.order, None, "{when:?}");
        }
    }
}

#[test]
fn what_failed_with_the_pair_before_is_over_with_it_although_something_was_asked_for_meanwhile() {
    let mut bench = being_renewed();
    bench.state.memory.fail(Stage::Activate, command_failed(), None, bench.now);
    let offer = bench.offer();
    bench.send(Event::Issued(Ok(offer)));
    bench.send(Event::Ordered(sync(Reach::Written, false)));
    let next = bench.leaf();
    let written = bench.written(&next);
    assert_eq!(bench.send(Event::Installed(Ok((written.clone(), vec![])))), [Action::Observe]);
    assert!(bench.state.memory.failures.is_empty(), "{:?}", bench.state.memory.failures);
    assert_eq!(bench.send(Event::Observed(Ok(written))), [Action::Activate]);
}

#[test]
fn an_order_of_a_clock_that_ran_ahead_is_brought_back_with_it() {
    let (mut bench, ahead) = (Bench::new(), NOW.plus(DAY));
    bench.state.memory.order = Some(Order { brings_until: Some(ahead), ..Order::new(Reach::Written, ahead) });
    bench.send(Event::Look);
    let order = bench.state.memory.order.unwrap();
    assert_eq!((order.at, order.brings_from, order.brings_until), (NOW, Some(NOW), Some(NOW)));
}
