//! Durations as Go writes and reads them (`time.ParseDuration`), the only form that Step-CA evaluates on its own
//! clock.

use std::time::Duration;

/// A lifetime in whole seconds, such as `86400s`. Never `0s`, which Step-CA takes for its default.
pub(crate) fn format(duration: Duration) -> String {
    format!("{}s", duration.as_secs().max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_whole_seconds_and_never_zero() {
        for (duration, text) in [
            (Duration::from_secs(86_400), "86400s"),
            (Duration::from_millis(90_500), "90s"),
            (Duration::from_millis(1), "1s"),
            (Duration::ZERO, "1s"),
        ] {
            assert_eq!(format(duration), text);
        }
    }
}
