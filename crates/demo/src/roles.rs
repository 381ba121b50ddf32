//! The daemon and the executor, played by this binary.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use phoenix_certd::options::Options as DaemonOptions;
use phoenix_executor::Options as ExecutorOptions;
use rustix::process::{Pid, Signal, getpid, kill_process};
use tokio::process::{Child, ChildStdin, Command};

use crate::scene::Scene;

const DAEMON: &str = "play-daemon";
const EXECUTOR: &str = "play-executor";
/// How long the daemon may take to end.
const FAREWELL: Duration = Duration::from_secs(30);

/// Plays the role that the first argument names, if it names one.
pub(crate) fn play_if_asked() -> Option<ExitCode> {
    let role = std::env::args().nth(1)?;
    match role.as_str() {
        DAEMON => Some(play_daemon()),
        EXECUTOR => Some(play_executor()),
        _ => None,
    }
}

fn play_daemon() -> ExitCode {
    let mut options = DaemonOptions::parse_from(std::env::args().skip(1));
    match own_program() {
        Ok(program) => options.executor_program = Some(vec![program, EXECUTOR.to_owned()]),
        Err(error) => {
            eprintln!("phoenix-demo: {error:#}");
            return ExitCode::FAILURE;
        }
    }
    // Standard input is a pipe from the demo: when that ends, however it ends, so does the daemon.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        let _ = kill_process(getpid(), Signal::TERM);
    });
    phoenix_certd::run(&options)
}

fn play_executor() -> ExitCode {
    let options = ExecutorOptions::parse_from(std::env::args().skip(1));
    match phoenix_executor::run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("phoenix-demo: executor: {error}");
            ExitCode::FAILURE
        }
    }
}

fn own_program() -> Result<String> {
    let path = std::env::current_exe().context("cannot tell where this program lies")?;
    Ok(path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?.to_owned())
}

/// The running daemon.
pub(crate) struct Daemon {
    child: Child,
    /// Held for what its end means to the daemon. Waiting for a child would close it.
    _lifeline: Option<ChildStdin>,
}

impl Daemon {
    /// Starts the daemon, which starts the executor.
    pub(crate) fn start(scene: &Scene) -> Result<Self> {
        let log = |path: &Path| File::create(path).with_context(|| format!("cannot make {}", path.display()));
        let log = log(&scene.log_file())?;
        let mut child = Command::new(own_program()?)
            .args([DAEMON, "--standalone", "--allow-root", "--log", "text", "--config"])
            .arg(scene.config_file())
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C is the demo's: the daemon is told to end in good order.
            .process_group(0)
            .spawn()
            .context("cannot start the daemon")?;
        Ok(Self { _lifeline: child.stdin.take(), child })
    }

    /// Resolves, with how, when the daemon ends.
    pub(crate) async fn ended(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        }
    }

    /// Ends the daemon in good order.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        if let Some(pid) = self.child.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let ended = tokio::time::timeout(FAREWELL, self.child.wait()).await;
        ended.context("the daemon did not end in time")??;
        Ok(())
    }
}
