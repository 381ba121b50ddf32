//! Durations as people write them.

use std::time::Duration;

/// Longest duration: far beyond any certificate, far from any overflow.
const MAX_SECONDS: u64 = 100 * 365 * 86_400;

/// Why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadDuration {
    /// Not a number with a unit.
    #[error("`{0}` is not a duration: write a number with a unit, such as 90s, 15m, 24h or 30d")]
    Form(String),
    /// Nothing is done in no time.
    #[error("`{0}` is no time at all: write at least 1s")]
    Zero(String),
    /// More than a hundred years.
    #[error("`{0}` is longer than a hundred years")]
    TooLong(String),
}

/// A whole number with a unit: `90s`, `15m`, `24h`, `30d`.
///
/// # Errors
/// Another form, zero, or more than a hundred years.
pub fn parse_duration(text: &str) -> Result<Duration, BadDuration> {
    let form = || BadDuration::Form(text.chars().take(40).collect());
    let unit = match text.bytes().last() {
        Some(b's') => 1,
        Some(b'm') => 60,
        Some(b'h') => 3600,
        Some(b'd') => 86_400,
        _ => return Err(form()),
    };
    let digits = text.get(..text.len() - 1).unwrap_or_default();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(form());
    }
    let seconds = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    match seconds {
        Some(0) => Err(BadDuration::Zero(text.to_owned())),
        Some(seconds) if seconds <= MAX_SECONDS => Ok(Duration::from_secs(seconds)),
        _ => Err(BadDuration::TooLong(text.chars().take(40).collect())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_number_and_a_unit_make_a_duration() {
        for (text, seconds) in [("90s", 90), ("15m", 900), ("24h", 86_400), ("30d", 2_592_000), ("01s", 1)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "s", "90", "1.5h", "-1s", "+1s", " 1s", "1 s", "1h30m", "1w", "1H", "½h", "1é", "é"]
        {
            assert!(matches!(parse_duration(text), Err(BadDuration::Form(_))), "{text}");
        }
        assert_eq!(parse_duration("0d"), Err(BadDuration::Zero("0d".to_owned())));
        for text in ["36501d", "99999999999999999999d", "18446744073709551615h"] {
            assert!(matches!(parse_duration(text), Err(BadDuration::TooLong(_))), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text: String) {
            let _ = parse_duration(&text);
        }
    }
}
