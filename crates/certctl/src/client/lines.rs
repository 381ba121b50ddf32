//! A streamed answer, line by line.

use std::path::PathBuf;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

use super::Unreachable;

/// Longest line that is read: the results of very many entries.
const MAX_LINE: usize = 64 * 1024 * 1024;

/// The lines of a streamed answer.
#[derive(Debug)]
pub struct Lines {
    body: Incoming,
    socket: PathBuf,
    time: Duration,
    until: Instant,
    buffer: Vec<u8>,
    /// What of `buffer` is known to hold no line end.
    searched: usize,
}

impl Lines {
    pub(super) fn new(body: Incoming, socket: PathBuf, time: Duration) -> Self {
        let until = Instant::now() + time;
        Self { body, socket, time, until, buffer: Vec::new(), searched: 0 }
    }

    /// The next line without its end; none after the last one. A last line that was cut off is not given out.
    ///
    /// # Errors
    /// [`Unreachable::Lost`] and [`Unreachable::Silent`].
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, Unreachable> {
        loop {
            if let Some(line) = self.take_line() {
                return Ok(Some(line));
            }
            if self.buffer.len() > MAX_LINE {
                return Err(self.lost("a line of its answer is too long"));
            }
            let frame = match timeout_at(self.until, self.body.frame()).await {
                Err(_) => return Err(Unreachable::Silent { socket: self.socket.clone(), waited: self.time }),
                Ok(None) => return Ok(None),
                Ok(Some(Err(error))) => return Err(self.lost(&error.to_string())),
                Ok(Some(Ok(frame))) => frame,
            };
            if let Ok(data) = frame.into_data() {
                self.buffer.extend_from_slice(&data);
            }
        }
    }

    fn take_line(&mut self) -> Option<Vec<u8>> {
        let fresh = self.buffer.get(self.searched..)?;
        let Some(offset) = fresh.iter().position(|byte| *byte == b'\n') else {
            self.searched = self.buffer.len();
            return None;
        };
        let mut line: Vec<u8> = self.buffer.drain(..=self.searched + offset).collect();
        line.pop();
        self.searched = 0;
        Some(line)
    }

    /// The connection broke, or makes no sense.
    pub fn lost(&self, why: &str) -> Unreachable {
        Unreachable::Lost { socket: self.socket.clone(), why: why.to_owned() }
    }
}
