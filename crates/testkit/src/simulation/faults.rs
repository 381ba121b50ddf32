//! Everything that goes wrong, and the operator.

use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

use phoenix_core::facts::Ledger;
use phoenix_core::lifecycle::{Event, Memory, Reach, Request};
use phoenix_core::manifest::{Entry, RenewBefore, San};
use phoenix_core::reason::Reason;

use super::authority::Mood;
use super::clock::{Moment, span};
use super::site::{Live, Wish};
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
            Happening::Audit => {
                self.audit();
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

    fn some_key(&mut self) -> usize {
        self.dice.below(self.sites.len() as u64) as usize
    }

    fn some_trouble(&mut self) {
        self.figures.troubles += 1;
        match self.dice.below(22) {
            0..=3 => self.ca_ails(),
            4 | 5 => self.storage_ails(),
            6 | 7 => self.guest_ails(),
            8 | 9 => self.daemon.dies_in = Some(self.dice.below(6)),
            10 => self.dies_in = Some(self.dice.below(4)),
            11 => self.power_cut(),
            12 => self.clock_jumps(),
            13 => self.state_lost(),
            14 | 15 => self.for_some(Self::outsider),
            16 | 17 => self.for_some(Self::edit),
            18 | 19 => self.for_some(Self::consumer_ails),
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
        self.later(time, Happening::CaMends(issuer));
    }

    fn ca_mends(&mut self, issuer: usize) {
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

    /// Both processes are gone, for moments or for longer than a lifetime.
    fn power_cut(&mut self) {
        let away = self.duration();
        self.note(None, || format!("power is off for {} s", away / 1000));
        self.executor_dies(away);
        self.daemon_dies();
        // Whatever was to start in between starts with the machine.
        self.later(away + 1, Happening::DaemonStarts);
    }

    fn clock_jumps(&mut self) {
        let by = (self.duration() / 1000) as i64 * [-1, 1][self.dice.below(2) as usize];
        self.set_clock(self.clock.ahead + by);
        let time = self.duration();
        self.later(time, Happening::ClockMends);
    }

    fn set_clock(&mut self, ahead: i64) {
        if self.clock.ahead == ahead {
            return;
        }
        self.clock.ahead = ahead;
        self.watch.commands.forget();
        self.note(None, || format!("the clock was set, it is {ahead} s ahead now"));
        self.clock_right = (ahead == 0).then_some(self.clock.now);
        for key in 0..self.sites.len() {
            self.watch.disturbed(key, 0, 7, self.clock.now);
        }
        self.tick(true);
    }

    /// A state directory is lost.
    fn state_lost(&mut self) {
        let key = self.some_key();
        self.watch.disturbed(key, self.clock.now, 7, self.clock.now);
        if self.dice.below(2) == 0 {
            self.note(Some(key), || "the journal is lost".into());
            self.daemon_dies();
            self.journal[key] = Memory::default();
            return;
        }
        self.note(Some(key), || "the executor's state is lost".into());
        self.executor_dies(3_000);
        let site = &mut self.sites[key];
        // What was torn then stays torn until somebody looks.
        (site.own, site.stage, site.intent, site.ledger) = (None, None, None, Ledger::default());
        site.touched = true;
        self.seen_by_a_sweep(key);
    }

    /// Nobody can be expected to notice what happened to files before the next sweep.
    fn seen_by_a_sweep(&mut self, key: usize) {
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

    fn order(&mut self, key: usize) {
        let reaches = [Reach::Written, Reach::Delivered, Reach::Activated, Reach::Verified, Reach::Verified];
        let reach = reaches[self.dice.below(5) as usize];
        let kind = self.dice.below(5);
        let request = Request {
            reissue: kind == 0,
            redeploy: kind == 1,
            reverify: kind == 2,
            urgent: kind == 0,
            reach,
        };
        if self.daemon.up.is_some() {
            self.watch.disturbed(key, 0, 1, self.clock.now);
            self.send(key, Event::Ordered(request));
        }
    }

    /// The manifest is edited.
    fn edit(&mut self, key: usize) {
        self.watch.disturbed(key, self.clock.now + 2 * span(self.plan.poll), 2, self.clock.now);
        let Some(old) = self.sites[key].written.entry.clone() else { return };
        let mut entry = Entry::clone(&old);
        let mut present = true;
        match self.dice.below(6) {
            0 | 1 => entry.sans = self.other_names(&entry),
            2 => entry.renew_before = RenewBefore::Percent(10 + self.dice.below(60) as u8),
            3 => {
                let fresh = self.fresh();
                if let Some(command) = &mut entry.command {
                    command.argv = vec!["/usr/sbin/pct".into(), format!("c{fresh}")];
                }
            }
            4 => entry.paused = true,
            _ => present = false,
        }
        if entry.paused || !present {
            let time = self.duration();
            self.paused.insert(key);
            self.later(time, Happening::Resume(key));
        }
        let original = present.then(|| Rc::new(entry));
        if original.is_none() {
            self.removed.insert(key, old);
        }
        self.write_manifest(key, original);
    }

    fn other_names(&mut self, entry: &Entry) -> Vec<San> {
        let mut names: Vec<San> =
            entry.sans.iter().filter(|san| matches!(san, San::Dns(_))).cloned().collect();
        let last = self.dice.below(200) as u8;
        names.push(San::Ip(IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))));
        names
    }

    fn write_manifest(&mut self, key: usize, entry: Option<Rc<Entry>>) {
        let version = self.fresh();
        self.note(Some(key), || format!("the manifest is edited, version {version}"));
        self.sites[key].written = Wish { entry, version };
        self.edited = true;
        if self.dice.below(4) > 0 {
            let after = 1_000 + self.dice.below(3_000);
            self.later(after, Happening::Hint);
        }
    }

    fn resume(&mut self, key: usize) {
        if !self.paused.remove(&key) {
            return;
        }
        let old = self.removed.remove(&key).or_else(|| self.sites[key].written.entry.clone());
        let Some(old) = old else { return };
        let calm = self.clock.now + 2 * span(self.plan.poll);
        self.watch.disturbed(key, calm, 2, self.clock.now);
        self.write_manifest(key, Some(Rc::new(Entry { paused: false, ..Entry::clone(&old) })));
    }

    /// Every trouble ends.
    fn calm(&mut self) {
        self.troubled = false;
        self.note(None, || "all troubles end".into());
        (self.daemon.dies_in, self.dies_in) = (None, None);
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
