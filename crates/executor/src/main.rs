//! `phoenix-executor`.

mod log;

use clap::Parser;
use phoenix_executor::{Options, run};

fn main() -> std::process::ExitCode {
    phoenix_sandbox::supervisor_main_if_asked();
    let options = Options::parse();
    log::start();
    match run(&options) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("phoenix-executor cannot start: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}
