//! Cron expressions as crontab(5) writes them.
//!
//! The calendar is that of the `cron` crate, whose own syntax differs: it wants seconds, counts Sunday as 1 and
//! asks for day of month *and* day of week where crontab(5) takes either. So each field is read here into the
//! set of its values, and what is handed on are plain lists of numbers.

use std::fmt::Write as _;
use std::str::FromStr;

use chrono::{DateTime, FixedOffset};

use crate::time::Timestamp;

/// Some point in time in whose future every possible schedule occurs, the 29th of February included.
const REFERENCE: Timestamp = Timestamp::from_unix(1_767_225_600);
/// Longest expression.
const MAX_LENGTH: usize = 256;

/// When something recurs: five fields as in crontab(5), or six with leading seconds.
///
/// Weekdays 0 and 7 are both Sunday; months and weekdays may be given by their first three letters. When day of
/// month and day of week are both restricted, either suffices.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// Any of these.
    parts: Vec<cron::Schedule>,
}

/// Why a text is not a schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSchedule {
    /// Neither five nor six fields.
    #[error(
        "`{text}` has {count} field{}: write five as in crontab(5) (minute, hour, day of month, month, day of \
         week), or six with leading seconds",
        if *count == 1 { "" } else { "s" }
    )]
    Fields {
        /// The expression.
        text: String,
        /// How many fields it has.
        count: usize,
    },
    /// A field that is not understood.
    #[error("`{text}` is no {field}: {why}")]
    Field {
        /// The field's text.
        text: String,
        /// Which field.
        field: &'static str,
        /// What is wrong.
        why: String,
    },
    /// There is no such day.
    #[error("`{0}` never comes: there is no such day")]
    Never(String),
    /// Far longer than any schedule needs.
    #[error("the expression is longer than {MAX_LENGTH} characters: shorten it")]
    TooLong,
}

impl Schedule {
    /// Reads a cron expression.
    ///
    /// # Errors
    /// Another number of fields, values out of range, unknown names, or a day that never comes.
    pub fn parse(text: &str) -> Result<Self, BadSchedule> {
        if text.len() > MAX_LENGTH {
            return Err(BadSchedule::TooLong);
        }
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let (second, rest) = match words.as_slice() {
            [second, rest @ ..] if rest.len() == 5 => (*second, rest),
            rest => ("0", rest),
        };
        let [minute, hour, day, month, weekday] = rest else {
            return Err(BadSchedule::Fields { text: text.to_owned(), count: words.len() });
        };
        let times = Times {
            second: SECOND.list(second)?,
            minute: MINUTE.list(minute)?,
            hour: HOUR.list(hour)?,
            month: MONTH.list(month)?,
        };
        let days = DAY.list(day)?;
        let weekdays = weekdays(weekday)?;
        // crontab(5): a field that begins with a star does not restrict.
        let parts = match (day.starts_with('*'), weekday.starts_with('*')) {
            (false, false) => vec![times.with(&days, "*"), times.with("*", &weekdays)],
            _ => vec![times.with(&days, &weekdays)],
        };
        let parts: Result<Vec<_>, _> = parts.iter().map(|part| cron::Schedule::from_str(part)).collect();
        let parts = parts.map_err(|error| BadSchedule::Field {
            text: text.to_owned(),
            field: "cron expression",
            why: error.to_string(),
        })?;
        let schedule = Self { parts };
        match schedule.next_after(REFERENCE, 0) {
            Some(_) => Ok(schedule),
            None => Err(BadSchedule::Never(text.to_owned())),
        }
    }

    /// The first time after `after` at which the schedule fires, on clocks that are `utc_offset` seconds ahead
    /// of UTC. None when there is none in this century or the offset is a day or more.
    pub fn next_after(&self, after: Timestamp, utc_offset: i32) -> Option<Timestamp> {
        let zone = FixedOffset::east_opt(utc_offset)?;
        let after = DateTime::from_timestamp(after.unix(), 0)?.with_timezone(&zone);
        let next = self.parts.iter().filter_map(|part| part.after(&after).next()).min()?;
        Some(Timestamp::from_unix(next.timestamp()))
    }
}

/// The fields that do not name a day, as lists of numbers.
struct Times {
    second: String,
    minute: String,
    hour: String,
    month: String,
}

impl Times {
    fn with(&self, days: &str, weekdays: &str) -> String {
        let Self { second, minute, hour, month } = self;
        format!("{second} {minute} {hour} {days} {month} {weekdays}")
    }
}

/// One field of an expression.
struct Field {
    name: &'static str,
    first: u8,
    last: u8,
    /// Names of the values from `first` on.
    names: &'static [&'static str],
}

const SECOND: Field = Field { name: "second", first: 0, last: 59, names: &[] };
const MINUTE: Field = Field { name: "minute", first: 0, last: 59, names: &[] };
const HOUR: Field = Field { name: "hour", first: 0, last: 23, names: &[] };
const DAY: Field = Field { name: "day of month", first: 1, last: 31, names: &[] };
const MONTH: Field = Field {
    name: "month",
    first: 1,
    last: 12,
    names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
};
const WEEKDAY: Field = Field {
    name: "day of week",
    first: 0,
    last: 7,
    names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
};

impl Field {
    /// The values of the field, as a list of numbers.
    fn list(&self, text: &str) -> Result<String, BadSchedule> {
        Ok(join(self.values(text)?.into_iter()))
    }

    /// The values of the field, each once, in order.
    fn values(&self, text: &str) -> Result<Vec<u8>, BadSchedule> {
        let mut values = Vec::new();
        for item in text.split(',') {
            values.extend(self.item(item).map_err(|why| self.bad(text, why))?);
        }
        values.sort_unstable();
        values.dedup();
        Ok(values)
    }

    /// `*`, `n`, `n-m`, each with `/step`.
    fn item(&self, text: &str) -> Result<impl Iterator<Item = u8> + use<>, String> {
        let (range, step) = match text.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (text, None),
        };
        let (from, to) = match (range, range.split_once('-')) {
            ("*", _) => (self.first, self.last),
            (_, Some((from, to))) => (self.value(from)?, self.value(to)?),
            (_, None) if step.is_some() => (self.value(range)?, self.last),
            (one, None) => (self.value(one)?, self.value(one)?),
        };
        // Sunday has two numbers, and a week may end with it.
        let to = if self.last == WEEKDAY.last && to == 0 && from > to { self.last } else { to };
        if from > to {
            return Err(format!("the range {range} runs backwards"));
        }
        let step = step.map_or(Ok(1), |step| {
            step.parse().ok().filter(|step| *step > 0).ok_or_else(|| format!("{step} is no step"))
        })?;
        Ok((from..=to).step_by(step))
    }

    fn value(&self, text: &str) -> Result<u8, String> {
        let named = || self.names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let digits = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        digits
            .or_else(|| named().and_then(|index| u8::try_from(index).ok()).map(|index| index + self.first))
            .filter(|value| (self.first..=self.last).contains(value))
            .ok_or_else(|| match (self.names.first(), self.names.last()) {
                (Some(first), Some(last)) => {
                    format!("it takes {} to {}, or {first} to {last}", self.first, self.last)
                }
                _ => format!("it takes {} to {}", self.first, self.last),
            })
    }

    fn bad(&self, text: &str, why: String) -> BadSchedule {
        BadSchedule::Field { text: text.to_owned(), field: self.name, why }
    }
}

/// Weekdays counted from Sunday = 1, as the `cron` crate does.
fn weekdays(text: &str) -> Result<String, BadSchedule> {
    let mut days: Vec<u8> = WEEKDAY.values(text)?.into_iter().map(|day| day % 7 + 1).collect();
    days.sort_unstable();
    days.dedup();
    Ok(join(days.into_iter()))
}

fn join(values: impl Iterator<Item = u8>) -> String {
    let mut list = String::new();
    for value in values {
        let comma = if list.is_empty() { "" } else { "," };
        // Writing into a String cannot fail.
        let _ = write!(list, "{comma}{value}");
    }
    list
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn next(expression: &str, after: &str) -> String {
        let schedule = Schedule::parse(expression).unwrap_or_else(|error| panic!("{expression}: {error}"));
        schedule.next_after(at(after), 0).unwrap().to_string()
    }

    #[test]
    fn expressions_mean_what_crontab_says() {
        // 2026-11-21 is a Saturday.
        let after = "2026-11-21T20:07:30Z";
        for (expression, expected) in [
            ("*/15 * * * *", "2026-11-21T20:15:00Z"),
            ("* * * * *", "2026-11-21T20:08:00Z"),
            ("7 20 * * *", "2026-11-22T20:07:00Z"),
            ("15 2 * * *", "2026-11-22T02:15:00Z"),
            ("0 4 * * 0", "2026-11-22T04:00:00Z"),
            ("0 4 * * 7", "2026-11-22T04:00:00Z"),
            ("0 4 * * sun", "2026-11-22T04:00:00Z"),
            ("0 4 * * 1", "2026-11-23T04:00:00Z"),
            ("0 4 * * Mon-Fri", "2026-11-23T04:00:00Z"),
            ("0 4 * * 6-7", "2026-11-22T04:00:00Z"),
            ("0 4 * * sat-sun", "2026-11-22T04:00:00Z"),
            ("0 4 * * fri-sun/2", "2026-11-22T04:00:00Z"),
            ("0 4 * * 5-0", "2026-11-22T04:00:00Z"),
            ("0 4 * * 0-0", "2026-11-22T04:00:00Z"),
            ("0 4 * * 6", "2026-11-28T04:00:00Z"),
            ("0 4 1 * *", "2026-12-01T04:00:00Z"),
            ("0 0 1 jan *", "2027-01-01T00:00:00Z"),
            ("0 0 29 2 *", "2028-02-29T00:00:00Z"),
            ("10-20/5,50 20 * * *", "2026-11-21T20:10:00Z"),
            ("30/10 * * * *", "2026-11-21T20:30:00Z"),
            ("45 * * * * *", "2026-11-21T20:07:45Z"),
            ("*/20 7 20 * * *", "2026-11-21T20:07:40Z"),
            ("  0   4 * * *  ", "2026-11-22T04:00:00Z"),
        ] {
            assert_eq!(next(expression, after), expected, "{expression}");
        }
    }

    #[test]
    fn either_day_suffices_when_both_are_restricted() {
        assert_eq!(next("0 0 25 * 1", "2026-11-21T00:00:00Z"), "2026-11-23T00:00:00Z");
        assert_eq!(next("0 0 25 * 1", "2026-11-23T00:00:00Z"), "2026-11-25T00:00:00Z");
        assert_eq!(next("0 0 */2 * 1", "2026-11-21T00:00:00Z"), "2026-11-23T00:00:00Z");
    }

    #[test]
    fn the_offset_is_that_of_the_clock_on_the_wall() {
        let schedule = Schedule::parse("0 2 * * *").unwrap();
        let next = schedule.next_after(at("2026-11-21T00:30:00Z"), 3600).unwrap();
        assert_eq!(next.to_string(), "2026-11-21T01:00:00Z");
        assert_eq!(schedule.next_after(at("2026-11-21T00:30:00Z"), 90_000), None);
        assert_eq!(schedule.next_after(Timestamp::from_unix(i64::MAX), 0), None);
    }

    #[test]
    fn mistakes_are_explained() {
        for (expression, why) in [
            ("", "0 fields"),
            ("* * * *", "4 fields"),
            ("* * * * * * *", "7 fields"),
            ("60 * * * *", "no minute: it takes 0 to 59"),
            ("* 24 * * *", "no hour: it takes 0 to 23"),
            ("* * 0 * *", "no day of month: it takes 1 to 31"),
            ("* * * 13 *", "no month: it takes 1 to 12"),
            ("* * * foo *", "1 to 12, or jan to dec"),
            ("* * * * 8", "no day of week: it takes 0 to 7"),
            ("61 * * * * *", "no second"),
            ("20-10 * * * *", "runs backwards"),
            ("*/0 * * * *", "no step"),
            ("*/x * * * *", "no step"),
            ("1,,2 * * * *", "no minute"),
            ("* * L * *", "no day of month"),
            ("* * ? * *", "no day of month"),
            ("+5 * * * *", "no minute"),
            ("@daily", "1 field:"),
            ("0 0 30 2 *", "never comes"),
            ("0 0 31 4,6,9,11 *", "never comes"),
            (&"1,".repeat(200), "longer"),
        ] {
            let error = Schedule::parse(expression).unwrap_err().to_string();
            assert!(error.contains(why), "{expression}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text: String, noise in "[0-9*/,\\- a-z]{0,40}", after: i64, offset: i32) {
            for text in [text, noise] {
                if let Ok(schedule) = Schedule::parse(&text) {
                    let _ = schedule.next_after(Timestamp::from_unix(after), offset);
                }
            }
        }

        #[test]
        fn the_next_time_lies_ahead_and_fits(minute in 0..60_i64, hour in 0..24_i64, after in 0..4_000_000_000_i64) {
            let schedule = Schedule::parse(&format!("{minute} {hour} * * *")).unwrap();
            let next = schedule.next_after(Timestamp::from_unix(after), 0).unwrap().unix();
            prop_assert!(next > after && next <= after + 86_400);
            prop_assert_eq!(next % 86_400, hour * 3600 + minute * 60);
        }
    }
}
