//! The store against a real file system: tests run as root, in scratch directories.

#![expect(clippy::unwrap_used, reason = "a test ends there")]

mod bed;
mod crash;
mod damage;
mod errors;
mod hostile;
mod install;
mod order;
mod records;
mod storage;
