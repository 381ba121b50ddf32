//! How the program ends.

use std::process::ExitCode;

/// Exit status of `phoenix-certctl`. The numbers are relied on by scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Everything asked for is true.
    Done = 0,
    /// It is not; the reason is on standard error.
    NotDone = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// The daemon cannot be reached.
    Unreachable = 3,
    /// No entry has this name; nothing was started.
    NoSuchName = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
