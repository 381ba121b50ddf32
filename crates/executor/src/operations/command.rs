//! Running one command and saying how it went.

use std::time::Duration;

use phoenix_core::manifest::PostCommand;
use phoenix_core::reason::{Reason, Trouble};
use phoenix_sandbox::{CommandSpec, Finished, SandboxError};

use super::{Executor, allowed};


impl Executor {
    /// Runs `command` with these environment variables and understands its answer.
    pub(super) fn run_command(
        &self,
        command: &PostCommand,
        timeout: Duration,
        environment: Vec<(String, String)>,
    ) -> Result<(), Trouble> {
        let program = command.argv.first().map_or("", String::as_str);
        allowed::check(program, &self.settings.executor.commands)?;
        let mut spec = CommandSpec::new(command.argv.iter().cloned()).timeout(timeout);
        spec.env = environment;
        let shown = shown(&command.argv);
        let finished = self.runner.run(&spec, &self.cancel).map_err(|error| unknown(&shown, &error))?;
        record(&shown, &finished);
        judge(&shown, &finished)
    }
}

/// INTERIM
fn record(_shown: &str, _finished: &Finished) {}
fn judge(shown: &str, finished: &Finished) -> Result<(), Trouble> {
    if finished.succeeded() { return Ok(()); }
    Err(Trouble::new(Reason::CommandFailed, format!("{shown}: {:?} {}", finished.ended, finished.stderr.text())))
}
fn unknown(shown: &str, error: &SandboxError) -> Trouble {
    Trouble::new(Reason::CommandNotStarted, format!("{shown}: {error}."))
}
fn shown(argv: &[String]) -> String { argv.join(" ") }
