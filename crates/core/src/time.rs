//! Points in time as whole seconds.
//!
//! State files and the control API store seconds, so deciding with fractions would make a decision differ
//! before and after a restart.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{Datelike, NaiveDate, Timelike};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Seconds since 1970-01-01T00:00:00Z. Written and read as RFC 3339 in UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The point `seconds` after the Unix epoch.
    pub const fn from_unix(seconds: i64) -> Self {
        Self(seconds)
    }

    /// Seconds since the Unix epoch.
    pub const fn unix(self) -> i64 {
        self.0
    }

    /// The time that passes from `earlier` to `self`; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// `self` moved forward; saturates.
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_secs()).unwrap_or(i64::MAX)))
    }

    /// `self` moved back; saturates.
    pub fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(by.as_secs()).unwrap_or(i64::MAX)))
    }
}

/// Bytes of the usual form, `2026-11-21T20:00:00Z`.
const FORM: usize = 20;

impl Timestamp {
    /// The usual form; none beyond the years 0 to 9999. Ten thousand reports hold forty thousand times.
    fn usual_form(self) -> Option<[u8; FORM]> {
        let time = chrono::DateTime::from_timestamp(self.0, 0)?;
        let year = u32::try_from(time.year()).ok().filter(|year| *year <= 9999)?;
        let mut text = *b"0000-00-00T00:00:00Z";
        let parts = [
            (0, year / 100),
            (2, year % 100),
            (5, time.month()),
            (8, time.day()),
            (11, time.hour()),
            (14, time.minute()),
            (17, time.second()),
        ];
        for (place, value) in parts {
            for (offset, digit) in [(0, value / 10), (1, value % 10)] {
                *text.get_mut(place + offset)? += u8::try_from(digit).ok()?;
            }
        }
        Some(text)
    }

    fn from_usual_form(text: &[u8]) -> Option<Self> {
        let form = b"dddd-dd-ddTdd:dd:ddZ";
        let fits = |(byte, wanted): (&u8, &u8)| match wanted {
            b'd' => byte.is_ascii_digit(),
            other => byte == other,
        };
        if text.len() != FORM || !text.iter().zip(form).all(fits) {
            return None;
        }
        let number = |from: usize, to: usize| {
            let digits = text.get(from..to).unwrap_or_default();
            digits.iter().fold(0_u32, |sum, digit| sum * 10 + u32::from(digit - b'0'))
        };
        let date = NaiveDate::from_ymd_opt(i32::try_from(number(0, 4)).ok()?, number(5, 7), number(8, 10))?;
        let time = date.and_hms_opt(number(11, 13), number(14, 16), number(17, 19))?;
        Some(Self(time.and_utc().timestamp()))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(usual) = self.usual_form() {
            return f.write_str(str::from_utf8(&usual).unwrap_or_default());
        }
        match chrono::DateTime::from_timestamp(self.0, 0) {
            Some(time) => write!(f, "{}", time.format("%Y-%m-%dT%H:%M:%SZ")),
            None => write!(f, "@{}", self.0),
        }
    }
}

/// The text is not an RFC 3339 time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an RFC 3339 time such as 2026-11-21T20:00:00Z")]
pub struct NotATime(String);

impl FromStr for Timestamp {
    type Err = NotATime;

    fn from_str(text: &str) -> Result<Self, NotATime> {
        if let Some(time) = Self::from_usual_form(text.as_bytes()) {
            return Ok(time);
        }
        chrono::DateTime::parse_from_rfc3339(text)
            .map(|time| Self(time.timestamp()))
            .map_err(|_| NotATime(text.to_owned()))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.usual_form() {
            Some(usual) => serializer.serialize_str(str::from_utf8(&usual).unwrap_or_default()),
            None => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Timestamp;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an RFC 3339 time")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Timestamp, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_and_value_agree() {
        let time = Timestamp::from_unix(1_795_291_051);
        assert_eq!(time.to_string(), "2026-11-21T19:57:31Z");
        assert_eq!(time.to_string().parse(), Ok(time));
        assert_eq!("2026-11-21T20:57:31.25+01:00".parse(), Ok(time));
    }

    proptest! {
        #[test]
        fn the_usual_form_is_what_the_calendar_says(
            seconds in prop_oneof![-70_000_000_000_i64..300_000_000_000, any::<i64>()],
        ) {
            let time = Timestamp::from_unix(seconds);
            if let Some(calendar) = chrono::DateTime::from_timestamp(seconds, 0) {
                let text = calendar.format("%Y-%m-%dT%H:%M:%SZ").to_string();
                prop_assert_eq!(time.to_string(), text.clone());
                let json = serde_json::to_string(&time).unwrap();
                prop_assert_eq!(&json, &format!("\"{text}\""));
                if (0..=9999).contains(&calendar.year()) {
                    prop_assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), time);
                }
            }
        }

        #[test]
        fn every_text_is_read_as_the_calendar_reads_it(
            text in "[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9]Z",
        ) {
            let calendar = chrono::DateTime::parse_from_rfc3339(&text).ok();
            let expected = calendar.map(|time| Timestamp::from_unix(time.timestamp()));
            prop_assert_eq!(text.parse::<Timestamp>().ok(), expected);
        }
    }

    #[test]
    fn arithmetic_saturates() {
        let end = Timestamp::from_unix(i64::MAX);
        assert_eq!(end.plus(Duration::MAX), end);
        assert_eq!(Timestamp::from_unix(5).since(end), Duration::ZERO);
    }
}
