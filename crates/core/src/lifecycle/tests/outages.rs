//! While no certificate can be had: what goes on, what is waited for, and how it ends.

use super::corners::sync;
use super::*;

/// What keeps a certificate from being requested.
#[derive(Clone, Copy, Debug)]
enum Outage {
    Unavailable,
    Failing,
    Loop,
}

impl Outage {
    /// It begins: an entry that has nothing else to do has nothing to do at all.
    fn begin(self, bench: &mut Bench, leaf: &LeafFacts) {
        let unreachable = Trouble::new(Reason::CaUnreachable, "refused");
        match self {
            Self::Unavailable => {
                let next_look = bench.now.plus(Duration::from_secs(10));
                bench.availability = Availability::Unavailable { trouble: unreachable, next_look };
            }
            Self::Failing => {
                let forbids = Trouble::new(Reason::CaForbids, "403");
                for _ in 0..4 {
                    bench.state.memory.fail(Stage::Issue, forbids.clone(), Some(leaf.not_after), bench.now);
                }
            }
            Self::Loop => bench.state.memory.issued = vec![bench.now; ISSUANCES_PER_LIFETIME],
        }
    }
}

#[test]
fn while_no_certificate_can_be_had_the_present_one_is_put_to_use() {
    for outage in [Outage::Unavailable, Outage::Failing, Outage::Loop] {
        let mut bench = Bench::new();
        let leaf = bench.leaf();
        bench.now = schedule_of(&bench, &leaf);
        let written = samples::installed(&bench.entry, &leaf, NOW);
        outage.begin(&mut bench, &leaf);
        bench.send(Event::Look);
        assert_eq!(bench.send(Event::Observed(Ok(written.clone()))), [Action::Activate], "{outage:?}");
        for _ in 0..3 {
            let actions = bench.send(Event::Activated(Err(command_failed())));
            let at = bench.state.memory.failures[&Stage::Activate].next_attempt_at;
            assert_eq!(actions, [Action::WakeAt(Some(at))], "{outage:?}");
            bench.now = at;
            bench.send(Event::Look);
            assert_eq!(bench.send(Event::Observed(Ok(written.clone()))), [Action::Activate], "{outage:?}");
        }
        let mut deployed = written.clone();
        deployed.ledger.activated =
            Some(Deed { fingerprint: leaf.fingerprint.clone(), of: "command".into(), at: bench.now });
        let actions = bench.send(Event::Activated(Ok(deployed)));
        assert!(matches!(actions[..], [Action::WakeAt(_)]), "{outage:?}: {actions:?}");
        assert_eq!(bench.state.memory.in_use_until, Some(leaf.not_after), "{outage:?}");
    }
}

#[test]
fn what_no_longer_serves_is_not_put_to_use_while_no_certificate_can_be_had() {
    for outage in [Outage::Unavailable, Outage::Failing] {
        let mut bench = Bench::new();
        let leaf = bench.leaf();
        bench.now = leaf.not_after;
        let written = samples::installed(&bench.entry, &leaf, NOW);
        outage.begin(&mut bench, &leaf);
        bench.send(Event::Look);
        let actions = bench.send(Event::Observed(Ok(written)));
        assert!(matches!(actions[..], [Action::WakeAt(_)]), "{outage:?}: {actions:?}");
    }
}

#[test]
fn an_issuer_that_is_back_is_asked_although_it_was_back_while_a_command_ran() {
    let mut bench = Bench::new();
    let leaf = bench.leaf();
    bench.now = schedule_of(&bench, &leaf);
    let written = samples::installed(&bench.entry, &leaf, NOW);
    Outage::Unavailable.begin(&mut bench, &leaf);
    bench.send(Event::Look);
    bench.send(Event::Observed(Ok(written.clone())));
    bench.send(Event::Activated(Err(command_failed())));
    bench.now = bench.state.memory.failures[&Stage::Activate].next_attempt_at;
    bench.send(Event::Look);
    assert_eq!(bench.send(Event::Observed(Ok(written.clone()))), [Action::Activate]);
    bench.availability = Availability::Ready;
    assert_eq!(bench.send(Event::IssuerBack), []);
    assert_eq!(bench.send(Event::Activated(Err(command_failed()))), [Action::Observe]);
    assert_eq!(bench.send(Event::Observed(Ok(written))), [Action::Issue]);
}

#[test]
fn a_pair_that_cannot_be_judged_waits_for_the_issuer_and_so_does_an_order() {
    let mut bench = Bench::new();
    let trouble = Trouble::new(Reason::IssuerNotReady, "no root file");
    bench.availability = Availability::Unavailable { trouble, next_look: NOW };
    let leaf = bench.leaf();
    let mut seen = samples::blank(&bench.entry, NOW);
    seen.live = samples::live(&leaf);
    seen.live.trusted = None;
    bench.send(sync(Reach::Verified));
    assert_eq!(bench.send(Event::Observed(Ok(seen.clone()))), [Action::WakeAt(None)]);
    assert_eq!(bench.state.memory.failures[&Stage::Issue].trouble.reason, Reason::IssuerNotReady);
    bench.availability = Availability::Ready;
    assert_eq!(bench.send(Event::IssuerBack), [Action::Observe]);
    seen.live.trusted = Some(true);
    assert_eq!(bench.send(Event::Observed(Ok(seen))), [Action::Adopt]);
    let mut adopted = bench.written(&leaf);
    adopted.own.as_mut().unwrap().adopted = true;
    bench.send(Event::Adopted(Ok(adopted)));
    assert!(bench.state.memory.failures.is_empty());
    assert_eq!(bench.state.memory.order, None);
}

#[test]
fn an_issuer_that_is_back_does_not_hurry_what_it_refused() {
    let mut bench = Bench::new();
    bench.send(Event::Look);
    let blank = samples::blank(&bench.entry, NOW);
    assert_eq!(bench.send(Event::Observed(Ok(blank))), [Action::Issue]);
    let refused = Trouble::new(Reason::CaForbids, "this name is not allowed");
    bench.send(Event::Issued(Err((Stage::Issue, refused))));
    assert_eq!(bench.send(Event::IssuerBack), []);
    assert!(bench.state.memory.failures.contains_key(&Stage::Issue));
}

#[test]
fn an_issuer_that_fails_all_the_same_is_not_waited_for_beyond_expiry() {
    let mut bench = Bench::new();
    let leaf = bench.settle();
    bench.now = leaf.not_after.minus(Duration::from_secs(90));
    let down = Trouble::new(Reason::CaUnreachable, "the answer was lost");
    let outage = Availability::Unavailable { trouble: down.clone(), next_look: bench.now };
    let deployed = bench.deployed(&leaf);
    bench.send(Event::Look);
    let mut actions = bench.send(Event::Observed(Ok(deployed.clone())));
    for _ in 0..12 {
        if actions == [Action::Issue] {
            bench.availability = outage.clone();
            assert_eq!(bench.send(Event::Issued(Err((Stage::Issue, down.clone())))), [Action::WakeAt(None)]);
            bench.availability = Availability::Ready;
            assert_eq!(bench.send(Event::IssuerBack), [Action::Observe]);
        } else {
            let [Action::WakeAt(Some(at))] = actions[..] else { panic!("{actions:?}") };
            assert!(at.since(bench.now) <= Duration::from_secs(9), "{at}");
            bench.now = at;
            assert_eq!(bench.send(Event::Look), [Action::Observe]);
        }
        actions = bench.send(Event::Observed(Ok(deployed.clone())));
    }
}

#[test]
fn a_pair_that_cannot_be_judged_is_looked_at_when_it_is_due() {
    let mut bench = Bench::new();
    let leaf = bench.leaf();
    let mut seen = samples::blank(&bench.entry, NOW);
    seen.live = samples::live(&leaf);
    seen.live.trusted = None;
    let due = schedule_of(&bench, &leaf);
    bench.now = due.minus(Duration::from_secs(20));
    bench.send(Event::Look);
    assert_eq!(bench.send(Event::Observed(Ok(seen.clone()))), [Action::WakeAt(Some(due))]);
    bench.now = due;
    bench.send(Event::Look);
    assert_eq!(bench.send(Event::Observed(Ok(seen))), [Action::Issue]);
}

#[test]
fn the_guard_against_loops_lets_nothing_expire() {
    let mut bench = Bench::new();
    let leaf = bench.settle();
    let deployed = bench.deployed(&leaf);
    bench.now = schedule_of(&bench, &leaf);
    // Counted under a clock that was ahead.
    bench.state.memory.issued = vec![bench.now.plus(DAY); ISSUANCES_PER_LIFETIME];
    bench.send(Event::Look);
    let lifetime = leaf.lifetime();
    let last = leaf.not_after.minus(lifetime / 20);
    assert_eq!(bench.send(Event::Observed(Ok(deployed.clone()))), [Action::WakeAt(Some(last))]);
    assert_eq!(bench.state.memory.failures[&Stage::Issue].trouble.reason, Reason::DriftLoop);
    bench.now = last;
    bench.send(Event::Look);
    assert_eq!(bench.send(Event::Observed(Ok(deployed))), [Action::Issue]);
}

#[test]
fn who_would_not_ask_does_not_wait_for_an_issuer() {
    type Change = fn(&mut Bench, &mut Observation);
    let absent = Trouble::new(Reason::StorageAbsent, "not mounted");
    let cases: [(&str, bool, Change); 3] = [
        ("it is due", true, |_, _| ()),
        ("it is paused", false, |bench, _| bench.entry.paused = true),
        ("its paths cannot be seen", false, |_, seen| {
            seen.target_trouble = Some(Trouble::new(Reason::StorageAbsent, "not mounted"));
        }),
    ];
    for (case, waits, change) in cases {
        let mut bench = Bench::new();
        let leaf = bench.settle();
        let mut seen = bench.deployed(&leaf);
        bench.now = schedule_of(&bench, &leaf);
        Outage::Unavailable.begin(&mut bench, &leaf);
        change(&mut bench, &mut seen);
        bench.send(Event::Look);
        bench.send(Event::Observed(Ok(seen)));
        assert_eq!(bench.state.awaits_issuer, waits, "{case}");
        assert_eq!(
            bench.send(Event::IssuerBack),
            if waits { vec![Action::Observe] } else { vec![] },
            "{case}"
        );
        if waits {
            bench.send(Event::Observed(Err(absent.clone())));
            assert!(!bench.state.awaits_issuer, "it cannot even be looked at");
        }
    }
}
