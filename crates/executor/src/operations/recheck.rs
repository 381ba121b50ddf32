//! `recheck`: has the guest still what was delivered to it?
//!
//! A guest that is restored from a backup has its old files again. What it shows is compared with what it showed
//! after the delivery, or after the command that followed: a command may move the files or give them to another
//! owner, and its doing is no reversion, or it would be run again and again.

use phoenix_core::facts::{FileFact, Ledger};
use phoenix_core::manifest::{Delivery, Entry, Guest};
use phoenix_core::reason::Trouble;
use phoenix_protocol::executor::Answer;
use phoenix_store::EntryStore;

use super::{Executor, Trail, activate, deliver};

impl Executor {
    /// Looks at the `deliver` destinations of an entry and takes out of the ledger what is no longer there. What
    /// counts as not delivered, or is a copy in `/tmp`, is not looked at.
    pub(super) fn recheck(&self, entry: &Entry, trail: &Trail) -> Result<Answer, Trouble> {
        let store = self.store_of(entry);
        if let Some((guest, delivery, ledger)) = delivered(entry, &store)? {
            let found = self.look(guest, delivery, trail)?;
            let before = ledger.settled.as_deref().unwrap_or_default();
            note(entry, guest, &store, Reverted::between(before, &found))?;
        }
        Ok(Answer::Observed(Box::new(self.observe(entry)?)))
    }

    /// Records what a command that succeeded has left of a delivery. A guest that cannot be asked now, for the
    /// command may have restarted it, costs a warning only.
    pub(super) fn settle(&self, entry: &Entry, store: &EntryStore, trail: &Trail) -> Result<(), Trouble> {
        let Some((guest, delivery, _)) = delivered(entry, store)? else { return Ok(()) };
        match self.look(guest, delivery, trail) {
            Ok(found) => store.update_ledger(|ledger| ledger.settled = Some(found)).map(drop),
            Err(trouble) => {
                tracing::warn!(name = %entry.name, %guest, "what the command left is not known: {trouble}");
                Ok(())
            }
        }
    }

    fn look(&self, guest: Guest, delivery: &Delivery, trail: &Trail) -> Result<Vec<FileFact>, Trouble> {
        let destinations = deliver::destinations(delivery)?;
        let paths = destinations.paths();
        self.reach_guest(guest.kind, trail, |hypervisor| phoenix_guests::look(hypervisor, guest, &paths))
    }
}

/// Guest, destinations and ledger, if the present pair was delivered to places of its own.
fn delivered<'a>(
    entry: &'a Entry,
    store: &EntryStore,
) -> Result<Option<(Guest, &'a Delivery, Ledger)>, Trouble> {
    let (Some(guest), Some(delivery @ Delivery::Explicit { .. })) = (entry.guest, &entry.delivery) else {
        return Ok(None);
    };
    let (ledger, own) = (store.ledger()?, store.current()?);
    let digest = activate::delivery_digest(entry);
    let done = ledger.delivered.as_ref().zip(own).is_some_and(|(deed, own)| {
        deed.fingerprint == own.leaf().fingerprint && Some(&deed.of) == digest.as_ref()
    });
    Ok(done.then_some((guest, delivery, ledger)))
}

/// How far what a guest shows differs from what it showed before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reverted {
    Nothing,
    /// Owner or mode.
    Access,
    /// Content: whoever reads the files may have read something else.
    Content,
}

impl Reverted {
    fn between(before: &[FileFact], now: &[FileFact]) -> Self {
        if before.len() != now.len() {
            return Self::Content;
        }
        before.iter().zip(now).map(|(before, now)| Self::of(before, now)).max().unwrap_or(Self::Nothing)
    }

    fn of(before: &FileFact, now: &FileFact) -> Self {
        match (before, now) {
            (before, now) if before == now => Self::Nothing,
            (FileFact::Present { sha256: before, .. }, FileFact::Present { sha256: now, .. })
                if before == now =>
            {
                Self::Access
            }
            _ => Self::Content,
        }
    }
}

/// Other content means that the command has to run again too, whatever the daemon remembers: its run is taken out
/// as well.
fn note(entry: &Entry, guest: Guest, store: &EntryStore, reverted: Reverted) -> Result<(), Trouble> {
    if reverted == Reverted::Nothing {
        return Ok(());
    }
    tracing::warn!(name = %entry.name, %guest, ?reverted, "the guest no longer has what was delivered to it");
    store.update_ledger(|ledger| {
        ledger.delivered = None;
        ledger.settled = None;
        if reverted == Reverted::Content {
            ledger.activated = None;
        }
    })?;
    Ok(())
}
