//! Bytes of a file that should be text.

use super::report::{Problem, Report};
use super::{Diagnostics, Severity, place};

/// Bytes that are no text in UTF-8, and where they cease to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not UTF-8 text: line {line}, column {column} holds the byte 0x{byte:02x}; save it as UTF-8")]
pub struct NotText {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The first byte that is wrong.
    pub byte: u8,
    offset: usize,
}

/// The text that `bytes` hold.
///
/// # Errors
/// They are no UTF-8.
pub fn text(bytes: &[u8]) -> Result<&str, NotText> {
    std::str::from_utf8(bytes).map_err(|error| {
        let offset = error.valid_up_to();
        let before = String::from_utf8_lossy(bytes.get(..offset).unwrap_or_default());
        let place::Place { line, column } = place::Lines::of(&before).place(offset);
        NotText { line, column, byte: bytes.get(offset).copied().unwrap_or_default(), offset }
    })
}

impl NotText {
    /// The same as a report about `bytes`, which the file called `file` holds.
    pub(crate) fn report(&self, file: &str, bytes: &[u8]) -> Diagnostics {
        let message = match bytes {
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "this is UTF-16, not UTF-8".to_owned(),
            _ => format!("this is not UTF-8 text: here is the byte 0x{:02x}", self.byte),
        };
        let help = "save the file in the encoding UTF-8";
        let shown = String::from_utf8_lossy(bytes);
        let mut report = Report::default();
        let mark = self.offset..self.offset + char::REPLACEMENT_CHARACTER.len_utf8();
        report.add(Severity::Error, "", mark, Problem::new(message, help));
        Diagnostics::new(file, &shown, report.into_list())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_wrong_byte_is_told_by_line_and_column() {
        for (bytes, line, column, byte) in [
            (&b"\xff"[..], 1, 1, 0xff),
            (b"ab\xfcc", 1, 3, 0xfc),
            ("ü\nüb".as_bytes().get(..4).unwrap(), 2, 1, 0xc3),
            (b"a\r\n\n\xc3\x28", 3, 1, 0xc3),
        ] {
            let error = text(bytes).unwrap_err();
            assert_eq!((error.line, error.column, error.byte), (line, column, byte), "{bytes:?}");
        }
        assert_eq!(text("ü".as_bytes()), Ok("ü"));
    }
}
