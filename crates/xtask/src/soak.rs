//! `cargo xtask soak`: what takes longer than an ordinary test run may. Each part can be run alone.
//!
//! To add a part, add a line to [`PARTS`].

use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args;
use phoenix_testkit::process::require_root;

use crate::shell::{self, command};
use crate::{fuzz, packages, peers, roots};

/// A part of the soak.
struct Part {
    name: &'static str,
    /// For how many minutes it runs, about.
    minutes: u32,
    what: &'static str,
    run: fn() -> Result<()>,
}

const PARTS: &[Part] = &[
    Part {
        name: "crash",
        minutes: 5,
        what: "the executor killed and failed with each error at every disk-changing system call",
        run: crash,
    },
    Part {
        name: "simulation",
        minutes: 10,
        what: "short and wild worlds under virtual time, seed after seed",
        run: simulation,
    },
    Part {
        name: "short-lives",
        minutes: 22,
        what: "the whole site with certificates of five minutes, under requests, for twenty minutes",
        run: short_lives,
    },
    Part { name: "fuzz", minutes: 12, what: "every fuzz target", run: fuzzing },
];

#[derive(Args)]
pub(crate) struct Options {
    /// Run these parts only
    parts: Vec<String>,
    /// Say which parts there are
    #[arg(long)]
    list: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    if options.list {
        for Part { name, minutes, what, .. } in PARTS {
            println!("{name:<12} {minutes:>3} min  {what}");
        }
        return Ok(());
    }
    require_root()?;
    packages::ensure_for_tests()?;
    peers::ensure()?;
    for part in chosen(&options.parts)? {
        let start = Instant::now();
        eprintln!("soak: {}: {}", part.name, part.what);
        (part.run)().with_context(|| format!("soak: {} failed", part.name))?;
        eprintln!("soak: {} passed, in {} s", part.name, start.elapsed().as_secs());
    }
    Ok(())
}

fn chosen(names: &[String]) -> Result<Vec<&'static Part>> {
    if names.is_empty() {
        return Ok(PARTS.iter().collect());
    }
    let find = |name: &String| {
        let found = PARTS.iter().find(|part| part.name == name);
        found.with_context(|| {
            let known: Vec<&str> = PARTS.iter().map(|part| part.name).collect();
            format!("there is no part `{name}`; there are: {}", known.join(", "))
        })
    };
    names.iter().map(find).collect()
}

fn crash() -> Result<()> {
    shell::run(&mut command(
        "cargo",
        ["build", "--package", "phoenix-executor", "--package", "phoenix-certd"],
    ))?;
    let suite = ["test", "--package", "phoenix-tests", "--test", "crash", "--", "--nocapture"];
    shell::run(command("cargo", suite).env("PHOENIX_CRASH", "all"))
}

fn simulation() -> Result<()> {
    shell::run(&mut command("cargo", ["xtask", "simulate", "--seconds", "600"]))
}

fn short_lives() -> Result<()> {
    roots::ensure()?;
    shell::run(&mut command("cargo", ["build", "--workspace", "--bins"]))?;
    let suite = ["test", "--package", "phoenix-tests", "--test", "site", "short_lives", "--", "--nocapture"];
    shell::run(command("cargo", suite).env("PHOENIX_SHORT_LIVES", "5m 20"))
}

fn fuzzing() -> Result<()> {
    fuzz::every_target(150)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_is_not_known_is_named_beside_those_that_are() {
        let error = chosen(&["crush".to_owned()]).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("`crush`") && error.contains("crash, simulation"), "{error}");
        assert_eq!(chosen(&[]).map(|parts| parts.len()).ok(), Some(PARTS.len()));
    }
}
