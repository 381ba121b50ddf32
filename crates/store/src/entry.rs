//! One entry of the manifest: its live files and its records.

use std::sync::Arc;

use phoenix_core::facts::{Baseline, Ledger};
use phoenix_core::reason::{Reason, Trouble};
use phoenix_core::time::Timestamp;

use crate::generations::{self, Generation, Other};
use crate::pair::{LiveFiles, NewPair};
use crate::stages::{self, StageId, Staged};
use crate::state::StateDir;
use crate::store::{Inner, Place};
use crate::{install, ledger, proof};

/// Handle of one entry. What touches the live paths runs on a thread of their target root, within the
/// store's deadline, and finishes an interrupted installation of the entry first. A call that exceeds the
/// deadline answers `storage-hangs`; an installation that had begun then still finishes, or is undone, when the
/// file system answers again.
#[derive(Clone, Debug)]
pub struct EntryStore {
    inner: Arc<Inner>,
    place: Arc<Place>,
}

/// The executor's own records of an entry, read at one moment.
#[derive(Clone, Debug, Default)]
pub struct Records {
    /// The newest generation.
    pub current: Option<Generation>,
    /// What was done for the entry.
    pub ledger: Ledger,
    /// Paths of records that were damaged and set aside.
    pub set_aside: Vec<String>,
}

impl EntryStore {
    pub(crate) fn new(inner: Arc<Inner>, place: Place) -> Self {
        Self { inner, place: Arc::new(place) }
    }

    /// Proves that every live path can be written: owner resolved, missing directories made, and a temporary
    /// file created, given away, made durable, renamed and removed. Gives the owner and mode that the manifest
    /// asks for.
    pub fn prove(&self) -> Result<Baseline, Trouble> {
        let place = Arc::clone(&self.place);
        self.inner.on_target(&self.place, move |bench| proof::prove(bench, &place.target))
    }

    /// Reads the live files: regular files of at most 256 KiB, never waiting for a FIFO or a device. The error
    /// says why nothing can be read there now.
    pub fn read_live(&self) -> Result<LiveFiles, Trouble> {
        self.inner.look(&self.place)
    }

    /// Puts a new pair on the live paths and records it as the newest generation.
    pub fn install(&self, pair: NewPair) -> Result<Generation, Trouble> {
        let place = Arc::clone(&self.place);
        self.inner.on_target(&self.place, move |bench| install::install(bench, &place.target, &pair))?;
        self.recorded()
    }

    /// Puts the newest generation back on the live paths, with the owner and mode that the manifest asks for,
    /// or those that a command or an adopted pair had settled on. Files that are right are not touched.
    pub fn restore(&self) -> Result<(), Trouble> {
        let place = Arc::clone(&self.place);
        self.inner.on_target(&self.place, move |bench| install::restore(bench, &place.target))
    }

    /// Puts the other of the two generations in place, as a new generation. What was delivered and run for it
    /// earlier counts for nothing any more. `at` is the present time.
    ///
    /// # Errors
    /// [`Reason::Missing`] when there is no other generation, or the other one is not the one meant.
    pub fn rollback(&self, to: Other, at: Timestamp) -> Result<Generation, Trouble> {
        let place = Arc::clone(&self.place);
        self.inner.on_target(&self.place, move |bench| install::swap(bench, &place.target, to, at))?;
        self.recorded()
    }

    /// Exchanges the roots that go with the newest generation, in our own copy and at `ca_path`. False when they were
    /// the same already.
    pub fn exchange_roots(&self, roots_pem: Vec<u8>) -> Result<bool, Trouble> {
        let place = Arc::clone(&self.place);
        self.inner
            .on_target(&self.place, move |bench| install::exchange_roots(bench, &place.target, &roots_pem))
    }

    /// Records a pair that is on the live paths already, without touching them. `live` is where it was read
    /// from: its owner and mode are not drift from now on.
    pub fn adopt(&self, pair: &NewPair, live: &LiveFiles) -> Result<Generation, Trouble> {
        let baseline =
            live.baseline().ok_or_else(|| self.nothing("no pair on the live paths to take over"))?;
        let records = self.place.locks.records();
        install::adopt(&self.inner.entry_dir(&self.place.name)?, pair, live, baseline)?;
        drop(records);
        self.recorded()
    }

    /// The newest generation: the executor's own copy of what it installed or adopted last.
    pub fn current(&self) -> Result<Option<Generation>, Trouble> {
        self.generation(0)
    }

    /// The generation before it.
    pub fn previous(&self) -> Result<Option<Generation>, Trouble> {
        self.generation(1)
    }

    /// Stores a new key until its certificate comes. It outlives this process, but need not outlive a power cut. `meta` is the caller's.
    pub fn stage_key(&self, key_pem: &[u8], meta: &serde_json::Value) -> Result<StageId, Trouble> {
        stages::stage(&self.inner.entry_dir(&self.place.name)?, key_pem, meta)
    }

    /// The staged key of this id; none when there is none.
    pub fn staged(&self, id: &StageId) -> Result<Option<Staged>, Trouble> {
        self.existing()?.map_or(Ok(None), |entry| stages::load(&entry, id))
    }

    /// Removes all staged keys but `keep`.
    pub fn drop_stages(&self, keep: Option<&StageId>) -> Result<(), Trouble> {
        self.existing()?.map_or(Ok(()), |entry| stages::drop_all(&entry, keep))
    }

    /// All records at once.
    pub fn records(&self) -> Result<Records, Trouble> {
        let _records = self.place.locks.records();
        let Some(home) = self.existing()? else { return Ok(Records::default()) };
        let names = home.listing()?;
        let mut set_aside = home.set_aside_of(&names);
        let mut current = None;
        if names.iter().any(|name| name == generations::GENERATIONS)
            && let Some(generations) = generations::home(&home)?
        {
            let names = generations.listing()?;
            current = generations::newest(generations.clone(), &names, self.place.target.combined())?;
            // Listed anew only when something was just found to be damaged.
            let damaged = current.is_none() && !names.is_empty();
            let names = if damaged { generations.listing()? } else { names };
            set_aside.extend(generations.set_aside_of(&names));
        }
        let ledger = ledger::read(&home, current.as_ref())?.ledger;
        Ok(Records { current, ledger, set_aside })
    }

    /// What was done for the entry.
    pub fn ledger(&self) -> Result<Ledger, Trouble> {
        let _records = self.place.locks.records();
        let Some(entry) = self.existing()? else { return Ok(Ledger::default()) };
        let newest = generations::load(&entry, 0, false)?;
        Ok(ledger::read(&entry, newest.as_ref())?.ledger)
    }

    /// Changes the ledger durably and gives the new one.
    pub fn update_ledger(&self, change: impl FnOnce(&mut Ledger)) -> Result<Ledger, Trouble> {
        self.change_ledger(None, change)
    }

    /// Changes the ledger as [`EntryStore::update_ledger`] does, to tell what was done with this generation.
    ///
    /// # Errors
    /// [`Reason::Stale`] when it is no longer the newest one, or has other roots by now: what was done is to be done
    /// again with what took its place.
    pub fn update_ledger_for(
        &self,
        own: &Generation,
        change: impl FnOnce(&mut Ledger),
    ) -> Result<Ledger, Trouble> {
        self.change_ledger(Some(own), change)
    }

    fn change_ledger(
        &self,
        done_with: Option<&Generation>,
        change: impl FnOnce(&mut Ledger),
    ) -> Result<Ledger, Trouble> {
        let _records = self.place.locks.records();
        let entry = self.inner.entry_dir(&self.place.name)?;
        let newest = generations::load(&entry, 0, false)?;
        if done_with.is_some_and(|own| !newest.as_ref().is_some_and(|newest| newest.is_same(own))) {
            let path = &self.place.target.key_path;
            let message = format!("The pair of `{path}` was replaced while something was done with it.");
            return Err(Trouble::new(Reason::Stale, message));
        }
        let mut book = ledger::read(&entry, newest.as_ref())?;
        change(&mut book.ledger);
        ledger::write(&entry, &book)?;
        Ok(book.ledger)
    }

    fn existing(&self) -> Result<Option<StateDir>, Trouble> {
        self.inner.existing_entry_dir(&self.place.name)
    }

    fn generation(&self, back: usize) -> Result<Option<Generation>, Trouble> {
        let _records = self.place.locks.records();
        let combined = self.place.target.combined();
        self.existing()?.map_or(Ok(None), |entry| generations::load(&entry, back, combined))
    }

    fn recorded(&self) -> Result<Generation, Trouble> {
        self.current()?.ok_or_else(|| self.nothing("no record of the pair just installed"))
    }

    fn nothing(&self, what: &str) -> Trouble {
        Trouble::new(Reason::Missing, format!("there is {what} for `{}`", self.place.target.key_path))
    }
}
