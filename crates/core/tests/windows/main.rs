//! When windows are open, against two other ways of finding out.
//!
//! `rows.txt` was worked out with the time zone database of another library, and is meant to be read; `naive` looks
//! at every single minute.

#![expect(clippy::unwrap_used, reason = "a broken row should fail the test")]

mod naive;
mod rows;
