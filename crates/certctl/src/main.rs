//! Entry point of `phoenix-certctl`.

use std::process::ExitCode;

use clap::Parser;
use phoenix_certctl::{Cli, run};

fn main() -> ExitCode {
    run(Cli::parse()).into()
}
