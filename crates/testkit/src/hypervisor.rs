//! The box that plays the hypervisor: systemd as PID 1, real LXC containers, a real QEMU guest agent.
//!
//! `cargo xtask peers` makes the root file systems; `tests/hypervisor/box.sh` boots a box on them in about two
//! seconds. The box ends with this process, however that ends: it hangs on a pipe.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result};

use crate::keeper::{Keeper, words_of};
use crate::{patience, peers};

const SCRIPTS: [&str; 2] = [
    include_str!("../../../tests/hypervisor/prepare.sh"),
    include_str!("../../../tests/hypervisor/shift.py"),
];

/// Seconds after which a command in the box is ended.
const LIMIT: &str = "120";

/// Directory of the scripts and files of the box, in the source tree.
pub fn scripts() -> PathBuf {
    peers::tree().join("tests/hypervisor")
}

/// The release of Debian in the box: what `PHOENIX_BOX_RELEASE` names, else `bookworm`.
pub fn release() -> String {
    let named = std::env::var("PHOENIX_BOX_RELEASE").ok().filter(|name| !name.is_empty());
    named.unwrap_or_else(|| "bookworm".to_owned())
}

/// Where the root file systems lie, whether or not they have been made. A changed script means another place.
pub fn place() -> PathBuf {
    let fingerprint = peers::fingerprint(&SCRIPTS.concat());
    peers::directory().join(format!("hypervisor-{}-{fingerprint:016x}", release()))
}

/// A guest of the box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guest {
    /// Unprivileged container 101: its root is 100000 outside.
    Unprivileged,
    /// Privileged container 102.
    Privileged,
    /// Virtual machine 1001: a container as well, but reached through its guest agent alone.
    Machine,
}

impl Guest {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Unprivileged, Self::Privileged, Self::Machine];

    /// Its name as a container.
    fn name(self) -> &'static str {
        match self {
            Self::Unprivileged => "101",
            Self::Privileged => "102",
            Self::Machine => "vm1001",
        }
    }

    /// The unit that runs it.
    fn unit(self) -> &'static str {
        match self {
            Self::Unprivileged => "ct@101",
            Self::Privileged => "ct@102",
            Self::Machine => "vm@1001",
        }
    }
}

/// A running box. It ends when this is dropped.
#[derive(Debug)]
pub struct Hypervisor {
    keeper: Keeper,
}

impl Hypervisor {
    /// Boots a box and its three guests; returns when all are up.
    pub fn start() -> Result<Self> {
        let mut keeper = Keeper::start(&scripts().join("box.sh"), &place(), &[])?;
        keeper.wait().context("the box")?;
        // From here on a failure takes the box down with it.
        let this = Self { keeper };
        for guest in Guest::ALL {
            this.boot(guest)?;
        }
        Guest::ALL.into_iter().try_for_each(|guest| this.wait_for(guest))?;
        Ok(this)
    }

    /// A path of the box, as seen from here. Links in the box that lead to absolute paths do not work.
    pub fn path(&self, inside: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{inside}", self.keeper.leader()))
    }

    /// The memory-backed directories of a running guest, as seen from here: what is in them is in no overlay.
    pub fn volatile(&self, guest: Guest) -> Result<Vec<PathBuf>> {
        let found = self.sh(&format!("lxc-info --name {} --pid --no-humanize", guest.name()))?;
        // Processes of the box are looked at through its own /proc.
        let root = self.path(&format!("/proc/{}/root", found.trim()));
        Ok(["tmp", "run", "dev/shm"].map(|name| root.join(name)).to_vec())
    }

    /// Copies a file into the box.
    pub fn install(&self, source: &Path, inside: &str, mode: u32) -> Result<()> {
        let content = fs::read(source).with_context(|| format!("cannot read {}", source.display()))?;
        self.write(inside, content, mode)
    }

    /// Writes a file in the box, its directories made.
    pub fn write(&self, inside: &str, content: impl AsRef<[u8]>, mode: u32) -> Result<()> {
        let path = self.path(inside);
        fs::create_dir_all(path.parent().context("a file needs a directory")?)?;
        fs::write(&path, content).with_context(|| format!("cannot write {inside} in the box"))?;
        Ok(fs::set_permissions(&path, fs::Permissions::from_mode(mode))?)
    }

    /// Runs a program in the box to its end, however that is.
    pub fn run<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Result<Output> {
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", LIMIT]).arg(scripts().join("box.sh"));
        command.args(["exec", &self.keeper.leader().to_string()]).args(words).stdin(Stdio::null());
        command.output().context("cannot run box.sh")
    }

    /// Runs a shell script in the box, which must succeed; what it printed.
    pub fn sh(&self, script: &str) -> Result<String> {
        words_of(script, "in the box", &self.run(["/bin/bash", "-euc", script])?)
    }

    /// Runs a shell script in a guest, which must succeed; what it printed.
    pub fn in_guest(&self, guest: Guest, script: &str) -> Result<String> {
        let words = ["lxc-attach", "--clear-env", "--name", guest.name(), "--", "/bin/bash", "-euc", script];
        words_of(script, "in the box", &self.run(words)?)
    }

    /// Switches a guest off, without asking it.
    pub fn halt(&self, guest: Guest) -> Result<()> {
        self.sh(&format!("systemctl stop {}", guest.unit())).map(drop)
    }

    /// Switches a guest on; returns when it is up.
    pub fn start_guest(&self, guest: Guest) -> Result<()> {
        self.boot(guest)?;
        self.wait_for(guest)
    }

    /// Name that the control group of every process in the box begins with.
    pub fn control_group(&self) -> String {
        format!("/phoenix-box-{}", self.keeper.id())
    }

    fn boot(&self, guest: Guest) -> Result<()> {
        self.sh(&format!("systemctl start {}", guest.unit())).map(drop)
    }

    fn wait_for(&self, guest: Guest) -> Result<()> {
        let mut last = String::new();
        let ready = patience::until(|| {
            let said = self.run([
                "lxc-attach",
                "--name",
                guest.name(),
                "--",
                "systemctl",
                "is-system-running",
                "--wait",
            ]);
            last = said
                .map_or_else(|error| error.to_string(), |said| String::from_utf8_lossy(&said.stdout).into());
            let agent = guest != Guest::Machine || self.path("/run/qemu-server/1001.qga").exists();
            (last.trim() == "running" && agent).then_some(())
        });
        ready.with_context(|| format!("guest {} is not up: {}", guest.name(), last.trim()))
    }
}
