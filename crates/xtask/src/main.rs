//! `cargo xtask`: everything that a developer or the CI does with the tree besides building it.
//!
//! | task | does |
//! |---|---|
//! | `test` | installs what the tests need, builds the programs, runs every test |
//! | `peers` | builds the real step-ca servers and the machines that tests boot, once |
//! | `bench` | measures the release programs beside the bare rate of a real CA |
//! | `simulate` | runs certificates through years of trouble under virtual time |
//! | `generate` | writes the files that are made from the code |
//! | `fuzz` | runs the fuzz targets of the parsers and of the state files |
//! | `soak` | what takes longer than an ordinary test run may |
//! | `proportion` | counts the lines of the core's tests against those of its code |
//! | `deny` | checks dependencies against `.deny.toml`, fetching `cargo deny` if it is absent |

mod bench;
mod deny;
mod fuzz;
mod generate;
mod packages;
mod peers;
mod proportion;
mod roots;
mod scripts;
mod shell;
mod simulate;
mod soak;
mod testing;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Project tasks")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what the tests need, build the programs and run every test
    Test {
        /// Run one suite of tests/suites only
        #[arg(long, value_name = "NAME")]
        suite: Option<String>,
    },
    /// Build the real step-ca servers and the machines that the tests run against
    Peers,
    /// Build with --release and measure against a real step-ca
    Bench {
        /// Measure this alone
        #[arg(long, value_enum)]
        only: Option<bench::Part>,
        /// Measure only, with the programs that lie beside this one
        #[arg(long, hide = true)]
        measure: bool,
    },
    /// Run the lifecycle under virtual time, with everything around it failing
    Simulate(simulate::Options),
    /// Write the files that are made from the code
    Generate,
    /// Fuzz what is read from files
    Fuzz(fuzz::Options),
    /// Run what takes longer than an ordinary test run may
    Soak(soak::Options),
    /// Check dependencies: bans, licences, sources
    Deny,
    /// Count the lines of the core's tests against those of its code
    Proportion,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Test { suite } => testing::run(suite.as_deref()),
        Task::Peers => peers::ensure().and_then(|()| roots::ensure()),
        Task::Bench { only, measure: false } => bench::run(only),
        Task::Bench { only, measure: true } => bench::measure(only),
        Task::Simulate(options) => simulate::run(&options),
        Task::Generate => generate::run(),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::Soak(options) => soak::run(&options),
        Task::Deny => deny::run(),
        Task::Proportion => proportion::run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
