//! What happened: a bounded, durable record, and the same as a stream of events.
//!
//! | module | duty |
//! |---|---|
//! | `writer` | a thread that appends to the files, so that a disk that hangs or is full never holds the engine up |
//! | `reader` | reads the files back |
//!
//! Nothing depends on the record: what is lost in it is lost to people only.

mod reader;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use phoenix_core::time::Timestamp;
use phoenix_protocol::history::{Happening, Record};
use tokio::sync::{broadcast, oneshot};

pub(crate) use reader::Wanted;
use writer::Order;

/// Records that may wait for the disk.
const QUEUE: usize = 4096;
/// Events that a reader may lag behind before it is dropped.
const LAG: usize = 1024;
/// Longest record in bytes; longer ones are counted as lost.
const LONGEST: usize = 64 * 1024;

/// A record as a line.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// Its number.
    pub(crate) seq: u64,
    /// JSON and a line end.
    pub(crate) text: Bytes,
}

/// Takes notes of what happens.
#[derive(Clone)]
pub(crate) struct History {
    inner: Arc<Inner>,
}

struct Inner {
    dir: PathBuf,
    /// The last number, held while a record is handed on, so that records are in order everywhere.
    seq: Mutex<u64>,
    lost: AtomicU64,
    queue: SyncSender<Order>,
    live: broadcast::Sender<Line>,
    problem: Arc<Mutex<Option<String>>>,
}

impl History {
    /// Begins to take notes in `dir`; the handle of the thread that writes them ends when every [`History`] is gone.
    ///
    /// # Errors
    /// No thread can be started. A disk that takes nothing is no error.
    pub(crate) fn start(dir: &Path) -> io::Result<(Self, std::thread::JoinHandle<()>)> {
        let (queue, orders) = sync_channel(QUEUE);
        let problem = Arc::new(Mutex::new(None));
        let last = reader::last_seq(dir);
        let writer = writer::Writer::new(dir, problem.clone());
        let thread = std::thread::Builder::new().name("history".into()).spawn(move || writer.run(&orders))?;
        let inner = Inner {
            dir: dir.to_owned(),
            seq: Mutex::new(last),
            lost: AtomicU64::new(0),
            queue,
            live: broadcast::Sender::new(LAG),
            problem,
        };
        Ok((Self { inner: Arc::new(inner) }, thread))
    }

    /// Notes what happened to these entries. Never waits.
    pub(crate) fn note<'n>(&self, names: impl IntoIterator<Item = &'n str>, what: Happening, at: Timestamp) {
        let names: Vec<String> = names.into_iter().map(ToOwned::to_owned).collect();
        let mut seq = self.inner.seq.lock().unwrap_or_else(PoisonError::into_inner);
        let lost = self.inner.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            self.hand_on(&mut seq, Vec::new(), Happening::Lost { records: lost }, at, lost);
        }
        self.hand_on(&mut seq, names, what, at, 1);
    }

    /// `weight`: how many records are lost if this one is.
    fn hand_on(&self, seq: &mut u64, names: Vec<String>, what: Happening, at: Timestamp, weight: u64) {
        let record = Record { seq: *seq + 1, at, names, what };
        let line = serde_json::to_vec(&record).ok().filter(|text| text.len() <= LONGEST).map(|mut text| {
            text.push(b'\n');
            Line { seq: record.seq, text: text.into() }
        });
        let Some(line) = line else {
            self.inner.lost.fetch_add(weight, Ordering::Relaxed);
            return;
        };
        *seq = record.seq;
        // Nobody may be listening.
        let _ = self.inner.live.send(line.clone());
        if self.inner.queue.try_send(Order::Write(line.text)).is_err() {
            self.inner.lost.fetch_add(weight, Ordering::Relaxed);
        }
    }

    /// What happens from now on; none when there are too many listeners already.
    pub(crate) fn listen(&self) -> Option<broadcast::Receiver<Line>> {
        const MOST: usize = 64;
        (self.inner.live.receiver_count() < MOST).then(|| self.inner.live.subscribe())
    }

    /// What was noted so far and is `wanted`, oldest first.
    pub(crate) async fn read(&self, wanted: Wanted) -> Vec<Line> {
        self.flush().await;
        let dir = self.inner.dir.clone();
        tokio::task::spawn_blocking(move || reader::read(&dir, &wanted)).await.unwrap_or_default()
    }

    /// Why records may be missing.
    pub(crate) fn problem(&self) -> Option<String> {
        self.inner.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until everything that was noted is in the file, but not for a disk that hangs.
    pub(crate) async fn flush(&self) {
        const PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);
        let (done, flushed) = oneshot::channel();
        if self.inner.queue.try_send(Order::Flush(done)).is_ok() {
            let _ = tokio::time::timeout(PATIENCE, flushed).await;
        }
    }
}

#[cfg(test)]
mod tests;
