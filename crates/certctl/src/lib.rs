//! The command line: status, renew, sync, explain, plan, history, events, validate, inspect.
//!
//! | module | duty |
//! |---|---|
//! | [`cli`] | the command line, as clap reads it |
//! | [`client`] | HTTP on the daemon's socket |
//! | [`status`], [`offline`] | the report: from the daemon, or from files alone |
//! | `request` | `renew` and `sync` |
//! | [`explain`] | why an entry is as it is and what happens next |
//! | [`plan`] | what would happen |
//! | `past` | `history` and `events` |
//! | [`validate`], [`inspect`] | the manifest and certificates, without the daemon |
//! | [`exit`], [`failure`] | exit codes, and the sentences that go with them |
//! | [`trust`], [`integrate`] | what an operator does to the files of this machine |
//! | [`config`], [`files`], `clock` | what is read from this machine |
//! | [`output`], [`table`], [`span`], [`plain`], [`names`] | text for people |
//!
//! Everything that is printed is made by functions of values; only [`output`] writes.

pub mod cli;
pub mod client;
mod clock;
pub mod config;
pub mod exit;
pub mod explain;
pub mod failure;
pub mod files;
pub mod inspect;
pub mod integrate;
pub mod names;
pub mod offline;
pub mod output;
mod past;
pub mod plain;
pub mod plan;
mod request;
pub mod span;
pub mod status;
pub mod table;
pub mod trust;
pub mod validate;

use clap::CommandFactory;
use clap_complete::Shell;
use phoenix_core::settings::Settings;

pub use cli::Cli;
pub use failure::Failure;

use cli::Command;
use client::Daemon;
use config::ConfigError;
use exit::Exit;
use output::{Output, note};

/// What every command works with.
#[derive(Debug)]
pub struct Session {
    /// Print JSON.
    pub json: bool,
    /// The configuration.
    pub config: Result<Settings, ConfigError>,
    /// The daemon, which may be out of reach.
    pub daemon: Daemon,
    /// Why the socket may be the wrong one.
    pub remark: Option<String>,
    /// Options that this very daemon is reached with, for commands that are shown.
    pub options: Vec<String>,
}

impl Session {
    fn new(cli: &Cli) -> Self {
        let config = config::load(&cli.config);
        let (socket, remark) = config::socket(cli.socket.as_deref(), &config);
        Self { json: cli.json, config, daemon: Daemon::new(socket), remark, options: options(cli) }
    }
}

/// The options of `cli` that differ from the defaults.
fn options(cli: &Cli) -> Vec<String> {
    let mut options = Vec::new();
    if cli.config != std::path::Path::new(config::DEFAULT_PATH) {
        options.extend(["--config".to_owned(), cli.config.display().to_string()]);
    }
    if let Some(socket) = &cli.socket {
        options.extend(["--socket".to_owned(), socket.display().to_string()]);
    }
    options
}

/// Carries out the command and says how it ended. A failure is told on standard error.
pub fn run(cli: Cli) -> Exit {
    carry_out(cli).unwrap_or_else(|failure| {
        note(&format!("phoenix-certctl: {}", plain::plain(&failure.to_string())));
        failure.exit()
    })
}

fn carry_out(cli: Cli) -> Result<Exit, Failure> {
    let mut out = Output::default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Unreadable(format!("cannot start: {error}")))?;
    let session = Session::new(&cli);
    match cli.command {
        Command::Status(args) => runtime.block_on(status::run(&session, &args, &mut out)),
        Command::Renew(args) => runtime.block_on(request::renew(&session, &args, &mut out)),
        Command::Sync(args) => runtime.block_on(request::sync(&session, &args, &mut out)),
        Command::Explain(args) => runtime.block_on(explain::run(&session, &args, &mut out)),
        Command::Plan(args) => runtime.block_on(plan::run(&session, &args, &mut out)),
        Command::History(args) => runtime.block_on(past::history(&session, &args, &mut out)),
        Command::Events(args) => runtime.block_on(past::events(&session, &args, &mut out)),
        Command::Verify(args) => runtime.block_on(request::verify(&session, &args, &mut out)),
        Command::Rollback(args) => runtime.block_on(request::rollback(&session, &args, &mut out)),
        Command::Validate(args) => validate::run(session, &args, &mut out),
        Command::Inspect(args) => runtime.block_on(inspect::run(&session, &args, &mut out)),
        Command::Trust(args) => trust::run(&session, &args, &mut out),
        Command::Integrate(args) => integrate::run(&session, &args, &mut out),
        Command::Completions { shell } => completions(shell, &mut out),
    }
}

fn completions(shell: Shell, out: &mut Output) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "phoenix-certctl", &mut script);
    out.print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}
