//! How long to wait after a failure.
//!
//! The spacing grows with the attempts, but what bounds it is the lifetime that is left: never more than a
//! tenth of it, so that the last tenth of a lifetime still sees several attempts whatever the lifetime is.

use std::time::Duration;

use crate::reason::RetryClass;
use crate::time::Timestamp;

/// Shortest spacing.
pub const SHORTEST: Duration = Duration::from_secs(1);
/// Longest spacing while something is valid.
pub const LONGEST: Duration = Duration::from_secs(3600);
/// Longest spacing when nothing is valid.
pub const LONGEST_EXPIRED: Duration = Duration::from_secs(300);
/// Spacing of what is waited for without counting attempts.
pub const WAITING: Duration = Duration::from_secs(10);
/// Longest spacing of the looks for a guest that is away. It is served within this time when it is back.
pub const WAITING_LONGEST: Duration = Duration::from_secs(60);

/// The time to the next attempt after `attempts` failures in a row (at least 1), when the certificate that
/// consumers use is valid until `valid_until`.
pub fn spacing(class: RetryClass, attempts: u32, valid_until: Option<Timestamp>, now: Timestamp) -> Duration {
    let longest = longest(valid_until, now);
    let first = match class {
        RetryClass::Waiting => return WAITING.min(longest).max(SHORTEST),
        RetryClass::Transport | RetryClass::LocalIo => Duration::from_secs(2),
        RetryClass::CaFault | RetryClass::Command => Duration::from_secs(5),
        RetryClass::Blocked => Duration::from_secs(60),
    };
    first.saturating_mul(1 << attempts.saturating_sub(1).min(16)).min(longest).max(SHORTEST)
}

/// The time to the next look for a guest that is away; `before` is how long was waited for this one, if it was away
/// then too. A guest may be off for months: looking costs a process each time.
pub fn waiting(before: Option<Duration>, valid_until: Option<Timestamp>, now: Timestamp) -> Duration {
    let wanted = before.map_or(WAITING, |before| before.saturating_mul(2).clamp(WAITING, WAITING_LONGEST));
    wanted.min(longest(valid_until, now)).max(SHORTEST)
}

fn longest(valid_until: Option<Timestamp>, now: Timestamp) -> Duration {
    let left = valid_until.map_or(Duration::ZERO, |end| end.since(now));
    if left.is_zero() { LONGEST_EXPIRED } else { (left / 10).min(LONGEST) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CLASSES: [RetryClass; 6] = [
        RetryClass::Transport,
        RetryClass::CaFault,
        RetryClass::LocalIo,
        RetryClass::Command,
        RetryClass::Blocked,
        RetryClass::Waiting,
    ];

    #[test]
    fn spacing_doubles_until_its_bound() {
        let now = Timestamp::from_unix(0);
        let end = Some(Timestamp::from_unix(86_400));
        let seconds = |attempts| spacing(RetryClass::Command, attempts, end, now).as_secs();
        assert_eq!([1, 2, 3, 4, 30].map(seconds), [5, 10, 20, 40, 3600]);
    }

    #[test]
    fn a_five_minute_certificate_is_retried_within_its_life() {
        let now = Timestamp::from_unix(0);
        let end = Some(Timestamp::from_unix(100));
        assert_eq!(spacing(RetryClass::Blocked, 9, end, now), Duration::from_secs(10));
    }

    /// As `docs/design/009-issuer-outages.md` tells.
    #[test]
    fn the_last_hour_of_any_certificate_sees_seventy_attempts_and_the_hours_before_it_few() {
        for lifetime in [3600, 28_800, 2_592_000] {
            let end = Timestamp::from_unix(lifetime);
            let mut now = Timestamp::from_unix(0);
            let (mut attempts, mut last_hour) = (0_u32, 0);
            while now < end {
                attempts += 1;
                last_hour += u32::from(end.since(now) <= LONGEST);
                now = now.plus(spacing(RetryClass::Transport, attempts, Some(end), now));
            }
            assert!((60..=80).contains(&last_hour), "{lifetime}: {last_hour} in the last hour");
            let hours_before = u32::try_from(lifetime / 3600).unwrap();
            assert!(attempts - last_hour <= hours_before + 30, "{lifetime}: {attempts} in all");
        }
    }

    #[test]
    fn a_guest_that_stays_away_is_looked_for_less_often_but_every_minute() {
        let now = Timestamp::from_unix(0);
        let month = Some(Timestamp::from_unix(30 * 86_400));
        let mut before = None;
        let waits = [(); 6].map(|()| {
            let wait = waiting(before, month, now);
            before = Some(wait);
            wait.as_secs()
        });
        assert_eq!(waits, [10, 20, 40, 60, 60, 60]);
    }

    proptest! {
        #[test]
        fn waiting_keeps_its_bounds(before in proptest::option::of(0_u64..100_000), left in 0_i64..100_000_000) {
            let now = Timestamp::from_unix(1_000);
            let end = Timestamp::from_unix(1_000 + left);
            let wait = waiting(before.map(Duration::from_secs), Some(end), now);
            prop_assert!((SHORTEST..=WAITING_LONGEST).contains(&wait));
            if left > 0 {
                prop_assert!(wait <= (Duration::from_secs(left as u64) / 10).max(SHORTEST));
            }
        }

        #[test]
        fn spacing_keeps_its_bounds(class in 0_usize..6, attempts: u32, left in 0_i64..100_000_000) {
            let now = Timestamp::from_unix(1_000);
            let end = Timestamp::from_unix(1_000 + left);
            let spacing = spacing(CLASSES[class], attempts, Some(end), now);
            prop_assert!(spacing >= SHORTEST);
            if left == 0 {
                prop_assert!(spacing <= LONGEST_EXPIRED);
            } else {
                prop_assert!(spacing <= (Duration::from_secs(left as u64) / 10).max(SHORTEST));
            }
        }

        #[test]
        fn more_attempts_never_shorten_it(class in 0_usize..6, attempts in 1_u32..40, left in 0_i64..1_000_000) {
            let now = Timestamp::from_unix(0);
            let end = Some(Timestamp::from_unix(left));
            let class = CLASSES[class];
            prop_assert!(spacing(class, attempts, end, now) <= spacing(class, attempts + 1, end, now));
        }
    }
}
