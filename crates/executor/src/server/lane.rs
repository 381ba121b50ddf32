//! A bounded pool of threads whose jobs name what they must have for themselves.
//!
//! A job waits in the queue, not on a thread, while another one holds one of its keys: a guest with a hanging
//! command never uses up the threads of the others. Jobs that share a key run in the order of their arrival.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// What a job must have for itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// Looking at the manifest file.
    Manifest,
    /// The files and the state of the pair with this key path.
    Pair(String),
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
    threads: Vec<JoinHandle<()>>,
    idle: usize,
    closed: bool,
}

impl State {
    /// The first job that neither a running one nor an earlier waiting one stands in the way of.
    fn take(&mut self) -> Option<Job> {
        let mut taken: HashSet<&Key> = self.busy.iter().collect();
        let index = self.waiting.iter().position(|job| {
            let free = job.keys.iter().all(|key| !taken.contains(key));
            if !free {
                taken.extend(&job.keys);
            }
            free
        })?;
        let job = self.waiting.remove(index)?;
        self.busy.extend(job.keys.iter().cloned());
        Some(job)
    }
}

struct Shared {
    name: &'static str,
    max_threads: usize,
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.take() {
                drop(state);
                // A panic is a defect, but not a reason to stop serving: the job's answer says so.
                let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job.work));
                state = self.lock();
                for key in &job.keys {
                    state.busy.remove(key);
                }
                self.changed.notify_all();
            } else if state.closed {
                return;
            } else {
                state.idle += 1;
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
            }
        }
    }
}

/// A pool of threads with a queue. Threads are started when they are needed first.
#[derive(Clone)]
pub(crate) struct Lane(Arc<Shared>);

impl Lane {
    pub(crate) fn new(name: &'static str, max_threads: usize) -> Self {
        Self(Arc::new(Shared { name, max_threads, state: Mutex::default(), changed: Condvar::new() }))
    }

    /// Queues `work`; false when the lane is closed or no thread can be had at all.
    pub(super) fn submit(&self, owner: Owner, keys: Vec<Key>, work: impl FnOnce() + Send + 'static) -> bool {
        let mut state = self.0.lock();
        if state.closed || !self.have_thread(&mut state) {
            return false;
        }
        state.waiting.push_back(Job { owner, keys, work: Box::new(work) });
        drop(state);
        self.0.changed.notify_all();
        true
    }

    fn have_thread(&self, state: &mut State) -> bool {
        if state.idle > state.waiting.len() || state.threads.len() >= self.0.max_threads {
            return true;
        }
        let shared = Arc::clone(&self.0);
        match std::thread::Builder::new().name(self.0.name.to_owned()).spawn(move || shared.work()) {
            Ok(thread) => state.threads.push(thread),
            Err(error) => tracing::warn!(lane = self.0.name, %error, "no new thread"),
        }
        !state.threads.is_empty()
    }

    /// Drops what an owner left waiting.
    pub(super) fn forget(&self, owner: Owner) {
        self.0.lock().waiting.retain(|job| job.owner != owner);
        // One that it stood in the way of may be free now.
        self.0.changed.notify_all();
    }

    /// Drops what waits and returns when what runs has ended.
    pub(crate) fn close(&self) {
        let threads = {
            let mut state = self.0.lock();
            state.closed = true;
            state.waiting.clear();
            std::mem::take(&mut state.threads)
        };
        self.0.changed.notify_all();
        for thread in threads {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
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
