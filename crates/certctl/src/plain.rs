//! Foreign text on a terminal.

use std::borrow::Cow;

/// `text` without anything that a terminal would act on: control characters and direction marks become their
/// escaped form. Line ends stay.
pub fn plain(text: &str) -> Cow<'_, str> {
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if acts(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    Cow::Owned(out)
}

fn acts(c: char) -> bool {
    (c.is_control() && c != '\n')
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `text` as lines that begin with `indent`, safe for a terminal.
pub fn indented(text: &str, indent: &str) -> String {
    let mut out = String::new();
    for line in plain(text.trim_end()).lines() {
        out.extend([indent, line, "\n"]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_of_a_command_do_not_reach_the_terminal() {
        assert_eq!(plain("a\x1b[2Jb\r\u{9b}\u{202e}"), "a\\u{1b}[2Jb\\r\\u{9b}\\u{202e}");
        assert_eq!(plain("größe\nzwei"), "größe\nzwei");
    }

    #[test]
    fn every_line_is_indented() {
        assert_eq!(indented("one\ntwo\n\n", "  "), "  one\n  two\n");
    }
}
