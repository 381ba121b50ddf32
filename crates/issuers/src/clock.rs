//! The CA's clock, from `Date` headers (RFC 9110 section 6.6.1).

use std::time::{SystemTime, UNIX_EPOCH};

use phoenix_core::time::Timestamp;

/// Our clock.
pub(crate) fn now() -> Timestamp {
    let seconds = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_secs()).unwrap_or(i64::MAX),
    };
    Timestamp::from_unix(seconds)
}

/// Seconds by which the sender of `date` is ahead of `now`; none when it is not a date.
pub(crate) fn skew(date: &str, now: Timestamp) -> Option<i64> {
    let theirs = chrono::DateTime::parse_from_rfc2822(date).ok()?.timestamp();
    Some(theirs.saturating_sub(now.unix()))
}

/// The CA's time, `skew` seconds from ours.
pub(crate) fn theirs(skew: i64, now: Timestamp) -> Timestamp {
    Timestamp::from_unix(now.unix().saturating_add(skew))
}

/// Clock difference in seconds that Step-CA tolerates in tokens; beyond it the operator is told.
const SKEW_TOLERANCE: u64 = 60;

/// What the operator should know about an issuer whose clock is `skew` seconds ahead of ours, if that is too much.
pub fn clock_warning(issuer: &str, skew: Option<i64>) -> Option<String> {
    let far = skew.is_some_and(|seconds| seconds.unsigned_abs() > SKEW_TOLERANCE);
    far.then(|| format!("issuer `{issuer}`: {}: set both clocks right", describe(skew)))
}

/// The difference in words; `skew` is the CA's clock minus ours in seconds.
pub fn describe(skew: Option<i64>) -> String {
    match skew {
        None => "the CA's clock could not be measured".to_owned(),
        Some(seconds) if seconds.abs() <= 1 => "the CA's clock agrees with this machine's".to_owned(),
        Some(seconds) if seconds > 0 => format!("the CA's clock is {seconds} s ahead of this machine's"),
        Some(seconds) => format!("the CA's clock is {} s behind this machine's", seconds.unsigned_abs()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix(784_111_777);

    #[test]
    fn the_date_header_gives_the_skew() {
        for (date, expected) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(0)),
            ("Sun, 06 Nov 1994 08:51:37 GMT", Some(120)),
            ("Sun, 06 Nov 1994 08:49:07 GMT", Some(-30)),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(skew(date, NOW), expected, "{date}");
        }
    }

    #[test]
    fn their_time_is_ours_plus_the_skew() {
        assert_eq!(theirs(-7, NOW).unix(), NOW.unix() - 7);
        assert_eq!(theirs(i64::MAX, NOW).unix(), i64::MAX);
    }

    #[test]
    fn the_skew_is_told_with_its_direction() {
        assert_eq!(describe(Some(90)), "the CA's clock is 90 s ahead of this machine's");
        assert_eq!(describe(Some(-90)), "the CA's clock is 90 s behind this machine's");
        assert_eq!(describe(Some(1)), "the CA's clock agrees with this machine's");
        assert_eq!(describe(None), "the CA's clock could not be measured");
    }

    #[test]
    fn a_warning_comes_only_beyond_what_a_ca_tolerates() {
        for (skew, warned) in [(None, false), (Some(60), false), (Some(61), true), (Some(-3600), true)] {
            assert_eq!(clock_warning("phoenix", skew).is_some(), warned, "{skew:?}");
        }
    }
}
