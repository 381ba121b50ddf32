//! From fork to exec.

use std::io::{self, Error};
use std::process::{Child, Command, Stdio};

use rustix::fs::Mode;
use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal, setsid, umask};
use rustix::thread::set_no_new_privs;

use crate::confine::{self, Held};
use crate::measure::Confinement;
use crate::spec::{CommandSpec, DEFAULT_PATH};
use crate::system;

/// A command that was started.
pub(crate) struct Launched {
    pub(crate) child: Child,
    /// What confines it.
    pub(crate) confinement: Confinement,
    /// What has to be there until all its processes are gone.
    pub(crate) held: Held,
}

/// Starts the command in a session and process group of its own, confined as its profile says.
///
/// # Errors
/// What the preparation, fork or exec said; the command did not run then.
pub(crate) fn launch(spec: &CommandSpec) -> io::Result<Launched> {
    let prepared = confine::prepare(spec)?;
    let mut command = Command::new(spec.program());
    command
        .args(spec.argv.iter().skip(1))
        .env_clear()
        .env("PATH", DEFAULT_PATH)
        .envs(spec.env.iter().map(|(name, value)| (name, value)))
        .current_dir("/")
        .stdin(if spec.stdin.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let supervisor = getpid();
    let mut bonds = prepared.bonds;
    system::between_fork_and_exec(&mut command, move || {
        settle(supervisor)?;
        bonds.put_on()
    });
    let started = command.spawn();
    match (started, prepared.failures.first()) {
        (Ok(child), _) => Ok(Launched { child, confinement: prepared.confinement, held: prepared.held }),
        (Err(error), Some(step)) => {
            Err(Error::new(error.kind(), format!("the command was not started, for {step} failed: {error}")))
        }
        (Err(error), None) => Err(error),
    }
}

/// Runs in the child before exec: what is the same for every command, and needs the supervisor's rights.
fn settle(supervisor: Pid) -> io::Result<()> {
    setsid()?;
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // The supervisor may have died before the line above took effect.
    if getppid() != Some(supervisor) {
        return Err(rustix::io::Errno::SRCH.into());
    }
    // The command writes files that its consumers read; the caller's own mask is a stricter one.
    umask(Mode::WGRP | Mode::WOTH);
    system::default_signals();
    set_no_new_privs(true)?;
    system::close_on_exec()
}
