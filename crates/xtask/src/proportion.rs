//! `cargo xtask proportion`: how many lines of tests the core has for each line of its code.
//!
//! | counted as | what |
//! |---|---|
//! | code | Rust of `crates/core/src` outside of `#[cfg(test)]` |
//! | tests | Rust of `crates/core/src` within `#[cfg(test)]`, and of `crates/core/tests` |
//! | cases | the files in `crates/core/tests` that the tests read and compare |
//! | play | what plays the scenarios, and the simulation: Rust of `crates/scenario` and `crates/testkit/src/simulation` |
//!
//! A line of Rust counts when it is neither blank nor a comment, a line of a case when it is not blank.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use phoenix_testkit::peers;

/// Lines of tests that each line of code must have.
const LEAST: f64 = 2.0;
const MARK: &str = "#[cfg(test)]";

/// Lines by what they are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    code: usize,
    tests: usize,
    cases: usize,
    play: usize,
}

impl Count {
    fn proportion(self) -> f64 {
        (self.tests + self.cases + self.play) as f64 / self.code.max(1) as f64
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, tests, cases, play } = self;
        write!(
            f,
            "core: {code} lines of code; tests {tests}, cases {cases}, simulation and scenario player {play}: {:.2} to 1",
            self.proportion()
        )
    }
}

/// Prints the proportion, and fails when the core has too few tests.
pub(crate) fn run() -> Result<()> {
    let count = count(&peers::tree().join("crates"))?;
    eprintln!("xtask: {count}");
    ensure!(
        count.proportion() >= LEAST,
        "the core has {:.2} lines of tests for each line of code, and {LEAST} are wanted: write tests",
        count.proportion()
    );
    Ok(())
}

fn count(crates: &Path) -> Result<Count> {
    let mut count = Count::default();
    let (code, tests) = sources(&crates.join("core/src"))?;
    count.code = code;
    count.tests = tests;
    for path in files(&crates.join("core/tests"))? {
        if is_rust(&path) {
            count.tests += rust(&read(&path)?);
        } else {
            count.cases += read(&path)?.lines().filter(|line| !line.trim().is_empty()).count();
        }
    }
    for directory in ["testkit/src/simulation", "scenario/src"].map(|below| crates.join(below)) {
        for path in files(&directory)?.into_iter().filter(|path| is_rust(path)) {
            count.play += rust(&read(&path)?);
        }
    }
    Ok(count)
}

/// Lines of code and of tests below `src`.
fn sources(src: &Path) -> Result<(usize, usize)> {
    let paths = files(src)?;
    let mut of_tests = BTreeSet::new();
    for path in &paths {
        of_tests.extend(test_modules(path, &read(path)?));
    }
    let (mut code, mut tests) = (0, 0);
    for path in paths.iter().filter(|path| is_rust(path)) {
        let text = read(path)?;
        if of_tests.iter().any(|module| path == module || path.starts_with(module.with_extension(""))) {
            tests += rust(&text);
        } else {
            let within = rust(&inner_tests(&text));
            tests += within;
            code += rust(&text) - within;
        }
    }
    Ok((code, tests))
}

/// The files that modules of tests in files of their own begin with.
fn test_modules(path: &Path, text: &str) -> Vec<PathBuf> {
    let lines: Vec<&str> = text.lines().collect();
    let pairs = lines.windows(2).filter(|pair| matches!(pair, [mark, _] if *mark == MARK));
    let names = pairs.filter_map(|pair| pair.get(1)?.strip_prefix("mod ")?.strip_suffix(';'));
    let beside = if matches!(path.file_name().and_then(|name| name.to_str()), Some("mod.rs" | "lib.rs")) {
        path.parent().map(Path::to_path_buf).unwrap_or_default()
    } else {
        path.with_extension("")
    };
    names.map(|name| beside.join(format!("{name}.rs"))).collect()
}

/// The items behind `#[cfg(test)]`: up to a brace at the beginning of a line, as rustfmt sets it, or a semicolon.
fn inner_tests(text: &str) -> String {
    let mut inner = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line != MARK {
            continue;
        }
        inner.push_str(MARK);
        for line in lines.by_ref() {
            inner.push('\n');
            inner.push_str(line);
            let ends = line == "}" || !line.starts_with(' ') && line.ends_with(';');
            if ends {
                break;
            }
        }
        inner.push('\n');
    }
    inner
}

/// Lines that are neither blank nor a comment.
fn rust(text: &str) -> usize {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//")).count()
}

fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
}

/// Cases may hold bytes that are no text: what counts are lines.
fn read(path: &Path) -> Result<String> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Every file below `directory`.
fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let entries = fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIB: &str = "//! Says what it is.\n\nmod one;\n#[cfg(test)]\nmod samples;\n\n/// Adds.\nfn add() {\n    // why\n    1;\n}\n\n\
                       #[cfg(test)]\nmod tests {\n    // a comment\n    fn a() {\n    }\n}\n\nfn last() {}\n";

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn comments_and_blank_lines_count_nothing() {
        assert_eq!(rust(LIB), 12);
        assert_eq!(rust(&inner_tests(LIB)), 7);
    }

    #[test]
    fn each_line_is_counted_once_for_what_it_is() {
        let root = tree(&[
            ("core/src/lib.rs", LIB),
            ("core/src/samples.rs", "fn sample() {}\n"),
            ("core/src/one/mod.rs", "#[cfg(test)]\nmod tests;\nfn one() {}\n"),
            ("core/src/one/tests.rs", "mod two;\n"),
            ("core/src/one/tests/two.rs", "fn two() {}\n"),
            ("core/tests/corpus/main.rs", "// no\nmod cases;\n"),
            ("core/tests/corpus/a.json", "[\n\n]\n"),
            ("core/tests/corpus/a.txt", "no problems\n"),
            ("testkit/src/simulation/mod.rs", "fn simulate() {}\n"),
            ("scenario/src/lib.rs", "fn play() {}\n"),
        ]);
        let found = count(root.path()).unwrap();
        assert_eq!(found, Count { code: 6, tests: 13, cases: 3, play: 2 });
        assert!(found.proportion() > 2.99 && found.proportion() < 3.01);
        assert!(found.to_string().contains("6 lines of code"));
    }

    #[test]
    fn a_tree_that_is_not_there_is_an_error() {
        assert!(count(Path::new("/nonexistent")).unwrap_err().to_string().contains("cannot list"));
    }
}
