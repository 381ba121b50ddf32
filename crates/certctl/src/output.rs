//! Standard output and standard error.

use std::io::{self, Write};

use serde::Serialize;

use crate::Failure;

/// Standard output. Colours reach a terminal only. A reader that goes away early is no failure: the rest is
/// dropped quietly, and the exit code still tells how the command went.
#[derive(Debug, Default)]
pub struct Output {
    closed: bool,
}

impl Output {
    /// Nobody reads any more.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Writes `text` as it is.
    ///
    /// # Errors
    /// [`Failure::Output`], when it cannot be written for another reason than a closed pipe.
    pub fn print(&mut self, text: &str) -> Result<(), Failure> {
        if self.closed {
            return Ok(());
        }
        let mut stdout = anstream::stdout().lock();
        match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            other => other.map_err(Failure::Output),
        }
    }

    /// Clears the terminal and writes `text` from its top.
    ///
    /// # Errors
    /// As [`Self::print`].
    pub fn redraw(&mut self, text: &str) -> Result<(), Failure> {
        // Past the colour filter, which would drop this too where colours are not wanted.
        let cleared = io::stdout().write_all(b"\x1b[H\x1b[2J");
        cleared.map_err(Failure::Output)?;
        self.print(text)
    }

    /// Writes `document` as one line of JSON.
    ///
    /// # Errors
    /// As [`Self::print`].
    pub fn document(&mut self, document: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(document).map_err(io::Error::from);
        self.print(&(text.map_err(Failure::Output)? + "\n"))
    }
}

/// Writes a line to standard error. If that fails there is nobody left to tell.
pub fn note(text: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}
