//! A bounded pool of threads whose jobs name what they must have for themselves.
//!
//! A job waits in the queue, not on a thread, while another one holds one of its keys: a guest with a hanging
//! command never uses up the threads of the others. Jobs that share a key run in the order of their arrival.
//! Threads begin when there are more jobs that could run than threads that wait, and end when there has been
//! nothing to do for a while.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a thread waits for its next job before it ends.
const PATIENCE: Duration = Duration::from_secs(5);
/// Several times what an operation needs: frames of the protocol and files are on the heap.
const STACK: usize = 512 << 10;

/// What a job must have for itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// Looking at the manifest file.
    Manifest,
    /// The files and the state of the pair with this key path.
    Pair(String),
    /// A provisioner's password.
    Password(String),
    /// A guest, or what else a command acts on.
    Target(String),
}

type Work = Box<dyn FnOnce() + Send>;

/// Who queued a job: a number that no other connection has.
pub(super) type Owner = u64;

struct Job {
    owner: Owner,
    keys: Vec<Key>,
    work: Work,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    busy: HashSet<Key>,
    threads: usize,
    /// Threads that wait for a job, and those that are about to begin.
    idle: usize,
    closed: bool,
}

impl State {
    /// Places of the jobs that neither a running one nor an earlier waiting one stands in the way of.
    fn ready(&self) -> impl Iterator<Item = usize> {
        let mut taken: HashSet<&Key> = self.busy.iter().collect();
        self.waiting.iter().enumerate().filter_map(move |(index, job)| {
            let free = job.keys.iter().all(|key| !taken.contains(key));
            taken.extend(&job.keys);
            free.then_some(index)
        })
    }

    /// The first of them.
    fn take(&mut self) -> Option<Job> {
        let index = self.ready().next()?;
        let job = self.waiting.remove(index)?;
        self.busy.extend(job.keys.iter().cloned());
        Some(job)
    }
}

struct Shared {
    name: &'static str,
    max_threads: usize,
    state: Mutex<State>,
    /// There may be a job for one more thread.
    woken: Condvar,
    /// A thread has ended.
    ended: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees to it that there is a thread for every job that could run.
    fn provide(self: &Arc<Self>, state: &mut State) {
        while state.threads < self.max_threads && state.ready().nth(state.idle).is_some() {
            let shared = Arc::clone(self);
            let thread = std::thread::Builder::new().name(self.name.to_owned()).stack_size(STACK);
            if let Err(error) = thread.spawn(move || shared.work()) {
                tracing::warn!(lane = self.name, %error, "no new thread");
                return;
            }
            state.threads += 1;
            state.idle += 1;
        }
    }

    fn work(self: &Arc<Self>) {
        let mut state = self.lock();
        loop {
            // Until here it has waited, or has just begun.
            state.idle -= 1;
            while let Some(job) = state.take() {
                drop(state);
                // A panic is a defect, but not a reason to stop serving: the job's answer says so.
                let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job.work));
                state = self.lock();
                self.release(&mut state, &job.keys);
            }
            if state.closed {
                break;
            }
            state.idle += 1;
            let waited = self.woken.wait_timeout(state, PATIENCE).unwrap_or_else(PoisonError::into_inner);
            state = waited.0;
            if waited.1.timed_out() && state.ready().next().is_none() {
                state.idle -= 1;
                break;
            }
        }
        state.threads -= 1;
        self.ended.notify_all();
    }

    fn release(self: &Arc<Self>, state: &mut State, keys: &[Key]) {
        for key in keys {
            state.busy.remove(key);
        }
        // One job that waited for these keys is for this thread, the others are not.
        state.idle += 1;
        self.provide(state);
        state.idle -= 1;
        if state.ready().nth(1).is_some() {
            self.woken.notify_all();
        }
    }
}

/// A pool of threads with a queue. Threads are started when they are needed first.
#[derive(Clone)]
pub(crate) struct Lane(Arc<Shared>);

impl Lane {
    pub(crate) fn new(name: &'static str, max_threads: usize) -> Self {
        let (woken, ended) = (Condvar::new(), Condvar::new());
        Self(Arc::new(Shared { name, max_threads, state: Mutex::default(), woken, ended }))
    }

    /// Queues `work`; false when the lane is closed or no thread can be had at all.
    pub(super) fn submit(&self, owner: Owner, keys: Vec<Key>, work: impl FnOnce() + Send + 'static) -> bool {
        let mut state = self.0.lock();
        if state.closed {
            return false;
        }
        state.waiting.push_back(Job { owner, keys, work: Box::new(work) });
        self.0.provide(&mut state);
        if state.threads == 0 {
            state.waiting.clear();
            return false;
        }
        self.0.woken.notify_one();
        true
    }

    /// Drops what an owner left waiting.
    pub(super) fn forget(&self, owner: Owner) {
        let mut state = self.0.lock();
        state.waiting.retain(|job| job.owner != owner);
        // Those that it stood in the way of may be free now.
        self.0.provide(&mut state);
        self.0.woken.notify_all();
    }

    /// Drops what waits and returns when what runs has ended.
    pub(crate) fn close(&self) {
        let mut state = self.0.lock();
        state.closed = true;
        state.waiting.clear();
        self.0.woken.notify_all();
        while state.threads > 0 {
            state = self.0.ended.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::mpsc::channel;

    use super::*;

    fn key(name: &str) -> Vec<Key> {
        vec![Key::Target(name.to_owned())]
    }

    #[test]
    fn jobs_with_a_common_key_never_overlap_and_keep_their_order() {
        let lane = Lane::new("test", 8);
        let inside = Arc::new(Mutex::new(()));
        let (done, results) = channel();
        for number in 0..100 {
            let (inside, done) = (Arc::clone(&inside), done.clone());
            assert!(lane.submit(1, key("a"), move || {
                let alone = inside.try_lock().is_ok();
                done.send((number, alone)).unwrap();
            }));
        }
        let seen: Vec<_> = results.iter().take(100).collect();
        assert_eq!(seen, (0..100).map(|number| (number, true)).collect::<Vec<_>>());
    }

    #[test]
    fn a_job_that_hangs_holds_up_only_those_that_share_its_key() {
        let lane = Lane::new("test", 2);
        let (release, gate) = channel::<()>();
        let (done, results) = channel();
        lane.submit(1, key("slow"), move || gate.recv().unwrap());
        for name in ["slow", "other", "third"] {
            let done = done.clone();
            lane.submit(1, key(name), move || done.send(name).unwrap());
        }
        assert_eq!([results.recv().unwrap(), results.recv().unwrap()], ["other", "third"]);
        release.send(()).unwrap();
        assert_eq!(results.recv().unwrap(), "slow");
    }

    #[test]
    fn a_job_with_two_keys_is_not_overtaken_for_ever() {
        let mut state = State::default();
        state.busy.insert(Key::Target("a".into()));
        for keys in [vec!["a", "b"], vec!["b"], vec!["c"]] {
            let keys = keys.into_iter().map(|name| Key::Target(name.to_owned())).collect();
            state.waiting.push_back(Job { owner: 1, keys, work: Box::new(|| ()) });
        }
        assert_eq!(state.take().unwrap().keys, key("c"));
        assert!(state.take().is_none(), "b waits behind a+b");
        state.busy.remove(&Key::Target("a".into()));
        assert_eq!(state.take().unwrap().keys.len(), 2);
    }

    #[test]
    fn jobs_that_do_not_share_a_key_run_at_the_same_time() {
        let lane = Lane::new("test", 3);
        let meeting = Arc::new(Barrier::new(3));
        let (done, results) = channel();
        // The second round finds threads that wait.
        for round in 0..2 {
            for name in ["a", "b", "c"] {
                let (meeting, done) = (Arc::clone(&meeting), done.clone());
                assert!(lane.submit(1, key(name), move || {
                    meeting.wait();
                    done.send(round).unwrap();
                }));
            }
            assert_eq!(results.iter().take(3).collect::<Vec<_>>(), [round; 3]);
        }
    }

    #[test]
    fn keys_that_become_free_let_all_begin_that_waited_for_them() {
        let lane = Lane::new("test", 3);
        let (release, gate) = channel::<()>();
        let meeting = Arc::new(Barrier::new(2));
        let (done, results) = channel();
        lane.submit(1, [key("a"), key("b")].concat(), move || assert!(gate.recv().is_err()));
        for name in ["a", "b"] {
            let (meeting, done) = (Arc::clone(&meeting), done.clone());
            lane.submit(1, key(name), move || {
                meeting.wait();
                done.send(()).unwrap();
            });
        }
        drop(release);
        assert_eq!(results.iter().take(2).count(), 2);
    }

    #[test]
    fn jobs_that_wait_for_each_other_need_one_thread() {
        let lane = Lane::new("test", 8);
        let (done, results) = channel();
        for _ in 0..3 {
            let done = done.clone();
            lane.submit(1, key("a"), move || done.send(()).unwrap());
        }
        assert_eq!(results.iter().take(3).count(), 3);
        assert_eq!(lane.0.lock().threads, 1);
    }

    #[test]
    fn closing_waits_for_what_runs_and_drops_what_waits() {
        let lane = Lane::new("test", 1);
        let (started, wait) = channel();
        let (release, gate) = channel::<()>();
        let (done, results) = channel();
        let finished = done.clone();
        lane.submit(1, vec![], move || {
            started.send(()).unwrap();
            gate.recv().unwrap();
            finished.send("running").unwrap();
        });
        wait.recv().unwrap();
        lane.submit(1, vec![], move || done.send("waiting").unwrap());
        let closing = std::thread::spawn({
            let lane = lane.clone();
            move || lane.close()
        });
        while lane.submit(1, vec![], || ()) {
            std::thread::yield_now();
        }
        release.send(()).unwrap();
        closing.join().unwrap();
        assert_eq!(results.iter().collect::<Vec<_>>(), ["running"]);
    }

    #[test]
    fn what_a_lost_owner_left_waiting_is_dropped_and_stands_in_nobodys_way() {
        let lane = Lane::new("test", 2);
        let (started, wait) = channel();
        let (release, gate) = channel::<()>();
        let (done, results) = channel();
        let (running, waiting, other) = (done.clone(), done.clone(), done);
        lane.submit(1, key("a"), move || {
            started.send(()).unwrap();
            gate.recv().unwrap();
            running.send("running").unwrap();
        });
        wait.recv().unwrap();
        let both = vec![Key::Target("a".into()), Key::Target("b".into())];
        lane.submit(1, both, move || waiting.send("waiting").unwrap());
        lane.submit(2, key("b"), move || other.send("other").unwrap());
        lane.forget(1);
        assert_eq!(results.recv().unwrap(), "other");
        release.send(()).unwrap();
        assert_eq!(results.iter().collect::<Vec<_>>(), ["running"]);
    }

    #[test]
    fn a_panic_frees_its_keys() {
        let lane = Lane::new("test", 1);
        let (done, results) = channel();
        lane.submit(1, key("a"), || panic!("on purpose"));
        lane.submit(1, key("a"), move || done.send(()).unwrap());
        results.recv().unwrap();
    }
}
