//! `cargo xtask test`.

use std::time::Instant;

use anyhow::Result;
use phoenix_testkit::process::require_root;

use crate::shell::{self, command};
use crate::{packages, peers, proportion, roots, scripts};

/// Installs, builds and runs everything, or one suite.
pub(crate) fn run(suite: Option<&str>) -> Result<()> {
    let start = Instant::now();
    require_root()?;
    packages::ensure_for_tests()?;
    peers::ensure()?;
    roots::ensure()?;
    scripts::check()?;
    if suite.is_none() {
        proportion::run()?;
    }
    shell::run(&mut command("cargo", ["build", "--workspace", "--bins"]))?;
    let what = if let Some(name) = suite {
        shell::run(&mut command("cargo", ["test", "--package", "phoenix-tests", "--test", name]))?;
        format!("suite {name}")
    } else {
        shell::run(&mut command("cargo", ["test", "--workspace", "--no-fail-fast"]))?;
        "every test".to_owned()
    };
    eprintln!("xtask: {what} passed, in {} s altogether", start.elapsed().as_secs());
    Ok(())
}
