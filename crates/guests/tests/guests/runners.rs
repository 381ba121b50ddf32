//! Runners for tests: one that runs commands plainly, one that answers from a list, one that tampers.

use std::collections::VecDeque;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use phoenix_sandbox::{Cancel, CommandSpec, Ended, Finished, Output, Runner, SandboxError};

pub(crate) fn finished(ended: Ended, stdout: &[u8], stderr: &[u8]) -> Finished {
    Finished {
        ended,
        stdout: Output::whole(stdout),
        stderr: Output::whole(stderr),
        duration: Duration::ZERO,
        survivors_killed: 0,
        survivors_left: 0,
        confinement: phoenix_sandbox::Confinement::default(),
    }
}

/// Runs commands without supervision. What a sandbox adds is tested where it is made.
pub(crate) struct Plain;

impl Runner for Plain {
    fn run(&self, spec: &CommandSpec, _: &Cancel) -> Result<Finished, SandboxError> {
        let mut command = Command::new(spec.program());
        command.args(&spec.argv[1..]).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.envs(spec.env.iter().cloned());
        command.stdin(if spec.stdin.is_some() { Stdio::piped() } else { Stdio::null() });
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        if let (Some(mut pipe), Some(input)) = (child.stdin.take(), &spec.stdin) {
            // A command that ends without reading breaks the pipe, which is its right.
            let _ = pipe.write_all(input);
        }
        let output = child.wait_with_output().unwrap();
        let ended = match (output.status.code(), output.status.signal()) {
            (Some(code), _) => Ended::Exited(code),
            (None, signal) => Ended::Signaled(signal.unwrap()),
        };
        Ok(finished(ended, &output.stdout, &output.stderr))
    }
}

/// Runs what would run in a guest on this machine: the words after `--`. The guest itself is always on.
pub(crate) struct Here;

impl Runner for Here {
    fn run(&self, spec: &CommandSpec, cancel: &Cancel) -> Result<Finished, SandboxError> {
        let Some(at) = spec.argv.iter().position(|word| word == "--") else {
            return Ok(finished(Ended::Exited(0), b"status: running\n", b""));
        };
        Plain.run(&CommandSpec { argv: spec.argv[at + 1..].to_vec(), ..spec.clone() }, cancel)
    }
}

/// As [`Here`], with another shell and other programs than the system's.
pub(crate) struct With {
    pub(crate) shell: PathBuf,
    pub(crate) path: String,
}

impl Runner for With {
    fn run(&self, spec: &CommandSpec, cancel: &Cancel) -> Result<Finished, SandboxError> {
        let mut spec = spec.clone();
        spec.env.push(("PATH".to_owned(), self.path.clone()));
        if let Some(shell) = spec.argv.iter_mut().find(|word| *word == "/bin/sh") {
            *shell = self.shell.display().to_string();
        }
        Here.run(&spec, cancel)
    }
}

/// Changes the input on its way.
pub(crate) struct Tampering<R>(pub(crate) R, pub(crate) fn(&mut Vec<u8>));

impl<R: Runner> Runner for Tampering<R> {
    fn run(&self, spec: &CommandSpec, cancel: &Cancel) -> Result<Finished, SandboxError> {
        let mut spec = spec.clone();
        if let Some(input) = spec.stdin.as_mut() {
            self.1(input);
        }
        self.0.run(&spec, cancel)
    }
}

/// Answers from a list, and remembers what was asked.
#[derive(Default)]
pub(crate) struct Scripted {
    answers: Mutex<VecDeque<Finished>>,
    asked: Mutex<Vec<CommandSpec>>,
}

impl Scripted {
    pub(crate) fn new(answers: impl IntoIterator<Item = Finished>) -> Self {
        Self { answers: Mutex::new(answers.into_iter().collect()), asked: Mutex::default() }
    }

    /// The command lines so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|spec| spec.argv.join(" ")).collect()
    }

    pub(crate) fn asked(&self) -> Vec<CommandSpec> {
        self.asked.lock().unwrap().clone()
    }
}

impl Runner for Scripted {
    fn run(&self, spec: &CommandSpec, _: &Cancel) -> Result<Finished, SandboxError> {
        self.asked.lock().unwrap().push(spec.clone());
        let answer = self.answers.lock().unwrap().pop_front();
        answer.ok_or(SandboxError::Hung { program: spec.program().to_owned() })
    }
}
