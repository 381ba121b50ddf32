//! The state directory and the target roots together.

use std::collections::HashMap;
use std::fmt;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
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
use crate::recovery::{self, Recovered};
use crate::roots::TargetRoots;
use crate::state::StateDir;
use crate::target::{self, Target};
use crate::worker::{Lane, Pending, Stalled, Workers};

const ENTRIES: &str = "entries";
/// How long one operation on a target root may take.
const DEADLINE: Duration = Duration::from_secs(20);

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

#[derive(Debug)]
pub(crate) struct Inner {
    state: StateDir,
    entries: StateDir,
    disk: Disk,
    roots: TargetRoots,
    workers: Workers,
    deadline: Duration,
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
        EntryStore::new(Arc::clone(&self.inner), Target::of(entry))
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
        for name in names {
            match self.inner.begin_recovery(&name) {
                Ok(None) => {}
                Ok(Some((key_path, pending))) => waiting.push((key_path, pending)),
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
        Arc::clone(locks.entry(name.to_owned()).or_default())
    }

    /// Roots that an operation on these paths touches, unfinished work of the entry included.
    pub(crate) fn lane<'a>(
        &self,
        name: &str,
        paths: impl IntoIterator<Item = &'a AbsolutePath>,
    ) -> Result<Lane, Trouble> {
        let mut lane = target::lanes(&self.roots, paths)?;
        if let Some(dir) = self.existing_entry_dir(name)? {
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

    /// Runs an operation on the target in its lane, after finishing what is unfinished there.
    pub(crate) fn on_target<T: Send + 'static>(
        self: &Arc<Self>,
        target: &Target,
        job: impl FnOnce(Bench<'_>) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, Trouble> {
        let name = target::state_name(&target.key_path);
        let lane = self.lane(&name, target.files.iter().map(|file| &file.path))?;
        let inner = Arc::clone(self);
        let path = target.key_path.clone();
        let owned = name.clone();
        let named: Vec<AbsolutePath> = target.files.iter().map(|file| file.path.clone()).collect();
        let work = move || {
            inner.take_turn(&owned, &path, |bench| {
                recovery::settle(bench).or_else(|trouble| recovery::give_up(bench, &named, trouble))?;
                job(bench)
            })
        };
        Self::flatten(&target.key_path, self.workers.run(&lane, &name, self.deadline, work))
    }

    fn take_turn<T>(
        &self,
        name: &str,
        path: &AbsolutePath,
        job: impl FnOnce(Bench<'_>) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        let locks = self.locks(name);
        let _turn = match locks.turn.try_lock() {
            Ok(turn) => turn,
            Err(std::sync::TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(std::sync::TryLockError::WouldBlock) => return Err(hangs(path)),
        };
        let entry = self.entry_dir(name)?;
        let bench = Bench { disk: &self.disk, roots: &self.roots, entry: &entry, locks: &locks };
        job(bench)
    }

    /// Hands the unfinished work of an entry to its lane; none when there is none.
    fn begin_recovery(self: &Arc<Self>, name: &str) -> Result<Option<Started>, Recovered> {
        let blame = |key_path| move |trouble| Recovered { key_path, outcome: Err(trouble) };
        let Some(entry) = self.existing_entry_dir(name).map_err(blame(None))? else { return Ok(None) };
        recovery::sweep(&entry).map_err(blame(None))?;
        let (paths, lane) = self.unfinished(&entry).map_err(blame(None))?;
        let Some(path) =
            paths.iter().find(|path| target::state_name(path) == name).or(paths.first()).cloned()
        else {
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

    fn flatten<T>(path: &AbsolutePath, result: Result<Result<T, Trouble>, Stalled>) -> Result<T, Trouble> {
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

fn hangs(path: &AbsolutePath) -> Trouble {
    Trouble::new(
        Reason::StorageHangs,
        format!(
            "the file system of `{path}` does not answer; look after its server or disk (`mount`, `dmesg`): work \
             goes on by itself when it answers again"
        ),
    )
}
