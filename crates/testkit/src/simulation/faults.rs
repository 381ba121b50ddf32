//! Everything that goes wrong.

use std::rc::Rc;
use std::time::Duration;

use phoenix_core::facts::LeafFacts;
use phoenix_core::reason::Reason;

use super::activity::Activity;
use super::authority::Mood;
use super::clock::{Moment, span};
use super::site::Live;
use super::world::{Happening, Ward, World};

impl World {
    /// A trouble begins or ends.
    pub(super) fn trouble(&mut self, happening: &Happening) {
        match *happening {
            Happening::Trouble if self.troubled => {
                self.next_trouble();
                self.some_trouble();
            }
            Happening::Rooted(issuer) => self.root_comes(issuer),
            Happening::CaMends(issuer) if self.cas[issuer].until <= self.clock.now => self.ca_mends(issuer),
            Happening::StorageMends(root) if self.storages[root].until <= self.clock.now => {
                self.storage_mends(root);
            }
            Happening::GuestMends(guest) if self.guests[guest].until <= self.clock.now => {
                self.guests[guest].ward = Ward::Well;
            }
            Happening::ConsumerMends(key) if self.sites[key].consumer.until <= self.clock.now => {
                self.consumer_mends(key);
            }
            Happening::ClockMends => self.set_clock(0),
            Happening::Resume(key) => self.resume(key),
            Happening::Wakes => self.wakes(),
            Happening::Writes(key, ref leaf, times) => self.foreign_write(key, leaf, times),
            Happening::SetRight(issuer) => self.set_right(issuer),
            Happening::Audit => {
                self.audit();
                self.back_up();
                self.later(self.plan.audit(), Happening::Audit);
            }
            Happening::Calm => self.calm(),
            Happening::Mended => self.all_mended(),
            Happening::Settled => self.next_round(),
            _ => {}
        }
    }

    /// The executor finds the root of a CA.
    fn root_comes(&mut self, issuer: usize) {
        self.note(None, || format!("the root of CA {issuer} is there"));
        let ca = &mut self.cas[issuer];
        ca.rooted = true;
        ca.well = ca.well.map(|_| self.clock.now);
    }

    /// Sets the next trouble.
    pub(super) fn next_trouble(&mut self) {
        let after = self.dice.below(2 * self.plan.calm_between());
        self.later(after, Happening::Trouble);
    }

    /// From seconds to more than a lifetime, short ones as likely as long ones.
    pub(super) fn duration(&mut self) -> Moment {
        let most = span(self.plan.lifetime) * 3 / 2;
        let halvings = self.dice.below(12);
        (self.dice.below(most) >> halvings).max(500)
    }

    pub(super) fn some_key(&mut self) -> usize {
        self.dice.below(self.sites.len() as u64) as usize
    }

    fn some_trouble(&mut self) {
        self.figures.troubles += 1;
        match self.dice.below(29) {
            0..=3 => self.ca_ails(),
            4 | 5 => self.storage_ails(),
            6 | 7 => self.guest_ails(),
            8 | 9 => self.daemon.dies_in = Some(self.dice.below(6)),
            10 => self.dies_in = Some(self.dice.below(4)),
            11 => self.power_cut(),
            12 => self.clock_jumps(),
            13 | 14 => self.state_lost(),
            15 => self.for_some(Self::outsider),
            16 => self.writes_again(),
            17 | 18 => self.for_some(Self::edit),
            19..=22 => self.for_some(Self::consumer_ails),
            23 => self.suspend(),
            24 => self.turns_are_taken(),
            _ => self.for_some(Self::order),
        }
    }

    /// Does something to a few entries.
    fn for_some(&mut self, what: fn(&mut Self, usize)) {
        let many = 1 + self.sites.len() as u64 / 20;
        for _ in 0..=self.dice.below(many) {
            let key = self.some_key();
            what(self, key);
        }
    }

    fn ca_ails(&mut self) {
        let issuer = self.dice.below(self.cas.len() as u64) as usize;
        let mood = Mood::TROUBLES[self.dice.below(Mood::TROUBLES.len() as u64) as usize];
        let time = self.duration();
        self.note(None, || format!("CA {issuer} is {mood:?} for {} s", time / 1000));
        let ca = &mut self.cas[issuer];
        (ca.mood, ca.until, ca.well) = (mood, self.clock.now + time, None);
        // What refuses is mended by somebody who changes something.
        let refuses = matches!(mood, Mood::Distrusts | Mood::Forbids) && self.dice.below(2) == 0;
        self.later(time, if refuses { Happening::SetRight(issuer) } else { Happening::CaMends(issuer) });
    }

    pub(super) fn ca_mends(&mut self, issuer: usize) {
        self.note(None, || format!("CA {issuer} is well"));
        let ca = &mut self.cas[issuer];
        ca.mood = Mood::Well;
        ca.well.get_or_insert(self.clock.now);
    }

    fn storage_ails(&mut self) {
        let reasons = [
            Reason::StorageAbsent,
            Reason::StorageHangs,
            Reason::DiskFull,
            Reason::ReadOnly,
            Reason::RootSquash,
        ];
        let root = self.dice.below(self.storages.len() as u64) as usize;
        let reason = reasons[self.dice.below(reasons.len() as u64) as usize];
        let time = self.duration();
        self.note(None, || format!("storage {root} is {reason} for {} s", time / 1000));
        let storage = &mut self.storages[root];
        (storage.trouble, storage.until, storage.well) = (Some(reason), self.clock.now + time, None);
        self.watch.issuances.upset(self.clock.now);
        self.later(time, Happening::StorageMends(root));
    }

    fn storage_mends(&mut self, root: usize) {
        self.note(None, || format!("storage {root} is well"));
        let storage = &mut self.storages[root];
        storage.trouble = None;
        storage.well.get_or_insert(self.clock.now);
    }

    fn guest_ails(&mut self) {
        let guest = self.dice.below(self.guests.len() as u64) as usize;
        let ward = [Ward::Fails, Ward::Hangs, Ward::Off][self.dice.below(3) as usize];
        let time = self.duration();
        self.note(None, || format!("guest {guest}: {ward:?} for {} s", time / 1000));
        (self.guests[guest].ward, self.guests[guest].until) = (ward, self.clock.now + time);
        self.later(time, Happening::GuestMends(guest));
    }

    fn clock_jumps(&mut self) {
        let lifetime = span(self.plan.lifetime);
        let far = self.dice.below(4) == 0;
        let by = if far { lifetime + self.dice.below(3 * lifetime) } else { self.duration() };
        if by > lifetime {
            self.figures.activities.saw(Activity::ClockFarOff);
        }
        let by = (by / 1000) as i64 * [-1, 1][self.dice.below(2) as usize];
        self.set_clock(self.clock.ahead + by);
        let time = self.duration();
        self.later(time, Happening::ClockMends);
    }

    /// Looks at other consumers take every turn for a while.
    fn turns_are_taken(&mut self) {
        let time = self.duration().min(600_000);
        self.note(None, || format!("every look has to wait for {} s", time / 1000));
        self.turns_from = self.clock.now + time;
    }

    /// Another program puts a pair of its own, or an older one of ours, in place of ours again and again.
    fn writes_again(&mut self) {
        let (key, times) = (self.some_key(), 3 + self.dice.below(4));
        let site = &self.sites[key];
        let (own, old) = (site.own.as_ref().map(|own| own.leaf.clone()), site.earlier.last().cloned());
        let its_own = self.dice.below(2) == 0;
        let Some(leaf) = (if its_own { own } else { old }) else { return };
        let number = self.fresh();
        let theirs = || LeafFacts {
            serial: format!("{number:x}"),
            fingerprint: format!("c{number}"),
            public_key: format!("k{number}"),
            not_after: leaf.not_after.minus(Duration::from_secs(1)),
            ..LeafFacts::clone(&leaf)
        };
        let leaf = if its_own { Rc::new(theirs()) } else { leaf };
        self.foreign_write(key, &leaf, times);
    }

    fn foreign_write(&mut self, key: usize, leaf: &Rc<LeafFacts>, times: u64) {
        if !self.troubled || times == 0 {
            return;
        }
        let site = &mut self.sites[key];
        site.show(leaf);
        site.touched = true;
        self.note(Some(key), || format!("another program puts {} in place", leaf.fingerprint));
        self.seen_by_a_sweep(key);
        let after = span(self.plan.sweep) / 2 + self.dice.below(span(self.plan.sweep));
        self.later(after, Happening::Writes(key, leaf.clone(), times - 1));
    }

    fn set_clock(&mut self, ahead: i64) {
        if self.clock.ahead == ahead {
            return;
        }
        let forward = self.clock.ahead < ahead;
        self.clock.ahead = ahead;
        self.watch.commands.forget();
        if forward {
            self.watch.issuances.begin_anew(self.clock.now);
        } else {
            self.watch.issuances.upset(self.clock.now);
        }
        self.note(None, || format!("the clock was set, it is {ahead} s ahead now"));
        self.clock_right = (ahead == 0).then_some(self.clock.now);
        for key in 0..self.sites.len() {
            self.watch.disturbed(key, 0, 7, self.clock.now);
        }
        self.tick(true);
    }

    /// Nobody can be expected to notice what happened to files before the next sweep.
    pub(super) fn seen_by_a_sweep(&mut self, key: usize) {
        let calm = self.clock.now + span(self.plan.sweep);
        self.watch.disturbed(key, calm, 1, self.clock.now);
    }

    /// Somebody else does something to the live files.
    fn outsider(&mut self, key: usize) {
        self.seen_by_a_sweep(key);
        let what = self.dice.below(6);
        let site = &mut self.sites[key];
        site.touched = true;
        match (what, site.earlier.last().cloned()) {
            (0, _) => site.live = Live::default(),
            (1, _) => site.live.cert = None,
            (2, _) => site.live.key = None,
            (3, _) => site.live.mode = 0o644,
            (4, Some(old)) => site.live.cert = Some(old),
            (_, Some(old)) => site.show(&old),
            (_, None) => site.live.key = None,
        }
        site.touched = true;
        self.note(Some(key), || format!("an outsider touches the files, in way {what}"));
    }

    /// Every trouble ends.
    fn calm(&mut self) {
        self.troubled = false;
        self.note(None, || "all troubles end".into());
        (self.daemon.dies_in, self.dies_in) = (None, None);
        self.turns_from = self.clock.now;
        (0..self.cas.len()).for_each(|issuer| {
            self.cas[issuer].rooted = true;
            self.ca_mends(issuer);
        });
        (0..self.storages.len()).for_each(|root| self.storage_mends(root));
        (0..self.sites.len()).for_each(|key| self.consumer_mends(key));
        self.guests.iter_mut().for_each(|guest| guest.ward = Ward::Well);
        self.set_clock(0);
        for key in self.paused.clone() {
            self.resume(key);
        }
        self.executor_starts();
        self.daemon_starts();
        let mended = 3_600_000 + span(self.plan.sweep) + self.slack();
        self.later(mended, Happening::Mended);
        self.later(mended + span(self.plan.lifetime) * 5 / 2, Happening::Settled);
    }

    fn next_round(&mut self) {
        self.all_settled();
        self.spreads();
        if self.clock.now >= span(self.plan.span) {
            self.ended = true;
            return;
        }
        self.troubled = true;
        self.next_trouble();
        self.later(span(self.plan.lifetime) * 6, Happening::Calm);
    }
}
