//! A TCP connection on which nothing lasts beyond a point in time.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// A blocking connection with a deadline over everything that is done with it, however slowly the peer answers.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    until: Instant,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream, until: Instant) -> io::Result<Self> {
        stream.set_nonblocking(false)?;
        // Requests are small and wait for answers.
        stream.set_nodelay(true)?;
        Ok(Self { stream, until })
    }

    /// From now on nothing lasts longer than `most`.
    pub(crate) fn hurry(&mut self, most: Duration) {
        self.until = self.until.min(Instant::now() + most);
    }

    fn left(&self) -> io::Result<Duration> {
        match self.until.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
            left => Ok(left),
        }
    }
}

/// What the kernel says when a time limit of a socket is reached.
fn told(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
        _ => error,
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        self.stream.read(buffer).map_err(told)
    }
}

impl Write for Wire {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write(buffer).map_err(told)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
