//! What operators ask for while something is under way, and issuers that are well and fail all the same.

use super::*;

fn force() -> Event {
    Event::Ordered(Request {
        reissue: false,
        redeploy: true,
        reverify: false,
        urgent: false,
        reach: Reach::Verified,
    })
}

#[test]
fn the_end_of_older_work_neither_fails_nor_fulfils_a_newer_order() {
    for succeeds in [false, true] {
        let mut bench = Bench::new();
        let leaf = bench.leaf();
        let written = bench.written(&leaf);
        let deployed = bench.deployed(&leaf);
        bench.send(Event::Look);
        assert_eq!(bench.send(Event::Observed(Ok(written))), [Action::Activate]);
        assert_eq!(bench.send(force()), []);
        let end = if succeeds { Ok(deployed.clone()) } else { Err(command_failed()) };
        assert_eq!(bench.send(Event::Activated(end)), [Action::Observe], "{succeeds}");
        assert!(bench.state.memory.failures.is_empty());
        assert_eq!(bench.state.reached, None);
        // The command runs once more, for the order.
        assert_eq!(bench.send(Event::Observed(Ok(deployed.clone()))), [Action::Activate], "{succeeds}");
        bench.send(Event::Activated(Ok(deployed)));
        assert_eq!(bench.state.memory.order, None);
    }
}

#[test]
fn an_issuer_that_is_well_and_fails_all_the_same_is_asked_less_and_less() {
    let mut bench = Bench::new();
    let trouble = Trouble::new(Reason::CaUnreachable, "no answer");
    let blank = samples::blank(&bench.entry, NOW);
    let mut waits = Vec::new();
    for _ in 0..8 {
        bench.availability = Availability::Ready;
        bench.send(Event::Look);
        let mut actions = bench.send(Event::Observed(Ok(blank.clone())));
        let began = bench.now;
        while let [Action::WakeAt(Some(at))] = actions[..] {
            bench.now = at;
            bench.send(Event::Look);
            actions = bench.send(Event::Observed(Ok(blank.clone())));
        }
        waits.push(bench.now.since(began).as_secs());
        assert_eq!(actions, [Action::Issue]);
        bench.availability = Availability::Unavailable { trouble: trouble.clone(), next_look: bench.now };
        bench.send(Event::Issued(Err((Stage::Issue, trouble.clone()))));
        assert_eq!(bench.send(Event::IssuerBack), [Action::Observe]);
        bench.availability = Availability::Ready;
        bench.state.phase = Phase::Idle;
    }
    assert_eq!(waits[..4], [0, 0, 0, 0], "{waits:?}");
    assert!(waits[4..].windows(2).all(|pair| pair[0] < pair[1]), "{waits:?}");
}

#[test]
fn looking_again_at_what_is_still_absent_is_not_written_to_the_disk() {
    let mut bench = Bench::new();
    let mut seen = samples::blank(&bench.entry, NOW);
    seen.target_trouble = Some(Trouble::new(Reason::StorageAbsent, "not mounted"));
    let look = |bench: &mut Bench| {
        bench.send(Event::Look);
        let context = Context {
            entry: &bench.entry,
            jitter: Jitter::default(),
            availability: &bench.availability,
            last_run: None,
            invited: false,
        };
        let state = std::mem::take(&mut bench.state);
        let (state, actions) = step(state, &context, Event::Observed(Ok(seen.clone())), bench.now);
        bench.state = state;
        bench.pass(10);
        actions.contains(&Action::Remember)
    };
    assert!(look(&mut bench));
    assert!(!look(&mut bench));
}

#[test]
fn a_pair_that_another_writer_put_in_place_of_ours_is_put_to_use() {
    let mut bench = Bench::new();
    let leaf = bench.settle();
    let later = samples::leaf(&bench.entry, NOW, NOW.plus(DAY * 2));
    let mut seen = bench.deployed(&leaf);
    seen.live = samples::live(&later);
    seen.own = Some(samples::own(&later));
    seen.own.as_mut().unwrap().adopted = true;
    bench.send(Event::Look);
    assert_eq!(bench.send(Event::Observed(Ok(seen))), [Action::Activate]);
}

/// An order of which the deed is on the executor's record, but not its end in the journal.
fn restarted_after(
    order: Event,
    deed: impl FnOnce(&mut Bench, &LeafFacts) -> Observation,
) -> (Bench, Vec<Action>) {
    let mut bench = Bench::new();
    let leaf = bench.settle();
    bench.send(order);
    bench.pass(30);
    let seen = deed(&mut bench, &leaf);
    bench.state = State { memory: bench.state.memory.clone().restarted(bench.now), ..State::default() };
    bench.send(Event::Look);
    let actions = bench.send(Event::Observed(Ok(seen)));
    (bench, actions)
}

#[test]
fn a_renewal_whose_end_was_not_noted_is_not_done_twice() {
    let (bench, actions) = restarted_after(super::renew(Reach::Verified), |bench, _| {
        let next = bench.leaf();
        bench.written(&next)
    });
    assert_eq!(actions, [Action::Activate]);
    assert!(!bench.state.memory.reissue && bench.state.memory.order.is_some());
}

#[test]
fn a_command_whose_end_was_not_noted_is_not_run_twice() {
    let (bench, _) = restarted_after(force(), |bench, leaf| bench.deployed(leaf));
    assert_eq!(bench.state.memory.order, None);
    assert!(!bench.state.memory.reactivate);
}

#[test]
fn what_was_done_before_an_order_does_not_fulfil_it() {
    for order in [force(), super::renew(Reach::Verified)] {
        let wants = if order == force() { Action::Activate } else { Action::Issue };
        let (bench, actions) = restarted_after(order, |bench, leaf| {
            let at = std::mem::replace(&mut bench.now, NOW);
            let seen = bench.deployed(leaf);
            bench.now = at;
            seen
        });
        assert_eq!(actions, [wants]);
        assert!(bench.state.memory.order.is_some());
    }
}

#[test]
fn what_an_issuer_blocked_is_tried_at_once_when_the_issuer_changed_and_nothing_else_is() {
    for (reason, tried) in [(Reason::WrongPassword, true), (Reason::CaError, false)] {
        let mut bench = Bench::new();
        let blank = samples::blank(&bench.entry, NOW);
        bench.send(Event::Look);
        assert_eq!(bench.send(Event::Observed(Ok(blank.clone()))), [Action::Issue]);
        bench.send(Event::Issued(Err((Stage::Issue, Trouble::new(reason, "no")))));
        bench.pass(2);
        let actions = bench.send(Event::IssuerChanged);
        assert_eq!(actions, if tried { vec![Action::Observe] } else { vec![] }, "{reason}");
        if tried {
            assert_eq!(bench.send(Event::Observed(Ok(blank))), [Action::Issue]);
        }
    }
}

#[test]
fn an_operators_renew_ignores_spacing_and_ends_when_everything_is_done() {
    let mut bench = Bench::new();
    let leaf = bench.settle();
    assert_eq!(bench.send(renew(Reach::Verified)), [Action::Observe]);
    let deployed = bench.deployed(&leaf);
    assert_eq!(bench.send(Event::Observed(Ok(deployed.clone()))), [Action::Issue]);
    let down = Trouble::new(Reason::CaUnreachable, "refused");
    bench.send(Event::Issued(Err((Stage::Issue, down))));
    assert_eq!(bench.send(renew(Reach::Verified)), [Action::Observe]);
    assert_eq!(bench.send(Event::Observed(Ok(deployed))), [Action::Issue]);
    let offer = bench.offer();
    bench.send(Event::Issued(Ok(offer)));
    bench.pass(5);
    let next = bench.leaf();
    let written = bench.written(&next);
    assert_eq!(bench.send(Event::Installed(Ok((written, vec![])))), [Action::Activate]);
    assert!(bench.state.memory.order.is_some());
    let deployed = bench.deployed(&next);
    bench.send(Event::Activated(Ok(deployed)));
    assert_eq!(bench.state.memory.order, None);
}

#[test]
fn generate_only_holds_the_command_until_the_next_sync() {
    let mut bench = Bench::new();
    let leaf = bench.settle();
    bench.send(renew(Reach::Written));
    let deployed = bench.deployed(&leaf);
    bench.send(Event::Observed(Ok(deployed)));
    let offer = bench.offer();
    bench.send(Event::Issued(Ok(offer)));
    bench.pass(5);
    let next = bench.leaf();
    let mut written = bench.written(&next);
    written.own.as_mut().unwrap().installed_at = bench.now;
    let actions = bench.send(Event::Installed(Ok((written.clone(), vec![]))));
    assert!(matches!(actions[..], [Action::WakeAt(Some(_))]), "{actions:?}");
    assert_eq!(bench.state.memory.order, None);
    assert!(bench.state.memory.hold.is_some());
    let sync =
        Request { reissue: false, redeploy: false, reverify: false, urgent: false, reach: Reach::Verified };
    bench.send(Event::Ordered(sync));
    assert_eq!(bench.send(Event::Observed(Ok(written))), [Action::Activate]);
}

#[test]
fn an_order_that_ends_earlier_does_not_hold_what_had_begun_before_it() {
    for (reach, stage) in [(Reach::Written, Stage::Activate), (Reach::Activated, Stage::Activate)] {
        let mut bench = Bench::new();
        let leaf = bench.leaf();
        let written = bench.written(&leaf);
        bench.send(Event::Look);
        assert_eq!(bench.send(Event::Observed(Ok(written.clone()))), [Action::Activate]);
        bench.send(Event::Activated(Err(command_failed())));
        bench.pass(1);
        let sync = Request { reissue: false, redeploy: false, reverify: false, urgent: false, reach };
        bench.send(Event::Ordered(sync));
        let actions = bench.send(Event::Observed(Ok(written.clone())));
        assert_eq!(bench.state.memory.hold, None, "{reach:?}");
        if reach == Reach::Written {
            let next = bench.state.memory.failures[&stage].next_attempt_at;
            assert_eq!(actions.last(), Some(&Action::WakeAt(Some(next))));
            bench.now = next;
            bench.send(Event::Look);
            assert_eq!(bench.send(Event::Observed(Ok(written))), [Action::Activate]);
        } else {
            assert_eq!(actions, [Action::Activate]);
        }
    }
}

#[test]
fn a_certificate_that_is_held_stays_held_whatever_ends_earlier() {
    let mut bench = Bench::new();
    let leaf = bench.leaf();
    let written = bench.written(&leaf);
    let hold = Hold { fingerprint: leaf.fingerprint.clone(), reach: Reach::Delivered };
    bench.state.memory.hold = Some(hold.clone());
    bench.pass(1);
    let sync =
        Request { reissue: false, redeploy: false, reverify: false, urgent: false, reach: Reach::Written };
    bench.send(Event::Ordered(sync));
    bench.send(Event::Observed(Ok(written)));
    assert_eq!((&bench.state.memory.order, &bench.state.memory.hold), (&None, &Some(hold)));
}

#[test]
fn sync_force_runs_the_command_again_without_a_new_certificate() {
    let mut bench = Bench::new();
    let leaf = bench.settle();
    let sync =
        Request { reissue: false, redeploy: true, reverify: false, urgent: false, reach: Reach::Verified };
    bench.send(Event::Ordered(sync));
    let deployed = bench.deployed(&leaf);
    assert_eq!(bench.send(Event::Observed(Ok(deployed.clone()))), [Action::Activate]);
    let renewal = schedule_of(&bench, &leaf);
    assert_eq!(bench.send(Event::Activated(Ok(deployed))), [Action::WakeAt(Some(renewal))]);
    assert_eq!(bench.state.memory.order, None);
}

#[test]
fn a_nearer_order_is_fulfilled_while_a_farther_one_goes_on() {
    let mut bench = Bench::new();
    let leaf = bench.leaf();
    let written = bench.written(&leaf);
    bench.send(Event::Look);
    bench.send(Event::Observed(Ok(written.clone())));
    bench.send(Event::Activated(Err(command_failed())));
    let sync = |reach| {
        Event::Ordered(Request { reissue: false, redeploy: false, reverify: false, urgent: false, reach })
    };
    bench.send(sync(Reach::Verified));
    bench.send(Event::Observed(Ok(written.clone())));
    bench.send(Event::Activated(Err(command_failed())));
    bench.send(sync(Reach::Written));
    assert_eq!(bench.state.reached, None);
    bench.send(Event::Observed(Ok(written)));
    assert_eq!(bench.state.reached, Some(Reach::Delivered));
    assert_eq!(bench.state.memory.order.as_ref().unwrap().reach, Reach::Verified);
}

#[test]
fn an_order_does_nothing_again_beyond_its_reach() {
    for (reach, again) in [
        (Reach::Written, (false, false, false)),
        (Reach::Delivered, (true, false, false)),
        (Reach::Activated, (true, true, false)),
        (Reach::Verified, (true, true, true)),
    ] {
        let mut memory = Memory::default();
        let request = Request { reissue: false, redeploy: true, reverify: false, urgent: false, reach };
        super::order::accept(&mut memory, &request, NOW);
        assert_eq!((memory.redeliver, memory.reactivate, memory.reverify), again, "{reach:?}");
    }
}

#[test]
fn an_order_forgets_the_failures_on_its_way_and_widens_a_hold() {
    let stages = [Stage::Observe, Stage::Issue, Stage::Write, Stage::Deliver, Stage::Activate, Stage::Verify];
    for (reach, left, hold) in [
        (Reach::Written, &stages[3..], Some(Reach::Delivered)),
        (Reach::Delivered, &stages[4..], Some(Reach::Delivered)),
        (Reach::Activated, &stages[5..], Some(Reach::Activated)),
        (Reach::Verified, &stages[6..], None),
    ] {
        let mut memory = Memory::default();
        for stage in stages {
            memory.fail(stage, command_failed(), None, NOW);
        }
        memory.hold = Some(Hold { fingerprint: "f".into(), reach: Reach::Delivered });
        let request = Request { reissue: true, redeploy: false, reverify: false, urgent: true, reach };
        super::order::accept(&mut memory, &request, NOW);
        assert_eq!(memory.failures.keys().copied().collect::<Vec<_>>(), left, "{reach:?}");
        assert_eq!(memory.hold.map(|hold| hold.reach), hold, "{reach:?}");
    }
}
