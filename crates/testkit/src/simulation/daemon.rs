//! The daemon: the rules of its engine around the real state machine.
//!
//! Messages come in, [`step`] decides, what is to be remembered goes to the journal, then jobs start. A crash may
//! come between any two of these.

use std::collections::BTreeSet;
use std::rc::Rc;

use phoenix_core::lifecycle::{Action, Context, Event, State, step, valid_until};
use phoenix_core::manifest::Entry;
use phoenix_core::schedule::Jitter;
use phoenix_core::time::Timestamp;
use phoenix_core::waves::{Runs, Waves};

use super::authority::{self, Known};
use super::bugs;
use super::clock::Moment;
use super::operator::Wishes;
use super::world::{Happening, World};

/// An entry in force.
pub(super) struct Tracked {
    pub(super) entry: Rc<Entry>,
    pub(super) version: u64,
    pub(super) jitter: Jitter,
    pub(super) doors: Vec<usize>,
    pub(super) state: State,
    pub(super) wake: Option<Timestamp>,
}

/// The daemon's memory.
#[derive(Default)]
pub(super) struct Daemon {
    /// It has run since then.
    pub(super) up: Option<Moment>,
    /// Its incarnation.
    pub(super) epoch: u64,
    pub(super) connected: bool,
    pub(super) tracked: Vec<Option<Tracked>>,
    pub(super) known: Vec<Known>,
    /// Where it dies: so many steps of carrying decisions out from now.
    pub(super) dies_in: Option<u64>,
    timers: BTreeSet<(Timestamp, usize)>,
    next_poll: Timestamp,
    next_sweep: Timestamp,
    pub(super) fetching: bool,
    pub(super) fetch_again: bool,
    pub(super) digest: Option<u64>,
    pub(super) waves: Waves<usize>,
    pub(super) runs: Runs,
    /// Command lines whose last run the journal does not know yet.
    unsynced_runs: Vec<Vec<String>>,
    /// The clock was set: the journal knows none of them right.
    rewound: bool,
    unsynced: Vec<usize>,
    pub(super) decided: Vec<(usize, Action)>,
}

impl World {
    /// When the daemon's timer fires.
    pub(super) fn deadline(&self) -> Option<Moment> {
        self.daemon.up?;
        let of = |known: &Known| [known.breaker.next_look(), known.breaker.next_call()];
        let looks = self.daemon.known.iter().flat_map(of).flatten().min();
        let timer = self.daemon.timers.first().map(|(at, _)| *at);
        let departure = self.daemon.waves.next_departure(self.clock.wall());
        [Some(self.daemon.next_poll), Some(self.daemon.next_sweep), looks, timer, departure]
            .into_iter()
            .flatten()
            .min()
            .map(|at| self.clock.when(at).max(self.awake))
    }

    /// The daemon's timer fired, or the clock was set.
    pub(super) fn tick(&mut self, clock_set: bool) {
        if self.daemon.up.is_none() {
            return;
        }
        let at = self.clock.wall();
        if clock_set {
            self.daemon.next_poll = at;
            self.daemon.next_sweep = at;
            self.daemon.runs.rewind(at);
            self.daemon.rewound = true;
            self.daemon.known.iter_mut().for_each(|issuer| issuer.breaker.clock_set(at));
        }
        if self.daemon.next_poll <= at {
            self.daemon.next_poll = at.plus(self.plan.poll);
            self.fetch(false);
        }
        if self.daemon.next_sweep <= at {
            let every = self.plan.sweep.as_secs().max(1);
            self.daemon.next_sweep = Timestamp::from_unix((at.unix() / every as i64 + 1) * every as i64);
            self.tell_all(&Event::Sweep);
        }
        while let Some((due, key)) = self.daemon.timers.first().copied().filter(|(due, _)| *due <= at) {
            self.daemon.timers.remove(&(due, key));
            if let Some(tracked) = &mut self.daemon.tracked[key] {
                tracked.wake = None;
            }
            self.send(key, Event::Look);
        }
        self.look_at_issuers();
        self.call_for_trials();
    }

    fn tell_all(&mut self, event: &Event) {
        for key in 0..self.daemon.tracked.len() {
            self.send(key, event.clone());
        }
    }

    /// Tells an entry what happened.
    pub(super) fn send(&mut self, key: usize, event: Event) {
        if event.is_overtaken() {
            self.fetch(true);
        }
        if matches!(event, Event::Rewritten | Event::Ordered(_) | Event::OrderedBack)
            && self.daemon.waves.is_held(&key)
        {
            self.decide(key, Event::Withdrawn);
        }
        self.decide(key, event);
    }

    fn decide(&mut self, key: usize, event: Event) {
        let at = self.clock.wall();
        let (last_run, invited) = (self.last_run(key, at), self.daemon.waves.is_invited(&key));
        let Some(Some(tracked)) = self.daemon.tracked.get_mut(key) else { return };
        let wishes = Wishes::of(&tracked.state.memory);
        let availability = authority::availability(&tracked.doors, &self.daemon.known, at);
        let context = Context {
            entry: &tracked.entry,
            jitter: tracked.jitter,
            availability: &availability,
            last_run,
            invited,
        };
        self.watch.before_step(&self.clock, key, &event, &availability, &tracked.state.memory);
        let (mut state, mut actions) = step(std::mem::take(&mut tracked.state), &context, event, at);
        if let Some(bug) = self.plan.bug {
            bugs::mutate(bug, &mut state, &mut actions, at);
        }
        tracked.state = state;
        if actions.contains(&Action::Issue) {
            let (entry, memory) = (&tracked.entry, &tracked.state.memory);
            authority::begin_trials(key, entry, &self.names, &mut self.daemon.known, memory, at);
        } else if tracked.state.awaits_issuer {
            let until = valid_until(&tracked.state);
            tracked.doors.iter().for_each(|door| self.daemon.known[*door].breaker.awaited(until, at));
        }
        self.figures.steps += 1;
        self.watch.after_step(&self.clock, key, &actions);
        if actions.contains(&Action::Activate) {
            self.watch.may_run(&self.clock, key, tracked);
        }
        for action in actions {
            match action {
                Action::Remember => self.daemon.unsynced.push(key),
                Action::WakeAt(wake) => self.set_wake(key, wake),
                action => self.daemon.decided.push((key, action)),
            }
        }
        self.note_orders(key, &wishes);
        self.take_part(key, at);
        let Some(Some(tracked)) = self.daemon.tracked.get(key) else { return };
        self.watch.at_rest(&self.clock, key, tracked, &self.sites[key]);
    }

    pub(super) fn set_wake(&mut self, key: usize, wake: Option<Timestamp>) {
        let Some(Some(tracked)) = self.daemon.tracked.get_mut(key) else { return };
        if let Some(old) = std::mem::replace(&mut tracked.wake, wake) {
            self.daemon.timers.remove(&(old, key));
        }
        if let Some(wake) = wake {
            self.daemon.timers.insert((wake, key));
        }
    }

    /// Makes durable what was decided, then sets it going. The daemon may die at any point of that.
    pub(super) fn act(&mut self) {
        if self.daemon.up.is_none() {
            return;
        }
        if self.daemon.unsynced.is_empty() && self.daemon.decided.is_empty() {
            return self.depart();
        }
        if self.dies_now("before the journal is written") {
            return;
        }
        self.write_runs();
        for key in std::mem::take(&mut self.daemon.unsynced) {
            if let Some(Some(tracked)) = self.daemon.tracked.get(key) {
                self.journal[key] = tracked.state.memory.clone();
            }
        }
        for (key, action) in std::mem::take(&mut self.daemon.decided) {
            if self.dies_now("before it begins what it decided") {
                return;
            }
            self.start(key, action);
        }
        self.depart();
    }

    /// Notes that a command line ran.
    pub(super) fn note_run(&mut self, command: &[String], at: Timestamp) {
        if self.daemon.runs.note(command, at) {
            self.daemon.unsynced_runs.push(command.to_vec());
        }
    }

    fn write_runs(&mut self) {
        if std::mem::take(&mut self.daemon.rewound) {
            self.journal_of_runs.clone_from(&self.daemon.runs);
        }
        for command in std::mem::take(&mut self.daemon.unsynced_runs) {
            if let Some(at) = self.daemon.runs.last(&command) {
                self.journal_of_runs.note(&command, at);
            }
        }
    }

    fn dies_now(&mut self, when: &str) -> bool {
        match self.daemon.dies_in {
            Some(0) => {
                self.note(None, || format!("the daemon dies {when}"));
                self.daemon_dies();
                true
            }
            Some(steps) => {
                self.daemon.dies_in = Some(steps - 1);
                false
            }
            None => false,
        }
    }

    /// The daemon is gone with all it knew; what the executor does for it goes on.
    pub(super) fn daemon_dies(&mut self) {
        if self.daemon.up.is_none() {
            return;
        }
        self.figures.crashes += 1;
        self.daemon = Daemon { epoch: self.daemon.epoch + 1, ..Daemon::default() };
        self.jobs.retain(|_, job| job.begun);
        self.offers.clear();
        // What was seen and not written down is forgotten.
        self.sites.iter_mut().for_each(|site| site.consumer.unseen = true);
        let back = 200 + self.dice.below(20_000);
        self.later(back, Happening::DaemonStarts);
    }

    /// The daemon starts from its journal.
    pub(super) fn daemon_starts(&mut self) {
        if self.daemon.up.is_some() {
            return;
        }
        self.note(None, || "the daemon starts".into());
        self.watch.daemon_started();
        self.watch.issuances.begin_anew(self.clock.now);
        let at = self.clock.wall();
        self.daemon.up = Some(self.clock.now);
        self.daemon.next_poll = at.plus(self.plan.poll);
        self.daemon.next_sweep = at.plus(self.plan.sweep);
        self.daemon.runs = self.journal_of_runs.clone();
        self.daemon.runs.rewind(at);
        self.daemon.rewound = true;
        self.daemon.known = self.cas.iter().map(|ca| Known::new(ca.answered)).collect();
        self.daemon.tracked = self.sites.iter().map(|_| None).collect();
        if self.executor.is_some() {
            self.later(50, Happening::Connected(self.daemon.epoch));
        }
    }

    /// There is a connection to the executor.
    pub(super) fn connected(&mut self) {
        if self.executor.is_none() || self.daemon.up.is_none() || self.daemon.connected {
            return;
        }
        self.daemon.connected = true;
        self.fetch(true);
        self.tell_all(&Event::Look);
        let waiting: Vec<u64> = self
            .jobs
            .iter()
            .filter(|(_, job)| job.epoch == self.daemon.epoch && !job.begun)
            .map(|(id, _)| *id)
            .collect();
        for job in waiting {
            self.begin(job);
        }
    }
}
