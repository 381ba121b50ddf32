//! The root file systems of the box that plays the hypervisor: made once, outside the tree.

use std::fs;

use anyhow::{Context, Result};
use phoenix_testkit::{hypervisor, peers};

use crate::shell::{command, run};

/// Makes them if they are not there yet: under another name, which is changed when they are complete.
pub(crate) fn ensure() -> Result<()> {
    let place = hypervisor::place();
    if place.is_dir() {
        eprintln!("the box of the hypervisor is at {}", place.display());
        return Ok(());
    }
    eprintln!("making the box of the hypervisor from Debian's packages: about two minutes, once");
    let directory = peers::directory();
    fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let unfinished = directory.join(format!(".unfinished-hypervisor-{}", std::process::id()));
    let script = hypervisor::scripts().join("prepare.sh");
    let made = run(command("bash", [&script, &unfinished]).stdout(std::io::stderr()));
    if made.is_err() {
        // debootstrap may have left file systems mounted there.
        let words = ["-rf", "--one-file-system", "--"];
        let _ = run(command("rm", words).arg(&unfinished));
    }
    made?;
    fs::rename(&unfinished, &place).with_context(|| format!("cannot write {}", place.display()))
}
