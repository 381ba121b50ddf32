//! The embedded CA as a client sees it: Step-CA's rules, its texts, and the faults.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod client;
mod discovery;
mod faults;
mod lifetime;
mod signing;
