//! Every shell script of the tree under shellcheck, and the tests that are shell scripts.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use phoenix_testkit::peers;

use crate::shell::{command, run};

const PLACES: [&str; 5] = [".ci", "config", "crates", "systemd", "tests"];

/// Checks them all at once, then runs every `tests/*/verify.sh`.
pub(crate) fn check() -> Result<()> {
    let mut scripts = Vec::new();
    for place in PLACES {
        collect(&peers::tree().join(place), &mut scripts);
    }
    scripts.sort();
    run(command("shellcheck", ["--severity=warning", "--external-sources"]).args(&scripts))?;
    scripts
        .iter()
        .filter(|script| script.ends_with("verify.sh"))
        .try_for_each(|script| run(&mut command("bash", [script])))
}

fn collect(directory: &Path, scripts: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && entry.file_name() != "target" => collect(&path, scripts),
            Ok(kind) if kind.is_file() && is_script(&path) => scripts.push(path),
            _ => {}
        }
    }
}

fn is_script(path: &Path) -> bool {
    let text = fs::read(path).unwrap_or_default();
    let first = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    first.starts_with(b"#!") && (first.ends_with(b"bash") || first.ends_with(b"/sh"))
}
