//! Ending what a command left in its guest when its time was up.
//!
//! Processes that a command starts in a container and that leave its session belong to the container's process 1:
//! neither the supervisor, whose descendants they no longer are, nor a control group of the host reaches them. They
//! are found by a variable of their environment, which `pct exec` passes on. Processes in a virtual machine are
//! ended by the agent that started them.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

use phoenix_sandbox::CommandSpec;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

const VARIABLE: &str = "PHOENIX_RUN";

/// Bytes of an environment that are looked through. What runs with our variable was started with little more.
const ENVIRONMENT_LIMIT: u64 = 128 * 1024;

/// How long processes that go on starting others are chased.
const LIMIT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(10);

/// A secret that only processes of one run know.
pub(crate) struct Mark(String);

impl Mark {
    /// A new one. `None` if there is no randomness to be had: then nothing is marked.
    pub(crate) fn new() -> Option<Self> {
        let mut bytes = [0; 16];
        aws_lc_rs::rand::fill(&mut bytes).ok()?;
        Some(Self(format!("{:032x}", u128::from_be_bytes(bytes))))
    }

    /// The command with the mark in its environment.
    pub(crate) fn on(&self, spec: &CommandSpec) -> CommandSpec {
        let mut spec = spec.clone();
        spec.env.push((VARIABLE.to_owned(), self.0.clone()));
        spec
    }

    /// Kills whatever bears the mark; true when nothing does any more.
    pub(crate) fn end_bearers(&self) -> bool {
        let started = Instant::now();
        loop {
            let bearers = self.bearers();
            if bearers.is_empty() {
                return true;
            }
            if started.elapsed() >= LIMIT {
                return false;
            }
            for bearer in bearers {
                // Fails only for one that ended meanwhile.
                let _: rustix::io::Result<()> = pidfd_send_signal(bearer, Signal::KILL);
            }
            thread::sleep(PAUSE);
        }
    }

    /// Handles of the processes that bear the mark. A handle is taken before the look, so that a process id that is
    /// used again cannot be mistaken.
    fn bearers(&self) -> Vec<OwnedFd> {
        let wanted = format!("{VARIABLE}={}", self.0);
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        ids.filter_map(|id| {
            let handle = pidfd_open(Pid::from_raw(id)?, PidfdFlags::empty()).ok()?;
            let mut environment = Vec::new();
            let file = File::open(format!("/proc/{id}/environ")).ok()?;
            file.take(ENVIRONMENT_LIMIT).read_to_end(&mut environment).ok()?;
            let bears = environment.split(|byte| *byte == 0).any(|word| word == wanted.as_bytes());
            bears.then_some(handle)
        })
        .collect()
    }
}

/// Runs in a virtual machine, with a process id as its name: kills that process and its descendants.
const END_TREE: &str = r#"tree() {
    echo "$1"
    for child in $(cat /proc/"$1"/task/*/children 2>/dev/null); do tree "$child"; done
}
kill -KILL $(tree "$0")"#;

/// The command line that has the agent of a machine end a process that it started.
pub(crate) fn end_in_machine(qm: &str, id: u32, process: i64) -> [String; 11] {
    let (id, process) = (id.to_string(), process.to_string());
    [qm, "guest", "exec", &id, "--timeout", "10", "--", "/bin/sh", "-c", END_TREE, &process]
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn what_bears_the_mark_is_ended_wherever_it_went_and_nothing_else() {
        let (mark, other) = (Mark::new().unwrap(), Mark::new().unwrap());
        let start = |mark: &Mark, script: &str| {
            Command::new("/bin/sh").args(["-c", script]).env(VARIABLE, &mark.0).spawn().unwrap()
        };
        let mut family = start(&mark, "setsid sleep 1000 & sleep 1000");
        let mut stranger = start(&other, "exec sleep 1000");
        while mark.bearers().len() < 3 {
            thread::yield_now();
        }
        assert!(mark.end_bearers());
        assert!(!family.wait().unwrap().success());
        assert_eq!(stranger.try_wait().unwrap(), None);
        assert!(other.end_bearers());
        stranger.wait().unwrap();
    }

    #[test]
    fn a_process_of_a_machine_is_ended_with_its_descendants() {
        let mut family =
            Command::new("/bin/sh").args(["-c", "sh -c 'sleep 1000 & wait' & wait"]).spawn().unwrap();
        let children =
            |id: &str| fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        let first = |id: &str| loop {
            if let Some(child) = children(id).split_whitespace().next() {
                return child.to_owned();
            }
        };
        let grandchild = first(&first(&family.id().to_string()));
        let argv = end_in_machine("qm", 1001, i64::from(family.id()));
        assert!(Command::new(&argv[7]).args(&argv[8..]).status().unwrap().success());
        assert!(!family.wait().unwrap().success());
        let state = |id: &str| fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        while !state(&grandchild).is_empty() && !state(&grandchild).contains(") Z ") {
            thread::yield_now();
        }
    }
}
