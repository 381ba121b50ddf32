//! `pct` and `qm` as they answer, guests as they behave.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod condition;
mod delivery;
mod documented;
mod follow_up;
mod reach;
mod runners;
mod script;
