//! Lengths of time in words.

use std::time::Duration;

use phoenix_core::time::Timestamp;

/// The two largest units, rounded down: `23 h 12 min`, `8 s`; from ten days on one: `59 d`, `10 years`.
pub fn words(span: Duration) -> String {
    let seconds = span.as_secs();
    let (days, hours) = (seconds / 86_400, seconds / 3_600 % 24);
    let (minutes, rest) = (seconds / 60 % 60, seconds % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{rest} s"),
        (0, 0, _) => two(minutes, "min", rest, "s"),
        (0, _, _) => two(hours, "h", minutes, "min"),
        (1..=9, _, _) => two(days, "d", hours, "h"),
        (10..730, _, _) => format!("{days} d"),
        _ => format!("{} years", days / 365),
    }
}

fn two(large: u64, unit: &str, small: u64, sub: &str) -> String {
    if small == 0 { format!("{large} {unit}") } else { format!("{large} {unit} {small} {sub}") }
}

/// `at` seen from `now`: `in 5 min`, `3 h 2 min ago`, `now`.
pub fn from_now(at: Timestamp, now: Timestamp) -> String {
    match at.unix().cmp(&now.unix()) {
        std::cmp::Ordering::Greater => format!("in {}", words(at.since(now))),
        std::cmp::Ordering::Equal => "now".to_owned(),
        std::cmp::Ordering::Less => format!("{} ago", words(now.since(at))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_told_in_their_two_largest_units() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (61, "1 min 1 s"),
            (3_600, "1 h"),
            (83_520, "23 h 12 min"),
            (86_400, "1 d"),
            (90_061, "1 d 1 h"),
            (864_000 + 3_600, "10 d"),
            (729 * 86_400, "729 d"),
            (3_650 * 86_400, "10 years"),
        ] {
            assert_eq!(words(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn times_are_told_from_now() {
        let now = Timestamp::from_unix(1_000_000);
        assert_eq!(from_now(now.plus(Duration::from_secs(300)), now), "in 5 min");
        assert_eq!(from_now(now.minus(Duration::from_secs(7_320)), now), "2 h 2 min ago");
        assert_eq!(from_now(now, now), "now");
    }
}
