//! Durations: defaults, limits, and the texts of refusals.

use std::time::Duration;

use crate::clock::go_time;
use crate::goduration;
use crate::refusal::Refusal;

/// Limits on lifetimes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claims {
    pub(crate) min: Duration,
    pub(crate) default: Duration,
    pub(crate) max: Duration,
    pub(crate) backdate: Duration,
}

impl Default for Claims {
    fn default() -> Self {
        Self {
            min: Duration::from_secs(300),
            default: Duration::from_secs(86_400),
            max: Duration::from_secs(86_400),
            backdate: Duration::from_secs(60),
        }
    }
}

/// When a certificate begins and ends, in seconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
}

/// A time of a sign request: `""` and `0s` are no wish.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum When {
    /// The CA decides.
    #[default]
    Default,
    /// So many seconds from now, or after notBefore.
    After(i64),
    /// Seconds since the Unix epoch.
    At(i64),
}

impl When {
    /// Reads RFC 3339 or a Go duration.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::Default);
        }
        if let Ok(time) = chrono::DateTime::parse_from_rfc3339(text) {
            return Some(Self::At(time.timestamp()));
        }
        goduration::parse(text).map(|seconds| if seconds == 0 { Self::Default } else { Self::After(seconds) })
    }
}

impl Claims {
    /// The validity that a request gets.
    pub(crate) fn validity(&self, now: i64, from: When, until: When) -> Result<Validity, Refusal> {
        let start = match from {
            When::Default => now,
            When::After(seconds) => now.saturating_add(seconds),
            When::At(time) => time,
        };
        let not_before = if from == When::Default { now - seconds(self.backdate) } else { start };
        let not_after = match until {
            When::Default => start.saturating_add(seconds(self.default)),
            When::After(after) => start.saturating_add(after),
            When::At(time) => time,
        };
        if not_after < now {
            return Err(Refusal::BadRequest(format!(
                "notAfter cannot be in the past; na={}",
                go_time(not_after)
            )));
        }
        self.check(Validity { not_before, not_after })
    }

    /// The limits count the whole validity, backdating included, which is added to the maximum but not to the
    /// minimum.
    fn check(&self, validity: Validity) -> Result<Validity, Refusal> {
        let total = validity.not_after - validity.not_before;
        let (min, max) = (seconds(self.min), seconds(self.max) + seconds(self.backdate));
        let refuse = |relation: &str, limit: i64| {
            Err(Refusal::Forbidden(format!(
                "requested duration of {} is {relation} certificate duration of {}",
                goduration::format(total),
                goduration::format(limit)
            )))
        };
        if total < min {
            refuse("less than the authorized minimum", min)
        } else if total > max {
            refuse("more than the authorized maximum", max)
        } else {
            Ok(validity)
        }
    }
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_291_190;

    fn ask(until: &str) -> Result<i64, Refusal> {
        let validity = Claims::default().validity(NOW, When::Default, When::parse(until).unwrap())?;
        assert_eq!(validity.not_before, NOW - 60);
        Ok(validity.not_after - NOW)
    }

    #[test]
    fn lifetimes_within_the_limits_are_given() {
        for (until, seconds) in [("", 86_400), ("0s", 86_400), ("24h", 86_400), ("4m", 240), ("12h", 43_200)]
        {
            assert_eq!(ask(until), Ok(seconds), "{until}");
        }
    }

    #[test]
    fn lifetimes_outside_the_limits_are_refused_in_step_cas_words() {
        for (until, text) in [
            (
                "3m59s",
                "requested duration of 4m59s is less than the authorized minimum certificate duration of 5m0s",
            ),
            (
                "25h",
                "requested duration of 25h1m0s is more than the authorized maximum certificate duration of 24h1m0s",
            ),
            (
                "24h1s",
                "requested duration of 24h1m1s is more than the authorized maximum certificate duration of 24h1m0s",
            ),
        ] {
            assert_eq!(ask(until), Err(Refusal::Forbidden(text.to_owned())));
        }
        assert_eq!(
            ask("-1h"),
            Err(Refusal::BadRequest(
                "notAfter cannot be in the past; na=2026-11-21 18:59:50 +0000 UTC".to_owned()
            ))
        );
    }

    #[test]
    fn an_explicit_beginning_is_not_backdated() {
        let validity =
            Claims::default().validity(NOW, When::parse("1h").unwrap(), When::parse("10m").unwrap()).unwrap();
        assert_eq!(validity, Validity { not_before: NOW + 3600, not_after: NOW + 4200 });
    }

    #[test]
    fn times_are_durations_or_rfc_3339() {
        assert_eq!(When::parse("2026-11-21T19:59:50+00:00"), Some(When::At(NOW)));
        for text in ["30d", "2026-11-21", "1795291190"] {
            assert_eq!(When::parse(text), None, "{text}");
        }
    }
}
