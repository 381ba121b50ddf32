//! Files that are made from the code. A test fails when one is out of date.

use std::path::PathBuf;

use anyhow::{Context, Result};
use phoenix_testkit::peers;

/// Every generated file and its content.
fn files() -> Vec<(PathBuf, String)> {
    let rules = phoenix_core::explanation::catalogue::document();
    let schema = phoenix_core::manifest::schema();
    [("docs/rules.md", rules), ("config/certificate-manifest.schema.json", schema)]
        .map(|(path, text)| (peers::tree().join(path), text))
        .into()
}

/// Writes them all.
pub(crate) fn run() -> Result<()> {
    for (path, text) in files() {
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        eprintln!("{} is up to date", path.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_files_are_up_to_date() {
        for (path, text) in files() {
            let found = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(found == text, "{} is out of date: run `cargo xtask generate`", path.display());
        }
    }
}
