//! `phoenix-certd`: see the library.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    phoenix_certd::run(&phoenix_certd::options::Options::parse())
}
