//! What every test needs: short ways to run something, and a witness that tells whether processes still live.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use phoenix_sandbox::{Cancel, CommandSpec, Ended, Finished, Runner, Supervised};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, FileType, Mode, OFlags, fcntl_setfl, mknodat, open};
use tempfile::TempDir;

/// Far beyond what any test needs: reaching it means that something hangs.
pub(crate) const LONG: Duration = Duration::from_secs(120);
const LONG_WAIT: Timespec = Timespec { tv_sec: 60, tv_nsec: 0 };

/// A shell command with a time limit that must not be reached.
pub(crate) fn shell(script: &str) -> CommandSpec {
    CommandSpec::new(["/bin/sh", "-c", script]).timeout(LONG)
}

pub(crate) fn run(spec: &CommandSpec) -> Finished {
    Supervised::current().run(spec, &Cancel::never()).unwrap()
}

/// Standard output of a command that must succeed.
pub(crate) fn output_of(spec: &CommandSpec) -> String {
    let finished = run(spec);
    assert_eq!(finished.ended, Ended::Exited(0), "{}", finished.stderr.text());
    finished.stdout.text().into_owned()
}

/// A named pipe that processes hold open for writing. It ends for the reader when the last of them is gone.
pub(crate) struct Witness {
    _dir: TempDir,
    path: PathBuf,
    reader: BufReader<File>,
}

impl Witness {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("witness");
        mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        let reader = open(&path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()).unwrap();
        Self { _dir: dir, path, reader: BufReader::new(File::from(reader)) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A shell command in whose script `$WITNESS` is the pipe.
    pub(crate) fn shell(&self, script: &str) -> CommandSpec {
        shell(script).env("WITNESS", self.path.to_str().unwrap())
    }

    /// Waits for a line that a process writes into the pipe.
    pub(crate) fn line(&mut self) -> String {
        self.wait();
        fcntl_setfl(self.reader.get_ref(), OFlags::empty()).unwrap();
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        fcntl_setfl(self.reader.get_ref(), OFlags::NONBLOCK).unwrap();
        line.trim().to_owned()
    }

    fn wait(&self) {
        let mut watched = [PollFd::from_borrowed_fd(self.reader.get_ref().as_fd(), PollFlags::IN)];
        assert_eq!(poll(&mut watched, Some(&LONG_WAIT)).unwrap(), 1, "nothing happens at the witness");
    }

    /// Asserts that nobody holds the pipe now.
    pub(crate) fn assert_alone(&mut self) {
        let mut rest = Vec::new();
        match self.reader.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("a process survived"),
            Err(error) => panic!("{error}"),
        }
    }

    /// Waits until nobody holds the pipe.
    pub(crate) fn wait_until_alone(mut self) {
        let mut buffer = [0; 64];
        loop {
            self.wait();
            match self.reader.read(&mut buffer) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}
