//! The state directory and the target roots together.

use std::collections::HashMap;
use std::fmt;
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use phoenix_core::manifest::Entry;
use phoenix_core::name::AbsolutePath;
use phoenix_core::reason::{Reason, Trouble};

use crate::commit::{Bench, EntryLocks};
use crate::disk::Disk;
use crate::entry::EntryStore;
use crate::fault::{Faults, NoFaults};
use crate::intent;
use crate::lock::{OpenError, StateLock};
use crate::pair::LiveFiles;
use crate::recovery::{self, Recovered};
use crate::roots::TargetRoots;
use crate::state::StateDir;
use crate::survey;
use crate::target::{self, Target};
use crate::worker::{Lane, Pending, Stalled, Workers};

const ENTRIES: &str = "entries";
/// How long one operation on a target root may take.
const DEADLINE: Duration = Duration::from_secs(20);

/// A thread looks through the state of so many entries at least when the store is opened.
const SHARE: usize = 256;

/// How a store works.
pub struct Options {
    /// Files are written below these directories only.
    pub target_roots: Vec<AbsolutePath>,
    /// How long one operation on a target root may take before it counts as hanging. Default: 20 s.
    pub deadline: Duration,
    /// Seam for tests.
    pub faults: Arc<dyn Faults>,
}

impl Options {
    /// Target roots with the default deadline.
    pub fn new(target_roots: Vec<AbsolutePath>) -> Self {
        Self { target_roots, deadline: DEADLINE, faults: Arc::new(NoFaults) }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("target_roots", &self.target_roots)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

/// The store. A handle: clones share everything, the lock on the state directory included.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

/// What an entry has for itself.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) target: Target,
    /// Name of its directory in the state.
    pub(crate) name: String,
    pub(crate) locks: Arc<EntryLocks>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    state: StateDir,
    entries: StateDir,
    disk: Disk,
    roots: TargetRoots,
    pub(crate) workers: Workers,
    pub(crate) deadline: Duration,
    locks: Mutex<HashMap<String, Arc<EntryLocks>>>,
    _lock: OwnedFd,
}

impl Store {
    /// Opens the locked state directory. No target root is looked at yet.
    pub fn open(lock: StateLock, options: Options) -> Result<Self, OpenError> {
        let disk = Disk::new(options.faults);
        let (dir, file) = lock.into_parts();
        let state = StateDir::new(dir, disk.clone());
        // Those of the entries are swept when they are recovered.
        state.sweep_all(ENTRIES)?;
        let entries = state.subdir(ENTRIES)?;
        let roots = TargetRoots::open(&options.target_roots, state.clone());
        let inner = Inner {
            state,
            entries,
            disk,
            roots,
            workers: Workers::default(),
            deadline: options.deadline,
            locks: Mutex::default(),
            _lock: file,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The handle of one entry. State follows the key path.
    pub fn entry(&self, entry: &Entry) -> EntryStore {
        let target = Target::of(entry);
        let name = target::state_name(&target.key_path);
        let locks = self.inner.locks(&name);
        EntryStore::new(Arc::clone(&self.inner), Place { target, name, locks })
    }

    /// A path with its target root as it really lies, as far as that is known. Nothing is looked at.
    pub fn real_path(&self, path: &Path) -> PathBuf {
        self.inner.roots.real_path(path)
    }

    /// The state directory, for the executor's other records.
    pub fn state(&self) -> &StateDir {
        &self.inner.state
    }

    /// Finishes every half-done commit, before anything else is done. A root that hangs or is absent delays
    /// its own entries only: the others are finished while it is waited for, at most one deadline in all.
    pub fn recover(&self) -> Vec<Recovered> {
        let (mut done, mut waiting) = (Vec::new(), Vec::new());
        let names = match self.inner.entries.names() {
            Ok(names) => names,
            Err(trouble) => return vec![Recovered { key_path: None, outcome: Err(trouble) }],
        };
        for begun in self.begin_recovery(&names) {
            match begun {
                Ok(started) => waiting.push(started),
                Err(recovered) => done.push(recovered),
            }
        }
        let end = Instant::now() + self.inner.deadline;
        for (key_path, pending) in waiting {
            let rest = end.saturating_duration_since(Instant::now());
            let outcome = Inner::flatten(&key_path, pending.wait(rest));
            done.push(Recovered { key_path: Some(key_path), outcome });
        }
        done
    }

    /// Looks through the state of all entries, on as many threads as there are processors: it is what a start waits for.
    fn begin_recovery(&self, names: &[String]) -> Vec<Result<Started, Recovered>> {
        let threads = || thread::available_parallelism().map_or(1, NonZero::get);
        let share = if names.len() > SHARE { names.len().div_ceil(threads()).max(SHARE) } else { SHARE };
        let begin = |names: &[String]| -> Vec<_> {
            names.iter().filter_map(|name| self.inner.begin_recovery(name).transpose()).collect()
        };
        thread::scope(|scope| {
            let (first, others) = names.split_at(share.min(names.len()));
            let thread = |share| thread::Builder::new().spawn_scoped(scope, move || begin(share)).ok();
            let others: Vec<_> = others.chunks(share).map(|share| (share, thread(share))).collect();
            let mut begun = begin(first);
            for (share, thread) in others {
                // What no thread could be had for, or what one that died left, is done here.
                let theirs = thread.and_then(|thread| thread.join().ok());
                begun.extend(theirs.unwrap_or_else(|| begin(share)));
            }
            begun
        })
    }
}

type Started = (AbsolutePath, Pending<Result<(), Trouble>>);

impl Inner {
    /// The state directory of an entry, made if it is missing.
    pub(crate) fn entry_dir(&self, name: &str) -> Result<StateDir, Trouble> {
        self.entries.subdir(name)
    }

    /// The state directory of an entry; none when it has no state.
    pub(crate) fn existing_entry_dir(&self, name: &str) -> Result<Option<StateDir>, Trouble> {
        self.entries.existing(name)
    }

    pub(crate) fn locks(&self, name: &str) -> Arc<EntryLocks> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        match locks.get(name) {
            Some(known) => Arc::clone(known),
            None => Arc::clone(locks.entry(name.to_owned()).or_default()),
        }
    }

    /// Roots that an operation on the live paths touches, unfinished work of the entry included.
    pub(crate) fn lane(&self, place: &Place) -> Result<Lane, Trouble> {
        let mut lane = target::lanes(&self.roots, place.target.paths())?;
        if !place.locks.is_quiet()
            && let Some(dir) = self.existing_entry_dir(&place.name)?
        {
            lane.extend(self.unfinished(&dir)?.1);
        }
        Ok(lane)
    }

    /// What the unfinished work of an entry touches. Work outside the present target roots is dropped: it may
    /// never be finished, and must not stop the entry that has moved elsewhere.
    fn unfinished(&self, entry: &StateDir) -> Result<(Vec<AbsolutePath>, Lane), Trouble> {
        let paths = intent::unfinished(entry)?;
        match target::lanes(&self.roots, &paths) {
            Ok(lane) => Ok((paths, lane)),
            Err(trouble) => {
                tracing::warn!("an interrupted installation is dropped: {trouble}");
                intent::drop_intent(entry);
                intent::forget_traces(entry)?;
                Ok((Vec::new(), Lane::new()))
            }
        }
    }

    /// Runs an operation that changes the target in its lane, after finishing what is unfinished there.
    pub(crate) fn on_target<T: Send + 'static>(
        self: &Arc<Self>,
        place: &Arc<Place>,
        job: impl FnOnce(Bench<'_>) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, Trouble> {
        self.in_lane(place, move |inner, place| {
            inner.take_turn(&place.name, &place.target.key_path, |bench| {
                Self::settle(bench, &place.target)?;
                bench.locks.set_quiet(false);
                job(bench)
            })
        })
    }

    /// Looks at the live paths in their lane, after finishing what is unfinished there.
    pub(crate) fn look(self: &Arc<Self>, place: &Arc<Place>) -> Result<LiveFiles, Trouble> {
        self.in_lane(place, Self::look_here)
    }

    /// Looks at the live paths on this thread.
    pub(crate) fn look_here(&self, place: &Place) -> Result<LiveFiles, Trouble> {
        let Place { target, name, locks } = place;
        let survey = || survey::survey(&self.roots, target).map(survey::live_files);
        if locks.is_quiet() || self.existing_entry_dir(name)?.is_none() {
            let _turn = turn(locks, &target.key_path)?;
            return survey();
        }
        self.take_turn(name, &target.key_path, |bench| {
            Self::settle(bench, target)?;
            survey()
        })
    }

    fn in_lane<T: Send + 'static>(
        self: &Arc<Self>,
        place: &Arc<Place>,
        job: impl FnOnce(&Self, &Place) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, Trouble> {
        let pending = self.begin(place, job)?;
        Self::flatten(&place.target.key_path, pending.and_then(|pending| pending.wait(self.deadline)))
    }

    fn begin<T: Send + 'static>(
        self: &Arc<Self>,
        place: &Arc<Place>,
        job: impl FnOnce(&Self, &Place) -> T + Send + 'static,
    ) -> Result<Result<Pending<T>, Stalled>, Trouble> {
        let lane = self.lane(place)?;
        let (inner, owned) = (Arc::clone(self), Arc::clone(place));
        Ok(self.workers.submit(&lane, &place.name, move || job(&inner, &owned)))
    }

    /// Finishes what is unfinished, if there may be something.
    fn settle(bench: Bench<'_>, target: &Target) -> Result<(), Trouble> {
        if bench.locks.is_quiet() {
            return Ok(());
        }
        recovery::settle(bench).or_else(|trouble| {
            let named: Vec<AbsolutePath> = target.paths().cloned().collect();
            recovery::give_up(bench, &named, trouble)
        })?;
        bench.locks.set_quiet(true);
        Ok(())
    }

    fn take_turn<T>(
        &self,
        name: &str,
        path: &AbsolutePath,
        job: impl FnOnce(Bench<'_>) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        let locks = self.locks(name);
        let _turn = turn(&locks, path)?;
        let entry = self.entry_dir(name)?;
        job(Bench { disk: &self.disk, roots: &self.roots, entry: &entry, locks: &locks })
    }

    /// Hands the unfinished work of an entry to its lane; none when there is none.
    fn begin_recovery(self: &Arc<Self>, name: &str) -> Result<Option<Started>, Recovered> {
        let blame = |key_path| move |trouble| Recovered { key_path, outcome: Err(trouble) };
        let Some(entry) = self.existing_entry_dir(name).map_err(blame(None))? else { return Ok(None) };
        if !recovery::sweep(&entry).map_err(blame(None))? {
            self.locks(name).set_quiet(true);
            return Ok(None);
        }
        let (paths, lane) = self.unfinished(&entry).map_err(blame(None))?;
        let Some(path) =
            paths.iter().find(|path| target::state_name(path) == name).or(paths.first()).cloned()
        else {
            self.locks(name).set_quiet(true);
            return Ok(None);
        };
        let (inner, owned, key_path) = (Arc::clone(self), name.to_owned(), path.clone());
        let work = move || inner.take_turn(&owned, &key_path, recovery::settle);
        match self.workers.submit(&lane, name, work) {
            Ok(pending) => Ok(Some((path, pending))),
            Err(stalled) => {
                let outcome = Self::flatten(&path, Err(stalled));
                Err(Recovered { key_path: Some(path), outcome })
            }
        }
    }

    pub(crate) fn flatten<T>(
        path: &AbsolutePath,
        result: Result<Result<T, Trouble>, Stalled>,
    ) -> Result<T, Trouble> {
        match result {
            Ok(result) => result,
            Err(Stalled::Hangs) => Err(hangs(path)),
            Err(Stalled::Died) => Err(Trouble::new(
                Reason::Internal,
                format!(
                    "the work on `{path}` died; it is finished from the executor's own copy at the next use"
                ),
            )),
        }
    }
}

/// The turn of an entry. Whoever has it and cannot be waited for works on storage that does not answer.
fn turn<'a>(locks: &'a EntryLocks, path: &AbsolutePath) -> Result<MutexGuard<'a, ()>, Trouble> {
    match locks.turn.try_lock() {
        Ok(turn) => Ok(turn),
        Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => Err(hangs(path)),
    }
}

fn hangs(path: &AbsolutePath) -> Trouble {
    Trouble::new(
        Reason::StorageHangs,
        format!(
            "the file system of `{path}` does not answer; look after its server or disk (`mount`, `dmesg`): work \
             goes on by itself when it answers again"
        ),
    )
}
