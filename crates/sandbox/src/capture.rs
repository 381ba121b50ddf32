//! Bounded capture of one output stream: always drained, the first and the last bytes kept.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{OFlags, fcntl_setfl};

use crate::outcome::Output;

const CHUNK: usize = 64 * 1024;
/// How much is read in one turn, so that a flood cannot keep the supervisor from looking at the clock.
const TURN: usize = 16 * CHUNK;

/// The first and the last bytes of a stream.
#[derive(Debug)]
pub(crate) struct Kept {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    limit: usize,
    total: u64,
}

impl Kept {
    pub(crate) fn new(limit: usize) -> Self {
        Self { head: Vec::new(), tail: VecDeque::new(), limit, total: 0 }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.total = self.total.saturating_add(bytes.len() as u64);
        let tail_limit = self.limit / 2;
        let room = (self.limit - tail_limit).saturating_sub(self.head.len()).min(bytes.len());
        let (first, rest) = bytes.split_at(room);
        self.head.extend_from_slice(first);
        let last = rest.get(rest.len().saturating_sub(tail_limit)..).unwrap_or_default();
        let excess = (self.tail.len() + last.len()).saturating_sub(tail_limit);
        self.tail.drain(..excess);
        self.tail.extend(last);
    }

    pub(crate) fn finish(self) -> Output {
        let whole = self.total == (self.head.len() + self.tail.len()) as u64;
        let cut = (!whole).then_some(self.head.len());
        let mut bytes = self.head;
        bytes.extend(self.tail);
        Output { bytes, total: self.total, cut }
    }
}

/// The reading end of a stream of the command.
#[derive(Debug)]
pub(crate) struct Stream {
    pipe: Option<File>,
    kept: Kept,
}

impl Stream {
    /// Captures what comes out of `pipe`, keeping `limit` bytes.
    pub(crate) fn new(pipe: Option<OwnedFd>, limit: usize) -> std::io::Result<Self> {
        if let Some(pipe) = &pipe {
            fcntl_setfl(pipe, OFlags::NONBLOCK)?;
        }
        Ok(Self { pipe: pipe.map(File::from), kept: Kept::new(limit) })
    }

    /// What to poll for more, until the end of the stream.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Takes what is there now, up to a bound, without waiting.
    pub(crate) fn drain(&mut self) {
        let mut buffer = vec![0; CHUNK];
        let mut read = 0;
        while let Some(pipe) = &mut self.pipe
            && read < TURN
        {
            match pipe.read(&mut buffer) {
                Ok(0) => self.pipe = None,
                Ok(count) => {
                    self.kept.push(buffer.get(..count).unwrap_or_default());
                    read += count;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => self.pipe = None,
            }
        }
    }

    pub(crate) fn finish(mut self) -> Output {
        self.drain();
        self.kept.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(limit: usize, parts: &[&[u8]]) -> Output {
        let mut kept = Kept::new(limit);
        for part in parts {
            kept.push(part);
        }
        kept.finish()
    }

    #[test]
    fn what_fits_is_kept_whole() {
        assert_eq!(kept(10, &[b"01234", b"56789"]), Output::whole(*b"0123456789"));
        assert_eq!(kept(10, &[]), Output::whole(*b""));
    }

    #[test]
    fn of_more_the_first_and_the_last_half_are_kept_however_it_arrives() {
        let expected = Output { bytes: b"abcdewxyz".to_vec(), total: 26, cut: Some(5) };
        let alphabet = b"abcdefghijklmnopqrstuvwxyz";
        assert_eq!(kept(9, &[alphabet]), expected);
        let single: Vec<&[u8]> = alphabet.chunks(1).collect();
        assert_eq!(kept(9, &single), expected);
        let threes: Vec<&[u8]> = alphabet.chunks(3).collect();
        assert_eq!(kept(9, &threes), expected);
    }

    #[test]
    fn a_limit_of_zero_keeps_nothing_but_the_count() {
        assert_eq!(kept(0, &[b"abc"]), Output { bytes: vec![], total: 3, cut: Some(0) });
    }
}
