//! The supervisor's side: run one command, end it when its time is up or the caller is gone, report.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, exit};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::process::{
    DumpableBehavior, Signal, WaitStatus, getpid, set_child_subreaper, set_dumpable_behavior, setsid,
};
use zeroize::Zeroizing;

use crate::capture::Stream;
use crate::confine::Held;
use crate::family::Family;
use crate::launch::Launched;
use crate::measure::Confinement;
use crate::outcome::{Ended, Finished};
use crate::spec::CommandSpec;
use crate::{launch, system, wire};

/// First argument that makes an executable a supervisor.
pub const SUPERVISOR_ROLE: &str = "--supervise-command";

/// How long SIGKILL may take. Only processes stuck in the kernel are not gone in microseconds.
pub(crate) const KILL_LIMIT: Duration = Duration::from_secs(5);

/// How often orphans that ended are buried while the command runs.
const BURIAL: Duration = Duration::from_millis(250);

/// The first line of `main` of every executable that uses [`crate::Supervised::current`]. Returns at once, or,
/// when this process was started as a supervisor, never.
pub fn supervisor_main_if_asked() {
    if std::env::args_os().nth(1).is_none_or(|role| role != SUPERVISOR_ROLE) {
        return;
    }
    match supervise() {
        Ok(()) => exit(0),
        Err(error) => {
            let _: io::Result<()> = writeln!(io::stderr(), "command supervisor: {error}");
            exit(1);
        }
    }
}

fn supervise() -> io::Result<()> {
    settle()?;
    let spec = wire::read_order(&mut io::stdin().lock())?;
    let finished = match launch::launch(&spec) {
        Ok(launched) => watch(launched, spec)?,
        Err(error) => not_started(&error),
    };
    match wire::write_report(&mut io::stdout().lock(), &finished) {
        // Nobody is there to tell it to.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

fn watch(launched: Launched, spec: CommandSpec) -> io::Result<Finished> {
    let Launched { child, confinement, held } = launched;
    let finished = Watch::new(child, spec)?.run(&held)?;
    drop(held);
    Ok(Finished { confinement, ..finished })
}

/// Makes this process fit for its duty.
fn settle() -> io::Result<()> {
    system::close_inherited()?;
    system::default_signals();
    system::ignore_requests_to_end();
    // Out of reach of the terminal and of signals to the caller's group.
    setsid()?;
    // The input of the command may be a secret: no core file, no look into this process's memory.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(set_child_subreaper(Some(getpid()))?)
}

fn not_started(error: &io::Error) -> Finished {
    let errno = error.raw_os_error().unwrap_or(0);
    Finished::unstarted(Ended::NotStarted { errno, text: error.to_string() })
}

/// Why a command is being ended.
#[derive(Clone, Copy, Debug)]
enum Cause {
    TimeLimit,
    CallerGone,
}

/// How far its ending has come.
#[derive(Clone, Copy, Debug)]
enum Phase {
    Running,
    Asked(Cause),
    Killed(Cause),
}

/// A command that runs.
#[derive(Debug)]
struct Watch {
    family: Family,
    stdout: Stream,
    stderr: Stream,
    input: Input,
    caller_gone: bool,
    phase: Phase,
    /// When the phase ends. `None`: further ahead than the clock counts.
    until: Option<Instant>,
    grace: Duration,
    started: Instant,
}

impl Watch {
    fn new(mut child: Child, mut spec: CommandSpec) -> io::Result<Self> {
        let started = Instant::now();
        fcntl_setfl(io::stdin(), OFlags::NONBLOCK)?;
        Ok(Self {
            family: Family::of(&child)?,
            stdout: Stream::new(child.stdout.take().map(OwnedFd::from), spec.output_limit)?,
            stderr: Stream::new(child.stderr.take().map(OwnedFd::from), spec.output_limit)?,
            input: Input::new(child.stdin.take().map(OwnedFd::from), spec.stdin.take())?,
            caller_gone: false,
            phase: Phase::Running,
            until: started.checked_add(spec.timeout),
            grace: spec.grace,
            started,
        })
    }

    fn run(mut self, held: &Held) -> io::Result<Finished> {
        while !self.family.command_ended() && self.advance() {
            self.wait()?;
            self.stdout.drain();
            self.stderr.drain();
            self.input.feed();
            self.family.bury_orphans();
        }
        let duration = self.started.elapsed();
        // What still runs is ended before the last drain: a background child that holds the output open would
        // never let it end.
        held.end();
        let remains = self.family.end(KILL_LIMIT);
        Ok(Finished {
            ended: ended(self.phase, remains.status)?,
            stdout: self.stdout.finish(),
            stderr: self.stderr.finish(),
            duration,
            survivors_killed: remains.killed,
            survivors_left: remains.left,
            confinement: Confinement::default(),
        })
    }

    /// Escalates when it is time to. False when there is nothing more to try.
    fn advance(&mut self) -> bool {
        let due = self.until.is_some_and(|until| Instant::now() >= until);
        match self.phase {
            Phase::Running if self.caller_gone => self.ask(Cause::CallerGone),
            Phase::Running if due => self.ask(Cause::TimeLimit),
            Phase::Asked(cause) if due => self.enter(Phase::Killed(cause), Signal::KILL, KILL_LIMIT),
            Phase::Killed(_) if due => return false,
            Phase::Running | Phase::Asked(_) | Phase::Killed(_) => {}
        }
        true
    }

    fn ask(&mut self, cause: Cause) {
        self.enter(Phase::Asked(cause), Signal::TERM, self.grace);
        // A stopped process gets SIGTERM only when it goes on.
        self.family.signal(Signal::CONT);
    }

    fn enter(&mut self, phase: Phase, signal: Signal, limit: Duration) {
        self.family.signal(signal);
        self.phase = phase;
        self.until = Instant::now().checked_add(limit);
    }

    /// Waits until something happens.
    fn wait(&mut self) -> io::Result<()> {
        let control = io::stdin();
        let left = self.until.map_or(BURIAL, |until| until.saturating_duration_since(Instant::now()));
        let timeout = Timespec::try_from(left.min(BURIAL)).map_err(io::Error::other)?;
        let mut watched = vec![PollFd::from_borrowed_fd(self.family.descriptor(), PollFlags::IN)];
        let readable = [self.stdout.descriptor(), self.stderr.descriptor()];
        watched.extend(readable.into_iter().flatten().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        watched.extend(self.input.descriptor().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::OUT)));
        if !self.caller_gone {
            watched.push(PollFd::from_borrowed_fd(control.as_fd(), PollFlags::IN));
        }
        match poll(&mut watched, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        // Nothing but its end is expected on the order pipe.
        let mut byte = [0];
        self.caller_gone |= rustix::io::read(control.as_fd(), &mut byte) != Err(rustix::io::Errno::AGAIN);
        Ok(())
    }
}

fn ended(phase: Phase, status: Option<WaitStatus>) -> io::Result<Ended> {
    Ok(match phase {
        Phase::Asked(Cause::TimeLimit) => Ended::TimedOut { killed: false },
        Phase::Killed(Cause::TimeLimit) => Ended::TimedOut { killed: true },
        Phase::Asked(Cause::CallerGone) => Ended::Cancelled { killed: false },
        Phase::Killed(Cause::CallerGone) => Ended::Cancelled { killed: true },
        Phase::Running => {
            let signaled = status.and_then(WaitStatus::terminating_signal).map(Ended::Signaled);
            let exited = status.and_then(WaitStatus::exit_status).map(Ended::Exited);
            signaled.or(exited).ok_or_else(|| io::Error::other("the command's exit status is lost"))?
        }
    })
}

/// The writing end of the command's standard input.
#[derive(Debug)]
struct Input {
    pipe: Option<File>,
    bytes: Zeroizing<Vec<u8>>,
    written: usize,
}

impl Input {
    fn new(pipe: Option<OwnedFd>, bytes: Option<Zeroizing<Vec<u8>>>) -> io::Result<Self> {
        if let Some(pipe) = &pipe {
            fcntl_setfl(pipe, OFlags::NONBLOCK)?;
        }
        let mut input = Self { pipe: pipe.map(File::from), bytes: bytes.unwrap_or_default(), written: 0 };
        input.feed();
        Ok(input)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Writes what the pipe takes; closes it at the end, or when nobody reads it.
    fn feed(&mut self) {
        while let Some(pipe) = &mut self.pipe {
            let rest = self.bytes.get(self.written..).unwrap_or_default();
            if rest.is_empty() {
                self.pipe = None;
                return;
            }
            match pipe.write(rest) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => self.pipe = None,
            }
        }
    }
}
