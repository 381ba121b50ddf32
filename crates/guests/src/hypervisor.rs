//! Running commands, following up those that outlast `qm`.

use std::time::{Duration, Instant};

use phoenix_core::manifest::{Guest, GuestKind};
use phoenix_core::reason::{Reason, Trouble};
use phoenix_sandbox::{Cancel, CommandSpec, Ended, Finished, Runner, SandboxError};
use zeroize::Zeroizing;

use crate::answer::{GuestEnded, GuestResult};
use crate::call::{Call, with_time_limit};
use crate::review::reviewed;
use crate::survivors::{self, Mark};
use crate::verdict::{Verdict, label, understand};

/// What `qm` needs beyond the command's own time: it pings and synchronises the agent first, and each exchange
/// with the agent may take five seconds.
const AGENT_SLACK: Duration = Duration::from_secs(15);

/// Absolute paths of the programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programs {
    /// pct(1).
    pub pct: String,
    /// qm(1).
    pub qm: String,
}

impl Default for Programs {
    fn default() -> Self {
        Self { pct: "/usr/sbin/pct".into(), qm: "/usr/sbin/qm".into() }
    }
}

/// What a command that succeeded printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Standard output; of the guest's command, for one that ran in a guest.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Runs commands on the host and, through `pct` and `qm`, in its guests.
#[derive(Clone, Copy)]
pub struct Hypervisor<'a> {
    runner: &'a dyn Runner,
    programs: &'a Programs,
    cancel: &'a Cancel,
    pause: Duration,
}

impl<'a> Hypervisor<'a> {
    /// Commands run by `runner` until `cancel` ends them.
    pub fn new(runner: &'a dyn Runner, programs: &'a Programs, cancel: &'a Cancel) -> Self {
        Self { runner, programs, cancel, pause: Duration::from_secs(1) }
    }

    /// Sets how long to wait between two questions after a command that outlasted `qm`; one second otherwise.
    pub fn asking_every(self, pause: Duration) -> Self {
        Self { pause, ..self }
    }

    /// Runs a command, whichever program it is, to its true end: a `qm guest exec` that answers only with a
    /// process id is asked about until the command's own time limit.
    ///
    /// # Errors
    /// What went wrong, with the reason that decides about retries.
    pub fn run(&self, spec: &CommandSpec) -> Result<Said, Trouble> {
        self.run_as(&label(&spec.argv), Call::of(&spec.argv), spec)
    }

    /// Runs a program in a guest.
    ///
    /// # Errors
    /// As [`Hypervisor::run`]; messages call the command `label`.
    pub fn exec(&self, label: &str, guest: Guest, command: GuestCommand<'_>) -> Result<Said, Trouble> {
        let id = guest.id.to_string();
        let program = self.program(guest.kind).to_owned();
        let (mut argv, call) = match guest.kind {
            GuestKind::Lxc => (vec![program, "exec".into(), id], Call::ContainerExec(Some(guest))),
            GuestKind::Vm => (vec![program, "guest".into(), "exec".into(), id], Call::AgentExec(Some(guest))),
        };
        if command.stdin.is_some() && guest.kind == GuestKind::Vm {
            argv.extend(["--pass-stdin".to_owned(), "1".to_owned()]);
        }
        argv.push("--".to_owned());
        argv.extend(command.argv.iter().map(|word| (*word).to_owned()));
        let spec = CommandSpec { stdin: command.stdin, ..CommandSpec::new(argv).timeout(command.timeout) };
        self.run_as(label, call, &spec)
    }

    fn run_as(&self, label: &str, call: Call, spec: &CommandSpec) -> Result<Said, Trouble> {
        match call {
            Call::AgentExec(_) => self.run_by_agent(label, call, spec),
            Call::ContainerExec(_) => {
                let finished = self.finish_in_container(label, spec)?;
                let verdict = Verdict { label, call, finished: &finished };
                let done = verdict.result().map_err(|trouble| match call.guest() {
                    Some(guest) => reviewed(self, guest, trouble, || verdict.in_running_container().err()),
                    None => trouble,
                });
                done.map(|()| said(&finished))
            }
            call => {
                let finished = self.finish(label, spec)?;
                Verdict { label, call, finished: &finished }.result()?;
                Ok(said(&finished))
            }
        }
    }

    fn run_by_agent(&self, label: &str, call: Call, spec: &CommandSpec) -> Result<Said, Trouble> {
        let deadline = Instant::now().checked_add(spec.timeout);
        let mut asked = spec.clone();
        asked.argv = with_time_limit(&spec.argv, spec.timeout);
        asked.timeout = spec.timeout.saturating_add(AGENT_SLACK);
        let finished = self.finish(label, &asked)?;
        let verdict = Verdict { label, call, finished: &finished };
        let answered = verdict.agent_result().and_then(|result| match (result.ended, call.guest()) {
            (GuestEnded::Running(Some(pid)), Some(guest)) => {
                self.outlasting(label, spec.program(), guest, pid, deadline)
            }
            _ => Ok(result),
        });
        let result = answered.map_err(|trouble| match call.guest() {
            Some(guest) => reviewed(self, guest, trouble, || None),
            None => trouble,
        })?;
        verdict.guest(&result)?;
        Ok(Said { stdout: result.stdout, stderr: result.stderr })
    }

    /// What became of a command that outlasted `qm`. One whose time is up is ended.
    fn outlasting(
        &self,
        label: &str,
        qm: &str,
        guest: Guest,
        pid: i64,
        deadline: Option<Instant>,
    ) -> Result<GuestResult, Trouble> {
        let result = self.follow_up(label, qm, guest, pid, deadline)?;
        if matches!(result.ended, GuestEnded::Running(_)) && self.end(qm, guest, pid) {
            let message = format!("{label} ({guest}) was killed in the guest: its time was up");
            return Err(Trouble::new(Reason::CommandTimeout, message));
        }
        Ok(result)
    }

    /// Runs a command in a container. Nothing of one that was ended is left there.
    fn finish_in_container(&self, label: &str, spec: &CommandSpec) -> Result<Finished, Trouble> {
        let Some(mark) = Mark::new() else { return self.finish(label, spec) };
        let finished = self.finish(label, &mark.on(spec))?;
        if matches!(finished.ended, Ended::TimedOut { .. } | Ended::Cancelled { .. }) && !mark.end_bearers() {
            let message = format!("{label} was ended, but what it started in the guest cannot be killed");
            return Err(Trouble::new(Reason::CommandTimeout, message));
        }
        Ok(finished)
    }

    /// Has a process in a virtual machine killed, with its descendants; true if that was done.
    fn end(&self, qm: &str, guest: Guest, pid: i64) -> bool {
        let argv = survivors::end_in_machine(qm, guest.id, pid);
        let spec = CommandSpec::new(argv).timeout(AGENT_SLACK);
        let finished = self.finish("ending it", &spec);
        finished.is_ok_and(|finished| understand(&spec.argv, &finished).is_ok())
    }

    /// Asks about a process until it ended or its time is up. The agent tells the end of a process only once, so
    /// the first answer that is one counts.
    fn follow_up(
        &self,
        label: &str,
        qm: &str,
        guest: Guest,
        pid: i64,
        deadline: Option<Instant>,
    ) -> Result<GuestResult, Trouble> {
        let argv =
            [qm.to_owned(), "guest".into(), "exec-status".into(), guest.id.to_string(), pid.to_string()];
        let question = CommandSpec::new(argv).timeout(AGENT_SLACK);
        loop {
            let result = self.ask(label, guest, &question);
            match result {
                Ok(result) if !matches!(result.ended, GuestEnded::Running(_)) => return Ok(result),
                Ok(_) => {}
                // It may be busy, or held by a backup that freezes the file systems.
                Err(trouble) if trouble.reason == Reason::AgentMissing => {}
                Err(Trouble { reason, message }) => {
                    let message = format!("how {label} ended is not known: {message}");
                    return Err(Trouble::new(reason, message));
                }
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                let ended = GuestEnded::Running(Some(pid));
                return Ok(GuestResult {
                    ended,
                    stdout: String::new(),
                    stderr: String::new(),
                    truncated: false,
                });
            }
            if self.cancel.wait(self.pause) {
                let message = format!("{label} ({guest}) runs on in the guest while the service stops");
                return Err(Trouble::new(Reason::CommandKilled, message));
            }
        }
    }

    fn ask(&self, command: &str, guest: Guest, question: &CommandSpec) -> Result<GuestResult, Trouble> {
        let finished = self.finish(command, question)?;
        let label = label(&question.argv);
        Verdict { label: &label, call: Call::Other(Some(guest)), finished: &finished }.agent_result()
    }

    pub(crate) fn program(&self, kind: GuestKind) -> &'a str {
        match kind {
            GuestKind::Lxc => &self.programs.pct,
            GuestKind::Vm => &self.programs.qm,
        }
    }

    pub(crate) fn finish(&self, label: &str, spec: &CommandSpec) -> Result<Finished, Trouble> {
        self.runner.run(spec, self.cancel).map_err(|error| {
            let reason = match error {
                SandboxError::Defective(_) => Reason::CommandRefused,
                SandboxError::Supervisor { .. } | SandboxError::Lost { .. } | SandboxError::Hung { .. } => {
                    Reason::Internal
                }
            };
            Trouble::new(reason, format!("{label}: {error}"))
        })
    }
}

fn said(finished: &Finished) -> Said {
    Said { stdout: finished.stdout.text().into_owned(), stderr: finished.stderr.text().into_owned() }
}

/// A program to be run in a guest.
#[derive(Default)]
pub struct GuestCommand<'a> {
    /// Program and arguments, as the guest knows them.
    pub argv: &'a [&'a str],
    /// What it reads on standard input: at most 1 MiB for a virtual machine.
    pub stdin: Option<Zeroizing<Vec<u8>>>,
    /// How long it may run.
    pub timeout: Duration,
}
