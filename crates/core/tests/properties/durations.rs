//! `90s`, `15m`, `24h`, `30d`, and nothing else.

use phoenix_core::settings::{BadDuration, parse_duration};
use proptest::prelude::*;

const CENTURY: u128 = 100 * 365 * 86_400;

/// Seconds of one unit.
fn unit(letter: char) -> Option<u128> {
    Some(match letter {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return None,
    })
}

/// The seconds that a text means, by reading it from left to right. None when it is no duration at all.
fn oracle(text: &str) -> Option<u128> {
    let mut characters = text.chars().peekable();
    let (mut number, mut digits) = (0_u128, 0);
    while let Some(digit) = characters.peek().and_then(|c| c.to_digit(10)) {
        number = number.saturating_mul(10).saturating_add(u128::from(digit));
        digits += 1;
        characters.next();
    }
    let seconds = number.saturating_mul(unit(characters.next()?)?);
    (digits > 0 && characters.next().is_none()).then_some(seconds)
}

proptest! {
    #[test]
    fn a_text_means_the_seconds_that_it_says(text in "[0-9]{0,12}[smhdwSé ]{0,2}[0-9smhd]{0,2}") {
        match (oracle(&text), parse_duration(&text)) {
            (None, Err(BadDuration::Form(_))) | (Some(0), Err(BadDuration::Zero(_))) => {}
            (Some(seconds), Err(BadDuration::TooLong(_))) => prop_assert!(seconds > CENTURY),
            (Some(seconds), Ok(found)) => {
                prop_assert_eq!(u128::from(found.as_secs()), seconds);
                prop_assert!(found.subsec_nanos() == 0 && seconds <= CENTURY);
            }
            (expected, found) => prop_assert!(false, "{text}: {expected:?} {found:?}"),
        }
    }

    #[test]
    fn every_number_of_a_unit_is_read_back(number in 1_u64..30_000, letter in prop::sample::select(&['s', 'm', 'h', 'd'][..])) {
        let found = parse_duration(&format!("{number}{letter}")).unwrap();
        prop_assert_eq!(Some(u128::from(found.as_secs())), unit(letter).map(|unit| unit * u128::from(number)));
    }

    #[test]
    fn what_is_refused_is_told_in_a_line_of_bounded_length(text: String) {
        if let Err(error) = parse_duration(&text) {
            prop_assert!(error.to_string().chars().count() < 200);
        }
    }
}
