//! Every row of `rows.txt`.

use std::time::Duration;

use phoenix_core::manifest::Window;
use phoenix_core::settings::parse_duration;
use phoenix_core::time::Timestamp;
use phoenix_core::window::Opening;

const ROWS: &str = include_str!("rows.txt");
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn windows_are_open_when_the_clocks_of_their_zone_say_so() {
    let rows = ROWS.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let wrong: Vec<String> = rows.filter_map(difference).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is found instead of what the row says, if anything.
fn difference(row: &str) -> Option<String> {
    let fields: Vec<&str> = row.split(" | ").collect();
    let [cron, duration, zone, at, expected] = fields[..] else { panic!("{row}") };
    let window = Window {
        cron: cron.to_owned(),
        duration: parse_duration(duration).unwrap(),
        timezone: Some(zone.parse().unwrap()),
    };
    let found = holds(&window, at.parse().unwrap());
    (found != expected).then(|| format!("{row}\n  found: {found}"))
}

/// What holds at `at`, and until when.
fn holds(window: &Window, at: Timestamp) -> String {
    match window.opening(at) {
        Opening::Never => "never".to_owned(),
        Opening::At(opens) => {
            assert_eq!(window.opening(opens), Opening::Open, "{window:?} at {opens}");
            assert_eq!(window.opening(opens.minus(SECOND)), Opening::At(opens), "{window:?} before {opens}");
            format!("closed until {opens}")
        }
        Opening::Open => closing(window, at).map_or_else(
            || "open throughout".to_owned(),
            |closes| {
                assert_eq!(window.opening(closes.minus(SECOND)), Opening::Open, "{window:?} before {closes}");
                format!("open until {closes}")
            },
        ),
    }
}

/// The first moment from `at` on, to five seconds, at which the window is closed. None within three days.
fn closing(window: &Window, at: Timestamp) -> Option<Timestamp> {
    let start = Timestamp::from_unix(at.unix() - at.unix().rem_euclid(5));
    let step = if window.duration.as_secs() < 60 { 5 } else { 60 };
    let start = Timestamp::from_unix(start.unix() - start.unix().rem_euclid(step));
    let moments = (1..3 * 86_400 / step.unsigned_abs())
        .map(|n| start.plus(Duration::from_secs(n * step.unsigned_abs())));
    moments
        .take_while(|moment| moment.since(at) < 3 * 86_400 * SECOND)
        .find(|moment| window.opening(*moment) != Opening::Open)
}
