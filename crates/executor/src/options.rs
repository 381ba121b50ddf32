//! The executor's command line.

use std::path::PathBuf;

/// Privileged half of phoenix-certd: manifest, keys, tokens, files and commands. Started by systemd or by
/// `phoenix-certd --standalone`, never by hand.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "phoenix-executor", version)]
pub struct Options {
    /// Configuration file.
    #[arg(long, value_name = "FILE", default_value = "/etc/phoenix-certd/certd.toml")]
    pub config: PathBuf,
    /// Manifest, instead of the configuration's.
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,
    /// State directory, instead of the configuration's `[executor] state_dir`.
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Standard input is one end of a socket pair whose other end the daemon holds. Without it the listening
    /// socket comes from systemd.
    #[arg(long)]
    pub stdin_socket: bool,
}
