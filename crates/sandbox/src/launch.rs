//! From fork to exec.

use std::io;
use std::process::{Child, Command, Stdio};

use rustix::fs::Mode;
use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal, setsid, umask};
use rustix::thread::set_no_new_privs;

use crate::spec::{CommandSpec, DEFAULT_PATH};
use crate::system;

/// Starts the command in a session and process group of its own.
///
/// # Errors
/// What fork, the preparation or exec said; the command did not run then.
pub(crate) fn launch(spec: &CommandSpec) -> io::Result<Child> {
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
    system::between_fork_and_exec(&mut command, move || confine(supervisor));
    command.spawn()
}

/// Runs in the child before exec. A confinement profile is applied at its end, when everything that needs the
/// supervisor's rights is done.
fn confine(supervisor: Pid) -> io::Result<()> {
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
