//! `cargo xtask bench`: what the release programs take, beside what the CA itself gives.
//!
//! | module | duty |
//! |---|---|
//! | `load` | the bare rate of the CA: a client that does nothing but ask for certificates |
//! | `runs` | the measurements |
//! | `looks` | a hundred consumers looked at |
//! | `scale` | ten thousand entries |
//! | `figures` | durations, memory, sizes, and the table |
//!
//! The first call builds everything with `--release` and starts itself again from there, so that the programs and
//! the load generator are equally fast.

mod figures;
mod load;
mod looks;
mod runs;
mod scale;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use phoenix_testkit::peers;

use crate::shell::{self, command};
use figures::Table;

/// Programs that are measured.
const PROGRAMS: [&str; 3] = ["phoenix-certd", "phoenix-executor", "phoenix-certctl"];

/// What can be measured by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// Memory and time with few entries.
    Few,
    /// Renewing many beside the bare rate of the CA.
    Many,
    /// A hundred consumers looked at.
    Looks,
    /// Ten thousand entries.
    Scale,
}

/// Builds, then measures in the release build.
pub(crate) fn run(only: Option<Part>) -> Result<()> {
    crate::peers::ensure()?;
    let start = Instant::now();
    let packages = PROGRAMS.iter().chain(&["xtask"]).flat_map(|name| ["--package", name]);
    shell::run(&mut command("cargo", ["build", "--release", "--bins"].into_iter().chain(packages)))?;
    eprintln!("xtask: built in {} s (all of it only after `cargo clean`)", start.elapsed().as_secs());
    let part = only.and_then(|part| clap::ValueEnum::to_possible_value(&part));
    let part = part.map(|part| format!("--only={}", part.get_name()));
    let arguments = ["bench", "--measure"].into_iter().chain(part.as_deref());
    shell::run(&mut command(release_directory()?.join("xtask"), arguments))
}

/// Measures. The programs lie beside this one.
pub(crate) fn measure(only: Option<Part>) -> Result<()> {
    let mut table = Table::default();
    let all = [Part::Few, Part::Many, Part::Looks, Part::Scale];
    for part in all.into_iter().filter(|part| only.is_none_or(|only| only == *part)) {
        match part {
            Part::Few => runs::few_entries(&mut table)?,
            Part::Many => runs::many_entries(&mut table)?,
            Part::Looks => looks::measure(&mut table)?,
            Part::Scale => scale::measure(&mut table)?,
        }
    }
    figures::build(&mut table, PROGRAMS)?;
    println!("{table}");
    Ok(())
}

/// Where a release build puts its programs: beside the directory of the build that is running.
fn release_directory() -> Result<PathBuf> {
    let me = std::env::current_exe().context("cannot find the running program")?;
    let target = me.ancestors().nth(2).map_or_else(|| peers::tree().join("target"), PathBuf::from);
    Ok(target.join("release"))
}
