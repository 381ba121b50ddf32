//! The executor, spoken to as the daemon does: over a socket pair, frame by frame.

#![expect(clippy::unwrap_used, reason = "what fails in a test's scaffolding fails the test")]

mod authority;
mod ca;
mod commands;
mod confined;
mod guests;
mod hostile;
mod issuing;
mod process;
mod recheck;
mod restart;
mod rig;
mod rollback;
mod roots;
mod shared_bundle;
mod tokens;
mod verification;
