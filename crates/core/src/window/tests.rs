use proptest::prelude::*;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn window(cron: &str, hours: u64, zone: &str) -> Window {
    let duration = Duration::from_secs(hours * 3600);
    Window { cron: cron.into(), duration, timezone: Some(zone.parse().unwrap()) }
}

/// When a window is open within the day and a half after `from`, to the minute.
fn open_times(window: &Window, from: &str) -> Vec<(String, String)> {
    let (mut times, mut open) = (Vec::new(), None);
    for minute in 0..36 * 60 {
        let now = at(from).plus(Duration::from_secs(minute * 60));
        match (window.opening(now) == Opening::Open, open) {
            (true, None) => open = Some(now),
            (false, Some(since)) => {
                times.push((since.to_string(), now.to_string()));
                open = None;
            }
            _ => {}
        }
    }
    times
}

#[test]
fn a_window_follows_the_clocks_of_its_zone() {
    // Clocks in Amsterdam went forward at 2026-03-29T01:00Z, and back at 2026-10-25T01:00Z.
    let cases = [
        // An ordinary day.
        (
            "0 3 * * *",
            2,
            "Europe/Amsterdam",
            "2026-06-01T00:00:00Z",
            ("2026-06-01T01:00:00Z", "2026-06-01T03:00:00Z"),
        ),
        // 02:30 is skipped: it opens when clocks show 03:00 at once.
        (
            "30 2 * * *",
            1,
            "Europe/Amsterdam",
            "2026-03-28T12:00:00Z",
            ("2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"),
        ),
        // 02:30 comes twice: from the first to an hour after the second.
        (
            "30 2 * * *",
            1,
            "Europe/Amsterdam",
            "2026-10-24T12:00:00Z",
            ("2026-10-25T00:30:00Z", "2026-10-25T02:30:00Z"),
        ),
        // 03:00 is what clocks show after the skip.
        (
            "0 3 * * *",
            1,
            "Europe/Amsterdam",
            "2026-03-28T12:00:00Z",
            ("2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"),
        ),
        // A zone half an hour off, whose summer time is half an hour.
        (
            "15 2 * * *",
            1,
            "Australia/Lord_Howe",
            "2026-10-03T02:00:00Z",
            ("2026-10-03T15:30:00Z", "2026-10-03T16:30:00Z"),
        ),
        (
            "0 12 * * *",
            1,
            "Asia/Kolkata",
            "2026-01-01T00:00:00Z",
            ("2026-01-01T06:30:00Z", "2026-01-01T07:30:00Z"),
        ),
    ];
    for (cron, hours, zone, from, (opens, closes)) in cases {
        let found = open_times(&window(cron, hours, zone), from);
        assert_eq!(found.first(), Some(&(opens.to_owned(), closes.to_owned())), "{cron} {zone} from {from}");
    }
}

#[test]
fn a_closed_window_says_when_it_opens() {
    let window = window("0 3 * * 7", 2, "Europe/Amsterdam");
    assert_eq!(window.opening(at("2026-11-21T12:00:00Z")), Opening::At(at("2026-11-22T02:00:00Z")));
    assert_eq!(window.opening(at("2026-11-22T02:00:00Z")), Opening::Open);
    assert_eq!(window.opening(at("2026-11-22T03:59:59Z")), Opening::Open);
    assert_eq!(window.opening(at("2026-11-22T04:00:00Z")), Opening::At(at("2026-11-29T02:00:00Z")));
}

#[test]
fn windows_that_overlap_are_one() {
    let hourly = window("0 * * * *", 1, "America/New_York");
    assert!((0..3000).all(|minute| {
        hourly.opening(at("2026-10-31T00:00:00Z").plus(Duration::from_secs(minute * 60))) == Opening::Open
    }));
    let long = Window { duration: Duration::from_secs(100 * 365 * 86_400), ..window("0 0 29 2 *", 1, "UTC") };
    assert_eq!(long.opening(at("2026-10-31T00:00:00Z")), Opening::Open);
    assert_eq!(hourly.opening(Timestamp::from_unix(i64::MAX)), Opening::Never);
}

#[test]
fn zones_go_by_their_iana_names() {
    assert!(Zone::names().count() > 500);
    assert_eq!("Europe/Amsterdam".parse::<Zone>().unwrap().to_string(), "Europe/Amsterdam");
    assert!(
        "Mars/Olympus".parse::<Zone>().unwrap_err().to_string().contains("`Mars/Olympus` is no time zone")
    );
    let zone: Zone = serde_json::from_str("\"Asia/Kolkata\"").unwrap();
    assert_eq!(serde_json::to_string(&zone).unwrap(), "\"Asia/Kolkata\"");
    assert!(serde_json::from_str::<Zone>("\"Asia/Calcutta2\"").is_err());
}

/// Seconds since midnight that clocks in `zone` show.
fn shown(zone: Zone, at: Timestamp) -> i64 {
    (at.unix() + i64::from(zone.offset(at))).rem_euclid(86_400)
}

/// Clocks show `time` at `at`, or are set beyond it then.
fn comes(zone: Zone, time: i64, at: Timestamp) -> bool {
    let before = zone.offset(at.minus(Duration::from_secs(1)));
    let skipped = i64::from(zone.offset(at) - before);
    let old = (at.unix() + i64::from(before)).rem_euclid(86_400);
    shown(zone, at) == time || (time - old).rem_euclid(86_400) < skipped
}

fn zones() -> impl Strategy<Value = Zone> {
    prop::sample::select(Zone::names().map(|name| name.parse::<Zone>().unwrap()).collect::<Vec<_>>())
}

/// Moments around which clocks are set somewhere, and any others.
fn moments() -> impl Strategy<Value = i64> {
    let setting = (2000..2060_i64, 0..12_i64, -40..40_i64)
        .prop_map(|(year, month, hours)| (year - 1970) * 31_556_952 + month * 2_629_746 + hours * 3600);
    prop_oneof![setting, 946_684_800..2_900_000_000_i64]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn the_next_opening_is_the_first_moment_that_clocks_show_it(
        zone in zones(), from in moments(), hour in 0..24_i64, minute in 0..60_i64,
    ) {
        let schedule = Schedule::parse(&format!("{minute} {hour} * * *")).unwrap();
        let (after, time) = (Timestamp::from_unix(from), hour * 3600 + minute * 60);
        let opens = next_opening(&schedule, zone, after).unwrap();
        prop_assert!(opens > after);
        prop_assert!(comes(zone, time, opens), "{zone}: {opens}");
        // Offsets are whole minutes in this century, so nothing happens between them.
        let mut minute = Timestamp::from_unix((from.div_euclid(60) + 1) * 60);
        while minute < opens {
            prop_assert!(!comes(zone, time, minute), "{zone}: {minute} comes before {opens}");
            minute = minute.plus(Duration::from_secs(60));
        }
        prop_assert!(opens.since(after) <= Duration::from_secs(50 * 3600), "{zone}: {opens}");
    }

    #[test]
    fn what_is_said_about_a_window_holds_until_then(
        zone in zones(), from in moments(), hour in 0..24_u8, length in 1..2_000_u64, day in 0..8_u8,
    ) {
        let window = Window {
            cron: format!("0 {hour} * * {day}"),
            duration: Duration::from_secs(length * 60),
            timezone: Some(zone),
        };
        let now = Timestamp::from_unix(from);
        match window.opening(now) {
            Opening::Open => prop_assert_eq!(window.opening(now), Opening::Open),
            Opening::Never => prop_assert!(false, "every week has its window"),
            Opening::At(opens) => {
                prop_assert!(opens > now && opens.since(now) <= Duration::from_secs(9 * 86_400));
                prop_assert_eq!(window.opening(opens), Opening::Open);
                prop_assert_eq!(window.opening(opens.minus(Duration::from_secs(1))), Opening::At(opens));
                let middle = now.plus(opens.since(now) / 2);
                if middle < opens {
                    prop_assert_eq!(window.opening(middle), Opening::At(opens));
                }
            }
        }
    }
}
