//! The caller's side: start a supervisor, hand it the order, wait for its report.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use zeroize::Zeroizing;

use crate::cancel::Cancel;
use crate::outcome::Finished;
use crate::spec::CommandSpec;
use crate::supervisor::{KILL_LIMIT, SUPERVISOR_ROLE};
use crate::wire;

/// Why there is no report about a command. How a command itself ended is never an error: see
/// [`crate::Ended`].
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The command is not one that could be run.
    #[error("cannot run this command: {0}")]
    Defective(String),
    /// The supervisor process could not be started or talked to.
    #[error("cannot start a supervisor for {program}: {source}")]
    Supervisor {
        /// Program that was to be run.
        program: String,
        /// What went wrong.
        source: std::io::Error,
    },
    /// The supervisor ended without a report: it was killed, or has a fault.
    #[error("the supervisor of {program} ended without a report ({status}); whether the command ran is unknown")]
    Lost {
        /// Program that was to be run.
        program: String,
        /// How the supervisor ended.
        status: String,
    },
    /// The supervisor did not report long after the time limit, and was killed.
    #[error("the supervisor of {program} did not report and was killed; whether the command ended is unknown")]
    Hung {
        /// Program that was to be run.
        program: String,
    },
}

/// Something that can run a command and tell how it ended.
pub trait Runner: Send + Sync {
    /// Runs a command to its end, at most for its time limit and grace. Blocks the thread.
    ///
    /// # Errors
    /// [`SandboxError`] when nothing is known about the command. How it ended is in [`Finished`].
    fn run(&self, spec: &CommandSpec, cancel: &Cancel) -> Result<Finished, SandboxError>;
}

/// Runs commands below a supervisor process.
#[derive(Clone, Debug)]
pub struct Supervised {
    executable: PathBuf,
}

impl Supervised {
    /// With the running executable as supervisor, whose `main` must begin with
    /// [`crate::supervisor_main_if_asked`]. Works on after the file was replaced by an upgrade.
    pub fn current() -> Self {
        Self::new("/proc/self/exe")
    }

    /// With another executable as supervisor.
    pub fn new(executable: impl Into<PathBuf>) -> Self {
        Self { executable: executable.into() }
    }
}

impl Runner for Supervised {
    fn run(&self, spec: &CommandSpec, cancel: &Cancel) -> Result<Finished, SandboxError> {
        if let Some(defect) = spec.defect() {
            return Err(SandboxError::Defective(defect));
        }
        let failed = |source| SandboxError::Supervisor { program: spec.program().to_owned(), source };
        let order = wire::encode_order(spec).map_err(failed)?;
        let supervisor = self.start().map_err(failed)?;
        let deadline = Instant::now().checked_add(patience(spec));
        let mut talk = Conversation::new(supervisor, order, deadline).map_err(failed)?;
        let heard = talk.hold(cancel).map_err(failed)?;
        let status = talk.part();
        match heard {
            Heard::Nothing => Err(SandboxError::Hung { program: spec.program().to_owned() }),
            Heard::Report(report) => wire::read_report(&mut report.as_slice())
                .map_err(|_| SandboxError::Lost { program: spec.program().to_owned(), status }),
        }
    }
}

/// How long a supervisor can take at most, and some.
fn patience(spec: &CommandSpec) -> Duration {
    const MARGIN: Duration = Duration::from_secs(15);
    // Twice the limit for SIGKILL: once for the command's group, once for its orphans.
    spec.timeout.saturating_add(spec.grace).saturating_add(KILL_LIMIT * 2 + MARGIN)
}

impl Supervised {
    fn start(&self) -> io::Result<Child> {
        Command::new(&self.executable)
            .arg0("phoenix-supervisor")
            .arg(SUPERVISOR_ROLE)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
    }
}

/// What came from the supervisor.
enum Heard {
    /// Everything it wrote until it closed its end.
    Report(Vec<u8>),
    /// It is still there, long after it should have ended.
    Nothing,
}

/// The two pipes to one supervisor.
struct Conversation {
    supervisor: Child,
    /// Dropping it tells the supervisor to end everything.
    control: Option<File>,
    order: Zeroizing<Vec<u8>>,
    written: usize,
    answer: File,
    report: Vec<u8>,
    deadline: Option<Instant>,
}

impl Conversation {
    fn new(mut child: Child, order: Zeroizing<Vec<u8>>, deadline: Option<Instant>) -> io::Result<Self> {
        let (Some(control), Some(answer)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("the supervisor has no pipes"));
        };
        let (control, answer) = (OwnedFd::from(control), OwnedFd::from(answer));
        fcntl_setfl(&control, OFlags::NONBLOCK)?;
        fcntl_setfl(&answer, OFlags::NONBLOCK)?;
        Ok(Self {
            supervisor: child,
            control: Some(File::from(control)),
            order,
            written: 0,
            answer: File::from(answer),
            report: Vec::new(),
            deadline,
        })
    }

    /// Sends the order and listens until the supervisor closes its end, or for too long.
    fn hold(&mut self, cancel: &Cancel) -> io::Result<Heard> {
        let mut cancelled = false;
        loop {
            self.send();
            if cancelled && self.sent() {
                self.control = None;
            }
            if self.listen()? {
                return Ok(Heard::Report(std::mem::take(&mut self.report)));
            }
            let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Ok(Heard::Nothing);
            }
            let switch = if cancelled { None } else { cancel.descriptor() };
            cancelled |= self.wait(switch, left)?;
        }
    }

    fn sent(&self) -> bool {
        self.control.is_none() || self.written == self.order.len()
    }

    fn send(&mut self) {
        while let Some(control) = &mut self.control
            && let Some(rest) = self.order.get(self.written..)
            && !rest.is_empty()
        {
            match control.write(rest) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // It is gone; what it left to read tells the rest.
                Err(_) => self.control = None,
            }
        }
    }

    /// Takes what is there. True at the end.
    fn listen(&mut self) -> io::Result<bool> {
        match self.answer.read_to_end(&mut self.report) {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Waits until something can be done. True when the switch went on.
    fn wait(&self, switch: Option<BorrowedFd<'_>>, left: Option<Duration>) -> io::Result<bool> {
        let mut watched = vec![PollFd::from_borrowed_fd(self.answer.as_fd(), PollFlags::IN)];
        if let (false, Some(control)) = (self.sent(), &self.control) {
            watched.push(PollFd::from_borrowed_fd(control.as_fd(), PollFlags::OUT));
        }
        watched.extend(switch.map(|switch| PollFd::from_borrowed_fd(switch, PollFlags::IN)));
        let timeout = left.map(Timespec::try_from).transpose().map_err(io::Error::other)?;
        match poll(&mut watched, timeout.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        let last = watched.last().map(PollFd::revents);
        Ok(switch.is_some() && last.is_some_and(|events| events.contains(PollFlags::IN)))
    }

    /// Ends the supervisor, which has nothing left to do, and tells how it ended.
    fn part(&mut self) -> String {
        self.control = None;
        // At the end of its output it is about to exit, but may still have to be scheduled.
        let ended = pidfd_of(&self.supervisor).is_ok_and(|handle| {
            let timeout = Timespec { tv_sec: 1, tv_nsec: 0 };
            poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&timeout)).is_ok_and(|ready| ready > 0)
        });
        if !ended {
            // Fails only if it ended meanwhile.
            let _: io::Result<()> = self.supervisor.kill();
        }
        self.supervisor.wait().map_or_else(|error| error.to_string(), |status| status.to_string())
    }
}

/// Whatever happens on the way, no supervisor is left behind: the end of its order pipe ends the command too.
impl Drop for Conversation {
    fn drop(&mut self) {
        self.control = None;
        let _: io::Result<Option<ExitStatus>> = self.supervisor.try_wait();
    }
}

fn pidfd_of(child: &Child) -> io::Result<OwnedFd> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH)?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}
