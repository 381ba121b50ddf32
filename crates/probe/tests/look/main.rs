//! Verifications against real rustls servers on loopback, and against peers that are none.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bed;
mod clients;
mod reach;
mod serving;
