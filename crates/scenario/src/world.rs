//! Entries, time, and the daemon's engine in small: what the scheduler, the waves and the issuers' breaker do.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use phoenix_core::lifecycle::{Action, Availability, Context, Event, Phase, State, Work, step};
use phoenix_core::manifest::Entry;
use phoenix_core::reason::Trouble;
use phoenix_core::schedule::Jitter;
use phoenix_core::time::Timestamp;
use phoenix_core::waves::{Runs, Waves, part, recorded_run};

use crate::authority::Authority;
use crate::coverage::Coverage;
use crate::deeds::{Deed, Moods};
use crate::site::{Certificate, Records, Site};
use crate::told::Trace;

/// More pieces of work than any line of a script should lead to.
const MOST: usize = 20_000;

/// Documents that are made elsewhere: what the words `explain` and `plan` show.
pub trait Teller {
    /// What `explain` says about an entry; unless `whole`, without the rules that had nothing to say.
    fn explain(&self, world: &World, name: &str, whole: bool) -> String;
    /// What `plan` says; with a candidate for the manifest, about that.
    fn plan(&self, world: &World, candidate: Option<&serde_json::Value>) -> String;
}

/// An entry of the manifest in force, and everything around it.
#[derive(Clone, Debug)]
pub struct Tracked {
    /// What the manifest wants.
    pub entry: Entry,
    /// Where it stands.
    pub state: State,
    /// When it is looked at without any other cause.
    pub wake: Option<Timestamp>,
    pub(crate) site: Site,
    /// What its consumer uses; none while it is down.
    pub(crate) uses: Option<Certificate>,
    /// Pairs that lay on the live paths once.
    pub(crate) earlier: Vec<Certificate>,
}

/// Everything that there is.
pub struct World {
    /// The time.
    pub now: Timestamp,
    /// The manifest, by names of entries, in its order.
    pub manifest: Vec<(String, serde_json::Value)>,
    /// Entries in force, by name.
    pub entries: BTreeMap<String, Tracked>,
    /// What the run came by so far.
    pub coverage: Coverage,
    pub(crate) ca: Authority,
    pub(crate) moods: Moods,
    pub(crate) runs: Runs,
    pub(crate) waves: Waves<String>,
    pub(crate) decided: Vec<(String, Action)>,
    pub(crate) under_way: BTreeMap<(Timestamp, u64), Deed>,
    pub(crate) counter: u64,
    pub(crate) offers: BTreeMap<String, Certificate>,
    pub(crate) trace: Trace,
    /// Copies of the executor's and the daemon's state that were put away.
    pub(crate) backups: BTreeMap<String, (Records, phoenix_core::lifecycle::Memory)>,
    pub(crate) running: bool,
}

impl World {
    /// Nothing has happened yet.
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            now,
            manifest: Vec::new(),
            entries: BTreeMap::new(),
            coverage: Coverage::default(),
            ca: Authority::new(),
            moods: Moods::default(),
            runs: Runs::default(),
            waves: Waves::default(),
            decided: Vec::new(),
            under_way: BTreeMap::new(),
            counter: 0,
            offers: BTreeMap::new(),
            trace: Trace::default(),
            backups: BTreeMap::new(),
            running: false,
        }
    }

    /// Whether the CA can be asked, as the daemon knows it.
    pub fn availability(&self) -> Availability {
        self.ca.availability(self.now)
    }

    /// What the CA is said to be wrong with.
    pub fn ca_problem(&self) -> Option<&Trouble> {
        self.ca.breaker.trouble()
    }

    /// When the command line of an entry ran last, as far as that can hold the entry back.
    pub fn last_run(&self, name: &str) -> Option<Timestamp> {
        let command = self.entries.get(name)?.entry.command.as_ref()?;
        command.min_interval?;
        if self.waves.is_running(&command.argv) {
            return Some(self.now);
        }
        self.runs.last(&command.argv)
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.entries.keys().cloned().collect()
    }

    pub(crate) fn tell_all(&mut self, event: &Event) {
        for name in self.names() {
            self.send(&name, event.clone());
        }
    }

    /// Tells an entry what happened.
    pub(crate) fn send(&mut self, name: &str, event: Event) {
        if matches!(event, Event::Rewritten | Event::Ordered(_)) && self.waves.is_held(&name.to_owned()) {
            self.decide(name, Event::Withdrawn);
        }
        self.decide(name, event);
    }

    fn decide(&mut self, name: &str, event: Event) {
        if matches!(event, Event::Withdrawn) {
            self.decided.retain(|(decided, action)| decided != name || *action != Action::Activate);
        }
        let key = name.to_owned();
        let availability = self.availability();
        let (last_run, invited) = (self.last_run(name), self.waves.is_invited(&key));
        let Some(mut tracked) = self.entries.remove(name) else { return };
        let context = Context {
            entry: &tracked.entry,
            jitter: Jitter::default(),
            availability: &availability,
            last_run,
            invited,
        };
        self.trace.event(self.now, name, &event);
        self.coverage.reasons.extend(event.trouble().map(|trouble| trouble.reason));
        let before = tracked.state.phase;
        let (state, actions) = step(std::mem::take(&mut tracked.state), &context, event, self.now);
        check(name, before, &state, &actions);
        tracked.state = state;
        self.trace.decision(self.now, name, &context, &tracked.state, &actions, &mut self.coverage);
        for action in actions {
            match action {
                Action::Remember => {}
                Action::WakeAt(wake) => {
                    assert!(
                        wake.is_none_or(|at| at > self.now),
                        "{name} is to be woken in the past: {wake:?}"
                    );
                    tracked.wake = wake;
                }
                action => self.decided.push((key.clone(), action)),
            }
        }
        let part = part(&tracked.entry, &tracked.state, invited, self.now);
        let command = tracked.entry.command.as_ref();
        self.waves.place(&key, command.map(|command| command.argv.as_slice()), part, self.now);
        let recorded = tracked.state.seen.as_ref().and_then(recorded_run);
        if let (Some(command), Some(ran)) = (command, recorded.filter(|ran| *ran <= self.now)) {
            self.runs.note(&command.argv, ran);
        }
        self.entries.insert(key, tracked);
    }

    /// Carries out what was decided, until nothing is left that takes no time.
    pub(crate) fn settle(&mut self) {
        for _ in 0..MOST {
            self.look_at_the_ca();
            for (name, action) in std::mem::take(&mut self.decided) {
                self.start(&name, action);
            }
            for name in self.waves.invite() {
                self.send(&name, Event::Invited);
            }
            for wave in self.waves.depart(self.now) {
                self.start_wave(wave);
            }
            let Some((at, number)) = self.under_way.keys().next().copied().filter(|(at, _)| *at <= self.now)
            else {
                if self.decided.is_empty() {
                    return;
                }
                continue;
            };
            if let Some(deed) = self.under_way.remove(&(at, number)) {
                self.finish(&deed);
            }
        }
        panic!("it does not come to rest at {}: {:?}", self.now, self.entries.keys());
    }

    fn look_at_the_ca(&mut self) {
        if self.running && self.ca.breaker.begin_look(self.now) {
            let result = self.ca.outage().cloned().map_or(Ok(()), Err);
            if self.ca.breaker.looked(result, self.now) {
                self.tell_all(&Event::IssuerBack);
            }
        }
    }

    /// The next moment at which something happens by itself.
    fn next(&self) -> Option<Timestamp> {
        let wake = self.entries.values().filter_map(|tracked| tracked.wake).min();
        let deed = self.under_way.keys().next().map(|(at, _)| *at);
        let look = self.ca.breaker.next_look().filter(|_| self.running);
        [wake, deed, look, self.waves.next_departure(self.now)].into_iter().flatten().min()
    }

    /// Lets time pass.
    pub(crate) fn wait(&mut self, time: Duration) {
        let end = self.now.plus(time);
        for _ in 0..MOST {
            let Some(at) = self.next().filter(|at| *at <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(at);
            self.fire();
            self.settle();
            self.trace.group();
        }
        panic!("too much happens until {end}");
    }

    /// Everything whose time has come is looked at.
    pub(crate) fn fire(&mut self) {
        for name in self.names() {
            let Some(tracked) = self.entries.get_mut(&name) else { continue };
            if tracked.wake.take_if(|at| *at <= self.now).is_some() {
                self.send(&name, Event::Look);
            }
        }
    }

    /// The daemon ends with everything that it did not keep.
    pub(crate) fn stop(&mut self) {
        (self.decided, self.waves) = (Vec::new(), Waves::default());
        self.under_way.clear();
        self.offers.clear();
        let answered = self.ca.breaker.has_answered();
        let hindrance = self.ca.breaker.trouble().cloned().filter(|_| self.ca.outage().is_none());
        self.ca.breaker = Authority::breaker(answered);
        self.ca.breaker.hinder(hindrance);
        self.running = false;
        for tracked in self.entries.values_mut() {
            tracked.wake = None;
            let memory = std::mem::take(&mut tracked.state).memory;
            tracked.state.memory = reread(&memory);
        }
    }

    /// The daemon starts from what it kept.
    pub(crate) fn start_daemon(&mut self) {
        self.running = true;
        self.runs.rewind(self.now);
        for tracked in self.entries.values_mut() {
            let memory = std::mem::take(&mut tracked.state.memory);
            tracked.state.memory = memory.restarted(self.now);
        }
        self.look_at_the_ca();
        self.decided.clear();
        self.tell_all(&Event::Look);
    }

    /// Nothing is under way for any entry, and a look would not fail.
    pub(crate) fn is_settled(&self) -> bool {
        self.running
            && !self.moods.troubles.contains_key("executor")
            && self.under_way.is_empty()
            && self.entries.values().all(|tracked| matches!(tracked.state.phase, Phase::Idle))
    }

    /// What is remembered goes through the journal and back, and everything else is gone. The entries are then
    /// looked at again.
    pub(crate) fn blink(&mut self) {
        for tracked in self.entries.values_mut() {
            let memory = reread(&tracked.state.memory);
            tracked.state = State { memory, ..State::default() };
        }
        self.tell_all(&Event::Look);
        self.settle();
    }
}

fn reread(memory: &phoenix_core::lifecycle::Memory) -> phoenix_core::lifecycle::Memory {
    let text = serde_json::to_string(memory).unwrap_or_default();
    match serde_json::from_str(&text) {
        Ok(read) => {
            assert_eq!(&read, memory, "the journal does not give back what it was given");
            read
        }
        Err(error) => panic!("the journal cannot be read back: {error}: {text}"),
    }
}

/// What holds of every step, whatever happened.
fn check(name: &str, before: Phase, state: &State, actions: &[Action]) {
    let works: Vec<&Action> =
        actions.iter().filter(|action| !matches!(action, Action::Remember | Action::WakeAt(_))).collect();
    assert!(works.len() <= 1, "{name}: two pieces of work at once: {works:?}");
    let working = matches!(state.phase, Phase::Working { .. });
    if let Some(work) = works.first() {
        assert!(working, "{name}: work without a phase: {work:?}");
    }
    let known: BTreeSet<_> = state.memory.failures.keys().collect();
    assert!(known.len() <= 6, "{name}: {known:?}");
    let install = matches!(works.first(), Some(Action::Install(_)));
    if let (Phase::Working { work: Work::Issue, .. }, true) = (before, install) {
        assert!(matches!(state.phase, Phase::Working { work: Work::Install, .. }), "{name}");
    }
    assert!(
        actions.iter().position(|action| *action == Action::Remember).is_none_or(|place| place == 0),
        "{name}: what is decided is remembered before it is done"
    );
}
