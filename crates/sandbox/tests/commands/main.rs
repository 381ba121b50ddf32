//! Real commands below real supervisors.
//!
//! This executable is the supervisor of its own commands, exactly as the executor is, so its `main` begins with
//! the same line; a small harness does the rest. Names given as arguments select tests by part of their name.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod attacks;
mod confinement;
mod ending;
mod gone;
mod groups;
mod guest;
mod impaired;
mod lab;
mod output;
mod reach;
mod strict;
mod survivors;
mod unprivileged;

use std::panic::catch_unwind;
use std::process::ExitCode;

/// A test and its name.
type Test = (&'static str, fn());

/// A table of test functions under their own names.
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        pub(crate) const TESTS: &[$crate::Test] = &[
            $((concat!(module_path!(), "::", stringify!($name)), $name),)*
        ];
    };
}
pub(crate) use tests;

fn main() -> ExitCode {
    phoenix_sandbox::supervisor_main_if_asked();
    gone::caller_main_if_asked();
    attacks::attacker_main_if_asked();
    groups::service_main_if_asked();
    impaired::impaired_main_if_asked();
    reach::mounted_main_if_asked();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let names: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let all = [
        ending::TESTS,
        survivors::TESTS,
        output::TESTS,
        confinement::TESTS,
        gone::TESTS,
        groups::TESTS,
        strict::TESTS,
        guest::TESTS,
        reach::TESTS,
        impaired::TESTS,
        unprivileged::TESTS,
    ]
    .concat();
    let wanted =
        all.iter().filter(|(name, _)| names.is_empty() || names.iter().any(|part| name.contains(*part)));
    if arguments.iter().any(|argument| argument == "--list") {
        wanted.for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let failed = wanted.filter(|test| !passes(test)).count();
    println!("\n{failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn passes(&(name, test): &Test) -> bool {
    let passed = catch_unwind(test).is_ok();
    println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
    passed
}
