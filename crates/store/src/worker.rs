//! Threads for the target roots, so that a file system that does not answer holds up its own entries only.
//!
//! Each set of roots has a few threads of its own, which begin when they are needed and end when they are not.
//! Jobs of one entry run one after the other. A file system that hangs uses up the threads of its own root at
//! most: once a job has exceeded its deadline, one other call at a time finds out whether the root answers, and
//! all further ones fail at once, until a job ends there.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Which roots a job touches. A job that touches two roots has threads of its own, so that one that hangs does
/// not stop the other's entries.
pub(crate) type Lane = BTreeSet<usize>;

/// Threads of one lane. They wait for disks nearly all of their time, and disks do several things at once.
const MAX_THREADS: usize = 8;
/// How long a thread waits for its next job before it ends.
const PATIENCE: Duration = Duration::from_secs(5);
/// More than twice what a commit needs, debug builds included.
const STACK: usize = 256 << 10;

/// Why a job gave no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stalled {
    /// Not finished within the deadline; one that had begun goes on in the background.
    Hangs,
    /// The job, or the thread for it, died.
    Died,
}

/// The threads of all lanes.
#[derive(Default)]
pub(crate) struct Workers {
    lanes: Mutex<HashMap<Lane, Arc<Pool>>>,
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Workers")
    }
}

/// The threads of one lane and what they have to do.
#[derive(Default)]
struct Pool {
    now: Mutex<Progress>,
    woken: Condvar,
}

struct Job {
    number: u64,
    entry: String,
    work: Box<dyn FnOnce() + Send>,
}

#[derive(Default)]
struct Progress {
    next: u64,
    waiting: VecDeque<Job>,
    /// Jobs that have begun, and whose they are.
    running: HashMap<u64, String>,
    /// Those of them that have exceeded their deadline.
    hung: BTreeSet<u64>,
    /// A job has exceeded its deadline and none has ended since.
    silent: bool,
    threads: usize,
    /// Threads that wait for a job, and those that are about to begin.
    idle: usize,
}

/// A job that was handed over.
pub(crate) struct Pending<T> {
    number: u64,
    result: Receiver<T>,
    pool: Arc<Pool>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Workers {
    /// Hands a job of `entry` to its lane. Fails at once while an earlier one of the same entry hangs, or while
    /// the lane does not answer.
    pub(crate) fn submit<T: Send + 'static>(
        &self,
        lane: &Lane,
        entry: &str,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Pending<T>, Stalled> {
        let pool = Arc::clone(lock(&self.lanes).entry(lane.clone()).or_default());
        let (answer, result) = sync_channel(1);
        let work = Box::new(move || {
            // Nobody waiting any more is no failure of the job.
            let _ = answer.send(job());
        });
        let number = pool.submit(entry, work)?;
        Ok(Pending { number, result, pool })
    }
}

impl Progress {
    fn hangs(&self, entry: &str) -> bool {
        let busy = self.running.len() + self.waiting.len() > self.hung.len();
        self.hung.len() >= MAX_THREADS
            || self.silent && busy
            || self.hung.iter().any(|number| self.running.get(number).is_some_and(|of| of == entry))
    }

    /// The first job whose entry has none that runs.
    fn take(&mut self) -> Option<Job> {
        let running = &self.running;
        let free = |job: &Job| running.values().all(|entry| *entry != job.entry);
        let index = self.waiting.iter().position(free)?;
        let job = self.waiting.remove(index)?;
        self.running.insert(job.number, job.entry.clone());
        Some(job)
    }

    /// How many jobs could begin now if there were threads for them.
    fn ready(&self) -> usize {
        let mut entries: BTreeSet<&String> = self.running.values().collect();
        self.waiting.iter().filter(|job| entries.insert(&job.entry)).count()
    }
}

impl Pool {
    fn submit(self: &Arc<Self>, entry: &str, work: Box<dyn FnOnce() + Send>) -> Result<u64, Stalled> {
        let mut now = lock(&self.now);
        if now.hangs(entry) {
            return Err(Stalled::Hangs);
        }
        let number = now.next;
        now.next += 1;
        now.waiting.push_back(Job { number, entry: entry.to_owned(), work });
        if now.ready() > now.idle && now.threads < MAX_THREADS {
            self.start(&mut now);
        } else {
            self.woken.notify_one();
        }
        if now.threads == 0 {
            now.waiting.clear();
            return Err(Stalled::Died);
        }
        Ok(number)
    }

    fn start(self: &Arc<Self>, now: &mut Progress) {
        let pool = Arc::clone(self);
        let thread = thread::Builder::new().name("target-root".into()).stack_size(STACK);
        match thread.spawn(move || pool.work_off()) {
            Ok(_) => {
                now.threads += 1;
                now.idle += 1;
            }
            Err(error) => tracing::warn!(%error, "no new thread for a target root"),
        }
    }

    fn work_off(&self) {
        let mut now = lock(&self.now);
        now.idle -= 1;
        loop {
            let Some(Job { number, work, .. }) = now.take() else {
                now.idle += 1;
                let (woken, waited) =
                    self.woken.wait_timeout(now, PATIENCE).unwrap_or_else(PoisonError::into_inner);
                now = woken;
                now.idle -= 1;
                if waited.timed_out() && now.ready() == 0 {
                    now.threads -= 1;
                    return;
                }
                continue;
            };
            drop(now);
            if catch_unwind(AssertUnwindSafe(work)).is_err() {
                tracing::error!("a job on a target root died");
            }
            now = lock(&self.now);
            now.running.remove(&number);
            now.hung.remove(&number);
            now.silent = false;
        }
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

    /// A job that has begun cannot be stopped; one that has not will never begin.
    fn give_up(self) -> Result<T, Stalled> {
        let mut now = lock(&self.pool.now);
        if let Ok(result) = self.result.try_recv() {
            return Ok(result);
        }
        if now.running.contains_key(&self.number) {
            now.hung.insert(self.number);
            now.silent = true;
        } else {
            now.waiting.retain(|job| job.number != self.number);
        }
        Err(Stalled::Hangs)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    impl Workers {
        /// Runs a job and waits for it.
        fn run<T: Send + 'static>(
            &self,
            lane: &Lane,
            entry: &str,
            deadline: Duration,
            job: impl FnOnce() -> T + Send + 'static,
        ) -> Result<T, Stalled> {
            self.submit(lane, entry, job)?.wait(deadline)
        }
    }

    fn lane(roots: &[usize]) -> Lane {
        roots.iter().copied().collect()
    }

    /// A job that has begun and exceeded its deadline; it ends when the sender is dropped.
    fn hang(workers: &Workers, roots: &[usize], entry: &str) -> Sender<()> {
        let (release, gate) = channel::<()>();
        let (begun, started) = channel();
        let job = move || {
            begun.send(()).ok();
            gate.recv().ok();
        };
        let pending = workers.submit(&lane(roots), entry, job).unwrap();
        started.recv().unwrap();
        assert_eq!(pending.wait(Duration::ZERO), Err(Stalled::Hangs));
        release
    }

    #[test]
    fn a_hanging_root_holds_up_its_own_lane_only() {
        let workers = Workers::default();
        let _release: Vec<_> =
            (0..MAX_THREADS).map(|number| hang(&workers, &[0], &number.to_string())).collect();
        assert_eq!(workers.run(&lane(&[0]), "a", LONG, || 6), Err(Stalled::Hangs));
        assert_eq!(workers.run(&lane(&[1]), "a", LONG, || 7), Ok(7));
        assert_eq!(workers.run(&lane(&[0, 1]), "a", LONG, || 8), Ok(8));
    }

    #[test]
    fn jobs_of_several_entries_run_at_the_same_time() {
        let workers = Workers::default();
        let (first, second) = (channel(), channel());
        let meet = |mine: Sender<()>, other: Receiver<()>| {
            move || {
                mine.send(()).unwrap();
                other.recv().unwrap();
            }
        };
        let a = workers.submit(&lane(&[0]), "a", meet(first.0, second.1)).unwrap();
        let b = workers.submit(&lane(&[0]), "b", meet(second.0, first.1)).unwrap();
        assert_eq!((a.wait(LONG), b.wait(LONG)), (Ok(()), Ok(())));
    }

    #[test]
    fn jobs_of_one_entry_run_one_after_the_other() {
        let workers = Workers::default();
        let inside = Arc::new(Mutex::new(()));
        let (done, results) = channel();
        let pending: Vec<_> = (0..50)
            .map(|number| {
                let (inside, done) = (Arc::clone(&inside), done.clone());
                let job = move || done.send((number, inside.try_lock().is_ok())).unwrap();
                workers.submit(&lane(&[0]), "a", job).unwrap()
            })
            .collect();
        assert!(pending.into_iter().all(|job| job.wait(LONG).is_ok()));
        let seen: Vec<_> = results.iter().take(50).collect();
        assert_eq!(seen, (0..50).map(|number| (number, true)).collect::<Vec<_>>());
    }

    #[test]
    fn an_entry_that_hangs_fails_fast_and_works_again_afterwards() {
        let workers = Workers::default();
        let release = hang(&workers, &[0], "a");
        assert_eq!(workers.run(&lane(&[0]), "a", LONG, || 1), Err(Stalled::Hangs));
        assert_eq!(workers.run(&lane(&[0]), "b", LONG, || 2), Ok(2), "the root answers to others");
        drop(release);
        while workers.run(&lane(&[0]), "a", LONG, || 1) != Ok(1) {
            thread::yield_now();
        }
    }

    #[test]
    fn while_a_root_is_silent_one_call_at_a_time_tries_it() {
        let workers = Workers::default();
        let _hanging = hang(&workers, &[0], "a");
        let (release, gate) = channel::<()>();
        let trying = workers.submit(&lane(&[0]), "b", move || gate.recv().is_err()).unwrap();
        assert_eq!(workers.run(&lane(&[0]), "c", LONG, || 1), Err(Stalled::Hangs));
        drop(release);
        assert_eq!(trying.wait(LONG), Ok(true));
        while workers.run(&lane(&[0]), "c", LONG, || 1) != Ok(1) {
            thread::yield_now();
        }
    }

    #[test]
    fn a_job_that_was_given_up_before_it_began_never_runs() {
        let workers = Workers::default();
        let (release, gate) = channel::<()>();
        let first = workers.submit(&lane(&[0]), "a", move || gate.recv().is_err()).unwrap();
        let (ran, trace) = channel::<()>();
        let second = workers.submit(&lane(&[0]), "a", move || ran.send(()).is_ok()).unwrap();
        assert_eq!(second.wait(Duration::ZERO), Err(Stalled::Hangs));
        drop(release);
        assert_eq!(first.wait(LONG), Ok(true));
        assert_eq!(workers.run(&lane(&[0]), "a", LONG, || 3), Ok(3));
        assert!(trace.try_recv().is_err());
    }

    #[test]
    fn a_job_that_panics_is_reported_and_the_lane_goes_on() {
        let workers = Workers::default();
        let dies = || -> u8 { std::panic::resume_unwind(Box::new(())) };
        assert_eq!(workers.run(&lane(&[0]), "a", LONG, dies), Err(Stalled::Died));
        assert_eq!(workers.run(&lane(&[0]), "a", LONG, || 3), Ok(3));
    }
}
