//! Requests all the time, on a thread of their own, with the failed ones counted.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use phoenix_testkit::machine::{Entrance, Machine};

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
    /// Failures while the service itself was restarted.
    pub restarting: usize,
    /// How many times that was: failures one after the other are one time.
    pub outages: usize,
    /// Longest time without an answer as wanted.
    pub gap: Duration,
}

impl Tally {
    /// A request that failed; `before` is what became of the one before it.
    fn fail(&mut self, restarting: bool, before: Fate, answer: impl FnOnce() -> String) -> Fate {
        if !restarting {
            self.failed.push(format!("request {}: {}", self.asked, answer()));
            return Fate::Failed;
        }
        self.restarting += 1;
        if before != Fate::Restarting {
            self.outages += 1;
        }
        Fate::Restarting
    }
}

/// What became of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Answered,
    Failed,
    Restarting,
}

/// A unit that cannot answer while it is restarted: what excuses failures, and nothing else does.
#[derive(Debug)]
pub struct Restarts {
    machine: Entrance,
    unit: &'static str,
}

impl Restarts {
    /// Of this unit.
    pub fn of(machine: &Machine, unit: &'static str) -> Self {
        Self { machine: machine.entrance(), unit }
    }

    /// Which of its runs this is; none while it is being stopped or started.
    fn run(&self) -> Option<String> {
        let words = ["systemctl", "show", "--property=ActiveState,InvocationID", self.unit];
        let output = self.machine.command(words).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        text.contains("ActiveState=active\n").then_some(text)
    }
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
        Self::ask_on(ask, wanted, None)
    }

    /// As [`Probing::begin`]; failures of requests during which the unit was not up are counted by themselves.
    pub fn begin_over(restarts: Restarts, ask: Ask, wanted: u16) -> Self {
        Self::ask_on(ask, wanted, Some(restarts))
    }

    fn ask_on(ask: Ask, wanted: u16, restarts: Option<Restarts>) -> Self {
        let tally = Arc::new(Mutex::new(Tally::default()));
        let over = Arc::new(AtomicBool::new(false));
        let (sums, end) = (Arc::clone(&tally), Arc::clone(&over));
        let worker = thread::spawn(move || {
            let (mut last_good, mut last) = (Instant::now(), Fate::Answered);
            while !end.load(Ordering::Relaxed) {
                let run = restarts.as_ref().and_then(Restarts::run);
                let answer = ask.answer();
                let good = matches!(&answer, Ok(Answer::Http(status, _)) if *status == wanted);
                let up = || run.is_some() && restarts.as_ref().and_then(Restarts::run) == run;
                let restarting = !good && restarts.is_some() && !up();
                let mut sums = sums.lock().unwrap_or_else(PoisonError::into_inner);
                sums.asked += 1;
                sums.gap = sums.gap.max(last_good.elapsed());
                last = if good {
                    last_good = Instant::now();
                    Fate::Answered
                } else {
                    sums.fail(restarting, last, || format!("{answer:?}"))
                };
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
