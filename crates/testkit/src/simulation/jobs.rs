//! Carrying actions out: the daemon's jobs and the CAs that they ask.

use std::rc::Rc;

use phoenix_core::facts::LeafFacts;
use phoenix_core::lifecycle::{Action, Event, Offer};
use phoenix_core::manifest::Entry;
use phoenix_core::reason::{Reason, Trouble};

use super::activity::Activity;
use super::authority::{self, Mood};
use super::clock::{Moment, span};
use super::consumer::unseen;
use super::world::{Door, Errand, Happening, Job, Ward, World, gone, stage_of};

/// Requests at a time and CA.
pub(super) const CONCURRENCY: usize = 4;
/// How long a request waits for a connection to the executor.
const PATIENCE: Moment = 20_000;
/// How long a storage that hangs is waited for.
const HANGS: Moment = 10_000;

impl World {
    /// Starts what was decided.
    pub(super) fn start(&mut self, key: usize, action: Action) {
        if action == Action::Activate && self.daemon.waves.is_held(&key) {
            return;
        }
        let Some(Some(tracked)) = self.daemon.tracked.get(key) else { return };
        let ward = self.guests[self.sites[key].guest].ward;
        let errand = match action {
            Action::WakeAt(_) | Action::Remember => return,
            Action::Observe => Errand::Observe,
            Action::Issue => {
                let (entry, memory) = (&tracked.entry, &tracked.state.memory);
                let order = authority::in_order(key, entry, &self.names, &self.daemon.known, memory);
                let door =
                    |issuer: usize| Door { issuer, outages: self.daemon.known[issuer].breaker.outages() };
                Errand::Prepare(order.into_iter().rev().map(door).collect())
            }
            Action::Install(Offer { stage, chain, issuer, .. }) => {
                let place = self.names.iter().position(|name| *name == issuer).unwrap_or(0);
                Errand::Install(stage.parse().unwrap_or(0), self.offers.remove(&chain), place)
            }
            Action::Adopt => Errand::Adopt,
            Action::Restore => Errand::Restore,
            Action::Deliver => Errand::Deliver(ward),
            Action::Activate => Errand::Activate(ward),
            Action::Verify => Errand::Verify { has_turn: true },
            Action::Recheck => Errand::Recheck(ward),
            Action::Rollback => Errand::Exchange { newer: false },
            Action::Reinstate => Errand::Exchange { newer: true },
        };
        let job = Job {
            key,
            others: Vec::new(),
            epoch: self.daemon.epoch,
            entry: tracked.entry.clone(),
            version: tracked.version,
            errand,
            begun: false,
        };
        self.set_going(job);
    }

    /// Hands a job to the executor, or lets it wait for one.
    pub(super) fn set_going(&mut self, job: Job) {
        let keys: Vec<usize> =
            std::iter::once(job.key).chain(job.others.iter().map(|(key, ..)| *key)).collect();
        if matches!(job.errand, Errand::Activate(_)) {
            self.wave_begins(&keys);
        }
        for key in keys {
            let Some(Some(tracked)) = self.daemon.tracked.get(key) else { continue };
            self.watch.job_starts(&self.clock, &job.errand, tracked, &self.sites[key]);
            self.watch.begins(&self.clock, key, &job.errand);
        }
        let id = self.fresh();
        self.jobs.insert(id, job);
        if self.daemon.connected {
            self.begin(id);
        } else {
            self.later(PATIENCE, Happening::PatienceEnds(id));
        }
    }

    /// The executor takes a job on: one thing at a time for an entry and in a guest.
    pub(super) fn begin(&mut self, id: u64) {
        let patience = self.patience();
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.begun = true;
        if let Errand::Verify { has_turn } = &mut job.errand {
            *has_turn = self.turns_from <= self.clock.now + patience;
        }
        let members: Vec<usize> = job.others.iter().map(|(key, ..)| *key).chain([job.key]).collect();
        let lanes = members.iter().map(|key| self.sites[*key].lane).max().unwrap_or(0);
        let site = &mut self.sites[job.key];
        let hangs = self.storages[site.root].trouble == Some(Reason::StorageHangs);
        let mut from = self.clock.now.max(lanes);
        let time = match &job.errand {
            Errand::Deliver(ward) | Errand::Activate(ward) | Errand::Recheck(ward) => {
                let guest = &mut self.guests[site.guest];
                from = from.max(guest.lane);
                let limit = job.entry.command.as_ref().map_or(30_000, |command| span(command.timeout));
                let time = match ward {
                    Ward::Well | Ward::Fails => 50 + self.dice.below(limit.min(6_000)),
                    Ward::Hangs => limit,
                    Ward::Off => 300,
                };
                guest.lane = from + time;
                time
            }
            Errand::Ask(_) => 0,
            Errand::Verify { has_turn: false } => patience,
            Errand::Verify { has_turn: true } => {
                from = from.max(self.turns_from);
                20 + self.dice.below(3_000)
            }
            _ if hangs => HANGS,
            _ => 3 + self.dice.below(40),
        };
        for key in members {
            self.sites[key].lane = from + time;
        }
        let changes = !matches!(
            job.errand,
            Errand::Observe
                | Errand::Prepare(_)
                | Errand::Ask(_)
                | Errand::Verify { .. }
                | Errand::Recheck(_)
        );
        if changes {
            self.executor_may_die(from - self.clock.now, time);
        }
        self.later(from + time - self.clock.now, Happening::JobEnds(id));
    }

    /// How long a look at a consumer waits for its turn, as `Patience` of the schedule has it.
    fn patience(&self) -> Moment {
        (span(self.plan.lifetime) / 50).min(30_000)
    }

    /// A change of the host begins after `wait` and takes `time`: it may be the last one.
    fn executor_may_die(&mut self, wait: Moment, time: Moment) {
        let Some(left) = self.dies_in else { return };
        self.dies_in = left.checked_sub(1);
        if self.dies_in.is_none() {
            let (at, away) = (wait + self.dice.below(time), self.duration().min(60_000));
            self.later(at, Happening::ExecutorDies(away));
        }
    }

    /// A job ends with this trouble.
    pub(super) fn fail_job(&mut self, id: u64, trouble: Trouble) {
        let Some(job) = self.jobs.remove(&id) else { return };
        let stage = stage_of(&job.errand);
        let event = match &job.errand {
            Errand::Observe => Event::Observed(Err(trouble)),
            Errand::Prepare(_) | Errand::Ask(_) => Event::Issued(Err((stage, trouble))),
            Errand::Install(..) => Event::Installed(Err(trouble)),
            Errand::Adopt => Event::Adopted(Err(trouble)),
            Errand::Restore => Event::Restored(Err(trouble)),
            Errand::Deliver(_) => Event::Delivered(Err(trouble)),
            Errand::Activate(_) => return self.wave_ends(&job, Err(trouble)),
            Errand::Verify { .. } => Event::Verified(Box::new(unseen(trouble))),
            Errand::Recheck(_) => Event::Rechecked(Err(trouble)),
            Errand::Exchange { newer: false } => Event::RolledBack(Err(trouble)),
            Errand::Exchange { newer: true } => Event::Reinstated(Err(trouble)),
        };
        self.report(&job, event);
    }

    /// The daemon learns how a job ended, if it still is the one that started it.
    pub(super) fn report(&mut self, job: &Job, event: Event) {
        self.report_of(job, job.key, event);
    }

    /// The same for any of the entries that it was for.
    pub(super) fn report_of(&mut self, job: &Job, key: usize, event: Event) {
        if job.epoch != self.daemon.epoch || self.daemon.up.is_none() {
            self.note(Some(key), || "ended unseen".into());
            return;
        }
        if let Errand::Ask(asking) = &job.errand {
            self.take_news(asking.news.clone());
        }
        if let (Errand::Install(.., issuer), Event::Installed(result)) = (&job.errand, &event) {
            self.note_clock(job.key, *issuer, result.as_ref().err().cloned());
        }
        self.end_trials(key, &event);
        self.send(key, event);
    }

    /// The present errand of a job is over.
    pub(super) fn job_ends(&mut self, id: u64) {
        let Some(job) = self.jobs.get(&id) else { return };
        if matches!(job.errand, Errand::Ask(_)) {
            return self.answered(id);
        }
        if matches!(job.errand, Errand::Activate(_)) {
            return self.command_ends(id);
        }
        match self.perform(id) {
            Err(trouble) => self.fail_job(id, trouble),
            Ok(event) => {
                if matches!(self.jobs.get(&id), Some(Job { errand: Errand::Ask(_), .. })) {
                    return self.ask_next(id);
                }
                if let Some(job) = self.jobs.remove(&id) {
                    self.report(&job, event);
                }
            }
        }
    }

    /// Asks the next CA, or gives up.
    fn ask_next(&mut self, id: u64) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if job.epoch != self.daemon.epoch {
            self.jobs.remove(&id);
            return;
        }
        let Errand::Ask(asking) = &mut job.errand else { return };
        let Some(door) = asking.doors.pop() else {
            let none = || Trouble::new(Reason::IssuerNotReady, "no CA can be asked");
            let first = asking.first.take().unwrap_or_else(none);
            return self.fail_job(id, first);
        };
        if !self.daemon.known[door.issuer].ready {
            return self.ask_next(id);
        }
        let known = &mut self.daemon.known[door.issuer];
        if known.busy >= CONCURRENCY {
            asking.at = Some((door, false));
            known.waiting.push_back(id);
            return;
        }
        known.busy += 1;
        asking.at = Some((door, true));
        self.ask(id, door);
    }

    /// The request goes out: whatever the CA does with it is settled now, the answer comes later.
    fn ask(&mut self, id: u64, door: Door) {
        let closed = self.daemon.known[door.issuer].breaker.outages() != door.outages;
        let mood = self.cas[door.issuer].mood;
        let Some(job) = self.jobs.get(&id) else { return };
        let Errand::Ask(asking) = &job.errand else { return };
        let (key, entry, stage) = (job.key, job.entry.clone(), asking.stage);
        let current = self.sites[key].force.version == job.version;
        let (after, answer) = if closed {
            (0, Err(Trouble::new(Reason::CaUnreachable, "it went out of reach meanwhile")))
        } else if !self.daemon.connected {
            (0, Err(gone()))
        } else if !current {
            (5, Err(Trouble::new(Reason::Stale, "the manifest changed")))
        } else {
            let leaf = mood.issues().then(|| self.make_leaf(&entry, stage));
            if leaf.is_some() {
                self.made(door.issuer, key, mood == Mood::Mute);
            }
            let answer = match (mood.refusal(), leaf) {
                (None, Some(leaf)) => Ok(leaf),
                (trouble, _) => Err(trouble.unwrap_or_else(gone)),
            };
            (mood.latency(&mut self.dice), answer)
        };
        if let Some(Job { errand: Errand::Ask(asking), .. }) = self.jobs.get_mut(&id) {
            let spoke = !closed && self.daemon.connected && current;
            match &answer {
                Ok(_) => asking.news.push((door.issuer, None)),
                Err(trouble) if trouble.reason == Reason::CaUnreachable && spoke => {
                    asking.news.push((door.issuer, Some(trouble.clone())));
                }
                Err(_) if spoke => asking.news.push((door.issuer, None)),
                Err(_) => {}
            }
            asking.answer = Some(answer);
        }
        self.later(after, Happening::JobEnds(id));
    }

    fn make_leaf(&mut self, entry: &Entry, stage: u64) -> Rc<LeafFacts> {
        let number = self.fresh();
        let from = self.clock.truth().minus(std::time::Duration::from_secs(60));
        let until = self.clock.truth().plus(entry.validity.unwrap_or(self.plan.lifetime));
        self.figures.issued += 1;
        Rc::new(LeafFacts {
            serial: format!("{number:x}"),
            fingerprint: format!("c{number}"),
            common_name: Some(entry.common_name.clone()),
            sans: entry.sans.clone(),
            not_before: from,
            not_after: until,
            client_auth: true,
            server_auth: true,
            other_eku: false,
            key_type: Some(entry.key_type),
            public_key: format!("k{stage}"),
            issuer: String::new(),
        })
    }

    /// A CA answered, or its turn came to nothing.
    fn answered(&mut self, id: u64) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let (key, current) = (job.key, job.epoch == self.daemon.epoch);
        let Errand::Ask(asking) = &mut job.errand else { return };
        let (at, answer, stage) = (asking.at.take(), asking.answer.take(), asking.stage);
        if !current {
            self.jobs.remove(&id);
            return;
        }
        if let Some((door, true)) = at {
            self.next_turn(door.issuer);
        }
        match answer {
            Some(Ok(leaf)) => {
                let Some(job) = self.jobs.remove(&id) else { return };
                let chain = leaf.serial.clone();
                self.offers.insert(chain.clone(), leaf);
                let issuer = at.map_or(0, |(door, _)| door.issuer);
                if job.entry.issuers.first() != Some(&self.names[issuer]) {
                    self.figures.activities.saw(Activity::FellBack);
                }
                let issuer = self.names[issuer].clone();
                let reachable = self.reaches(key);
                let ailing = self.ails(key);
                let offer = Offer { stage: stage.to_string(), issuer, chain, reachable, ailing };
                self.report(&job, Event::Issued(Ok(offer)));
            }
            Some(Err(trouble)) => {
                self.note(Some(key), || format!("the CA: {}", trouble.reason));
                if let Some(Job { errand: Errand::Ask(asking), .. }) = self.jobs.get_mut(&id) {
                    asking.first.get_or_insert(trouble);
                }
                self.ask_next(id);
            }
            None => {}
        }
    }

    fn next_turn(&mut self, issuer: usize) {
        let known = &mut self.daemon.known[issuer];
        known.busy -= 1;
        let Some(next) = known.waiting.pop_front() else { return };
        known.busy += 1;
        let Some(Job { errand: Errand::Ask(asking), .. }) = self.jobs.get_mut(&next) else {
            return self.next_turn(issuer);
        };
        let Some((door, _)) = asking.at else { return };
        asking.at = Some((door, true));
        self.ask(next, door);
    }
}
