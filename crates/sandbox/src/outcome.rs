//! How a command ended and what it said.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::measure::Confinement;

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ended {
    /// It ended by itself with this exit code.
    Exited(i32),
    /// A signal that was not ours killed it.
    Signaled(i32),
    /// It was ended because its time was up.
    TimedOut {
        /// SIGTERM was not enough.
        killed: bool,
    },
    /// It was ended because [`crate::Cancel`] said so.
    Cancelled {
        /// SIGTERM was not enough.
        killed: bool,
    },
    /// It never ran.
    NotStarted {
        /// Number of the system error, as in errno(3); 0 when there is none.
        errno: i32,
        /// The error in words.
        text: String,
    },
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// How it ended.
    pub ended: Ended,
    /// Standard output.
    pub stdout: Output,
    /// Standard error.
    pub stderr: Output,
    /// From start to end.
    pub duration: Duration,
    /// Processes that it left behind and that were killed.
    pub survivors_killed: u32,
    /// Processes that even SIGKILL did not end in time (stuck in the kernel, as on a dead network mount).
    pub survivors_left: u32,
    /// What confined it.
    pub confinement: Confinement,
}

impl Finished {
    /// A command that ended without ever running.
    pub(crate) fn unstarted(ended: Ended) -> Self {
        Self {
            ended,
            stdout: Output::default(),
            stderr: Output::default(),
            duration: Duration::ZERO,
            survivors_killed: 0,
            survivors_left: 0,
            confinement: Confinement::default(),
        }
    }

    /// True when it exited with code 0.
    pub fn succeeded(&self) -> bool {
        self.ended == Ended::Exited(0)
    }
}

/// What is kept of one output stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// The kept bytes.
    pub bytes: Vec<u8>,
    /// How many bytes there were in all.
    pub total: u64,
    /// Where in `bytes` something was left out, if anything was: the first bytes before, the last ones after.
    pub cut: Option<usize>,
}

impl Output {
    /// An output that was kept whole.
    pub fn whole(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self { total: bytes.len() as u64, bytes, cut: None }
    }

    /// True when something was left out.
    pub fn truncated(&self) -> bool {
        self.cut.is_some()
    }

    /// As text. Bytes that are not UTF-8 are replaced, a gap is marked on a line of its own.
    pub fn text(&self) -> Cow<'_, str> {
        let Some((head, tail)) = self.cut.and_then(|at| self.bytes.split_at_checked(at)) else {
            return String::from_utf8_lossy(&self.bytes);
        };
        let gap = self.total.saturating_sub(self.bytes.len() as u64);
        let (head, tail) = (String::from_utf8_lossy(head), String::from_utf8_lossy(tail));
        Cow::Owned(format!("{head}\n[{gap} bytes left out]\n{tail}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_marks_the_gap_and_survives_bytes_that_are_not_utf8() {
        assert_eq!(Output::whole(*b"a\xffb").text(), "a\u{fffd}b");
        let cut = Output { bytes: b"headtail".to_vec(), total: 108, cut: Some(4) };
        assert_eq!(cut.text(), "head\n[100 bytes left out]\ntail");
        let odd = Output { bytes: b"x".to_vec(), total: 9, cut: Some(7) };
        assert_eq!(odd.text(), "x");
    }

    #[test]
    fn only_exit_code_zero_is_success() {
        assert!(Finished::unstarted(Ended::Exited(0)).succeeded());
        for ended in [Ended::Exited(1), Ended::Signaled(15), Ended::TimedOut { killed: false }] {
            assert!(!Finished::unstarted(ended).succeeded());
        }
    }
}
