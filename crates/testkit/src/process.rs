//! Programs under test, process groups, `/proc`.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal};

use crate::patience;

/// The built program of this name, from the target directory of the running test. Builds nothing.
pub fn bin(name: &str) -> Result<PathBuf> {
    let me = std::env::current_exe().context("cannot find the running test program")?;
    // target/PROFILE/deps/SUITE-HASH, with the programs in target/PROFILE
    let place = me.ancestors().skip(1).take(2).map(|dir| dir.join(name)).find(|path| path.is_file());
    place.with_context(|| {
        format!(
            "the program {name} has not been built beside {}: run `cargo xtask test`, or `cargo build --bins` first",
            me.display()
        )
    })
}

/// A child in its own process group; the whole group is killed when this is dropped.
#[derive(Debug)]
pub struct Group {
    child: Child,
}

impl Group {
    /// Starts `command` as the leader of a new process group.
    pub fn spawn(command: &mut Command) -> Result<Self> {
        let child = command
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        Ok(Self { child })
    }

    /// Process id of the leader.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The leader has not ended.
    pub fn running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends SIGTERM to the leader and waits for its end; true when it ended with exit code 0.
    pub fn terminate(&mut self) -> Result<bool> {
        if self.running() {
            signal(self.pid(), Signal::TERM)?;
        }
        let ended = patience::until(|| self.child.try_wait().ok().flatten());
        let status = ended.with_context(|| format!("process {} did not end on SIGTERM", self.pid()))?;
        Ok(status.success())
    }

    /// SIGKILL for the leader alone, as `kill -9 PID` would; returns when it is gone.
    pub fn kill_leader(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGKILL for the whole group; returns when the leader is gone.
    pub fn kill(&mut self) {
        if let Some(group) = pid(self.pid()) {
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
        self.kill_leader();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

fn pid(number: u32) -> Option<Pid> {
    i32::try_from(number).ok().and_then(Pid::from_raw)
}

/// Sends a signal to one process.
pub fn signal(process: u32, signal: Signal) -> Result<()> {
    let target = pid(process).with_context(|| format!("{process} is no process id"))?;
    rustix::process::kill_process(target, signal).with_context(|| format!("cannot signal process {process}"))
}

/// A process as `/proc` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Process id.
    pub pid: u32,
    /// Parent's process id.
    pub parent: u32,
    /// State letter, `Z` for a zombie.
    pub state: char,
    /// Command line, arguments separated by NUL.
    pub cmdline: Vec<u8>,
    /// Short name.
    pub comm: String,
}

impl Seen {
    fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The short name may hold blanks and brackets: everything after the last bracket is regular.
        let (head, rest) = stat.rsplit_once(')')?;
        let mut fields = rest.split_ascii_whitespace();
        Some(Self {
            pid,
            state: fields.next()?.chars().next()?,
            parent: fields.next()?.parse().ok()?,
            cmdline: fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default(),
            comm: head.split_once('(')?.1.to_owned(),
        })
    }
}

/// All processes, zombies included.
pub fn all() -> Vec<Seen> {
    let numbers = fs::read_dir("/proc").into_iter().flatten().flatten();
    numbers.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter_map(Seen::of).collect()
}

/// Living children of a process.
pub fn children(parent: u32) -> Vec<Seen> {
    all().into_iter().filter(|seen| seen.parent == parent && seen.state != 'Z').collect()
}

/// Living children of a process, their children and so on, nearest first.
pub fn descendants(ancestor: u32) -> Vec<Seen> {
    let mut found = children(ancestor);
    let mut next = 0;
    while let Some(pid) = found.get(next).map(|seen| seen.pid) {
        found.extend(children(pid));
        next += 1;
    }
    found
}

/// Living processes whose command line names a path below `path`.
pub fn naming(path: &Path) -> Vec<Seen> {
    let needle = path.as_os_str().as_bytes();
    let me = std::process::id();
    let names = |seen: &Seen| seen.cmdline.windows(needle.len().max(1)).any(|window| window == needle);
    all().into_iter().filter(|seen| seen.pid != me && seen.state != 'Z' && names(seen)).collect()
}

/// Ends every process whose command line names a path below `path`.
pub fn kill_all_naming(path: &Path) {
    for seen in naming(path) {
        let _ = signal(seen.pid, Signal::KILL);
    }
}

/// Runs a program to its end and returns its output; a failure is an error that holds its words.
pub fn run<S: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = S>) -> Result<Output> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("cannot start {program}: is its Debian package installed?"))?;
    ensure!(
        output.status.success(),
        "{program} failed ({}): {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(output)
}

/// The effective user must be root: owners, mounts and guests cannot be tested otherwise.
pub fn require_root() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("this suite needs root: it changes owners, mounts file systems and enters guests");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_group_takes_its_grandchildren_along() {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "sleep 1000 & wait"]);
        let group = Group::spawn(&mut shell).unwrap();
        let grandchild = patience::until(|| children(group.pid()).first().cloned()).unwrap();
        drop(group);
        let gone = || Seen::of(grandchild.pid).is_none_or(|seen| seen.state == 'Z');
        assert!(patience::until(|| gone().then_some(())).is_some());
    }

    #[test]
    fn an_unbuilt_program_is_named() {
        let error = bin("no-such-program").unwrap_err().to_string();
        assert!(error.contains("no-such-program has not been built"), "{error}");
    }

    #[test]
    fn a_failing_program_tells_its_words() {
        let error = run("/bin/sh", ["-c", "echo broken >&2; exit 3"]).unwrap_err().to_string();
        assert!(error.contains("broken") && error.contains('3'), "{error}");
    }
}
