//! A machine that plays one guest: Debian with systemd, nginx, Docker and Traefik, on the bridge of the network
//! namespace of the test.
//!
//! `cargo xtask peers` makes the root file system; `tests/consumers/machine.sh` boots a machine on it in a few
//! seconds. A machine ends with this process, however that ends: it hangs on a pipe.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result};

use crate::keeper::{Keeper, words_of};
use crate::network::BRIDGE;
use crate::peers;

const SCRIPT: &str = include_str!("../../../tests/consumers/prepare.sh");

/// Seconds after which a command in a machine is ended.
const LIMIT: &str = "180";

/// Directory of the scripts, in the source tree.
pub fn scripts() -> PathBuf {
    peers::tree().join("tests/consumers")
}

/// Where the root file system lies, whether or not it has been made. A changed script means another place.
pub fn place() -> PathBuf {
    peers::directory().join(format!("consumers-{:016x}", peers::fingerprint(SCRIPT)))
}

/// A running machine. It ends when this is dropped.
#[derive(Debug)]
pub struct Machine {
    keeper: Keeper,
    address: String,
}

impl Machine {
    /// Begins to boot a machine with this address of the bridge's network; [`Booting::up`] waits for it.
    pub fn boot(address: &str) -> Result<Booting> {
        let script = scripts().join("machine.sh");
        let keeper = Keeper::start(&script, &place(), &[BRIDGE, &format!("{address}/24")])?;
        Ok(Booting(Self { keeper, address: address.to_owned() }))
    }

    /// Its address on the bridge.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its PID 1, as seen from here.
    pub fn leader(&self) -> u32 {
        self.keeper.leader()
    }

    /// A path of the machine, as seen from here. Links in it that lead to absolute paths do not work.
    pub fn path(&self, inside: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{inside}", self.leader()))
    }

    /// Copies a file into the machine, its directories made.
    pub fn install(&self, source: &Path, inside: &str, mode: u32) -> Result<()> {
        let content = fs::read(source).with_context(|| format!("cannot read {}", source.display()))?;
        self.write(inside, content, mode)
    }

    /// Writes a file in the machine, its directories made. It is replaced by renaming.
    pub fn write(&self, inside: &str, content: impl AsRef<[u8]>, mode: u32) -> Result<()> {
        crate::scratch::replace(&self.path(inside), content.as_ref(), mode)?;
        Ok(fs::set_permissions(self.path(inside), fs::Permissions::from_mode(mode))?)
    }

    /// Reads a file of the machine.
    pub fn read(&self, inside: &str) -> Result<String> {
        fs::read_to_string(self.path(inside)).with_context(|| format!("no {inside} in {}", self.address))
    }

    /// A command that runs a program in the machine.
    pub fn command<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Command {
        self.entrance().command(words)
    }

    /// The way into it for another thread, which does not keep it running.
    pub fn entrance(&self) -> Entrance {
        Entrance { leader: self.leader() }
    }

    /// Runs a program in the machine to its end, however that is.
    pub fn run<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Result<Output> {
        self.command(words).output().context("cannot run nsenter")
    }

    /// Runs a shell script in the machine, which must succeed; what it printed.
    pub fn sh(&self, script: &str) -> Result<String> {
        let output = self.run(["/bin/bash", "-euc", script])?;
        words_of(script, &format!("at {}", self.address), &output)
    }

    /// What a unit has logged since the machine was started.
    pub fn journal(&self, unit: &str) -> Result<String> {
        self.sh(&format!("journalctl --boot --output=cat --unit={unit}"))
    }
}

/// The way into a machine that somebody else keeps.
#[derive(Clone, Copy, Debug)]
pub struct Entrance {
    leader: u32,
}

impl Entrance {
    /// A command that runs a program in the machine.
    pub fn command<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", LIMIT]).args(enter(self.leader)).args(words).stdin(Stdio::null());
        command
    }
}

/// A machine that is booting.
#[derive(Debug)]
pub struct Booting(Machine);

impl Booting {
    /// Waits until the machine is up.
    pub fn up(self) -> Result<Machine> {
        let Self(mut machine) = self;
        machine.keeper.wait().with_context(|| format!("the machine {}", machine.address))?;
        Ok(machine)
    }
}

/// The words in front of a command that is to run in all namespaces of this process, with the environment of a service.
pub(crate) fn enter(leader: u32) -> Vec<String> {
    let target = leader.to_string();
    let words = ["nsenter", "--target", &target, "--all", "--", "env", "-i"];
    let environment =
        ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8"];
    words.into_iter().chain(environment).map(str::to_owned).collect()
}
