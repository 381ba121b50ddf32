//! What a shell would make of a text, without one: where its operators are, and which commands it holds.

use std::ops::Range;

/// Something that only a shell understands, outside of quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Operator {
    pub(super) place: Range<usize>,
    pub(super) text: &'static str,
}

/// Longest first, so that `&&` is not two `&`.
const OPERATORS: &[&str] = &["&&", "||", "$(", ";", "|", "&", ">", "<", "`", "\n"];
/// What separates commands of a script.
const SEPARATORS: &[&str] = &["&&", "||", ";", "|", "&", "\n"];

/// A character that neither single quotes nor a backslash take its meaning.
struct Bare {
    at: usize,
    c: char,
    /// Within double quotes.
    quoted: bool,
    /// White space or nothing stands before it.
    begins: bool,
}

fn bare(text: &str) -> Vec<Bare> {
    let mut found = Vec::new();
    let (mut quote, mut begins, mut skip_until) = (None, true, 0);
    for (at, c) in text.char_indices() {
        if at < skip_until {
            continue;
        }
        match (quote, c) {
            (Some('\''), '\'') | (Some('"'), '"') => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None | Some('"'), '\\') => skip_until = at + 1 + next_length(text, at + 1),
            (Some('\''), _) => {}
            (quote, _) => found.push(Bare { at, c, quoted: quote.is_some(), begins }),
        }
        begins = quote.is_none() && c.is_ascii_whitespace();
    }
    found
}

/// The operators of `text` that no quote or backslash takes their meaning.
pub(super) fn operators(text: &str) -> Vec<Operator> {
    let mut found: Vec<Operator> = Vec::new();
    for Bare { at, c, begins, .. } in bare(text).into_iter().filter(|bare| !bare.quoted) {
        if found.last().is_some_and(|last| at < last.place.end) {
            continue;
        }
        let rest = text.get(at..).unwrap_or_default();
        let comment = (c == '#' && begins).then_some("#");
        let operator = comment.or_else(|| OPERATORS.iter().copied().find(|known| rest.starts_with(known)));
        if let Some(operator) = operator {
            found.push(Operator { place: at..at + operator.len(), text: operator });
        }
    }
    found
}

/// Where a shell would put something else: a variable, a list of files, a home directory. What stands in double
/// quotes is mostly a script, whose own shell does that.
pub(super) fn expansions(text: &str) -> Vec<Range<usize>> {
    let follows = |at: usize| text.get(at..).and_then(|rest| rest.chars().nth(1));
    let expands = |bare: &Bare| match bare.c {
        '$' => follows(bare.at).is_some_and(|next| next.is_ascii_alphanumeric() || matches!(next, '_' | '{')),
        '*' | '?' => true,
        '~' => bare.begins,
        _ => false,
    };
    let unquoted = bare(text).into_iter().filter(|bare| !bare.quoted && expands(bare));
    unquoted.map(|bare| bare.at..bare.at + 1).collect()
}

fn next_length(text: &str, at: usize) -> usize {
    text.get(at..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8)
}

/// The simple commands of a script, each split into words. Pieces whose quotes do not match are left out.
pub(super) fn commands(script: &str) -> Vec<Vec<String>> {
    let mut pieces = Vec::new();
    let mut start = 0;
    for operator in operators(script) {
        if operator.text == "#" {
            continue;
        }
        if SEPARATORS.contains(&operator.text) {
            pieces.extend(script.get(start..operator.place.start));
            start = operator.place.end;
        }
    }
    pieces.extend(script.get(start..));
    pieces.into_iter().filter_map(shlex::split).filter(|words| !words.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn operators_are_seen_outside_of_quotes_only() {
        for (text, expected) in [
            ("pct exec 102 -- systemctl restart traefik", vec![]),
            ("a && b", vec!["&&"]),
            ("a||b;c|d&e", vec!["||", ";", "|", "&"]),
            ("a > /x 2>&1 < /y", vec![">", ">", "&", "<"]),
            ("echo $(id) `id` $HOME", vec!["$(", "`", "`"]),
            ("bash -c 'a && b; c > $(d)'", vec![]),
            ("bash -c \"a && 'b' ; c\"", vec![]),
            ("bash -c \"it\\\"s && fine\" && no", vec!["&&"]),
            ("a \\; b \\&\\& c", vec![]),
            ("a 'it'\\''s; fine'", vec![]),
            ("a # b", vec!["#"]),
            ("a#b ''#c", vec![]),
            ("a\nb", vec!["\n"]),
            ("é && ü", vec!["&&"]),
            ("a \\", vec![]),
        ] {
            let found: Vec<&str> = operators(text).into_iter().map(|operator| operator.text).collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn expansions_are_seen_where_a_shell_would_make_them() {
        for (text, expected) in [
            ("ls /etc/*.key a?b", vec!['*', '?']),
            ("echo $HOME ${HOME} $1", vec!['$', '$', '$']),
            ("sh -c \"echo $HOME\"", vec![]),
            ("ls ~/ssl a~b ~root", vec!['~', '~']),
            ("echo '$HOME *' \"* ~\" \\* \\$HOME 5$ a$", vec![]),
            ("sh -c 'ls *; echo $HOME'", vec![]),
        ] {
            let found: String = expansions(text).into_iter().map(|place| &text[place]).collect();
            assert_eq!(found, expected.into_iter().collect::<String>(), "{text}");
        }
    }

    #[test]
    fn a_script_is_split_into_its_commands() {
        let script = "mkdir -p '/a b' && mv x y; systemctl reload \"nginx\" || true | cat > /dev/null";
        let commands: Vec<String> = commands(script).iter().map(|words| words.join("+")).collect();
        assert_eq!(
            commands,
            ["mkdir+-p+/a b", "mv+x+y", "systemctl+reload+nginx", "true", "cat+>+/dev/null"]
        );
    }

    proptest! {
        #[test]
        fn every_operator_lies_in_the_text(text in "[a-z '\"\\\\;&|<>$(`#\né]{0,40}") {
            for operator in operators(&text) {
                prop_assert_eq!(text.get(operator.place), Some(operator.text));
            }
            let _ = commands(&text);
        }

        #[test]
        fn quoting_a_text_hides_all_its_operators(text in "[ -~]{0,40}") {
            let quoted = shlex::try_quote(&text).unwrap();
            prop_assert_eq!(operators(&quoted), vec![]);
        }
    }
}
