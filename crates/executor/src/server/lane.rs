//! A bounded pool of threads whose jobs name what they must have for themselves.
//!
//! Looks at entries may be done together: a thread that takes one takes others along that wait for the same group. Only
//! so many threads do so for one group, and none takes along what another group waits for.
//!
//! A job waits in the queue, not on a thread, while another one holds one of its keys: a guest with a hanging
//! command never uses up the threads of the others. Jobs that share a key run in the order of their arrival.
//! Threads begin when there are more jobs that could run than threads that wait, and end when there has been
//! nothing to do for a while.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a thread waits for its next job before it ends.
const PATIENCE: Duration = Duration::from_secs(5);
/// Several times what an operation needs: frames of the protocol and files are on the heap.
const STACK: usize = 512 << 10;

/// What is done together at most: enough that waking a thread for it is of no account.
const TOGETHER: usize = 32;
/// Threads that do things together for one group: storage may be slow, and does several things at once.
const GATHERERS: usize = 4;

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

/// What a thread does.
enum Work<T> {
    /// This, by itself.
    Alone(Box<dyn FnOnce() + Send>),
    /// This, and with it what else there is of the group.
    Together(Group, T),
}

/// Looks of one group may be done together: the places of the target roots that hold the files.
pub(super) type Group = BTreeSet<usize>;

/// Who queued a job: a number that no other connection has.
pub(super) type Owner = u64;

struct Job<T> {
    owner: Owner,
    keys: Vec<Key>,
    work: Work<T>,
}

struct State<T> {
    waiting: VecDeque<Job<T>>,
    busy: HashSet<Key>,
    /// How many threads are at work for a group.
    gathered: HashMap<Group, usize>,
    threads: usize,
    /// Threads that wait for a job, and those that are about to begin.
    idle: usize,
    closed: bool,
}

impl<T> Default for State<T> {
    fn default() -> Self {
        let (waiting, busy, gathered) = (VecDeque::new(), HashSet::new(), HashMap::new());
        Self { waiting, busy, gathered, threads: 0, idle: 0, closed: false }
    }
}

impl<T> State<T> {
    /// Places of the jobs that neither a running one nor an earlier waiting one stands in the way of.
    fn ready(&self) -> impl Iterator<Item = usize> {
        let mut taken: HashSet<&Key> = self.busy.iter().collect();
        self.waiting.iter().enumerate().filter_map(move |(index, job)| {
            let free = job.keys.iter().all(|key| !taken.contains(key)) && self.has_room_for(&job.work);
            taken.extend(&job.keys);
            free.then_some(index)
        })
    }

    fn has_room_for(&self, work: &Work<T>) -> bool {
        match work {
            Work::Alone(_) => true,
            Work::Together(group, _) => self.gathered.get(group).is_none_or(|threads| *threads < GATHERERS),
        }
    }

    /// How many threads could begin to work, at most.
    fn wanted(&self) -> usize {
        let mut groups = BTreeSet::new();
        self.ready()
            .filter(|index| match self.waiting.get(*index).map(|job| &job.work) {
                Some(Work::Together(group, _)) => groups.insert(group),
                _ => true,
            })
            .count()
    }

    /// The first of them, and those that are done together with it.
    fn take(&mut self) -> Vec<Job<T>> {
        let Some(first) = self.ready().next() else { return Vec::new() };
        let mut places = vec![first];
        if let Some(Job { work: Work::Together(group, _), .. }) = self.waiting.get(first) {
            let same = |index: &usize| matches!(self.waiting.get(*index), Some(Job { work: Work::Together(of, _), .. }) if of == group);
            places.extend(self.ready().skip(1).filter(same).take(TOGETHER - 1));
            *self.gathered.entry(group.clone()).or_default() += 1;
        }
        // From the back, so that the places in front stay what they are.
        let mut jobs: Vec<_> =
            places.into_iter().rev().filter_map(|index| self.waiting.remove(index)).collect();
        jobs.reverse();
        self.busy.extend(jobs.iter().flat_map(|job| job.keys.iter().cloned()));
        jobs
    }

    /// A thread that was at work for a group is free again.
    fn scatter(&mut self, group: &Group) {
        if let Some(threads) = self.gathered.get_mut(group) {
            *threads -= 1;
            if *threads == 0 {
                self.gathered.remove(group);
            }
        }
    }
}

struct Shared<T> {
    name: &'static str,
    max_threads: usize,
    together: fn(Vec<T>),
    state: Mutex<State<T>>,
    /// There may be a job for one more thread.
    woken: Condvar,
    /// A thread has ended.
    ended: Condvar,
}

impl<T: Send + 'static> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees to it that there is a thread for every job that could run.
    fn provide(self: &Arc<Self>, state: &mut State<T>) {
        while state.waiting.len() > state.idle
            && state.threads < self.max_threads
            && state.wanted() > state.idle
        {
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
            loop {
                let jobs = state.take();
                if jobs.is_empty() {
                    break;
                }
                drop(state);
                let (keys, group) = self.perform(jobs);
                state = self.lock();
                self.release(&mut state, &keys, group.as_ref());
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

    /// Does the jobs, and gives what they held.
    fn perform(&self, jobs: Vec<Job<T>>) -> (Vec<Key>, Option<Group>) {
        let (mut keys, mut items, mut of) = (Vec::new(), Vec::with_capacity(jobs.len()), None);
        for job in jobs {
            keys.extend(job.keys);
            match job.work {
                // A panic is a defect, but not a reason to stop serving: the job's answer says so.
                Work::Alone(work) => drop(catch_unwind(AssertUnwindSafe(work))),
                Work::Together(group, item) => {
                    of = Some(group);
                    items.push(item);
                }
            }
        }
        if !items.is_empty() {
            let _ = catch_unwind(AssertUnwindSafe(|| (self.together)(items)));
        }
        (keys, of)
    }

    fn release(self: &Arc<Self>, state: &mut State<T>, keys: &[Key], group: Option<&Group>) {
        for key in keys {
            state.busy.remove(key);
        }
        if let Some(group) = group {
            state.scatter(group);
        }
        // One job that waited for these keys is for this thread, the others are not.
        state.idle += 1;
        self.provide(state);
        state.idle -= 1;
        if state.wanted() > 1 {
            self.woken.notify_all();
        }
    }
}

/// A pool of threads with a queue. Threads are started when they are needed first.
pub(crate) struct Lane<T>(Arc<Shared<T>>);

impl<T> Clone for Lane<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Send + 'static> Lane<T> {
    /// `together` does what may be done together.
    pub(crate) fn new(name: &'static str, max_threads: usize, together: fn(Vec<T>)) -> Self {
        let (woken, ended) = (Condvar::new(), Condvar::new());
        let state = Mutex::default();
        Self(Arc::new(Shared { name, max_threads, together, state, woken, ended }))
    }

    /// Queues `work`; false when the lane is closed or no thread can be had at all.
    pub(super) fn submit(&self, owner: Owner, keys: Vec<Key>, work: impl FnOnce() + Send + 'static) -> bool {
        self.queue(Job { owner, keys, work: Work::Alone(Box::new(work)) })
    }

    /// Queues something that may be done together with others of the group; false as for [`Self::submit`].
    pub(super) fn submit_together(&self, owner: Owner, keys: Vec<Key>, group: Group, item: T) -> bool {
        self.queue(Job { owner, keys, work: Work::Together(group, item) })
    }

    fn queue(&self, job: Job<T>) -> bool {
        let mut state = self.0.lock();
        if state.closed {
            return false;
        }
        // Threads that are at work for its group come back for it.
        let is_seen_to = !state.has_room_for(&job.work);
        state.waiting.push_back(job);
        if is_seen_to {
            return true;
        }
        self.0.provide(&mut state);
        if state.threads == 0 {
            state.waiting.clear();
            return false;
        }
        if state.idle > 0 && state.ready().next().is_some() {
            self.0.woken.notify_one();
        }
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
mod tests;
