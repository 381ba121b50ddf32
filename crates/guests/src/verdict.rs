//! From how a command ended to success or trouble.

use std::fmt::Display;

use phoenix_core::reason::{Reason, Trouble};
use phoenix_sandbox::{Ended, Finished};

use crate::answer::{self, GuestEnded, GuestResult};
use crate::call::Call;
use crate::excerpt::excerpt;
use crate::words;

/// Whether a command succeeded, however its program tells it.
///
/// A `qm guest exec` whose command outlasted `qm` is a [`Reason::CommandTimeout`] here;
/// [`crate::Hypervisor::run`] follows it up first.
///
/// # Errors
/// A sentence about what went wrong and where, with the reason that decides about retries.
pub fn understand(argv: &[String], finished: &Finished) -> Result<(), Trouble> {
    Verdict { label: &label(argv), call: Call::of(argv), finished }.result()
}

/// How a command is called in messages.
pub(crate) fn label(argv: &[String]) -> String {
    const LIMIT: usize = 160;
    let line = excerpt(&argv.join(" "));
    match line.char_indices().nth(LIMIT) {
        Some((end, _)) => format!("`{}…`", line.get(..end).unwrap_or_default()),
        None => format!("`{line}`"),
    }
}

/// How a finished command is judged, under the name that messages give it.
pub(crate) struct Verdict<'a> {
    pub(crate) label: &'a str,
    pub(crate) call: Call,
    pub(crate) finished: &'a Finished,
}

impl Verdict<'_> {
    pub(crate) fn result(&self) -> Result<(), Trouble> {
        match self.call {
            Call::AgentExec(_) => self.guest(&self.agent_result()?),
            Call::ContainerExec(_) => self.container(),
            Call::ContainerPush(_) => self.push(),
            Call::Other(_) => self.program(),
            Call::Plain => self.exit_code(),
        }
    }

    /// What the guest agent reported.
    pub(crate) fn agent_result(&self) -> Result<GuestResult, Trouble> {
        self.program()?;
        answer::parse(&self.finished.stdout).map_err(|unclear| {
            let what = format!("cannot be judged, for {unclear}");
            self.trouble_with(Reason::CommandFailed, &what, &self.finished.stderr.text())
        })
    }

    /// Judges what the guest agent reported.
    pub(crate) fn guest(&self, result: &GuestResult) -> Result<(), Trouble> {
        let words = if result.stderr.trim().is_empty() { &result.stdout } else { &result.stderr };
        let (reason, what) = match result.ended {
            GuestEnded::Exited(0) => return Ok(()),
            GuestEnded::Exited(code) => (Reason::CommandFailed, format!("exited with code {code}")),
            GuestEnded::Signaled(signal) => {
                (Reason::CommandKilled, format!("was killed by {}", signal_name(signal)))
            }
            GuestEnded::Running(_) => {
                let what = "was still running when its time was up, and runs on in the guest";
                (Reason::CommandTimeout, what.to_owned())
            }
        };
        Err(self.trouble_with(reason, &what, words))
    }

    /// The program's own failure, by its words where they are known.
    fn program(&self) -> Result<(), Trouble> {
        let Ended::Exited(code) = self.finished.ended else { return self.exit_code() };
        if code == 0 {
            return Ok(());
        }
        match self.known_words() {
            Some(reason) => Err(self.trouble(reason, &format!("failed with exit code {code}"))),
            None => self.exit_code(),
        }
    }

    /// By the words of `pct` and `lxc-attach`, or by the exit code.
    fn container(&self) -> Result<(), Trouble> {
        let Ended::Exited(code @ 1..) = self.finished.ended else { return self.exit_code() };
        let known = self.known_words().filter(|_| !matches!(code, 126 | 127));
        match known.or_else(|| words::of_attach(&self.finished.stderr.text())) {
            Some(reason) => Err(self.trouble(reason, &format!("failed with exit code {code}"))),
            None => self.container_code(code),
        }
    }

    /// As [`Verdict::result`] for a container that is known to run: no words say that it does not.
    pub(crate) fn in_running_container(&self) -> Result<(), Trouble> {
        match self.finished.ended {
            Ended::Exited(code @ 1..) if words::of_attach(&self.finished.stderr.text()).is_some() => {
                Err(self.trouble(Reason::CommandNotStarted, &format!("failed with exit code {code}")))
            }
            Ended::Exited(code @ 1..) => self.container_code(code),
            _ => self.exit_code(),
        }
    }

    /// As lxc-attach(1) and every shell tell it.
    fn container_code(&self, code: i32) -> Result<(), Trouble> {
        let (reason, what) = match code {
            126 => (Reason::CommandNotStarted, "is not executable in the guest (exit code 126)".to_owned()),
            127 => (Reason::CommandNotStarted, "was not found in the guest (exit code 127)".to_owned()),
            129..=192 => {
                let signal = signal_name(code - 128);
                (Reason::CommandKilled, format!("was killed by {signal} (exit code {code})"))
            }
            _ => return self.exit_code(),
        };
        Err(self.trouble(reason, &what))
    }

    fn known_words(&self) -> Option<Reason> {
        words::of_program(&self.finished.stderr.text(), self.call.kind()?, self.call.guest())
    }

    /// A push that failed in its worker exits with 0.
    fn push(&self) -> Result<(), Trouble> {
        self.program()?;
        if self.finished.stderr.text().lines().any(|line| line.starts_with("failed to ")) {
            return Err(self.trouble(Reason::CommandFailed, "failed, although its exit code is 0"));
        }
        Ok(())
    }

    fn exit_code(&self) -> Result<(), Trouble> {
        let (reason, what) = match &self.finished.ended {
            Ended::Exited(0) => return Ok(()),
            Ended::Exited(code) => (Reason::CommandFailed, format!("exited with code {code}")),
            Ended::Signaled(signal) => {
                (Reason::CommandKilled, format!("was killed by {}", signal_name(*signal)))
            }
            Ended::TimedOut { killed } => {
                let how = if *killed { " with SIGKILL" } else { "" };
                let after = self.finished.duration.as_secs_f64();
                (Reason::CommandTimeout, format!("was ended{how} after {after:.1} s: its time was up"))
            }
            Ended::Cancelled { .. } => {
                (Reason::CommandKilled, "was ended because the service stops".to_owned())
            }
            Ended::NotStarted { text, .. } => {
                (Reason::CommandNotStarted, format!("could not be started: {text}"))
            }
        };
        Err(self.trouble(reason, &what))
    }

    fn trouble(&self, reason: Reason, what: &str) -> Trouble {
        let (stdout, stderr) = (self.finished.stdout.text(), self.finished.stderr.text());
        self.trouble_with(reason, what, if stderr.trim().is_empty() { &stdout } else { &stderr })
    }

    fn trouble_with(&self, reason: Reason, what: &str, words: &str) -> Trouble {
        let guest = self.call.guest();
        let place = guest.map(|guest| format!(" ({guest})")).unwrap_or_default();
        let mut message = format!("{}{place} {what}", self.label);
        let said = excerpt(words);
        if !said.is_empty() {
            message = format!("{message}: {said}");
        }
        if let Some(advice) = words::advice(reason, guest) {
            message = format!("{message}; {advice}");
        }
        Trouble::new(reason, message)
    }
}

fn signal_name(signal: impl Into<i64> + Display + Copy) -> String {
    let name = match signal.into() {
        1 => " (SIGHUP)",
        2 => " (SIGINT)",
        6 => " (SIGABRT)",
        9 => " (SIGKILL)",
        11 => " (SIGSEGV)",
        13 => " (SIGPIPE)",
        15 => " (SIGTERM)",
        _ => "",
    };
    format!("signal {signal}{name}")
}

#[cfg(test)]
mod tests;
