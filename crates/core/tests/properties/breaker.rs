//! One issuer that is there and away, and how often it is asked.

use std::time::Duration;

use phoenix_core::breaker::{Breaker, LONGEST_LOOK, availability};
use phoenix_core::lifecycle::Availability;
use phoenix_core::reason::{Reason, Trouble};
use phoenix_core::time::Timestamp;
use proptest::prelude::*;

const START: Timestamp = Timestamp::from_unix(1_700_000_000);

fn down() -> Trouble {
    Trouble::new(Reason::CaUnreachable, "connection refused")
}

fn breaker(answered: bool) -> Breaker {
    let mut breaker = Breaker::new(answered, down());
    breaker.approach(true);
    breaker.hinder(None);
    breaker
}

/// Seconds of an outage at which the issuer is looked at, when every look takes `takes` seconds and fails.
fn looks(answered: bool, takes: u64, lasts: u64) -> Vec<u64> {
    let mut breaker = breaker(answered);
    breaker.unreachable(down(), START);
    let (mut made, mut at) = (Vec::new(), START);
    while at.since(START).as_secs() < lasts {
        if let Some(next) = breaker.next_look() {
            at = at.plus(next.since(at));
        }
        assert!(breaker.begin_look(at) && !breaker.begin_look(at), "one look at a time");
        made.push(at.since(START).as_secs());
        at = at.plus(Duration::from_secs(takes));
        breaker.looked(Err(down()), at);
    }
    made
}

#[test]
fn an_outage_is_looked_at_after_two_four_eight_and_then_every_ten_seconds() {
    for answered in [true, false] {
        assert_eq!(looks(answered, 0, 60), [2, 6, 14, 24, 34, 44, 54, 64]);
        assert_eq!(looks(answered, 5, 60), [2, 11, 24, 39, 54, 69]);
    }
}

proptest! {
    #[test]
    fn a_thousand_entries_cost_no_more_looks_than_one(requests in proptest::collection::vec(0_u64..30, 1..60)) {
        let mut breaker = breaker(true);
        let (mut now, mut begun) = (START, Vec::<Timestamp>::new());
        breaker.unreachable(down(), now);
        for wait in requests {
            now = now.plus(Duration::from_secs(wait));
            // Whoever comes is told to wait, and may find out that a look is due.
            prop_assert!(!breaker.usable());
            if breaker.begin_look(now) {
                prop_assert!(begun.last().is_none_or(|last| now.since(*last) >= Duration::from_secs(2)));
                begun.push(now);
                breaker.looked(Err(down()), now);
            }
            let next = breaker.next_look().unwrap();
            prop_assert!(next > now && next.since(now) <= LONGEST_LOOK);
        }
    }

    #[test]
    fn the_end_of_an_outage_is_told_once(looked: bool, answered: bool, failures in 1_u32..40) {
        let mut breaker = breaker(answered);
        for _ in 0..failures {
            breaker.unreachable(down(), START);
        }
        prop_assert_eq!(breaker.outages(), u64::from(failures));
        let at = breaker.next_look().unwrap();
        let told = if looked {
            breaker.begin_look(at);
            breaker.looked(Ok(()), at)
        } else {
            breaker.answered()
        };
        prop_assert!(told && breaker.usable() && breaker.has_answered());
        prop_assert!(!breaker.answered(), "it is no news any more");
        prop_assert_eq!(breaker.next_look(), None);
    }

    #[test]
    fn an_entry_can_be_served_exactly_when_one_of_its_issuers_can(states in proptest::collection::vec(any::<(bool, bool)>(), 0..6)) {
        let issuers: Vec<Breaker> = states
            .iter()
            .map(|(out, hindered)| {
                let mut breaker = breaker(true);
                if *out {
                    breaker.unreachable(down(), START);
                }
                breaker.hinder(hindered.then(|| Trouble::new(Reason::IssuerNotReady, "no password")));
                breaker
            })
            .collect();
        let can = states.iter().any(|(out, hindered)| !out && !hindered);
        match availability(&issuers, START) {
            Availability::Ready => prop_assert!(can),
            Availability::Unavailable { trouble, next_look } => {
                prop_assert!(!can && next_look > START && next_look.since(START) <= LONGEST_LOOK);
                let first = issuers.first().and_then(Breaker::trouble);
                prop_assert!(first.is_none_or(|first| *first == trouble), "the first one is what is told about");
            }
        }
    }
}
