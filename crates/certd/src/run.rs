//! From the command line to a running daemon.

use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use phoenix_core::name::CertName;
use phoenix_core::settings::{Schedule, Settings};
use phoenix_protocol::history::Happening;
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use crate::clock::now;
use crate::engine::{Engine, Message};
use crate::executor::{Access, Executor, Launcher, Ran};
use crate::history::History;
use crate::journal::Journal;
use crate::keeper::Keeper;
use crate::options::{Command, Options};
use crate::{configuration, control, keeper, service, validate, watch};

/// Messages that may wait for the engine.
const INBOX: usize = 256;

/// Runs the program to its end.
pub fn run(options: &Options) -> ExitCode {
    let result = match options.command {
        Some(Command::Validate) => validate::validate(options),
        None => daemon(options),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("phoenix-certd: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn daemon(options: &Options) -> Result<ExitCode> {
    service::start_logging(options.log);
    let settings = configuration::load(options)?;
    let sweep = Schedule::parse(&settings.renewal.sweep)
        .with_context(|| format!("cannot understand sweep = \"{}\"", settings.renewal.sweep))?;
    if rustix::process::geteuid().is_root() && !options.allow_root {
        if options.standalone {
            return keeper::keep(options, &settings);
        }
        bail!(
            "this daemon needs no privileges and does not run as root: use its systemd unit, or say \
             --allow-root"
        );
    }
    // The only failure means that a provider is installed already, which is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    make_state_dir(settings.state_dir.as_path())?;
    let _lock = lock(settings.state_dir.as_path())?;
    let journal = Journal::open(settings.state_dir.as_path())
        .with_context(|| format!("cannot use the journal in {}", settings.state_dir))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        let access = access(options, &settings)?;
        serve(settings, sweep, access, journal).await
    })?;
    Ok(ExitCode::SUCCESS)
}

/// How the executor is reached. Needs the runtime.
fn access(options: &Options, settings: &Settings) -> Result<Access> {
    if options.kept {
        return Ok(Access::Kept(Keeper::from_stdin()?));
    }
    if options.standalone {
        return Ok(Access::Child(Launcher::new(options, settings)?));
    }
    Ok(Access::Socket(settings.executor.socket.as_path().to_path_buf()))
}

fn make_state_dir(dir: &Path) -> Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| format!("cannot make the state directory {}", dir.display()))
}

/// One daemon for each state directory.
fn lock(dir: &Path) -> Result<std::fs::File> {
    let path = dir.join("lock");
    let file = std::fs::File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            bail!("another daemon uses the state directory {}", dir.display())
        }
        Err(std::fs::TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

async fn serve(settings: Settings, sweep: Schedule, access: Access, journal: Journal) -> Result<()> {
    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    let listener = control::listen(settings.control_socket.as_path()).await?;
    let (messages, inbox) = mpsc::channel(INBOX);
    let (up, mut ups) = mpsc::channel(1);
    let (audit, trails) = mpsc::channel(INBOX);
    let (executor, connection) = Executor::start(access, up, audit, stop.clone());
    let over = CancellationToken::new();
    let connected = over.clone().drop_guard();
    tasks.spawn(async move {
        connection.await;
        drop(connected);
    });
    let (history, _) = History::start(settings.state_dir.as_path()).context("cannot start a thread")?;
    history.note([], Happening::Started { version: env!("CARGO_PKG_VERSION").to_owned() }, now());
    tasks.spawn(tell_of_commands(trails, over, history.clone()));
    let told = messages.clone();
    tasks.spawn(async move {
        while ups.recv().await.is_some() {
            let _ = told.send(Message::ExecutorUp).await;
        }
    });
    tasks.spawn(watch::watch(settings.manifest.as_path().to_path_buf(), messages.clone(), stop.clone()));
    tasks.spawn(service::feed_watchdog(messages.clone(), stop.clone()));
    tasks.spawn(control::serve(listener, messages.clone(), history.clone(), stop.clone()));
    let socket = settings.control_socket.clone();
    let engine = Engine::new(settings, sweep, executor, journal, history.clone(), messages.clone());
    // On this thread, which is nobody else's: the journal's waits for the disk hold up no worker.
    let mut engine = std::pin::pin!(engine.run(inbox, stop.clone()));
    service::tell(&[NotifyState::Ready]);
    info!("phoenix-certd {} is up", env!("CARGO_PKG_VERSION"));

    let outcome = tokio::select! {
        told = until_told(&messages, &stop) => {
            stop.cancel();
            engine.await;
            told
        }
        // It ends when it is told to, too, and may be seen to before the order is.
        () = &mut engine => {
            let told = stop.is_cancelled().then_some(());
            told.context("the engine ended by itself; the log says why")
        }
    };
    service::tell(&[NotifyState::Stopping]);
    stop.cancel();
    drop(messages);
    tasks.close();
    tasks.wait().await;
    history.note([], Happening::Stopped, now());
    history.flush().await;
    let _ = std::fs::remove_file(socket.as_path());
    outcome
}

/// Says in the log and in the history which programs were run for which entries, until the connection that they
/// come from is `over`. Jobs may hold it for long after: ten thousand that were told to look at their entry and wait
/// for their turn do not end when the daemon does.
async fn tell_of_commands(mut trails: mpsc::Receiver<Ran>, over: CancellationToken, history: History) {
    loop {
        let ran = tokio::select! {
            biased;
            ran = trails.recv() => ran,
            () = over.cancelled(), if !trails.is_closed() => {
                trails.close();
                continue;
            }
        };
        let Some(Ran { entries, runs }) = ran else { return };
        let names: Vec<_> = entries.iter().map(CertName::as_str).collect();
        for run in runs {
            let program = run.argv.first().map_or("", String::as_str);
            info!(
                entries = names.join(" "),
                program,
                ended = run.ended,
                milliseconds = run.milliseconds,
                "command run"
            );
            history.note(names.iter().copied(), Happening::Ran { run }, now());
        }
    }
}

/// Waits for a signal that ends the daemon. `SIGHUP` makes it look at the manifest.
async fn until_told(messages: &mpsc::Sender<Message>, stop: &CancellationToken) -> Result<()> {
    let mut end = signal(SignalKind::terminate()).context("cannot wait for signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for signals")?;
    let mut hangup = signal(SignalKind::hangup()).context("cannot wait for signals")?;
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = end.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = hangup.recv() => {
                let _ = messages.send(Message::Hint).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_run_is_told_to_the_end_of_the_connection_whoever_still_waits_for_his_turn() {
        let dir = tempfile::tempdir().unwrap();
        let (history, _) = History::start(dir.path()).unwrap();
        let (audit, trails) = mpsc::channel(1);
        let run = serde_json::from_str(
            r#"{"at": "2026-11-21T20:00:00Z", "argv": ["/bin/true"], "profile": "strict", "milliseconds": 1,
                "ended": "exit code 0", "exit_code": 0, "survivors_killed": 0, "stdout": "", "stderr": ""}"#,
        );
        audit.send(Ran { entries: vec!["a".parse().unwrap()], runs: vec![run.unwrap()] }).await.unwrap();
        let over = CancellationToken::new();
        over.cancel();
        tell_of_commands(trails, over, history.clone()).await;
        history.flush().await;
        assert!(audit.is_closed(), "nobody listens any more, and yet there is somebody who could tell");
        let told = std::fs::read_to_string(dir.path().join("history.jsonl")).unwrap();
        assert!(told.contains("/bin/true"), "{told}");
    }
}
