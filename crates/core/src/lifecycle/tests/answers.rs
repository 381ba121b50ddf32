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

/// Attempts of an entry whose issuers' answers are all refused for `reason`, from when its renewal is due on: at what time
/// before (or after) its certificate expires, in seconds.
fn attempts(reason: Reason, hours_after: i64) -> (Bench, Vec<i64>) {
    let mut bench = Bench::new();
    let leaf = bench.settle();
    let deployed = bench.deployed(&leaf);
    bench.now = schedule_of(&bench, &leaf);
    let mut made = Vec::new();
    while bench.now.unix() < leaf.not_after.unix() + hours_after * 3600 {
        made.push(leaf.not_after.unix() - bench.now.unix());
        bench.send(Event::Look);
        assert_eq!(bench.send(Event::Observed(Ok(deployed.clone()))), [Action::Issue], "{reason}");
        let offer = bench.offer();
        bench.send(Event::Issued(Ok(offer)));
        let actions = bench.send(Event::Installed(Err(Trouble::new(reason, "refused"))));
        let [Action::WakeAt(Some(at))] = actions[..] else { panic!("{actions:?}") };
        bench.now = at;
    }
    (bench, made)
}

#[test]
fn answers_that_are_of_no_use_cost_an_issuer_few_certificates_before_expiry_and_one_in_five_minutes_after() {
    for reason in [Reason::WrongAnswer, Reason::EkuRefused] {
        let (_, made) = attempts(reason, 24);
        let (before, after): (Vec<i64>, Vec<i64>) = made.iter().partition(|left| **left > 0);
        assert!(before.len() <= 30, "{reason}: {} before expiry", before.len());
        assert!(after.len() <= 24 * 12 + 1, "{reason}: {} in the day after it", after.len());
        // An issuer that is mended with so much left is asked once more before it is too late.
        for mended in [20_000, 3600, 600, 60, 20] {
            assert!(before.iter().any(|left| (1..=mended).contains(left)), "{reason}: {mended} {before:?}");
        }
    }
}

#[test]
fn what_an_operator_asks_for_or_mends_keeps_no_distance_from_answers_that_were_of_no_use() {
    let after_six = || {
        let (mut bench, made) = attempts(Reason::EkuRefused, -5);
        assert!(made.len() > ISSUANCES_PER_LIFETIME);
        bench.now = bench.now.minus(Duration::from_secs(60));
        bench.state.memory =
            serde_json::from_str(&serde_json::to_string(&bench.state.memory).unwrap()).unwrap();
        bench
    };
    let is_asked = |mut bench: Bench, event: Event| {
        let seen = bench.state.seen.clone().unwrap();
        let looks = bench.send(event) == [Action::Observe];
        looks && bench.send(Event::Observed(Ok(seen))) == [Action::Issue]
    };
    assert!(!is_asked(after_six(), Event::Look) && !is_asked(after_six(), Event::Sweep));
    for event in [renew(Reach::Verified), Event::IssuerChanged, Event::Rewritten] {
        assert!(is_asked(after_six(), event.clone()), "{event:?}");
    }
}

#[test]
fn an_issuer_that_comes_back_is_not_asked_sooner_for_that_when_its_answers_were_of_no_use() {
    let (mut bench, _) = attempts(Reason::WrongAnswer, 1);
    let due = bench.now;
    bench.now = due.minus(Duration::from_secs(200));
    bench.state.awaits_issuer = true;
    let seen = bench.state.seen.clone().unwrap();
    bench.send(Event::IssuerBack);
    let actions = bench.send(Event::Observed(Ok(seen)));
    let [Action::WakeAt(Some(at))] = actions[..] else { panic!("{actions:?}") };
    assert!(at >= due, "{at} {due}");
}

#[test]
fn whose_answers_were_refused_is_remembered_until_a_certificate_is_installed() {
    let (mut bench, _) = attempts(Reason::WrongAnswer, 0);
    let refused = bench.state.memory.refused.clone();
    assert_ne!(refused, RefusedAnswers::default());
    bench.send(Event::Look);
    let seen = bench.state.seen.clone().unwrap();
    bench.send(Event::Observed(Ok(seen)));
    bench.send(Event::Issued(Err((Stage::Issue, Trouble::new(Reason::CaError, "500")))));
    assert_eq!(bench.state.memory.refused, refused);
    bench.now = bench.now.plus(Duration::from_secs(300));
    bench.send(Event::Look);
    let seen = bench.state.seen.clone().unwrap();
    assert_eq!(bench.send(Event::Observed(Ok(seen))), [Action::Issue]);
    let (leaf, offer) = (bench.leaf(), bench.offer());
    bench.send(Event::Issued(Ok(offer)));
    bench.send(Event::Installed(Ok((bench.written(&leaf), vec![]))));
    assert_eq!(bench.state.memory.refused, RefusedAnswers::default());
}

#[test]
fn where_the_clocks_differ_the_breaker_bounds_the_attempts() {
    let (bench, _) = attempts(Reason::ClockDiffers, 1);
    assert_eq!(bench.state.memory.refused, RefusedAnswers::default());
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
