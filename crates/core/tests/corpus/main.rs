//! The operator's two files, case by case: what is in the file, what the operator is told about it, and what is
//! made of it.
//!
//! `manifest/CASE.json` and `settings/CASE.toml` are what an operator wrote, `CASE.txt` beside it is the whole
//! report and the outcome. A change of words or of meaning shows as a difference; after reading it,
//! `BLESS=1 cargo test -p phoenix-core --test corpus` writes the new ones. CI refuses to.

#![expect(clippy::unwrap_used, reason = "a broken corpus should fail the test")]

mod golden;
mod manifest;
mod outcome;
mod settings;
