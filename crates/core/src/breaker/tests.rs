mod bound;

use proptest::prelude::*;

use super::*;
use crate::backoff::LONGEST_EXPIRED;

const NOW: Timestamp = Timestamp::from_unix(1_000_000);

fn no_root() -> Trouble {
    Trouble::new(Reason::IssuerNotReady, "no root")
}

fn down() -> Trouble {
    Trouble::new(Reason::CaUnreachable, "the connection was reset.")
}

/// An issuer that nothing stands in the way of.
fn open(answered: bool) -> Breaker {
    let mut breaker = Breaker::new(answered, no_root());
    breaker.approach(true);
    breaker.hinder(None);
    breaker
}

fn later(seconds: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(seconds))
}

#[test]
fn an_answer_to_one_request_ends_the_outage_that_another_one_met() {
    let mut breaker = open(true);
    assert!(!breaker.answered());
    breaker.unreachable(down(), NOW);
    assert!(breaker.answered(), "whoever waits is to be woken: nobody looks any more");
    assert_eq!(breaker.next_look(), None);
    assert!(breaker.usable());
}

#[test]
fn the_first_answer_ever_is_told() {
    let mut breaker = open(false);
    assert!(breaker.answered());
    assert!(!breaker.answered());
}

#[test]
fn an_issuer_is_looked_at_although_the_clock_was_set_back() {
    let mut breaker = open(true);
    breaker.unreachable(down(), later(7200));
    breaker.clock_set(NOW);
    assert_eq!(breaker.next_look(), Some(NOW));
}

#[test]
fn looks_at_an_issuer_out_of_reach_spread_to_ten_seconds() {
    let mut breaker = open(true);
    let pauses: Vec<u64> = (0..6)
        .map(|_| {
            breaker.unreachable(down(), NOW);
            breaker.next_look().unwrap().since(NOW).as_secs()
        })
        .collect();
    assert_eq!(pauses, [2, 4, 8, 10, 10, 10]);
    breaker.answered();
    breaker.unreachable(down(), NOW);
    assert_eq!(breaker.next_look(), Some(later(2)), "a new outage begins with short pauses again");
}

#[test]
fn one_that_never_answered_is_not_ready_rather_than_out_of_reach() {
    for (answered, reason) in [(false, Reason::IssuerNotReady), (true, Reason::CaUnreachable)] {
        let mut breaker = open(answered);
        breaker.unreachable(down(), NOW);
        assert_eq!(breaker.trouble().unwrap().reason, reason);
    }
    let mut breaker = open(false);
    breaker.unreachable(Trouble::new(Reason::CaError, "500"), NOW);
    assert_eq!(breaker.trouble().unwrap().reason, Reason::CaError);
}

#[test]
fn what_stands_in_our_own_way_comes_before_what_is_wrong_at_the_other_end() {
    let mut breaker = open(true);
    breaker.unreachable(down(), NOW);
    breaker.hinder(Some(no_root()));
    assert_eq!(breaker.trouble(), Some(&no_root()));
    breaker.hinder(None);
    assert_eq!(breaker.trouble(), Some(&down()));
}

#[test]
fn an_issuer_is_looked_at_once_when_it_becomes_approachable() {
    let mut breaker = Breaker::new(true, no_root());
    assert!(!breaker.begin_look(NOW), "there is no way to look at it");
    breaker.approach(true);
    assert!(breaker.begin_look(NOW));
    assert!(!breaker.begin_look(NOW), "a look is under way");
    assert!(breaker.looked(Ok(()), NOW));
    assert!(!breaker.begin_look(later(9999)));
}

#[test]
fn another_root_ends_what_was_known_under_the_old_one() {
    let mut breaker = open(true);
    breaker.begin_look(NOW);
    breaker.looked(Err(down()), NOW);
    breaker.approach(true);
    assert!(breaker.usable());
    assert!(breaker.begin_look(NOW));
}

#[test]
fn nothing_wakes_for_an_issuer_that_there_is_no_way_to_look_at() {
    let mut breaker = open(true);
    breaker.approach(false);
    // A request that was under way when the root vanished fails afterwards.
    breaker.unreachable(down(), NOW);
    assert!(!breaker.begin_look(later(60)));
    assert_eq!(breaker.next_look(), None, "a timer for a look that never begins would fire for ever");
}

#[test]
fn an_entry_is_told_about_the_first_of_its_issuers_unless_one_can_be_asked() {
    let (mut first, mut second) = (open(true), open(true));
    assert_eq!(availability([&first, &second], NOW), Availability::Ready);
    first.unreachable(down(), NOW);
    assert_eq!(availability([&first, &second], NOW), Availability::Ready);
    second.hinder(Some(no_root()));
    let told = availability([&first, &second], NOW);
    assert_eq!(told, Availability::Unavailable { trouble: down(), next_look: later(2) });
    let told = availability([&second, &first], NOW);
    assert_eq!(told, Availability::Unavailable { trouble: no_root(), next_look: later(10) });
    assert!(matches!(availability([], NOW), Availability::Unavailable { .. }));
}

/// The clocks differ, and nine trials showed that they still do.
fn tried_often(soonest: Option<Timestamp>) -> Breaker {
    let mut breaker = open(true);
    breaker.clock_differs(differs(), soonest, NOW.minus(Duration::from_secs(86_400)));
    for trial in 1..=9 {
        let at = if trial < 9 { breaker.next_call().unwrap() } else { NOW };
        breaker.begin_trial(at);
        breaker.clock_differs(differs(), soonest, at);
    }
    breaker
}

fn differs() -> Trouble {
    Trouble::new(Reason::ClockDiffers, "it is valid from tomorrow.")
}

#[test]
fn of_those_who_wait_for_the_clocks_to_agree_one_asks_at_a_time_and_ever_more_rarely() {
    let (mut breaker, mut now) = (open(true), NOW);
    let mut pauses = Vec::new();
    for _ in 0..9 {
        breaker.clock_differs(differs(), None, now);
        let told = availability([&breaker], now);
        let Availability::Unavailable { trouble, next_look } = told else { panic!("{told:?}") };
        assert_eq!(trouble, differs());
        assert!(!breaker.begin_call(now), "the trial is not due yet");
        pauses.push(next_look.since(now).as_secs());
        now = next_look;
        assert!(breaker.begin_call(now));
        assert!(!breaker.begin_call(now), "one is called");
        assert_eq!(availability([&breaker], now), Availability::Ready);
        assert!(!breaker.is_tried() && breaker.begin_trial(now) && breaker.is_tried());
        assert!(!breaker.begin_trial(now), "one is asking");
        assert_ne!(availability([&breaker], now), Availability::Ready);
    }
    assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
}

#[test]
fn many_answers_to_what_was_asked_before_are_one_finding() {
    let mut breaker = open(true);
    (0..40).for_each(|_| breaker.clock_differs(differs(), None, NOW));
    assert_eq!(breaker.next_call(), Some(later(5)));
}

#[test]
fn nobody_is_called_often_while_nobody_waits() {
    let mut breaker = tried_often(None);
    let due = breaker.next_call().unwrap();
    assert!(breaker.begin_call(due));
    assert_eq!(
        breaker.next_call(),
        Some(due.plus(Duration::from_secs(2))),
        "somebody might have to be called"
    );
    breaker.nobody_waits(due);
    assert_eq!(breaker.next_call(), Some(due.plus(Duration::from_secs(300))));
    breaker.awaited(None, due);
    assert_eq!(breaker.next_call(), Some(due.plus(Duration::from_secs(2))), "somebody has come");
}

#[test]
fn a_certificate_in_time_ends_the_wait_of_all() {
    let mut breaker = open(true);
    assert!(!breaker.clock_agrees());
    let before = breaker.outages();
    breaker.clock_differs(differs(), None, NOW);
    assert!(breaker.outages() > before, "requests that queue are not sent any more");
    assert!(!breaker.answered() && !breaker.usable(), "that it answers is nothing new");
    assert!(breaker.clock_agrees(), "whoever waits is to be told");
    assert!(breaker.usable());
    assert_eq!(breaker.next_call(), None);
}

#[test]
fn a_clock_that_was_set_is_tried_at_once_by_one() {
    for set_to in [NOW.minus(Duration::from_secs(86_400)), later(86_400)] {
        let mut breaker = tried_often(None);
        breaker.clock_set(set_to);
        assert!(breaker.begin_call(set_to) && availability([&breaker], set_to) == Availability::Ready);
        breaker.begin_trial(set_to);
        assert_ne!(availability([&breaker], set_to), Availability::Ready);
        breaker.clock_differs(differs(), None, set_to);
        assert_eq!(breaker.next_call(), Some(set_to.plus(Duration::from_secs(5))), "from the beginning");
    }
}

#[test]
fn trials_are_as_frequent_as_the_first_certificate_to_expire_demands() {
    let mut breaker = tried_often(Some(later(1_000)));
    assert_eq!(breaker.next_call(), Some(later(100)), "a tenth of what is left");
    breaker.awaited(Some(later(50_000)), NOW);
    assert_eq!(breaker.next_call(), Some(later(100)));
    breaker.awaited(Some(later(200)), NOW);
    assert_eq!(breaker.next_call(), Some(later(20)));
    breaker.begin_trial(later(20));
    assert_eq!(breaker.next_call(), Some(later(30)), "a trial that comes to nothing is not waited for long");
}

#[test]
fn an_issuer_that_is_out_of_reach_is_not_tried() {
    let mut breaker = open(true);
    breaker.clock_differs(differs(), None, NOW);
    breaker.unreachable(down(), NOW);
    assert_eq!(breaker.trouble(), Some(&down()));
    assert_eq!(breaker.next_call(), None);
    assert!(!breaker.begin_call(later(60)));
    assert!(!breaker.begin_trial(later(60)), "whoever asks another issuer does not wait for this one first");
    breaker.hinder(Some(no_root()));
    assert!(breaker.answered() && !breaker.begin_trial(later(60)));
    breaker.hinder(None);
    assert_eq!(breaker.trouble(), Some(&differs()));
    assert!(breaker.begin_call(later(60)), "the timer is set again");
    breaker.approach(true);
    assert!(breaker.usable(), "what was found out about another way says nothing");
}

#[derive(Clone, Debug)]
enum Happening {
    Wait(u64),
    Look,
    Looked(bool),
    Request(bool),
    Hinder(bool),
    Approach(bool),
    Clock(i64),
    Differs,
    Agrees,
    Asks,
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let one = prop_oneof![
        (0_u64..20).prop_map(Happening::Wait),
        Just(Happening::Look),
        any::<bool>().prop_map(Happening::Looked),
        any::<bool>().prop_map(Happening::Request),
        any::<bool>().prop_map(Happening::Hinder),
        any::<bool>().prop_map(Happening::Approach),
        (-100_000_i64..100_000).prop_map(Happening::Clock),
        Just(Happening::Differs),
        Just(Happening::Agrees),
        Just(Happening::Asks),
    ];
    proptest::collection::vec(one, 0..60)
}

proptest! {
    /// Whatever happens: whoever cannot ask an issuer is told of an end of the outage, because a look is under
    /// way, or a timer is set that is near and really begins one, or the hindrance is ours.
    #[test]
    fn an_outage_never_goes_unwatched(happenings in happenings()) {
        let (mut breaker, mut now, mut looking) = (open(true), NOW, false);
        for happening in happenings {
            match happening {
                Happening::Wait(seconds) => now = now.plus(Duration::from_secs(seconds)),
                Happening::Look => looking |= breaker.begin_look(now),
                Happening::Looked(well) if looking => {
                    looking = false;
                    breaker.looked(if well { Ok(()) } else { Err(down()) }, now);
                }
                Happening::Looked(_) => {}
                Happening::Request(true) => { breaker.answered(); }
                Happening::Request(false) => breaker.unreachable(down(), now),
                Happening::Hinder(hindered) => breaker.hinder(hindered.then(no_root)),
                Happening::Approach(way) => breaker.approach(way),
                Happening::Clock(by) => {
                    now = Timestamp::from_unix(now.unix() + by);
                    breaker.clock_set(now);
                }
                Happening::Differs => breaker.clock_differs(differs(), None, now),
                Happening::Agrees => { breaker.clock_agrees(); }
                Happening::Asks => {
                    let away = breaker.out_of_reach().is_some();
                    let (called, tries) = (breaker.begin_call(now), breaker.begin_trial(now));
                    prop_assert!(!away || !called && !tries);
                }
            }
            let watched = looking || breaker.next_look().is_some_and(|at| at <= now.plus(LONGEST_LOOK));
            let away = breaker.out_of_reach().is_some();
            prop_assert!(!away || breaker.hindrance.is_some() || !breaker.approachable || watched);
            let called = breaker.next_call().is_some_and(|at| at <= now.plus(LONGEST_EXPIRED));
            prop_assert!(breaker.usable() || away || called);
            if let Some(at) = breaker.next_look() {
                prop_assert!(breaker.clone().begin_look(at));
            }
        }
    }
}
