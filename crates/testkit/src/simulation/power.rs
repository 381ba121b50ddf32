//! Power, sleep, and state directories that are lost or restored from an older copy.

use phoenix_core::facts::Ledger;
use phoenix_core::lifecycle::Memory;
use phoenix_core::waves::Runs;

use super::activity::Activity;
use super::clock::span;
use super::site::{Pair, Site};
use super::world::{Happening, World};

/// A copy of what the two processes keep on the disk.
pub(super) struct Snapshot {
    records: Vec<Records>,
    journal: Vec<Memory>,
    runs: Runs,
}

/// The executor's records of one entry.
struct Records {
    own: Option<Pair>,
    other: Option<Pair>,
    ledger: Ledger,
}

impl World {
    /// Both processes are gone, for moments or for several lifetimes.
    pub(super) fn power_cut(&mut self) {
        let lifetime = span(self.plan.lifetime);
        let away = match self.dice.below(4) {
            0 => lifetime + self.dice.below(4 * lifetime),
            _ => self.duration(),
        };
        self.note(None, || format!("power is off for {} s", away / 1000));
        if away > lifetime {
            self.figures.activities.saw(Activity::LongOff);
        }
        self.executor_dies(away);
        self.daemon_dies();
        // Whatever was to start in between starts with the machine.
        self.later(away + 1, Happening::DaemonStarts);
    }

    /// The machine sleeps: nothing on it goes on, and its clock is right when it wakes up.
    pub(super) fn suspend(&mut self) {
        let away = self.duration();
        self.note(None, || format!("the machine sleeps for {} s", away / 1000));
        self.figures.activities.saw(Activity::Slept);
        self.sleep(away);
        self.later(away, Happening::Wakes);
        let until = self.clock.now + away;
        let lanes = self.sites.iter_mut().map(|site| &mut site.lane);
        for lane in lanes.chain(self.guests.iter_mut().map(|guest| &mut guest.lane)) {
            *lane += away;
        }
        self.awake = until;
        for key in 0..self.sites.len() {
            self.watch.disturbed(key, 0, 1, until);
        }
    }

    /// The machine has woken up: the kernel tells whoever follows its clock that it was set.
    pub(super) fn wakes(&mut self) {
        self.note(None, || "the machine wakes up".into());
        self.watch.commands.forget();
        self.tick(true);
    }

    /// A state directory is lost, or comes back from an older copy.
    pub(super) fn state_lost(&mut self) {
        match self.dice.below(4) {
            0 => self.journal_lost(),
            1 => self.records_lost(),
            _ => self.snapshot_back(),
        }
    }

    fn journal_lost(&mut self) {
        let key = self.some_key();
        self.watch.disturbed(key, self.clock.now, 7, self.clock.now);
        self.note(Some(key), || "the journal is lost".into());
        self.daemon_dies();
        self.journal[key] = Memory::default();
    }

    fn records_lost(&mut self) {
        let key = self.some_key();
        self.watch.disturbed(key, self.clock.now, 7, self.clock.now);
        self.note(Some(key), || "the executor's state is lost".into());
        self.executor_dies(3_000);
        let site = &mut self.sites[key];
        // What was torn then stays torn until somebody looks.
        (site.own, site.stage, site.intent, site.ledger) = (None, None, None, Ledger::default());
        site.touched = true;
        self.seen_by_a_sweep(key);
    }

    /// Copies the state directories, now and then.
    pub(super) fn back_up(&mut self) {
        if self.dice.below(16) > 0 {
            return;
        }
        let records = |site: &Site| Records {
            own: site.own.clone(),
            other: site.other.clone(),
            ledger: site.ledger.clone(),
        };
        self.snapshot = Some(Snapshot {
            records: self.sites.iter().map(records).collect(),
            journal: self.journal.clone(),
            runs: self.journal_of_runs.clone(),
        });
    }

    /// The machine, or one of the two state directories, is put back to the last copy.
    fn snapshot_back(&mut self) {
        let Some(snapshot) = self.snapshot.take() else { return };
        let what = self.dice.below(3);
        self.note(None, || format!("an older copy of the state comes back, in way {what}"));
        self.figures.activities.saw(Activity::SnapshotBack);
        self.daemon_dies();
        if what > 0 {
            self.journal = snapshot.journal;
            self.journal_of_runs = snapshot.runs;
        }
        if what < 2 {
            self.executor_dies(3_000);
            for (site, records) in self.sites.iter_mut().zip(snapshot.records) {
                site.restore_records(records.own, records.other, records.ledger);
            }
        }
        for key in 0..self.sites.len() {
            self.watch.disturbed(key, self.clock.now, 7, self.clock.now);
            self.seen_by_a_sweep(key);
        }
    }
}
