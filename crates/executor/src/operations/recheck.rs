//! `recheck`: has the guest still what was delivered to it?
//!
//! A guest that is restored from a backup has its old files again. What it shows is compared with what it showed
//! after the delivery, or after the command that followed: a command may move the files or give them to another
//! owner, and its doing is no reversion, or it would be run again and again. Nor is what it does a little after it
//! returned: owners and modes that the first look finds are as they are meant to be.

use phoenix_core::facts::{FileFact, Ledger};
use phoenix_core::manifest::{Delivery, Entry, Guest};
use phoenix_core::reason::{Reason, Trouble};
use phoenix_core::time::Timestamp;
use phoenix_protocol::executor::Answer;
use phoenix_store::{EntryStore, Generation};

use super::{Executor, Trail, activate, deliver};
use crate::clock;

/// How many times within a third of a certificate's lifetime the delivery and its command are repeated because the
/// guest lost what it got. A guest that shows other files at every look would have the command run for ever.
const REPEATED: usize = 3;

impl Executor {
    /// Looks at the `deliver` destinations of an entry and takes out of the ledger what is no longer there. What
    /// counts as not delivered, or is a copy in `/tmp`, is not looked at.
    pub(super) fn recheck(&self, entry: &Entry, trail: &Trail) -> Result<Answer, Trouble> {
        let store = self.store_of(entry);
        if let Some(done) = Delivered::of(entry, &store)? {
            let found = self.look(&done, trail)?;
            let ours = deliver::hashes(done.delivery, &done.own)?;
            match Verdict::on(&done.ledger, &found, &ours) {
                Verdict::AsBefore => {}
                Verdict::Settled => settle(&store, &done.own, Some(found), false)?,
                Verdict::Reverted => done.repeat(entry, &store)?,
            }
        }
        Ok(Answer::Observed(Box::new(self.observe(entry)?)))
    }

    /// Records what a command that succeeded has left of a delivery. A guest that cannot be asked now, for the
    /// command may have restarted it, costs a warning only.
    pub(super) fn settle(&self, entry: &Entry, store: &EntryStore, trail: &Trail) -> Result<(), Trouble> {
        let Some(done) = Delivered::of(entry, store)? else { return Ok(()) };
        let found = self.look(&done, trail).inspect_err(|trouble| {
            tracing::warn!(
                name = %entry.name, guest = %done.guest, "what the command left is not known: {trouble}"
            );
        });
        settle(store, &done.own, found.ok(), true)
    }

    fn look(&self, done: &Delivered<'_>, trail: &Trail) -> Result<Vec<FileFact>, Trouble> {
        let destinations = deliver::destinations(done.delivery)?;
        let paths = destinations.paths();
        self.reach_guest(done.guest.kind, trail, |hypervisor| {
            phoenix_guests::look(hypervisor, done.guest, &paths)
        })
    }
}

fn settle(
    store: &EntryStore,
    own: &Generation,
    found: Option<Vec<FileFact>>,
    settling: bool,
) -> Result<(), Trouble> {
    let change = |ledger: &mut Ledger| (ledger.settled, ledger.settling) = (found, settling);
    store.update_ledger_for(own, change).map(drop)
}

/// A delivery of the present pair to places of its own.
struct Delivered<'a> {
    guest: Guest,
    delivery: &'a Delivery,
    own: Generation,
    ledger: Ledger,
}

impl<'a> Delivered<'a> {
    fn of(entry: &'a Entry, store: &EntryStore) -> Result<Option<Self>, Trouble> {
        let (Some(guest), Some(delivery @ Delivery::Explicit { .. })) = (entry.guest, &entry.delivery) else {
            return Ok(None);
        };
        let (ledger, own) = (store.ledger()?, store.current()?);
        let digest = activate::delivery_digest(entry);
        let done = own.filter(|own| {
            ledger.delivered.as_ref().is_some_and(|deed| {
                deed.fingerprint == own.leaf().fingerprint && Some(&deed.of) == digest.as_ref()
            })
        });
        Ok(done.map(|own| Self { guest, delivery, own, ledger }))
    }

    /// Has the delivery done again, and the command too, whatever the daemon remembers: whoever reads the files may
    /// have read something else, and a fresh delivery has other owners and modes than the command gave them.
    fn repeat(&self, entry: &Entry, store: &EntryStore) -> Result<(), Trouble> {
        let (now, guest) = (clock::now(), self.guest);
        let mut times = recent(&self.ledger.reverted, &self.own, now);
        if let (REPEATED.., Some(first)) = (times.len(), times.first()) {
            let message = format!(
                "{guest} shows other files than were delivered for `{}`, as it did {} times since {first}: it is left \
                 alone for now.",
                entry.name,
                times.len()
            );
            return Err(Trouble::new(Reason::ForeignWriter, message));
        }
        tracing::warn!(name = %entry.name, %guest, "the guest no longer has what was delivered to it");
        times.push(now);
        let change = |ledger: &mut Ledger| {
            (ledger.delivered, ledger.activated, ledger.settled) = (None, None, None);
            ledger.reverted = times;
        };
        store.update_ledger(change).map(drop)
    }
}

/// Those of the times that lie within the last third of a lifetime of this certificate.
fn recent(times: &[Timestamp], own: &Generation, now: Timestamp) -> Vec<Timestamp> {
    let leaf = own.leaf();
    let span = leaf.not_after.since(leaf.not_before) / 3;
    times.iter().copied().filter(|at| *at <= now && now.since(*at) < span).collect()
}

/// What a guest shows, against what it showed before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    AsBefore,
    /// This is how it is meant to be.
    Settled,
    Reverted,
}

impl Verdict {
    /// `ours` are the hashes of what was delivered.
    fn on(ledger: &Ledger, found: &[FileFact], ours: &[String]) -> Self {
        let ours = || contents(found).eq(ours.iter().map(|sha256| Some(sha256.as_str())));
        match ledger.settled.as_deref() {
            Some(before) if before == found && !ledger.settling => Self::AsBefore,
            Some(before) if ledger.settling && (contents(before).eq(contents(found)) || ours()) => {
                Self::Settled
            }
            // The guest could not be asked after the command.
            None if ours() => Self::Settled,
            _ => Self::Reverted,
        }
    }
}

/// Hashes of the files; none for what is no regular file, and for what is not there.
fn contents(facts: &[FileFact]) -> impl Iterator<Item = Option<&str>> {
    facts.iter().map(|fact| match fact {
        FileFact::Present { sha256, .. } => Some(sha256.as_str()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(sha256: &str, uid: u32) -> FileFact {
        FileFact::Present { uid, gid: 0, mode: 0o600, sha256: sha256.to_owned() }
    }

    #[test]
    fn what_the_first_look_after_a_command_may_find_is_ours_or_what_the_command_left() {
        let moved = || vec![file("cert", 0), FileFact::Missing];
        for (settled, settling, found, verdict) in [
            (
                Some(vec![file("cert", 0), file("ca", 0)]),
                false,
                vec![file("cert", 0), file("ca", 0)],
                "AsBefore",
            ),
            (
                Some(vec![file("cert", 0), file("ca", 0)]),
                false,
                vec![file("cert", 7), file("ca", 0)],
                "Reverted",
            ),
            (
                Some(vec![file("cert", 0), file("ca", 0)]),
                true,
                vec![file("cert", 7), file("ca", 0)],
                "Settled",
            ),
            (Some(moved()), true, vec![file("cert", 7), FileFact::Missing], "Settled"),
            (Some(moved()), true, vec![file("cert", 7), file("ca", 0)], "Settled"),
            (Some(moved()), true, vec![file("old", 0), FileFact::Missing], "Reverted"),
            (Some(moved()), false, vec![file("cert", 0), file("ca", 0)], "Reverted"),
            (None, true, vec![file("cert", 7), file("ca", 0)], "Settled"),
            (None, true, moved(), "Reverted"),
        ] {
            let ledger = Ledger { settled, settling, ..Ledger::default() };
            let seen = Verdict::on(&ledger, &found, &["cert".to_owned(), "ca".to_owned()]);
            assert_eq!(format!("{seen:?}"), verdict, "{ledger:?} {found:?}");
        }
    }
}
