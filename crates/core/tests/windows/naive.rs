//! Cron expressions and windows, minute by minute: slow, and simple enough to be seen to be right.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Datelike, NaiveDateTime, TimeDelta, Timelike, Utc};
use chrono_tz::Tz;
use phoenix_core::manifest::Window;
use phoenix_core::time::Timestamp;
use phoenix_core::window::Opening;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

const MINUTE: TimeDelta = TimeDelta::minutes(1);
/// How far the walk goes.
const DAYS: i64 = 4;

/// The values of each field; none is a star.
#[derive(Clone, Debug)]
struct Expression {
    minutes: BTreeSet<u32>,
    hours: Option<BTreeSet<u32>>,
    days: Option<BTreeSet<u32>>,
    months: Option<BTreeSet<u32>>,
    weekdays: Option<BTreeSet<u32>>,
}

impl Expression {
    /// As crontab(5) writes it.
    fn text(&self) -> String {
        let list = |values: &BTreeSet<u32>| values.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        let field = |values: &Option<BTreeSet<u32>>| values.as_ref().map_or_else(|| "*".to_owned(), list);
        let Self { minutes, hours, days, months, weekdays } = self;
        [list(minutes), field(hours), field(days), field(months), field(weekdays)].join(" ")
    }

    /// Clocks that show `shown` show a time of the expression.
    fn matches(&self, shown: NaiveDateTime) -> bool {
        let has = |field: &Option<BTreeSet<u32>>, value: u32| {
            field.as_ref().is_none_or(|field| field.contains(&value))
        };
        let weekday = shown.weekday().num_days_from_sunday();
        let on_weekday = has(&self.weekdays, weekday) || weekday == 0 && has(&self.weekdays, 7);
        let on_day = has(&self.days, shown.day());
        let either = self.days.is_some() && self.weekdays.is_some();
        shown.second() == 0
            && self.minutes.contains(&shown.minute())
            && has(&self.hours, shown.hour())
            && has(&self.months, shown.month())
            && if either { on_day || on_weekday } else { on_day && on_weekday }
    }

    /// The window opens at `at`: clocks show a time of the expression, or have just skipped one.
    fn occurs(&self, zone: Tz, at: DateTime<Utc>) -> bool {
        let shown = |at: DateTime<Utc>| at.with_timezone(&zone).naive_local();
        let mut times = vec![shown(at)];
        let mut skipped = shown(at - MINUTE) + MINUTE;
        while skipped < shown(at) {
            times.push(skipped);
            skipped += MINUTE;
        }
        times.into_iter().any(|time| self.matches(time))
    }
}

/// Whether the window is open at `at`, and the first minute behind it at which it opens, within some days.
fn walk(expression: &Expression, zone: Tz, minutes: i64, at: DateTime<Utc>) -> (bool, Option<DateTime<Utc>>) {
    let floor = at - TimeDelta::seconds(at.timestamp().rem_euclid(60));
    let before = (0..=minutes).map(|back| floor - MINUTE * i32::try_from(back).unwrap());
    let open = before.take_while(|minute| at - *minute < MINUTE * i32::try_from(minutes).unwrap());
    let open = open.into_iter().any(|minute| expression.occurs(zone, minute));
    let after = (1..=DAYS * 1440).map(|ahead| floor + MINUTE * i32::try_from(ahead).unwrap());
    (open, after.into_iter().find(|minute| expression.occurs(zone, *minute)))
}

fn some_of(values: std::ops::RangeInclusive<u32>) -> impl Strategy<Value = Option<BTreeSet<u32>>> {
    let values: Vec<u32> = values.collect();
    let few = subsequence(values, 1..=4).prop_map(|few| Some(few.into_iter().collect()));
    prop_oneof![Just(None), few]
}

fn expressions() -> impl Strategy<Value = Expression> {
    let minutes = subsequence((0..60).collect::<Vec<u32>>(), 1..=3).prop_map(BTreeSet::from_iter);
    // Night hours, where clocks are set, come more often than others.
    let night =
        subsequence((0..5).collect::<Vec<u32>>(), 1..=3).prop_map(|few| Some(few.into_iter().collect()));
    let hours = prop_oneof![3 => night, 1 => some_of(0..=23)];
    (minutes, hours, some_of(1..=31), prop_oneof![3 => Just(None), 1 => some_of(1..=12)], some_of(0..=7))
        .prop_map(|(minutes, hours, days, months, weekdays)| Expression {
            minutes,
            hours,
            days,
            months,
            weekdays,
        })
}

/// Zones, and moments at which their clocks are set.
fn changes() -> impl Strategy<Value = (Tz, DateTime<Utc>)> {
    let known = [
        (Tz::Europe__Berlin, "2026-03-29T01:00:00Z"),
        (Tz::Europe__Berlin, "2026-10-25T01:00:00Z"),
        (Tz::America__New_York, "2026-03-08T07:00:00Z"),
        (Tz::America__New_York, "2026-11-01T06:00:00Z"),
        (Tz::Australia__Lord_Howe, "2026-04-04T15:00:00Z"),
        (Tz::Australia__Lord_Howe, "2026-10-03T15:30:00Z"),
        (Tz::America__Santiago, "2026-04-05T03:00:00Z"),
        (Tz::America__Santiago, "2026-09-06T04:00:00Z"),
        (Tz::Pacific__Chatham, "2026-09-26T14:00:00Z"),
        (Tz::Asia__Beirut, "2026-03-28T22:00:00Z"),
        // A whole day was skipped.
        (Tz::Pacific__Apia, "2011-12-30T10:00:00Z"),
        (Tz::UTC, "2028-02-29T00:00:00Z"),
        (Tz::Asia__Kolkata, "2026-12-31T18:30:00Z"),
    ];
    select(known.to_vec()).prop_map(|(zone, at)| (zone, at.parse().unwrap()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_window_stands_as_a_walk_over_every_minute_finds(
        expression in expressions(),
        (zone, change) in changes(),
        seconds in -100_000_i64..100_000,
        minutes in 1_i64..300,
    ) {
        let at = change + TimeDelta::seconds(seconds);
        let window = Window {
            cron: expression.text(),
            duration: Duration::from_secs(minutes.unsigned_abs() * 60),
            timezone: Some(zone.name().parse().unwrap()),
        };
        // A day that never comes is refused where the manifest is read.
        prop_assume!(phoenix_core::settings::Schedule::parse(&window.cron).is_ok());
        let (open, next) = walk(&expression, zone, minutes, at);
        match (window.opening(Timestamp::from_unix(at.timestamp())), open, next) {
            (Opening::Open, true, _) => {}
            (Opening::At(opens), false, Some(next)) => {
                prop_assert_eq!(opens, Timestamp::from_unix(next.timestamp()), "{:?} at {}", window, at);
            }
            (Opening::At(opens), false, None) => {
                prop_assert!(opens.unix() > at.timestamp() + (DAYS - 1) * 86_400, "{window:?} at {at}: {opens}");
            }
            (found, open, next) => prop_assert!(false, "{window:?} at {at}: {found:?}, not {open} {next:?}"),
        }
    }
}
