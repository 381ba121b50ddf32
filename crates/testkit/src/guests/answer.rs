//! What a stand-in is told to do.

/// The end of a stand-in: its output and how it ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
    pub(super) exit: i32,
    pub(super) signal: i32,
    /// The guest's command ended with exit code 0, or there was none.
    pub(super) good: bool,
}

impl Answer {
    /// Success with this output.
    pub(super) fn say(text: impl Into<String>) -> Self {
        Self { stdout: text.into().into_bytes(), good: true, ..Self::default() }
    }

    /// Failure of the program itself.
    pub(super) fn fail(exit: i32, text: impl Into<String>) -> Self {
        Self { stderr: text.into().into_bytes(), exit, ..Self::default() }
    }
}

/// How a command in a guest ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
    /// Exit code; none when it was killed.
    pub(super) code: Option<i32>,
    /// Signal that killed it.
    pub(super) signal: Option<i32>,
}
