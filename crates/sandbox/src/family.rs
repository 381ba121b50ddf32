//! The command's process group and everything that was reparented to its supervisor.
//!
//! A child that was not waited for keeps its process id, so ids read from the list of our own children cannot
//! belong to somebody else when the signal is sent: only this single-threaded process could free them.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Child;
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitOptions, WaitStatus, kill_process,
    kill_process_group, pidfd_open, wait, waitid, waitpid,
};

/// Pause between two looks at children that were sent SIGKILL and are not yet gone.
const PAUSE: Duration = Duration::from_millis(2);

/// A running command and its descendants.
#[derive(Debug)]
pub(crate) struct Family {
    command: Pid,
    handle: OwnedFd,
}

/// What was left when everything was over.
#[derive(Debug, Default)]
pub(crate) struct Remains {
    /// How the command itself ended. `None` if it could not be killed.
    pub(crate) status: Option<WaitStatus>,
    /// Descendants that were killed.
    pub(crate) killed: u32,
    /// Processes that could not be killed.
    pub(crate) left: u32,
}

impl Family {
    /// The family of a child that was just started as leader of its own group.
    pub(crate) fn of(child: &Child) -> io::Result<Self> {
        let command = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let command = command.ok_or(Errno::SRCH)?;
        Ok(Self { command, handle: pidfd_open(command, PidfdFlags::empty())? })
    }

    /// Readable once the command itself ended.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }

    /// True once the command itself ended. It stays a zombie, so that its group id remains ours.
    pub(crate) fn command_ended(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        match waitid(WaitId::PidFd(self.handle.as_fd()), options) {
            Ok(status) => status.is_some(),
            Err(error) => error != Errno::INTR,
        }
    }

    /// Signals the command's process group. Valid until [`Family::end`].
    pub(crate) fn signal(&self, signal: Signal) {
        // Fails only when nobody is left in the group.
        let _: rustix::io::Result<()> = kill_process_group(self.command, signal);
    }

    /// Frees the process ids of orphans that ended.
    pub(crate) fn bury_orphans(&self) {
        for orphan in children().into_iter().filter(|pid| *pid != self.command) {
            // Still running, or freed: both are fine.
            let _: rustix::io::Result<_> = waitpid(Some(orphan), WaitOptions::NOHANG);
        }
    }

    /// Kills and reaps everything, orphans in sessions of their own included, for at most `limit`.
    pub(crate) fn end(self, limit: Duration) -> Remains {
        let started = Instant::now();
        let mut remains = Remains::default();
        loop {
            if remains.status.is_none() {
                self.signal(Signal::KILL);
            }
            for child in children() {
                // Fails only for one that ended meanwhile.
                let _: rustix::io::Result<()> = kill_process(child, Signal::KILL);
            }
            if self.reap(&mut remains) {
                return remains;
            }
            if started.elapsed() >= limit {
                remains.left = (children().len() as u32).max(1);
                return remains;
            }
            thread::sleep(PAUSE);
        }
    }

    /// Reaps who ended. True when no child is left.
    fn reap(&self, remains: &mut Remains) -> bool {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.command => remains.status = Some(status),
                Ok(Some((_, status))) => {
                    remains.killed += u32::from(status.terminating_signal() == Some(Signal::KILL.as_raw()));
                }
                Ok(None) => return false,
                Err(Errno::INTR) => {}
                Err(_) => return true,
            }
        }
    }
}

/// Process ids of our own children, zombies included: proc_pid_task(5). One that is born or reparented during
/// the read may be missed, which is why callers look again.
fn children() -> Vec<Pid> {
    let list = fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
    list.split_ascii_whitespace().filter_map(|id| id.parse().ok().and_then(Pid::from_raw)).collect()
}
