//! Consumers: what they use, and what is seen of it.

use phoenix_core::facts::Served;
use phoenix_core::lifecycle::{Event, Verification};
use phoenix_core::manifest::Entry;
use phoenix_core::reason::{Reason, Trouble};

use super::Bug;
use super::activity::Activity;
use super::clock::span;
use super::executor::verdict;
use super::site::{Habit, Pair};
use super::world::{Happening, Ward, World};

/// A look that came to nothing.
pub(super) fn unseen(why: Trouble) -> Verification {
    Verification { of: None, served: None, takes: false, remarks: Vec::new(), result: Err(why) }
}

impl World {
    /// A look at what the consumer of an entry uses.
    pub(super) fn verify(&self, key: usize) -> Verification {
        let site = &self.sites[key];
        let at = self.clock.wall();
        let ours = site.own.as_ref().map(|own| &own.leaf.fingerprint);
        let served = site.consumer.uses.as_ref().map(|leaf| Served {
            fingerprint: leaf.fingerprint.clone(),
            serial: leaf.serial.clone(),
            not_after: leaf.not_after,
            at,
        });
        let reason = match (self.guests[site.guest].ward, &served) {
            (Ward::Off | Ward::Hangs, _) | (_, None) => Some(Reason::Unreachable),
            (_, Some(served)) if Some(&served.fingerprint) == ours => {
                site.consumer.amiss.then_some(Reason::WrongStatus)
            }
            (_, Some(served)) if served.not_after <= at => Some(Reason::ServesExpired),
            (_, Some(_)) => Some(Reason::ServesOther),
        };
        let reason = reason.filter(|_| self.plan.bug != Some(Bug::BlindTrust));
        let result = reason.map_or(Ok(()), |reason| Err(Trouble::new(reason, "so it is at the consumer")));
        let served =
            served.filter(|_| result.as_ref().err().is_none_or(|why| why.reason != Reason::Unreachable));
        let takes = result.is_err() && served.as_ref().map(|served| &served.fingerprint) == ours;
        Verification { of: None, served, takes, remarks: Vec::new(), result }
    }

    /// Whether the consumer can be reached.
    pub(super) fn reaches(&self, key: usize) -> Option<bool> {
        let entry = self.sites[key].force.entry.as_ref()?;
        (!entry.verify.is_empty())
            .then(|| self.verify(key).result.err().is_none_or(|why| why.reason != Reason::Unreachable))
    }

    /// What is wrong at the consumer of an entry whose pair may be taken back.
    pub(super) fn ails(&self, key: usize) -> Option<Reason> {
        let entry = self.sites[key].force.entry.as_ref()?;
        let looked = entry.rollback && !entry.verify.is_empty() && self.sites[key].own.is_some();
        looked.then(|| self.verify(key).result.err().map(|trouble| trouble.reason))?
    }

    /// A consumer no longer does what it is told, ends, misses something that it needs, or is restored from a backup.
    pub(super) fn consumer_ails(&mut self, key: usize) {
        let what = self.dice.below(5);
        // One that does not take what is new is noticed when something new comes.
        let time = if what < 2 { self.duration().max(span(self.plan.lifetime) / 2) } else { self.duration() };
        self.watch.disturbed(key, 0, 2, self.clock.now);
        self.note(Some(key), || format!("its consumer ails in way {what} for {} s", time / 1000));
        let site = &mut self.sites[key];
        let consumer = &mut site.consumer;
        consumer.until = self.clock.now + time;
        match what {
            0 => consumer.habit = Habit::Deaf,
            1 => consumer.habit = Habit::Picky,
            2 => consumer.used = consumer.uses.take().or(consumer.used.take()),
            3 => consumer.amiss = true,
            _ => {
                if let Some(old) = site.earlier.last() {
                    consumer.starts_with(old);
                }
            }
        }
        consumer.unseen = true;
        self.later(time, Happening::ConsumerMends(key));
    }

    /// It does what it is told; where it was down, somebody starts it.
    pub(super) fn consumer_mends(&mut self, key: usize) {
        let site = &mut self.sites[key];
        let consumer = &mut site.consumer;
        (consumer.habit, consumer.amiss) = (Habit::Reads, false);
        if consumer.uses.is_none()
            && let Some(leaf) = site.live.cert.as_ref().filter(|_| site.live.matches())
        {
            consumer.starts_with(leaf);
            consumer.unseen = true;
        }
    }

    /// A look at what lies in the guest.
    pub(super) fn recheck(&mut self, key: usize, entry: &Entry, ward: Ward) -> Result<Event, Trouble> {
        verdict(ward)?;
        let site = &mut self.sites[key];
        let has = |fingerprint: &String| site.consumer.has.as_ref() == Some(fingerprint);
        if site.ledger.delivered.as_ref().is_some_and(|deed| !has(&deed.fingerprint)) {
            site.ledger.delivered = None;
        }
        Ok(Event::Rechecked(Ok(self.observe(key, entry))))
    }

    fn note_exchange(&mut self, key: usize, newer: bool) {
        let tracked = self.daemon.tracked.get(key).and_then(Option::as_ref);
        let known = tracked.and_then(|tracked| tracked.state.memory.rollback.as_ref());
        let activity = match known {
            _ if newer => Activity::TriedAgain,
            Some(rollback) if rollback.ordered => Activity::OrderedBack,
            _ => Activity::RolledBack,
        };
        self.figures.rolled_back += u64::from(!newer);
        self.figures.activities.saw(activity);
    }

    /// Puts the other of the two kept pairs in place.
    pub(super) fn exchange(&mut self, key: usize, newer: bool) -> Result<(), Trouble> {
        self.writable(key)?;
        let now = self.clock.wall();
        let site = &mut self.sites[key];
        let none = || Trouble::new(Reason::Missing, "there is no such pair");
        if newer != site.ledger.rolled_back.is_some() {
            return Err(none());
        }
        let other = site.other.clone().filter(|pair| pair.leaf.not_after > now).ok_or_else(none)?;
        let present = site.own.clone().ok_or_else(none)?;
        let taken_back = (!newer).then(|| present.leaf.fingerprint.clone());
        site.commit(Pair { at: now, ..other });
        (site.ledger.delivered, site.ledger.activated) = (None, None);
        site.ledger.rolled_back = taken_back;
        self.note_exchange(key, newer);
        Ok(())
    }
}
