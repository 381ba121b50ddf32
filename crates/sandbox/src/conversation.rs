//! The caller's talk with one supervisor: an order goes out, a report comes back, nothing blocks for ever.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use zeroize::Zeroizing;

use crate::cancel::Cancel;

/// What came from the supervisor.
pub(crate) enum Heard {
    /// Everything it wrote until it closed its end.
    Report(Vec<u8>),
    /// It is still there, long after it should have ended.
    Nothing,
}

/// The two pipes to one supervisor.
pub(crate) struct Conversation {
    supervisor: Child,
    /// Dropping it tells the supervisor to end everything.
    control: Option<File>,
    order: Zeroizing<Vec<u8>>,
    written: usize,
    answer: File,
    report: Vec<u8>,
    report_limit: u64,
    deadline: Option<Instant>,
}

impl Conversation {
    /// Talks about `order` until `deadline`; a report longer than `report_limit` is cut, and no report then.
    pub(crate) fn new(
        mut child: Child,
        order: Zeroizing<Vec<u8>>,
        report_limit: u64,
        deadline: Option<Instant>,
    ) -> io::Result<Self> {
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
            report_limit,
            deadline,
        })
    }

    /// Sends the order and listens until the supervisor closes its end, or for too long.
    pub(crate) fn hold(&mut self, cancel: &Cancel) -> io::Result<Heard> {
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
        let room = self.report_limit.saturating_sub(self.report.len() as u64);
        match (&mut self.answer).take(room).read_to_end(&mut self.report) {
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
    pub(crate) fn part(&mut self) -> String {
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
