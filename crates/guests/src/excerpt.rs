//! The part of an output that is shown to people.

/// Longest excerpt, in characters.
const LIMIT: usize = 600;
/// Most lines of an excerpt.
const LINES: usize = 6;

/// The last lines of an output on one line, without control characters and without anything that could be key
/// material: PEM blocks are left out, whole or torn.
pub fn excerpt(output: &str) -> String {
    let clean = without_pem(output);
    let lines: Vec<&str> = clean.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default().join(" / ");
    let last: String = last.chars().filter(|character| !character.is_control()).collect();
    let excess = last.chars().count().saturating_sub(LIMIT);
    if excess == 0 { last } else { format!("…{}", last.chars().skip(excess).collect::<String>()) }
}

/// The last `limit` characters of a text, lines as they are, without other control characters and without key
/// material.
pub fn kept(text: &str, limit: usize) -> String {
    let clean: String = without_pem(text)
        .chars()
        .filter(|character| matches!(character, '\n' | '\t') || !character.is_control())
        .collect();
    let excess = clean.trim_end().chars().count().saturating_sub(limit);
    let last: String = clean.trim_end().chars().skip(excess).collect();
    if excess == 0 { last } else { format!("…{last}") }
}

/// The text with every PEM block replaced. A block whose beginning or end is missing is taken to begin with the
/// text, or to end with it.
fn without_pem(text: &str) -> String {
    const BEGIN: &str = "-----BEGIN ";
    const END: &str = "-----END ";
    const NOTE: &str = "[PEM block left out]";
    let mut clean = String::new();
    let mut rest = text;
    loop {
        let (begin, end) = (rest.find(BEGIN), rest.find(END));
        match (begin, end) {
            (None, None) => return clean + rest,
            (Some(begin), None) => return clean + rest.get(..begin).unwrap_or_default() + NOTE,
            (begin, Some(end)) => {
                let torn = begin.is_none_or(|begin| begin > end);
                let before = begin.filter(|_| !torn).and_then(|begin| rest.get(..begin));
                clean.push_str(before.unwrap_or_default());
                clean.push_str(NOTE);
                let after = rest.get(end + END.len()..).unwrap_or_default();
                rest = after.split_once("-----").map_or("", |(_, rest)| rest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_last_lines_are_shown_on_one_line() {
        assert_eq!(excerpt("one\n\n  two\t\x1b[31m\n"), "one / two[31m");
        let many: Vec<String> = (0..50).map(|number| format!("line {number}")).collect();
        assert_eq!(excerpt(&many.join("\n")), "line 44 / line 45 / line 46 / line 47 / line 48 / line 49");
        assert_eq!(excerpt(&"x".repeat(5000)).chars().count(), LIMIT + 1);
        assert_eq!(excerpt(""), "");
    }

    #[test]
    fn what_is_kept_has_its_lines_and_neither_keys_nor_other_control_characters() {
        assert_eq!(kept("one\r\n\ttwo\x1b[31m\n\n", 100), "one\n\ttwo[31m");
        assert_eq!(kept("öäü", 2), "…äü");
        assert_eq!(kept("a -----BEGIN K-----\nSECRET\n-----END K-----\nb", 100), "a [PEM block left out]\nb");
    }

    #[test]
    fn key_material_is_left_out_whole_or_torn() {
        let block = "-----BEGIN PRIVATE KEY-----\nSECRET\n-----END PRIVATE KEY-----";
        let cases = [
            (format!("before\n{block}\nafter"), "before / [PEM block left out] / after"),
            (format!("{block}{block}"), "[PEM block left out][PEM block left out]"),
            ("x -----BEGIN PRIVATE KEY-----\nSECRET".to_owned(), "x [PEM block left out]"),
            ("SECRET\n-----END PRIVATE KEY-----\nafter".to_owned(), "[PEM block left out] / after"),
            ("SECRET\n-----END PRIVATE KEY".to_owned(), "[PEM block left out]"),
            (format!("SECRET\n-----END X-----\n{block}"), "[PEM block left out] / [PEM block left out]"),
        ];
        for (text, expected) in cases {
            assert_eq!(excerpt(&text), expected);
        }
    }

    proptest! {
        #[test]
        fn nothing_between_the_marks_is_ever_shown(
            before in "[a-z\n-]{0,20}", after in "[a-z\n-]{0,20}", twice: bool
        ) {
            let block = "-----BEGIN K-----\nSECRET\n-----END K-----";
            let text = format!("{before}{block}{after}{}", if twice { block } else { "" });
            prop_assert!(!excerpt(&text).contains("SECRET"));
            prop_assert!(!kept(&text, 100).contains("SECRET"));
        }
    }
}
