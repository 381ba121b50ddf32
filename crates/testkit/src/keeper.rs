//! A script that boots a Debian in namespaces of its own, says `up PID`, and takes it down when its input ends: what
//! [`machine`](crate::machine) and [`hypervisor`](crate::hypervisor) have in common.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::patience;

/// How long it may take to go down.
const FAREWELL: Duration = Duration::from_secs(30);

/// The script. What it keeps ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Keeper {
    child: Child,
    leader: u32,
}

impl Keeper {
    /// Starts the script with the root file systems at `roots`, which `cargo xtask peers` makes, and `arguments`.
    pub(crate) fn start(script: &Path, roots: &Path, arguments: &[&str]) -> Result<Self> {
        ensure!(
            roots.is_dir(),
            "the root file systems for {} are not at {}: run `cargo xtask peers` once",
            script.display(),
            roots.display()
        );
        let mut command = Command::new(script);
        command.arg("run").arg(roots).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        // Signals to the group of the test are not for it: it has to clear up.
        let child = command.process_group(0).spawn();
        Ok(Self { child: child.with_context(|| format!("cannot start {}", script.display()))?, leader: 0 })
    }

    /// Waits until it is up.
    pub(crate) fn wait(&mut self) -> Result<()> {
        let mut said = String::new();
        let stdout = self.child.stdout.take().context("the script has no standard output")?;
        BufReader::new(stdout).read_line(&mut said)?;
        let leader = said.strip_prefix("up ").and_then(|pid| pid.trim().parse().ok());
        self.leader = leader.context("it did not come up: its words are on standard error")?;
        Ok(())
    }

    /// Its PID 1, as seen from here.
    pub(crate) fn leader(&self) -> u32 {
        self.leader
    }

    /// Process id of the script.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Keeper {
    /// The end of its input ends it; what does not end within its deadline is killed.
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let mut ended = || self.child.try_wait().ok().flatten();
        if patience::until_or(FAREWELL, &mut ended).is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// What a program printed, or an error with its words.
pub(crate) fn words_of(what: &str, place: &str, output: &Output) -> Result<String> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let words = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    bail!("`{what}` failed {place} ({}): {} {}", output.status, words(&output.stdout), words(&output.stderr))
}
