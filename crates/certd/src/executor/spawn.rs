//! The executor as a child of the daemon (standalone mode).

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use phoenix_core::settings::Settings;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tracing::info;

use crate::options::Options;

/// Where a package installs the executor.
const INSTALLED: &str = "/usr/libexec/phoenix-certd/phoenix-executor";
/// How long an executor that was told to end may finish a commit and its commands.
const FAREWELL: Duration = Duration::from_secs(30);

/// Starts executors, one at a time.
pub(crate) struct Launcher {
    program: Vec<String>,
    child: Option<Child>,
}

impl Launcher {
    /// A launcher for the executor beside our own binary, or the installed one.
    pub(crate) fn new(options: &Options, settings: &Settings) -> Result<Self> {
        let mut program = match &options.executor_program {
            Some(program) => program.clone(),
            None => vec![text(&beside_us()?)?],
        };
        program.extend([
            "--config".into(),
            text(&std::path::absolute(&options.config)?)?,
            "--manifest".into(),
            settings.manifest.to_string(),
            "--state-dir".into(),
            settings.executor.state_dir.to_string(),
            "--stdin-socket".into(),
        ]);
        Ok(Self { program, child: None })
    }

    /// Ends what is left of the last executor and starts another.
    pub(crate) async fn launch(&mut self) -> Result<UnixStream> {
        self.wait().await;
        let (ours, theirs) = StdStream::pair().context("cannot make a socket pair")?;
        let [program, arguments @ ..] = self.program.as_slice() else { bail!("no executor program") };
        let child = Command::new(program)
            .args(arguments)
            // A heap for each of its threads would be most of its memory.
            .env("MALLOC_ARENA_MAX", "1")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .kill_on_drop(false)
            .spawn()
            .with_context(|| format!("cannot start {program}"))?;
        info!("started the executor, process {}", child.id().unwrap_or_default());
        self.child = Some(child);
        ours.set_nonblocking(true)?;
        Ok(UnixStream::from_std(ours)?)
    }

    /// Waits for the last executor, whose connection has ended, to end too.
    pub(crate) async fn wait(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        if tokio::time::timeout(FAREWELL, child.wait()).await.is_err() {
            let _ = child.kill().await;
        }
    }
}

fn beside_us() -> Result<PathBuf> {
    let ours = std::env::current_exe().context("cannot tell where this program lies")?;
    let beside = ours.with_file_name("phoenix-executor");
    let installed = Path::new(INSTALLED);
    [beside.as_path(), installed]
        .into_iter()
        .find(|path| path.is_file())
        .map(Path::to_path_buf)
        .with_context(|| format!("there is no phoenix-executor at {} nor at {INSTALLED}", beside.display()))
}

fn text(path: &Path) -> Result<String> {
    Ok(path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?.to_owned())
}
