//! What holds for all inputs, against oracles that know nothing of how the crate finds its answers.

#![expect(clippy::unwrap_used, reason = "an input that cannot be made should fail the test")]

mod backoff;
mod breaker;
mod diagnostics;
mod durations;
mod installation;
mod names;
mod schedule;
mod suggestions;
mod times;
mod waves;
