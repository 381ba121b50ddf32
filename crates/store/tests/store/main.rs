//! The store against a real file system: tests run as root, in scratch directories.

mod bed;
mod crash;
mod errors;
mod hostile;
mod install;
mod records;
mod storage;
