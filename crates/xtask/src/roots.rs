//! The root file systems of the machines that tests boot: made once, outside the tree.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use phoenix_testkit::{hypervisor, machine, peers};

use crate::shell::{command, run};

/// Makes those that are not there yet.
pub(crate) fn ensure() -> Result<()> {
    let box_script = hypervisor::scripts().join("prepare.sh");
    ensure_one(
        "the box that plays the hypervisor",
        &hypervisor::place(),
        &box_script,
        &[&hypervisor::release()],
    )?;
    let machine_script = machine::scripts().join("prepare.sh");
    ensure_one("the machines that run Traefik, Docker and nginx", &machine::place(), &machine_script, &[])
}

/// Makes one by its script, which gets these further words, under another name that is changed when it is complete.
fn ensure_one(what: &str, place: &Path, script: &Path, words: &[&str]) -> Result<()> {
    if place.is_dir() {
        eprintln!("the root file system of {what} is at {}", place.display());
        return Ok(());
    }
    eprintln!("making the root file system of {what}: about two minutes, once");
    let unfinished = unfinished(place)?;
    let made = run(command("bash", [script, &unfinished]).args(words).stdout(std::io::stderr()));
    if made.is_err() {
        // debootstrap may have left file systems mounted there.
        let words = ["-rf", "--one-file-system", "--"];
        let _ = run(command("rm", words).arg(&unfinished));
    }
    made?;
    fs::rename(&unfinished, place).with_context(|| format!("cannot write {}", place.display()))
}

fn unfinished(place: &Path) -> Result<PathBuf> {
    let directory = peers::directory();
    fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let name = place.file_name().unwrap_or_default().display();
    Ok(directory.join(format!(".unfinished-{name}-{}", std::process::id())))
}
