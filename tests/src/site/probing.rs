//! Requests all the time, on a thread of their own, with the failed ones counted.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use phoenix_protocol::control::{CertificateState, StatusDocument};
use phoenix_testkit::control;
use phoenix_testkit::daemon::Daemon;

use super::ask::{Answer, Ask};

/// Pause between two requests: there is but one machine for everything.
const PAUSE: Duration = Duration::from_millis(50);

/// What came of the requests.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Requests made.
    pub asked: usize,
    /// Failures that nothing excuses, one sentence each.
    pub failed: Vec<String>,
    /// Failures that something excuses.
    pub excused: usize,
    /// Longest time without an answer as wanted.
    pub gap: Duration,
}

/// Says whether a failure at this moment is to be expected.
pub type Excuse = Box<dyn Fn() -> bool + Send>;

/// An excuse for consumers that cannot answer while they take a new certificate: the entry is not in order.
pub fn while_changing(daemon: &Daemon, name: &'static str) -> Excuse {
    let socket = daemon.socket.clone();
    Box::new(move || {
        let entry = |status: StatusDocument| status.certificates.into_iter().find(|it| it.name == name);
        let found = control::status(&socket).ok().and_then(entry);
        found.is_none_or(|entry| entry.state != CertificateState::Ok)
    })
}

/// A client that asks again and again. It ends when this is dropped.
#[derive(Debug)]
pub struct Probing {
    tally: Arc<Mutex<Tally>>,
    over: Arc<AtomicBool>,
    worker: Option<JoinHandle<()>>,
}

impl Probing {
    /// Begins; an answer other than with this status is a failure. Runs in the namespace of the calling thread.
    pub fn begin(ask: Ask, wanted: u16) -> Self {
        Self::begin_excused(ask, wanted, Box::new(|| false))
    }

    /// As [`Probing::begin`]; a failure is excused that begins or ends while `excuse` says so.
    pub fn begin_excused(ask: Ask, wanted: u16, excuse: Excuse) -> Self {
        let tally = Arc::new(Mutex::new(Tally::default()));
        let over = Arc::new(AtomicBool::new(false));
        let (sums, end) = (Arc::clone(&tally), Arc::clone(&over));
        let worker = thread::spawn(move || {
            let mut last_good = Instant::now();
            while !end.load(Ordering::Relaxed) {
                let excused = excuse();
                let answer = ask.answer();
                let good = matches!(&answer, Ok(Answer::Http(status, _)) if *status == wanted);
                let excused = !good && (excused || excuse());
                let mut sums = sums.lock().unwrap_or_else(PoisonError::into_inner);
                sums.asked += 1;
                sums.gap = sums.gap.max(last_good.elapsed());
                match (good, excused) {
                    (true, _) => last_good = Instant::now(),
                    (false, true) => sums.excused += 1,
                    (false, false) => {
                        let number = sums.asked;
                        sums.failed.push(format!("request {number}: {answer:?}"));
                    }
                }
                drop(sums);
                thread::sleep(PAUSE);
            }
        });
        Self { tally, over, worker: Some(worker) }
    }

    /// What came of the requests since the last call.
    pub fn take(&self) -> Tally {
        std::mem::take(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Requests since the last call of [`Probing::take`].
    pub fn asked(&self) -> usize {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).asked
    }
}

impl Drop for Probing {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(worker) = self.worker.take() {
            let _ = worker.join();
        }
    }
}
