//! Compares what is observed of each case with what the file beside it says.

#![expect(clippy::disallowed_methods, reason = "the cases are files")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use similar::TextDiff;

/// Ending of the files with what is expected.
const EXPECTED: &str = "txt";

/// Checks every case of `directory`, a file ending in `.EXTENSION`, and reports all that differ.
pub(crate) fn check(directory: &str, extension: &str, observe: impl Fn(&str, Vec<u8>) -> String) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(directory);
    let cases = cases(&directory, extension);
    assert!(!cases.is_empty(), "{} holds no cases", directory.display());
    let bless = blessing();
    let mut differences = String::new();
    for case in &cases {
        let file = |extension: &str| directory.join(format!("{case}.{extension}"));
        let observed = observe(case, fs::read(file(extension)).unwrap());
        if bless {
            fs::write(file(EXPECTED), &observed).unwrap();
        }
        let expected = fs::read_to_string(file(EXPECTED)).unwrap_or_default();
        if observed != expected {
            let difference = TextDiff::from_lines(&expected, &observed);
            differences +=
                &difference.unified_diff().header(&format!("{case}.{EXPECTED}"), "observed").to_string();
        }
    }
    assert!(differences.is_empty(), "{differences}\nif this is right: BLESS=1");
    let answers: BTreeSet<String> = self::cases(&directory, EXPECTED);
    let stray: Vec<&String> = answers.difference(&cases).collect();
    assert!(stray.is_empty(), "answers without a question: {stray:?}");
}

/// Whether expectations are to be written. Never where a change is judged: there nobody reads them.
fn blessing() -> bool {
    let bless = std::env::var_os("BLESS").is_some();
    assert!(!bless || std::env::var_os("CI").is_none(), "BLESS is for people, not for CI");
    bless
}

/// The names of all files of `directory` with this ending, without it.
fn cases(directory: &Path, extension: &str) -> BTreeSet<String> {
    let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let cases = paths.filter(|path| path.extension().is_some_and(|found| found == extension));
    cases.map(|path: PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}
