//! Command line of `phoenix-certd`.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// Where the configuration lies unless `--config` says otherwise.
pub const DEFAULT_CONFIG: &str = "/etc/phoenix-certd/certd.toml";

/// Hidden option of the daemon that a process which kept root started.
pub(crate) const KEPT: &str = "kept";

/// Keeps certificates alive and sees that their consumers use them.
#[derive(Clone, Debug, Parser)]
#[command(name = "phoenix-certd", version, about)]
pub struct Options {
    /// Configuration file
    #[arg(long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    pub config: PathBuf,

    /// Manifest, instead of the configured one
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,

    /// State directory; with --standalone DIR/certd and DIR/executor
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,

    /// Control socket, instead of the configured one
    #[arg(long, value_name = "PATH")]
    pub control_socket: Option<PathBuf>,

    /// Start the executor as a child instead of connecting to its service
    #[arg(long)]
    pub standalone: bool,

    /// Keep running as root in standalone mode
    #[arg(long)]
    pub allow_root: bool,

    /// Form of the log
    #[arg(long, value_enum)]
    pub log: Option<LogForm>,

    /// The process that started us keeps root and gave us a connection to it as standard input.
    #[arg(long = KEPT, hide = true)]
    pub kept: bool,

    /// Program that plays the executor in standalone mode, with its arguments before the executor's own.
    #[arg(skip)]
    pub executor_program: Option<Vec<String>>,

    /// What to do instead of running
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to do instead of running.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Check configuration and manifest; exit code 0 or 1
    Validate,
}

/// Form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogForm {
    /// Lines for people
    Text,
    /// JSON lines
    Json,
    /// The systemd journal's own protocol
    Journal,
}
