//! The executor: operations on the sites, its death and its recovery.

use std::rc::Rc;

use phoenix_core::facts::{LeafFacts, Observation};
use phoenix_core::lifecycle::{Event, Verification, delivered_by_command, verify_digest};
use phoenix_core::manifest::Entry;
use phoenix_core::reason::{Reason, Trouble};
use phoenix_core::time::Timestamp;

use super::Bug;
use super::activity::Activity;
use super::authority::doors;
use super::consumer::unseen;
use super::site::{Live, MODE, Pair, command_digest};
use super::world::{Asking, Door, Errand, Happening, Ward, World, gone};

/// How far ahead of our clock a certificate may begin.
const START_TOLERANCE: i64 = 300;

impl World {
    /// Does what a job asks for. A job whose key has been staged goes on with [`Errand::Ask`].
    pub(super) fn perform(&mut self, id: u64) -> Result<Event, Trouble> {
        let Some(job) = self.jobs.get(&id) else { return Err(gone()) };
        let (key, errand) = (job.key, job.errand.clone());
        let entry = self.known(key, job.version)?;
        if !matches!(errand, Errand::Deliver(_) | Errand::Verify { .. } | Errand::Recheck(_)) {
            self.recover(key);
        }
        match errand {
            Errand::Observe => Ok(Event::Observed(Ok(self.observe(key, &entry)))),
            Errand::Prepare(doors) => {
                self.writable(key)?;
                let stage = self.fresh();
                self.sites[key].stage = Some(stage);
                self.hand_over(id, stage, doors);
                Ok(Event::Look)
            }
            // A command may be that of several entries: that is done elsewhere.
            Errand::Ask(_) | Errand::Activate(_) => Ok(Event::Look),
            Errand::Install(stage, leaf, _) => {
                self.install(key, stage, leaf)?;
                Ok(Event::Installed(Ok((self.observe(key, &entry), Vec::new()))))
            }
            Errand::Adopt => {
                self.adopt(key)?;
                self.figures.activities.saw(Activity::Adopted);
                Ok(Event::Adopted(Ok(self.observe(key, &entry))))
            }
            Errand::Restore => {
                self.writable(key)?;
                self.sites[key].restore();
                self.figures.activities.saw(Activity::Restored);
                Ok(Event::Restored(Ok(self.observe(key, &entry))))
            }
            Errand::Deliver(ward) => {
                self.deliver(key, &entry, ward)?;
                Ok(Event::Delivered(Ok(self.observe(key, &entry))))
            }
            Errand::Verify { has_turn: false } => {
                self.figures.activities.saw(Activity::LookPutOff);
                let why = Trouble::new(Reason::LookPutOff, "it had no turn");
                Ok(Event::Verified(Box::new(unseen(why))))
            }
            Errand::Verify { has_turn: true } => {
                let heard = self.jobs.get(&id).is_some_and(|job| job.epoch == self.daemon.epoch);
                self.sites[key].consumer.unseen &= !heard;
                let of = verify_digest(&entry.verify);
                Ok(Event::Verified(Box::new(Verification { of, ..self.verify(key) })))
            }
            Errand::Recheck(ward) => self.recheck(key, &entry, ward),
            Errand::Exchange { newer } => {
                self.exchange(key, newer)?;
                let seen = Ok(self.observe(key, &entry));
                Ok(if newer { Event::Reinstated(seen) } else { Event::RolledBack(seen) })
            }
        }
    }

    pub(super) fn known(&self, key: usize, version: u64) -> Result<Rc<Entry>, Trouble> {
        let force = &self.sites[key].force;
        let entry = force.entry.clone();
        let entry = entry.ok_or_else(|| Trouble::new(Reason::UnknownEntry, "there is no such entry"))?;
        if force.version == version {
            return Ok(entry);
        }
        Err(Trouble::new(Reason::Stale, "the manifest changed"))
    }

    fn hand_over(&mut self, id: u64, stage: u64, doors: Vec<Door>) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.errand =
                Errand::Ask(Asking { stage, doors, at: None, answer: None, first: None, news: Vec::new() });
        }
    }

    /// What keeps the live paths from being read.
    fn unreadable(&self, key: usize) -> Option<Trouble> {
        let reason = self.storages[self.sites[key].root].trouble?;
        matches!(reason, Reason::StorageAbsent | Reason::StorageHangs)
            .then(|| Trouble::new(reason, "the storage cannot be read"))
    }

    pub(super) fn writable(&self, key: usize) -> Result<(), Trouble> {
        match self.storages[self.sites[key].root].trouble {
            Some(reason) => Err(Trouble::new(reason, "the storage cannot be written")),
            None => Ok(()),
        }
    }

    pub(super) fn observe(&self, key: usize, entry: &Entry) -> Observation {
        let rooted = doors(entry, &self.names).iter().all(|door| self.cas[*door].rooted);
        self.sites[key].observe(entry, self.unreadable(key), rooted, self.clock.wall())
    }

    fn install(&mut self, key: usize, stage: u64, leaf: Option<Rc<LeafFacts>>) -> Result<(), Trouble> {
        let now = self.clock.wall();
        let stale = || Trouble::new(Reason::Stale, "the staged key is gone");
        let leaf = leaf.filter(|_| self.sites[key].stage == Some(stage)).ok_or_else(stale)?;
        let early = leaf.not_before.unix() > now.unix() + START_TOLERANCE;
        if leaf.not_after <= now || early {
            return Err(Trouble::new(Reason::ClockDiffers, "the certificate is not valid now"));
        }
        self.writable(key)?;
        let site = &mut self.sites[key];
        site.commit(Pair { leaf: leaf.clone(), adopted: false, at: now });
        site.stage = None;
        self.figures.installed += 1;
        self.watch.installed(&self.clock, key, &leaf);
        Ok(())
    }

    fn adopt(&mut self, key: usize) -> Result<(), Trouble> {
        if let Some(trouble) = self.unreadable(key) {
            return Err(trouble);
        }
        let now = self.clock.wall();
        let site = &mut self.sites[key];
        let refuse = |reason| Trouble::new(reason, "the files are not taken over");
        let leaf = site.live.cert.clone().ok_or_else(|| refuse(Reason::Unreadable))?;
        if !site.live.matches() {
            return Err(refuse(Reason::KeyMismatch));
        }
        if leaf.not_after <= now {
            return Err(refuse(Reason::Expired));
        }
        if leaf.not_before > now {
            return Err(refuse(Reason::NotYetValid));
        }
        site.record(Pair { leaf, adopted: true, at: now });
        site.touched = false;
        Ok(())
    }

    fn deliver(&mut self, key: usize, entry: &Entry, ward: Ward) -> Result<(), Trouble> {
        verdict(ward)?;
        let now = self.clock.wall();
        let site = &mut self.sites[key];
        site.consumer.has = site.own.as_ref().map(|own| own.leaf.fingerprint.clone());
        site.record_delivery(entry, now);
        Ok(())
    }

    /// A command ended for one of the entries that it was run for.
    pub(super) fn activate(&mut self, key: usize, entry: &Entry, ward: Ward) -> Result<(), Trouble> {
        let now = self.clock.wall();
        let done = verdict(ward);
        let site = &mut self.sites[key];
        if done.is_ok() {
            self.figures.commands += 1;
            self.ran(key, entry);
            self.sites[key].record_command(entry, now);
        } else {
            if delivered_by_command(entry) {
                site.ledger.delivered = None;
            }
            if self.plan.bug == Some(Bug::ForgottenHook) {
                site.record_command(entry, now);
            }
        }
        done
    }

    /// The command truly succeeded.
    fn ran(&mut self, key: usize, entry: &Entry) {
        let site = &mut self.sites[key];
        let Some(own) = &site.own else { return };
        let fingerprint = own.leaf.fingerprint.clone();
        if delivered_by_command(entry) {
            site.consumer.has = Some(fingerprint.clone());
        }
        site.consumer.ran = command_digest(entry).map(|of| (fingerprint, of));
        // Somebody may have put something else there since the daemon looked.
        site.consumer.unseen |= site.touched || !site.live.matches();
        site.consumer.told(&site.live);
    }

    /// Finishes what a death interrupted, if the storage lets it.
    fn recover(&mut self, key: usize) {
        if self.writable(key).is_ok() {
            self.sites[key].recover();
            self.watch.recovered(&self.clock, key, &self.sites[key]);
        }
    }

    /// The executor starts: torn pairs are mended before anything else.
    pub(super) fn executor_starts(&mut self) {
        if self.executor.is_some() {
            return;
        }
        self.note(None, || "the executor starts".into());
        self.executor = Some(self.clock.now);
        for key in 0..self.sites.len() {
            self.recover(key);
        }
        let after = 50 + self.dice.below(5_000);
        self.later(after, Happening::Connected(self.daemon.epoch));
    }

    /// The executor dies in the middle of whatever it does.
    pub(super) fn executor_dies(&mut self, away: u64) {
        if self.executor.take().is_none() {
            return;
        }
        self.figures.crashes += 1;
        self.note(None, || "the executor dies".into());
        self.daemon.connected = false;
        self.watch.issuances.upset(self.clock.now);
        let lost: Vec<u64> = self
            .jobs
            .iter()
            .filter(|(_, job)| job.begun && !matches!(job.errand, Errand::Ask(_)))
            .map(|(id, _)| *id)
            .collect();
        for id in lost {
            self.tear(id);
            self.fail_job(id, gone());
        }
        let now = self.clock.now;
        self.sites.iter_mut().for_each(|site| site.lane = now);
        self.guests.iter_mut().for_each(|guest| guest.lane = now);
        self.later(away, Happening::ExecutorStarts);
    }

    /// How far an operation had come.
    fn tear(&mut self, id: u64) {
        let Some(job) = self.jobs.get(&id) else { return };
        let (key, errand, entry) = (job.key, job.errand.clone(), job.entry.clone());
        if self.sites[key].force.version != job.version || self.sites[key].intent.is_some() {
            return;
        }
        match errand {
            Errand::Install(stage, Some(leaf), _) => {
                let now = self.clock.wall();
                if self.sites[key].stage == Some(stage) && may_begin(&leaf, now) && self.writable(key).is_ok()
                {
                    self.watch.installed(&self.clock, key, &leaf);
                    self.tear_pair(key, Pair { leaf, adopted: false, at: now });
                }
            }
            Errand::Restore if self.writable(key).is_ok() => {
                if let Some(own) = self.sites[key].own.clone() {
                    self.tear_pair(key, own);
                }
            }
            Errand::Activate(Ward::Well) if self.dice.below(2) == 0 => {
                self.ran(key, &entry);
                for (key, entry, _) in self.jobs.get(&id).map(|job| job.others.clone()).unwrap_or_default() {
                    self.ran(key, &entry);
                }
            }
            _ => {}
        }
    }

    /// The intent is written; then the key is renamed, then the certificate.
    fn tear_pair(&mut self, key: usize, pair: Pair) {
        let progress = self.dice.below(4);
        let site = &mut self.sites[key];
        if progress >= 2 {
            site.live.key = Some(pair.leaf.public_key.clone());
            site.live.mode = MODE;
        }
        if progress >= 3 {
            let key = site.live.key.take();
            site.live = Live { cert: Some(pair.leaf.clone()), key, mode: MODE };
        }
        if progress >= 1 && self.plan.bug != Some(Bug::TornPair) {
            site.intent = Some(pair);
        }
        self.note(Some(key), || format!("torn, step {progress}"));
    }
}

fn may_begin(leaf: &LeafFacts, now: Timestamp) -> bool {
    leaf.not_after > now && leaf.not_before.unix() <= now.unix() + START_TOLERANCE
}

pub(super) fn verdict(ward: Ward) -> Result<(), Trouble> {
    let reason = match ward {
        Ward::Well => return Ok(()),
        Ward::Fails => Reason::CommandFailed,
        Ward::Hangs => Reason::CommandTimeout,
        Ward::Off => Reason::GuestOff,
    };
    Err(Trouble::new(reason, "the guest does not do it"))
}
