//! One thread per target root, so that a file system that does not answer holds up its own entries only.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Which roots a job touches. Jobs of one lane run one after the other; a job that touches two roots has a
/// lane of its own, so that one that hangs does not stop the other's entries.
pub(crate) type Lane = BTreeSet<usize>;

/// Why a job gave no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stalled {
    /// Not finished within the deadline; one that had begun goes on in the background.
    Hangs,
    /// The job, or the thread for it, died.
    Died,
}

/// The threads.
#[derive(Default)]
pub(crate) struct Workers {
    lanes: Mutex<HashMap<Lane, Worker>>,
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Workers")
    }
}

struct Worker {
    jobs: Sender<Job>,
    progress: Arc<Mutex<Progress>>,
}

struct Job {
    number: u64,
    work: Box<dyn FnOnce() + Send>,
}

#[derive(Default)]
struct Progress {
    next: u64,
    running: Option<u64>,
    /// The running job has exceeded its deadline.
    hung: bool,
    /// Jobs that nobody waits for any more and that have not begun.
    abandoned: BTreeSet<u64>,
}

/// A job that was handed over.
pub(crate) struct Pending<T> {
    number: u64,
    result: Receiver<T>,
    progress: Arc<Mutex<Progress>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Workers {
    /// Runs `job` in its lane and waits for it, `deadline` at most.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        lane: &Lane,
        deadline: Duration,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Stalled> {
        self.submit(lane, job)?.wait(deadline)
    }

    /// Hands `job` to its lane. Fails at once while an earlier job hangs there.
    pub(crate) fn submit<T: Send + 'static>(
        &self,
        lane: &Lane,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Pending<T>, Stalled> {
        let mut lanes = lock(&self.lanes);
        if !lanes.contains_key(lane) {
            lanes.insert(lane.clone(), Worker::start().ok_or(Stalled::Died)?);
        }
        lanes.get(lane).ok_or(Stalled::Died)?.submit(job)
    }
}

impl Worker {
    fn start() -> Option<Self> {
        let (jobs, inbox) = channel();
        let progress = Arc::new(Mutex::new(Progress::default()));
        let shared = Arc::clone(&progress);
        let thread = thread::Builder::new().name("target-root".into()).stack_size(512 * 1024);
        thread.spawn(move || work_off(&inbox, &shared)).ok()?;
        Some(Self { jobs, progress })
    }

    fn submit<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Pending<T>, Stalled> {
        let mut progress = lock(&self.progress);
        if progress.hung {
            return Err(Stalled::Hangs);
        }
        let number = progress.next;
        progress.next += 1;
        let (answer, result) = sync_channel(1);
        let work = Box::new(move || {
            // Nobody waiting any more is no failure of the job.
            let _ = answer.send(job());
        });
        self.jobs.send(Job { number, work }).map_err(|_| Stalled::Died)?;
        Ok(Pending { number, result, progress: Arc::clone(&self.progress) })
    }
}

fn work_off(inbox: &Receiver<Job>, progress: &Mutex<Progress>) {
    while let Ok(Job { number, work }) = inbox.recv() {
        {
            let mut now = lock(progress);
            if now.abandoned.remove(&number) {
                continue;
            }
            now.running = Some(number);
        }
        if catch_unwind(AssertUnwindSafe(work)).is_err() {
            tracing::error!("a job on a target root died");
        }
        let mut now = lock(progress);
        now.running = None;
        now.hung = false;
    }
}

impl<T> Pending<T> {
    /// The result, if it comes within `deadline`.
    pub(crate) fn wait(self, deadline: Duration) -> Result<T, Stalled> {
        match self.result.recv_timeout(deadline) {
            Ok(result) => Ok(result),
            Err(RecvTimeoutError::Disconnected) => Err(Stalled::Died),
            Err(RecvTimeoutError::Timeout) => self.give_up(),
        }
    }

    fn give_up(self) -> Result<T, Stalled> {
        let mut now = lock(&self.progress);
        if let Ok(result) = self.result.try_recv() {
            return Ok(result);
        }
        if now.running == Some(self.number) {
            now.hung = true;
        } else {
            now.abandoned.insert(self.number);
        }
        Err(Stalled::Hangs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn lane(roots: &[usize]) -> Lane {
        roots.iter().copied().collect()
    }

    #[test]
    fn a_hanging_root_holds_up_its_own_lane_only() {
        let workers = Workers::default();
        let (_release, gate) = channel::<()>();
        let hanging = workers.submit(&lane(&[0]), move || gate.recv().is_ok()).unwrap();
        assert_eq!(hanging.wait(Duration::ZERO), Err(Stalled::Hangs));
        assert_eq!(workers.run(&lane(&[1]), LONG, || 7), Ok(7));
        assert_eq!(workers.run(&lane(&[0, 1]), LONG, || 8), Ok(8));
    }

    #[test]
    fn a_lane_fails_fast_while_it_hangs_and_works_again_afterwards() {
        let workers = Workers::default();
        let (release, gate) = channel::<()>();
        let (begun, started) = channel();
        let hanging = move || {
            begun.send(()).ok();
            gate.recv().ok();
        };
        let pending = workers.submit(&lane(&[0]), hanging).unwrap();
        started.recv().unwrap();
        assert_eq!(pending.wait(Duration::ZERO), Err(Stalled::Hangs));
        assert_eq!(workers.run(&lane(&[0]), LONG, || 1), Err(Stalled::Hangs));
        release.send(()).unwrap();
        while workers.run(&lane(&[0]), LONG, || 1) != Ok(1) {
            thread::yield_now();
        }
    }

    #[test]
    fn a_job_that_was_given_up_before_it_began_never_runs() {
        let workers = Workers::default();
        let (release, gate) = channel::<()>();
        let first = workers.submit(&lane(&[0]), move || gate.recv().is_ok()).unwrap();
        let (ran, trace) = channel::<()>();
        let second = workers.submit(&lane(&[0]), move || ran.send(()).is_ok()).unwrap();
        assert_eq!(second.wait(Duration::ZERO), Err(Stalled::Hangs));
        release.send(()).unwrap();
        assert_eq!(first.wait(LONG), Ok(true));
        assert_eq!(workers.run(&lane(&[0]), LONG, || 3), Ok(3));
        assert!(trace.try_recv().is_err());
    }

    #[test]
    fn a_job_that_panics_is_reported_and_the_lane_goes_on() {
        let workers = Workers::default();
        let dies = || -> u8 { std::panic::resume_unwind(Box::new(())) };
        assert_eq!(workers.run(&lane(&[0]), LONG, dies), Err(Stalled::Died));
        assert_eq!(workers.run(&lane(&[0]), LONG, || 3), Ok(3));
    }
}
