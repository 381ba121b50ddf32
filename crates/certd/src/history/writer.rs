//! Appends records to the files.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::reader::{NEWER, OLDER};

/// A file is put aside when it is larger, and the one that was put aside before is dropped.
pub(super) const LARGEST: u64 = 4 * 1024 * 1024;
/// Bytes that are written at once at most.
const BATCH: usize = 256 * 1024;
/// How long records may be in the page cache only: a power cut loses no more.
const UNSYNCED: Duration = Duration::from_secs(1);

/// What the writer is told.
pub(super) enum Order {
    /// Append a line.
    Write(Bytes),
    /// Say when everything before this is in the file.
    Flush(oneshot::Sender<()>),
}

pub(super) struct Writer {
    dir: PathBuf,
    open: Option<Open>,
    problem: Arc<Mutex<Option<String>>>,
    /// Written and perhaps not on the disk yet, since then.
    dirty: Option<Instant>,
}

struct Open {
    file: File,
    size: u64,
}

impl Writer {
    pub(super) fn new(dir: &Path, problem: Arc<Mutex<Option<String>>>) -> Self {
        Self { dir: dir.to_owned(), open: None, problem, dirty: None }
    }

    /// Runs until nobody is left who could give orders.
    pub(super) fn run(mut self, orders: &Receiver<Order>) {
        loop {
            let first = match self.dirty {
                None => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(since) => orders.recv_timeout(UNSYNCED.saturating_sub(since.elapsed())),
            };
            match first {
                Ok(order) => self.carry_out(order, orders),
                Err(RecvTimeoutError::Timeout) => self.sync(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.sync();
    }

    /// Carries out an order and those that wait behind it.
    fn carry_out(&mut self, first: Order, orders: &Receiver<Order>) {
        let mut lines = Vec::new();
        let mut waiting = Vec::new();
        let mut next = Some(first);
        while let Some(order) = next {
            match order {
                Order::Write(line) => lines.extend_from_slice(&line),
                Order::Flush(done) => waiting.push(done),
            }
            next = if lines.len() < BATCH { orders.try_recv().ok() } else { None };
        }
        if !lines.is_empty() {
            let written = self.append(&lines);
            self.tell(written);
        }
        for done in waiting {
            // Whoever asked may have gone away.
            let _ = done.send(());
        }
    }

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => open_for_appending(&self.dir.join(NEWER))?,
        };
        if open.size + lines.len() as u64 > LARGEST && open.size > 0 {
            open.file.sync_data()?;
            std::fs::rename(self.dir.join(NEWER), self.dir.join(OLDER))?;
            open = open_for_appending(&self.dir.join(NEWER))?;
        }
        // After a failure the file is opened anew, which closes a line that was torn.
        open.file.write_all(lines)?;
        open.size += lines.len() as u64;
        self.open = Some(open);
        self.dirty.get_or_insert_with(Instant::now);
        Ok(())
    }

    fn sync(&mut self) {
        if self.dirty.take().is_some()
            && let Some(open) = &self.open
        {
            let synced = open.file.sync_data();
            self.tell(synced);
        }
    }

    /// A failure is told once, until it is over.
    fn tell(&self, result: io::Result<()>) {
        let mut problem = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        match (result, problem.is_some()) {
            (Ok(()), true) => {
                info!("the history is written again");
                *problem = None;
            }
            (Err(error), false) => {
                let text = format!("the history in {} cannot be written: {error}", self.dir.display());
                warn!("{text}. Everything else goes on");
                *problem = Some(text);
            }
            (Ok(()), false) | (Err(_), true) => {}
        }
    }
}

/// Opens the file at its end. A last line without an end was torn: it is ended, so that it spoils no other.
fn open_for_appending(path: &Path) -> io::Result<Open> {
    let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    let mut size = file.metadata()?.len();
    if size > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
            size += 1;
        }
    }
    Ok(Open { file, size })
}
