//! "Did you mean …?": one slip in a word of some length is always seen through.

use phoenix_core::diagnostic::suggest::closest;
use proptest::prelude::*;
use proptest::sample::{Index, select};

const FIELDS: [&str; 12] = [
    "common_name",
    "cert_path",
    "key_path",
    "chain_path",
    "owner",
    "permissions",
    "cert_permissions",
    "post_renewal_command",
    "renew_before",
    "validity",
    "rollback",
    "window",
];

#[derive(Clone, Copy, Debug)]
enum Slip {
    Left,
    Doubled,
    Other(char),
    Swapped,
    Capital,
}

fn slips() -> impl Strategy<Value = Slip> {
    let other = prop::char::range('a', 'z').prop_map(Slip::Other);
    prop_oneof![Just(Slip::Left), Just(Slip::Doubled), other, Just(Slip::Swapped), Just(Slip::Capital)]
}

fn slipped(word: &str, at: usize, slip: Slip) -> String {
    let mut letters: Vec<char> = word.chars().collect();
    match slip {
        Slip::Left => drop(letters.remove(at)),
        Slip::Doubled => letters.insert(at, letters[at]),
        Slip::Other(letter) => letters[at] = letter,
        Slip::Swapped => letters.swap(at, (at + 1) % word.len()),
        Slip::Capital => letters[at] = letters[at].to_ascii_uppercase(),
    }
    letters.into_iter().collect()
}

proptest! {
    #[test]
    fn one_slip_of_the_pen_is_seen_through(word in select(&FIELDS[..]), at: Index, slip in slips()) {
        let at = at.index(word.len());
        // The ends of a word do not stand beside each other.
        let at = if matches!(slip, Slip::Swapped) { at.min(word.len() - 2) } else { at };
        prop_assert_eq!(closest(&slipped(word, at, slip), FIELDS), Some(word));
    }

    #[test]
    fn separators_and_case_count_nothing(word in select(&FIELDS[..])) {
        for other in [word.replace('_', "-"), word.replace('_', ""), word.to_uppercase(), word.replace('_', " ")] {
            prop_assert_eq!(closest(&other, FIELDS), Some(word));
        }
    }

    #[test]
    fn any_text_has_an_answer_or_none(text: String, long in "[a-z]{65,200}") {
        if let Some(found) = closest(&text, FIELDS) {
            prop_assert!(FIELDS.contains(&found));
        }
        prop_assert_eq!(closest(&long, FIELDS), None);
    }
}
