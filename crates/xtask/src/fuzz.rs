//! `cargo xtask fuzz`: the targets of `crates/*/fuzz`, with libFuzzer and the ordinary compiler.
//!
//! The coverage that libFuzzer steers by comes from LLVM's own pass, which needs no nightly compiler. Without
//! `cargo fuzz` there is no address sanitizer either; nothing but `phoenix-sandbox` holds `unsafe`, and that reads
//! no files.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use phoenix_testkit::peers;

use crate::shell::{self, command};

/// LLVM's options as `cargo fuzz` passes them, less what is for nightly compilers.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Cdebug-assertions=on";
/// A file system in memory: shm_overview(7).
const MEMORY: &str = "/dev/shm";
/// An input that takes longer, in seconds, counts as a hang.
const HANG: u32 = 10;

#[derive(Args)]
pub(crate) struct Options {
    /// Run this target only
    target: Option<String>,
    /// For how long each target runs
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

/// A fuzz target and the crate that it belongs to.
#[derive(Debug)]
struct Target {
    home: PathBuf,
    name: String,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let mut targets = targets()?;
    if let Some(wanted) = &options.target {
        let known: Vec<String> = targets.iter().map(|target| target.name.clone()).collect();
        targets.retain(|target| target.name == *wanted);
        ensure!(!targets.is_empty(), "there is no target `{wanted}`; there are: {}", known.join(", "));
    }
    fuzz(&targets, options.seconds)
}

/// Every target for so many seconds.
pub(crate) fn every_target(seconds: u32) -> Result<()> {
    fuzz(&targets()?, seconds)
}

fn fuzz(targets: &[Target], seconds: u32) -> Result<()> {
    let (triple, out) = (host()?, peers::tree().join("target/fuzz"));
    for target in targets {
        let manifest = target.home.join("Cargo.toml");
        let mut build = command("cargo", ["build", "--release", "--target", &triple, "--bin", &target.name]);
        build.arg("--manifest-path").arg(manifest).arg("--target-dir").arg(&out);
        shell::run(build.env("RUSTFLAGS", COVERAGE))?;
        let corpus = out.join("corpus").join(&target.name);
        fs::create_dir_all(&corpus).with_context(|| format!("cannot make {}", corpus.display()))?;
        let program = out.join(&triple).join("release").join(&target.name);
        let limits =
            [format!("-max_total_time={seconds}"), format!("-timeout={HANG}"), "-max_len=8192".into()];
        let quiet = ["-print_final_stats=1".to_owned(), "-verbosity=0".into(), "-rss_limit_mb=2048".into()];
        let mut run = command(program, limits.into_iter().chain(quiet));
        // Files of a target that lie in memory cost no fsync(2): thirty times as many inputs.
        if Path::new(MEMORY).is_dir() {
            run.env("TMPDIR", MEMORY);
        }
        shell::run(run.arg(corpus))?;
    }
    Ok(())
}

/// Every target in the tree.
fn targets() -> Result<Vec<Target>> {
    let mut found = Vec::new();
    for member in fs::read_dir(peers::tree().join("crates"))? {
        let home = member?.path().join("fuzz");
        found.extend(targets_of(&home)?.into_iter().map(|name| Target { home: home.clone(), name }));
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

fn targets_of(home: &Path) -> Result<Vec<String>> {
    let Ok(files) = fs::read_dir(home.join("fuzz_targets")) else { return Ok(Vec::new()) };
    let stem = |path: PathBuf| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    files.filter_map(|file| file.map(|file| stem(file.path())).transpose()).map(|stem| Ok(stem?)).collect()
}

/// What this machine is to the compiler. Flags for a named target do not reach build scripts and macros.
fn host() -> Result<String> {
    let output = command("rustc", ["-vV"]).output().context("cannot start rustc")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc does not tell its host")
}

#[test]
fn the_targets_of_every_crate_are_found() -> Result<()> {
    let names: Vec<String> = targets()?.into_iter().map(|target| target.name).collect();
    assert_eq!(names, ["journal", "manifest", "request", "response", "settings", "state"]);
    Ok(())
}
