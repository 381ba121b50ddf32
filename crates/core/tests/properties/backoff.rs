//! Retries: what a certificate's last hours look like when every attempt fails.

use std::time::Duration;

use phoenix_core::backoff::{spacing, waiting};
use phoenix_core::reason::RetryClass;
use phoenix_core::time::Timestamp;
use proptest::prelude::*;
use proptest::sample::select;

const CLASSES: [RetryClass; 6] = [
    RetryClass::Transport,
    RetryClass::CaFault,
    RetryClass::LocalIo,
    RetryClass::Command,
    RetryClass::Blocked,
    RetryClass::Waiting,
];
const NOW: Timestamp = Timestamp::from_unix(1_700_000_000);
const SECOND: Duration = Duration::from_secs(1);

fn until(left: i64) -> Timestamp {
    Timestamp::from_unix(NOW.unix() + left)
}

/// When attempts are made, if every one fails, until `end` or a thousand of them.
fn attempts(class: RetryClass, left: i64) -> Vec<i64> {
    let (mut at, mut made, end) = (NOW, Vec::new(), until(left));
    for attempt in 1..1000 {
        if at >= end {
            break;
        }
        made.push(at.unix() - NOW.unix());
        at = at.plus(spacing(class, attempt, Some(end), at));
    }
    made
}

proptest! {
    #[test]
    fn no_spacing_is_longer_than_a_tenth_of_what_is_left_or_shorter_than_a_second(
        class in select(&CLASSES[..]), attempts: u32, left in 1_i64..4_000_000_000,
    ) {
        let spacing = spacing(class, attempts, Some(until(left)), NOW);
        prop_assert!(spacing >= SECOND);
        prop_assert!(spacing == SECOND || spacing.as_secs() * 10 <= left.unsigned_abs(), "{spacing:?} of {left}");
    }

    #[test]
    fn what_has_expired_is_tried_again_within_five_minutes(
        class in select(&CLASSES[..]), attempts: u32, ago in 0_i64..4_000_000_000, never: bool,
    ) {
        let end = (!never).then(|| until(-ago));
        let spacing = spacing(class, attempts, end, NOW);
        prop_assert!((SECOND..=300 * SECOND).contains(&spacing), "{spacing:?}");
    }

    #[test]
    fn more_failures_never_shorten_it_and_more_time_never_does_either(
        class in select(&CLASSES[..]), attempts in 1_u32..60, left in 1_i64..40_000_000, more in 0_i64..40_000_000,
    ) {
        let now = spacing(class, attempts, Some(until(left)), NOW);
        prop_assert!(now <= spacing(class, attempts.saturating_add(1), Some(until(left)), NOW));
        prop_assert!(now <= spacing(class, attempts, Some(until(left + more)), NOW));
    }

    #[test]
    fn the_last_tenth_of_any_lifetime_sees_several_attempts(class in select(&CLASSES[..]), left in 100_i64..100_000_000) {
        let made = attempts(class, left);
        let late = made.iter().filter(|at| **at >= left - left / 10).count();
        prop_assert!(late >= 5 || made.len() == 999, "{late} of {} attempts in the last tenth of {left} s", made.len());
    }

    #[test]
    fn a_guest_that_is_back_is_served_within_a_minute_or_a_tenth_of_what_is_left(
        before in proptest::option::of(0_u64..1_000_000), left in -1_000_i64..100_000_000,
    ) {
        let wait = waiting(before.map(Duration::from_secs), Some(until(left)), NOW);
        prop_assert!((SECOND..=60 * SECOND).contains(&wait));
        prop_assert!(left <= 0 || wait == SECOND || wait.as_secs() * 10 <= left.unsigned_abs());
        prop_assert!(before.is_none_or(|before| wait.as_secs() <= (2 * before).max(10)));
    }
}

#[test]
fn a_day_and_five_minutes_are_retried_as_a_table_says() {
    for (class, left, first) in [
        (RetryClass::Transport, 86_400, [0, 2, 6, 14, 30, 62]),
        (RetryClass::LocalIo, 86_400, [0, 2, 6, 14, 30, 62]),
        (RetryClass::CaFault, 86_400, [0, 5, 15, 35, 75, 155]),
        (RetryClass::Command, 86_400, [0, 5, 15, 35, 75, 155]),
        (RetryClass::Blocked, 86_400, [0, 60, 180, 420, 900, 1860]),
        (RetryClass::Waiting, 86_400, [0, 10, 20, 30, 40, 50]),
        (RetryClass::Transport, 100, [0, 2, 6, 14, 22, 29]),
        (RetryClass::Blocked, 100, [0, 10, 19, 27, 34, 40]),
    ] {
        assert_eq!(attempts(class, left).get(..6).unwrap(), first, "{class:?} with {left} s left");
    }
}
