//! How many certificates an issuer whose clock differs gives in vain, and when a trial that showed nothing is over.

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

/// Trials within any hour, whatever is demanded.
const AN_HOUR: usize = 100;

#[test]
fn a_trial_that_showed_nothing_leaves_its_turn_to_another_at_once() {
    for asked in [false, true] {
        let mut breaker = open(true);
        breaker.clock_differs(differs(), None, NOW);
        let at = later(5);
        assert!(breaker.begin_call(at) && breaker.begin_trial(at));
        assert_ne!(availability([&breaker], at), Availability::Ready);
        breaker.end_trial(asked, at);
        assert!(!breaker.is_tried());
        assert_eq!((breaker.next_call(), availability([&breaker], at)), (Some(at), Availability::Ready));
        assert!(breaker.begin_call(at) && breaker.begin_trial(at), "by another");
    }
}

#[test]
fn the_end_of_what_is_no_trial_changes_nothing() {
    let mut breaker = open(true);
    breaker.end_trial(true, NOW);
    assert!(breaker.usable());
    breaker.clock_differs(differs(), None, NOW);
    breaker.end_trial(true, NOW);
    assert_eq!(breaker.next_call(), Some(later(5)));
}

#[test]
fn what_never_came_to_the_issuer_does_not_count() {
    let mut breaker = open(true);
    breaker.clock_differs(differs(), None, NOW);
    let at = later(5);
    for _ in 0..10 * AN_HOUR {
        assert!(breaker.begin_trial(at));
        breaker.end_trial(false, at);
    }
    for _ in 0..AN_HOUR {
        breaker.begin_trial(at);
        breaker.end_trial(true, at);
    }
    assert_eq!(
        breaker.next_call(),
        Some(at.plus(Duration::from_secs(60))),
        "those that did come are counted"
    );
}

/// The first trial goes on for so long that a second one is begun, and then turns out never to have been one: one of the
/// two is counted, with its own time.
#[test]
fn a_trial_that_never_was_takes_none_from_the_count_that_was() {
    let mut breaker = open(true);
    breaker.clock_differs(differs(), None, NOW);
    for begun in [5, 3000] {
        assert!(breaker.begin_trial(later(begun)));
    }
    breaker.end_trial(false, later(3001));
    let tried = |breaker: &Breaker| breaker.disagreement.as_ref().unwrap().tried.clone();
    assert_eq!(tried(&breaker), [later(5)]);
    breaker.end_trial(false, later(3002));
    assert_eq!(tried(&breaker), [later(5)], "it is over");
}

#[test]
fn a_clock_that_goes_back_does_not_make_many_trials_forgotten() {
    let day_before = NOW.minus(HOUR * 24);
    for (set_to, due) in [(day_before, day_before.plus(HOUR / 60)), (later(7200), later(7200))] {
        let mut breaker = open(true);
        breaker.clock_differs(differs(), None, NOW);
        for _ in 0..50 {
            breaker.begin_trial(later(5));
            breaker.end_trial(true, later(5));
        }
        breaker.clock_set(set_to);
        assert!(breaker.next_call().is_some_and(|at| at.max(set_to) == due), "{set_to}");
    }
}

#[derive(Clone, Debug)]
enum Demand {
    /// Somebody comes whose certificate has so many seconds left.
    Awaited(Option<u64>),
    Differs,
    Ends(bool),
    Wait(u64),
}

fn demands() -> impl Strategy<Value = Vec<Demand>> {
    let one = prop_oneof![
        3 => proptest::option::of(0_u64..400).prop_map(Demand::Awaited),
        3 => Just(Demand::Differs),
        1 => any::<bool>().prop_map(Demand::Ends),
        2 => (0_u64..15).prop_map(Demand::Wait),
    ];
    proptest::collection::vec(one, 0..2000)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Certificates that the issuer gives in vain while the clocks differ are bounded, however many wait and however
    /// little their certificates have left; and however many it gave, somebody tries again within five minutes.
    #[test]
    fn an_hour_sees_no_more_trials_than_a_hundred(demands in demands()) {
        let (mut breaker, mut now) = (open(true), NOW);
        breaker.clock_differs(differs(), None, now);
        let mut given = Vec::new();
        for demand in demands {
            match demand {
                Demand::Awaited(left) => {
                    breaker.awaited(left.map(|left| now.plus(Duration::from_secs(left))), now);
                }
                Demand::Differs => breaker.clock_differs(differs(), Some(now.plus(Duration::from_secs(9))), now),
                Demand::Ends(asked) => {
                    if !asked && breaker.is_tried() {
                        given.pop();
                    }
                    breaker.end_trial(asked, now);
                }
                Demand::Wait(seconds) => now = now.plus(Duration::from_secs(seconds)),
            }
            if availability([&breaker], now) == Availability::Ready {
                prop_assert!(breaker.begin_trial(now));
                given.push(now);
            }
            let within_the_hour = given.iter().filter(|at| at.plus(HOUR) > now).count();
            prop_assert!(within_the_hour <= AN_HOUR, "{within_the_hour}");
            prop_assert!(breaker.next_call().is_some_and(|at| at <= now.plus(LONGEST_EXPIRED)));
        }
    }
}
