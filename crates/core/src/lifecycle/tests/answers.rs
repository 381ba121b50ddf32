//! Certificates that an issuer gave and that are of no use.

use super::*;

#[test]
fn an_answer_that_is_refused_is_a_failure_of_the_issuer_and_asked_for_ever_more_rarely() {
    for (reason, first) in [(Reason::ClockDiffers, 5), (Reason::WrongAnswer, 5), (Reason::EkuRefused, 60)] {
        let mut bench = Bench::new();
        let leaf = bench.settle();
        let deployed = bench.deployed(&leaf);
        bench.now = schedule_of(&bench, &leaf);
        let mut waits = Vec::new();
        for attempt in 1..=4 {
            bench.send(Event::Look);
            assert_eq!(bench.send(Event::Observed(Ok(deployed.clone()))), [Action::Issue], "{reason}");
            let offer = bench.offer();
            assert_eq!(bench.send(Event::Issued(Ok(offer.clone()))), [Action::Install(offer)]);
            let actions = bench.send(Event::Installed(Err(Trouble::new(reason, "refused"))));
            let [Action::WakeAt(Some(at))] = actions[..] else { panic!("{actions:?}") };
            let failures = &bench.state.memory.failures;
            assert_eq!(failures.keys().copied().collect::<Vec<_>>(), [Stage::Issue], "{reason}");
            assert_eq!(failures[&Stage::Issue].attempts, attempt, "{reason}");
            waits.push(at.since(bench.now).as_secs());
            bench.now = at;
        }
        assert_eq!(waits, [first, 2 * first, 4 * first, 8 * first], "{reason}");
        assert!(bench.state.memory.issued.is_empty(), "nothing was put in place");
    }
}

#[test]
fn an_answer_that_cannot_be_written_ends_the_failures_of_the_issuer() {
    let mut bench = Bench::new();
    let blank = samples::blank(&bench.entry, NOW);
    bench.send(Event::Look);
    bench.send(Event::Observed(Ok(blank.clone())));
    bench.send(Event::Issued(Err((Stage::Issue, Trouble::new(Reason::CaError, "500")))));
    bench.pass(5);
    bench.send(Event::Look);
    assert_eq!(bench.send(Event::Observed(Ok(blank))), [Action::Issue]);
    let offer = bench.offer();
    bench.send(Event::Issued(Ok(offer)));
    assert!(bench.state.memory.failures.contains_key(&Stage::Issue), "of what use it is, is not known yet");
    bench.send(Event::Installed(Err(Trouble::new(Reason::DiskFull, "no space left"))));
    assert_eq!(bench.state.memory.failures.keys().copied().collect::<Vec<_>>(), [Stage::Write]);
}

#[test]
fn a_certificate_that_a_rule_refuses_once_it_is_in_place_is_not_asked_for_again_at_once() {
    let mut bench = Bench::new();
    let leaf = bench.leaf();
    let mut unfit = bench.deployed(&leaf);
    unfit.own.as_mut().unwrap().leaf.sans.clear();
    bench.send(Event::Look);
    let mut actions = bench.send(Event::Observed(Ok(unfit.clone())));
    for _ in 0..ISSUANCES_PER_LIFETIME {
        assert_eq!(actions, [Action::Issue]);
        let offer = bench.offer();
        bench.send(Event::Issued(Ok(offer)));
        actions = bench.send(Event::Installed(Ok((unfit.clone(), vec![]))));
        let [Action::WakeAt(Some(at))] = actions[..] else { panic!("{actions:?}") };
        assert!(at > bench.now);
        bench.now = at;
        bench.send(Event::Look);
        actions = bench.send(Event::Observed(Ok(unfit.clone())));
    }
    assert!(matches!(actions[..], [Action::WakeAt(Some(_))]), "{actions:?}");
    assert_eq!(bench.state.memory.failure().unwrap().1.trouble.reason, Reason::DriftLoop);
    assert_eq!(bench.send(renew(Reach::Verified)), [Action::Observe]);
    assert_eq!(bench.send(Event::Observed(Ok(unfit))), [Action::Issue]);
}
