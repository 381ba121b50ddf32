//! The privileged process: manifest, keys, tokens, files and commands. No network.
//!
//! ```text
//! daemon ── frames ──> server ──> operations ──> authority   (which entries there are)
//!                                           ├──> anchors     (which roots are trusted)
//!                                           ├──> tokens      (provisioner keys)
//!                                           ├──> store       (pairs on disk, what was done)
//!                                           └──> guests, sandbox (deliveries and commands)
//! ```
//!
//! Everything is synchronous: threads wait for disks and commands, and an idle executor is nothing but a thread
//! that waits for a frame. What comes from the daemon is the name of an entry, an operation and public data of
//! the CA; whatever decides about paths, owners, names and commands is read from files that only root can write.

mod anchors;
mod authority;
mod clock;
mod operations;
mod options;
mod process;
#[cfg(test)]
mod samples;
mod server;
mod tokens;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use phoenix_core::diagnostic::Diagnostics;
use phoenix_core::name::{AbsolutePath, BadPath};
use phoenix_core::settings::Settings;
use phoenix_sandbox::{Cancel, Runner, Supervised};
use phoenix_store::{OpenError, StateLock, Store};

pub use authority::Refusal;
pub use options::Options;
pub use server::{SocketError, Source};

use authority::TrustedFile;
use operations::Executor;
use process::Endings;
use server::Server;

/// Why the executor cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration cannot be read or is not protected.
    #[error("the configuration is not used: {0}")]
    Configuration(#[from] Refusal),
    /// The configuration has mistakes.
    #[error("the configuration has mistakes:\n{0}")]
    Mistakes(Box<Diagnostics>),
    /// A path on the command line is not absolute.
    #[error("{option}: {error}")]
    Path {
        /// The option.
        option: &'static str,
        /// What is wrong with its value.
        error: BadPath,
    },
    /// The state directory cannot be used.
    #[error(transparent)]
    State(#[from] OpenError),
    /// There is no socket.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The system refused something that must work.
    #[error("the process could not be set up: {0}")]
    System(#[from] io::Error),
}

/// Plays the executor's role in this process, which must have begun with
/// [`phoenix_sandbox::supervisor_main_if_asked`], has no other threads yet and nothing else to do: file mode mask,
/// limits and signals are changed for good. Returns when the daemon is gone; SIGTERM ends the process after the
/// commit in progress, with success.
pub fn run(options: &Options) -> Result<(), StartError> {
    process::harden()?;
    let endings = Endings::hold_back()?;
    let running = Arc::new(OnceLock::new());
    end_when_asked(endings, Arc::clone(&running))?;
    let source = if options.stdin_socket {
        process::leave_terminal();
        Source::stdin()?
    } else {
        process::make_room_for_commands();
        Source::systemd()?
    };
    let server = Arc::new(start(options, Arc::new(Supervised::current()))?);
    tell_systemd();
    running.get_or_init(|| server).serve(source);
    Ok(())
}

/// The executor on a given connection and with a given way to run commands; changes nothing of the process.
pub fn serve(options: &Options, source: Source, runner: Arc<dyn Runner>) -> Result<(), StartError> {
    start(options, runner)?.serve(source);
    Ok(())
}

/// Everything up to the first request: whatever was interrupted is finished before anything else is done.
fn start(options: &Options, runner: Arc<dyn Runner>) -> Result<Server, StartError> {
    let settings = settings(options)?;
    let state = settings.executor.state_dir.clone();
    let lock = StateLock::acquire(state.as_path(), || {
        tracing::warn!(%state, "another executor uses the state directory: waiting for its end");
    })?;
    let store = Store::open(lock, phoenix_store::Options::new(settings.executor.target_roots.clone()))?;
    for recovered in store.recover() {
        let of = recovered.key_path.map_or_else(|| "an entry".to_owned(), |path| format!("`{path}`"));
        match recovered.outcome {
            Ok(()) => tracing::warn!("an interrupted installation of {of} was finished"),
            Err(trouble) => tracing::error!("an interrupted installation of {of} waits: {trouble}"),
        }
    }
    Ok(Server::new(Executor::new(settings, store, runner, Cancel::new()?)))
}

/// A thread that ends the process when it is asked to, whatever the others do then.
fn end_when_asked(endings: Endings, running: Arc<OnceLock<Arc<Server>>>) -> io::Result<()> {
    let thread = std::thread::Builder::new().name("endings".to_owned());
    thread.spawn(move || match endings.wait() {
        Ok(signal) => {
            tracing::info!(signal, "ending");
            if let Some(server) = running.get() {
                server.end();
            }
            std::process::exit(0);
        }
        Err(error) => tracing::error!(%error, "requests to end cannot be received"),
    })?;
    Ok(())
}

fn settings(options: &Options) -> Result<Settings, StartError> {
    let path = std::path::absolute(&options.config)?;
    let text = TrustedFile::open(&path)?.read()?;
    let mut settings = Settings::parse(&text, &path.display().to_string())
        .map_err(|mistakes| StartError::Mistakes(Box::new(mistakes)))?;
    if let Some(manifest) = &options.manifest {
        settings.manifest = absolute("--manifest", manifest)?;
    }
    if let Some(state_dir) = &options.state_dir {
        settings.executor.state_dir = absolute("--state-dir", state_dir)?;
    }
    Ok(settings)
}

fn absolute(option: &'static str, path: &PathBuf) -> Result<AbsolutePath, StartError> {
    let full = std::path::absolute(path)?;
    full.display().to_string().parse().map_err(|error| StartError::Path { option, error })
}

fn tell_systemd() {
    // Without systemd there is nobody to tell, which is no error.
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        tracing::warn!(%error, "systemd was not told that the executor is ready");
    }
}
