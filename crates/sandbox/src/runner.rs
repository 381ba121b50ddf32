//! The caller's side: start a supervisor, hand it the order, wait for its report.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::cancel::Cancel;
use crate::confine;
use crate::conversation::{Conversation, Heard};
use crate::outcome::{Ended, Finished};
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
    #[error(
        "the supervisor of {program} ended without a report ({status}); whether the command ran is unknown"
    )]
    Lost {
        /// Program that was to be run.
        program: String,
        /// How the supervisor ended.
        status: String,
    },
    /// The supervisor did not report long after the time limit, and was killed.
    #[error(
        "the supervisor of {program} did not report and was killed; whether the command ended is unknown"
    )]
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
        if cancel.is_cancelled() {
            return Ok(Finished::unstarted(Ended::Cancelled { killed: false }));
        }
        let failed = |source| SandboxError::Supervisor { program: spec.program().to_owned(), source };
        let order = wire::encode_order(spec).map_err(failed)?;
        let supervisor = self.start().map_err(failed)?;
        let id = supervisor.id();
        let deadline = Instant::now().checked_add(patience(spec));
        let mut talk =
            Conversation::new(supervisor, order, wire::report_limit(spec), deadline).map_err(failed)?;
        let heard = talk.hold(cancel).map_err(failed)?;
        let status = talk.part();
        let program = || spec.program().to_owned();
        let told = match heard {
            Heard::Nothing => Err(SandboxError::Hung { program: program() }),
            Heard::Report(report) => wire::read_report(&mut report.as_slice())
                .map_err(|_| SandboxError::Lost { program: program(), status }),
        };
        // A supervisor that is gone without a word has ended nobody but the command's first process.
        told.inspect_err(|_| confine::end_of(id))
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
