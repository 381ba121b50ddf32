//! `phoenix-executor`.

use std::io::IsTerminal;

use clap::Parser;
use phoenix_executor::{Options, run};
use tracing_subscriber::EnvFilter;

fn main() -> std::process::ExitCode {
    phoenix_sandbox::supervisor_main_if_asked();
    let options = Options::parse();
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new("info"))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    match run(&options) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("phoenix-executor cannot start: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}
