//! The one task that owns all entries.
//!
//! Messages come in, [`phoenix_core::lifecycle::step`] decides, jobs go out. Nothing here waits: whatever takes
//! time is a job that reports back with a message, so one slow guest or CA never delays another entry.

mod entries;
mod explain;
mod gate;
mod issuers;
mod looks;
mod manifest;
mod message;
mod notes;
mod notices;
mod orders;
mod outcome;
mod plan;
mod requests;
#[cfg(test)]
pub(crate) mod samples;
mod status;
mod trials;
mod waves;
mod work;

use std::collections::BTreeMap;

use phoenix_core::lifecycle::{Action, Context, Event, step, valid_until};
use phoenix_core::manifest::InvalidEntry;
use phoenix_core::name::{AbsolutePath, IssuerName};
use phoenix_core::settings::{Schedule, Settings};
use phoenix_core::time::Timestamp;
use phoenix_core::waves::Waves;
use phoenix_protocol::executor::{ManifestFacts, ProgramFacts};
use phoenix_protocol::history::Happening;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::authorities::Authorities;
use crate::clock::{WallTimer, Woken, now};
use crate::executor::Executor;
use crate::history::History;
use crate::journal::Journal;
use entries::Entries;
use gate::Gate;
pub(crate) use manifest::Fetched;
pub(crate) use message::{Answering, Asked, Message, OrderReply};
use notes::Before;
use notices::Notices;
use orders::Orders;
use trials::Calls;

/// Messages that are taken in before what was decided is carried out.
const BATCH: usize = 256;
/// How long a first report waits for the first look at every entry.
const FIRST_LOOK: std::time::Duration = std::time::Duration::from_secs(5);

/// The engine's state.
pub(crate) struct Engine {
    settings: Settings,
    sweep: Schedule,
    executor: Executor,
    journal: Journal,
    authorities: Authorities,
    entries: Entries,
    gate: Gate,
    orders: Orders,
    notices: Notices,
    /// Entries that share a command.
    waves: Waves<AbsolutePath>,
    /// Of these, those that were just held and nobody was told of.
    held: Vec<AbsolutePath>,
    manifest: Option<ManifestFacts>,
    /// Its entries were taken in once at least.
    manifest_adopted: bool,
    /// How the programs of commands are confined on this machine.
    programs: Vec<ProgramFacts>,
    history: History,
    /// Issuers that were told to be ready, or not to be, last.
    issuers_ready: BTreeMap<IssuerName, bool>,
    /// Who was called to try issuers whose clock differs.
    calls: Calls,
    /// Entries that the manifest has wrong.
    invalid: Vec<InvalidEntry>,
    /// Reports and orders that came before the first look.
    early: Vec<Message>,
    early_until: Timestamp,
    /// Work that was decided and waits for the journal to be durable.
    decided: Vec<(AbsolutePath, Action)>,
    fetching: bool,
    fetch_again: bool,
    next_poll: Timestamp,
    next_sweep: Option<Timestamp>,
    messages: mpsc::Sender<Message>,
}

impl Engine {
    /// An engine that knows nothing yet.
    pub(crate) fn new(
        settings: Settings,
        sweep: Schedule,
        executor: Executor,
        journal: Journal,
        history: History,
        messages: mpsc::Sender<Message>,
    ) -> Self {
        let at = now();
        let concurrency = settings.renewal.concurrency;
        let notices = Notices::new(journal.found(), settings.state_dir.as_path(), at);
        let authorities =
            Authorities::new(&settings.issuers, concurrency, |issuer| journal.has_answered(issuer));
        Self {
            next_poll: at.plus(settings.renewal.poll),
            next_sweep: sweep.next_after(at, 0),
            early_until: at.plus(FIRST_LOOK),
            settings,
            sweep,
            executor,
            journal,
            authorities,
            entries: Entries::default(),
            gate: Gate::default(),
            orders: Orders::default(),
            notices,
            waves: Waves::default(),
            held: Vec::new(),
            manifest: None,
            manifest_adopted: false,
            programs: Vec::new(),
            history,
            issuers_ready: BTreeMap::new(),
            calls: Calls::default(),
            invalid: Vec::new(),
            early: Vec::new(),
            decided: Vec::new(),
            fetching: false,
            fetch_again: false,
            messages,
        }
    }

    /// Runs until `stop`.
    pub(crate) async fn run(mut self, mut inbox: mpsc::Receiver<Message>, stop: CancellationToken) {
        let mut timer = match WallTimer::new() {
            Ok(timer) => timer,
            Err(error) => return error!("cannot make a timer: {error}"),
        };
        loop {
            let deadline = self.deadline();
            tokio::select! {
                () = stop.cancelled() => return,
                message = inbox.recv() => match message {
                    Some(message) => self.take(message),
                    None => return,
                },
                woken = timer.wait(deadline) => match woken {
                    Ok(woken) => self.tick(woken),
                    Err(error) => return error!("the timer failed: {error}"),
                },
            }
            // Whatever came meanwhile is taken in too, so that one write makes all of it durable.
            for _ in 0..BATCH {
                match inbox.try_recv() {
                    Ok(message) => self.take(message),
                    Err(_) => break,
                }
            }
            self.act();
        }
    }

    fn sync_journal(&mut self) {
        if let Err(error) = self.journal.sync() {
            error!("cannot write the journal: {error}. A restart forgets recent failures and orders");
        }
    }

    /// Makes durable what was decided, then sets it going.
    fn act(&mut self) {
        self.note_issuers();
        self.sync_journal();
        // First looks go before work, so that a first report need not wait for a whole fleet to be issued.
        let early = self.is_early();
        for (key, action) in std::mem::take(&mut self.decided) {
            if early && !matches!(action, Action::Observe) {
                self.decided.push((key, action));
            } else {
                self.start(&key, action);
            }
        }
        if !early {
            self.depart();
        }
        self.admit();
    }

    fn deadline(&self) -> Option<Timestamp> {
        let early = (!self.early.is_empty() || !self.decided.is_empty()).then_some(self.early_until);
        let candidates = [
            Some(self.next_poll),
            self.next_sweep,
            self.entries.next_wake(),
            self.authorities.next_look(),
            self.orders.next_deadline(),
            self.waves.next_departure(now()),
            early,
        ];
        candidates.into_iter().flatten().min()
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::ExecutorUp => {
                self.fetch(true);
                self.tell_all(&Event::Look);
            }
            Message::Hint => self.fetch(true),
            Message::Manifest(fetched) => self.fetched(fetched),
            Message::Ended { key, incarnation, event, news } => {
                self.note(news);
                self.end_trials(&key, &event);
                if self.entries.get(&key).is_some_and(|tracked| tracked.incarnation == incarnation) {
                    self.send(&key, *event);
                }
            }
            Message::Looked { name, result } => {
                if let Ok(health) = &result
                    && let Some(version) = &health.version
                {
                    info!("issuer {name} answers, step-ca {version}");
                }
                if self.authorities.looked(&name, result, now()) {
                    self.issuer_back(&name);
                }
            }
            Message::Trusted(facts) => self.informed(&facts),
            Message::Ran { command, at } => self.ran(&command, at),
            Message::Ping(reply) => {
                let _ = reply.send(());
            }
            message if self.is_early() => self.early.push(message),
            Message::Status(asked, reply) => {
                let _ = reply.send(self.status(&asked));
            }
            Message::Explain(name, reply) => {
                let _ = reply.send(self.explain(&name));
            }
            Message::Plan(candidate, reply) => {
                let _ = reply.send(Ok(self.plan(candidate)));
            }
            Message::Renew(request, uid, reply) => self.renew(&request, uid, reply),
            Message::Sync(request, uid, reply) => self.sync(&request, uid, reply),
            Message::Verify(request, uid, reply) => self.verify(&request, uid, reply),
            Message::RollBack(request, uid, reply) => self.roll_back(&request, uid, reply),
        }
        if !self.early.is_empty() && !self.is_early() {
            for message in std::mem::take(&mut self.early) {
                self.take(message);
            }
        }
    }

    /// The first look at every entry is not over yet: a report would know nothing.
    fn is_early(&self) -> bool {
        now() < self.early_until && (self.manifest.is_none() || self.entries.any_unseen())
    }

    fn tick(&mut self, woken: Woken) {
        let at = now();
        if woken == Woken::ClockSet {
            warn!("the clock was set: it is {at} now; everything is looked at again");
            self.next_poll = at;
            self.next_sweep = Some(at);
            self.early_until = self.early_until.min(at.plus(FIRST_LOOK));
            self.authorities.clock_set(at);
            self.history.note([], Happening::ClockSet, at);
            self.journal.rewind(at);
            self.waves.clock_set(at);
            self.notices.clock_set(at);
        }
        if self.next_poll <= at {
            self.next_poll = at.plus(self.settings.renewal.poll);
            self.note_alive(at);
            self.fetch(false);
        }
        if self.next_sweep.is_some_and(|sweep| sweep <= at) {
            self.next_sweep = self.sweep.next_after(at, 0);
            self.tell_all(&Event::Sweep);
        }
        for key in self.entries.due(at) {
            self.send(&key, Event::Look);
        }
        self.look_at_issuers(at);
        self.call_for_trials(at);
        self.orders.expire(at, &self.entries);
        if !self.early.is_empty() && !self.is_early() {
            for message in std::mem::take(&mut self.early) {
                self.take(message);
            }
        }
    }

    fn tell_all(&mut self, event: &Event) {
        for key in self.entries.keys() {
            self.send(&key, event.clone());
        }
    }

    /// Tells an entry what happened and carries out what is decided.
    fn send(&mut self, key: &AbsolutePath, event: Event) {
        if event.is_overtaken() {
            self.fetch(true);
        }
        // A command that waits for others is not begun for a certificate or wishes that are about to change.
        if matches!(event, Event::Rewritten | Event::Ordered(_) | Event::OrderedBack)
            && self.waves.is_held(key)
        {
            self.decide(key, Event::Withdrawn);
        }
        self.decide(key, event);
    }

    fn decide(&mut self, key: &AbsolutePath, event: Event) {
        let at = now();
        if matches!(event, Event::Withdrawn) {
            // It may have been put off until the first looks are over.
            self.decided.retain(|(decided, action)| decided != key || *action != Action::Activate);
        }
        let (last_run, invited) = (self.last_run(key, at), self.waves.is_invited(key));
        let Some(tracked) = self.entries.get_mut(key) else { return };
        let before = Before::new(&tracked.state, event.trouble());
        let availability = self.authorities.availability(&tracked.entry, at);
        let context = Context {
            entry: &tracked.entry,
            jitter: tracked.jitter,
            availability: &availability,
            last_run,
            invited,
        };
        let (state, actions) = step(std::mem::take(&mut tracked.state), &context, event, at);
        tracked.state = state;
        if actions.contains(&Action::Issue) {
            self.authorities.begin_trials(&tracked.entry, &tracked.state.memory.refused, at);
        } else if tracked.state.awaits_issuer {
            self.authorities.awaited(&tracked.entry, valid_until(&tracked.state), at);
        }
        for action in actions {
            match action {
                Action::Remember => self.remember(key),
                Action::WakeAt(wake) => self.entries.set_wake(key, wake),
                action => self.decided.push((key.clone(), action)),
            }
        }
        self.note_change(key, &before, at);
        self.take_part(key, at);
        self.compare_history(key);
        self.entries.note_look(key);
        self.orders.update(key, &self.entries, &self.authorities);
    }

    fn remember(&mut self, key: &AbsolutePath) {
        let Some(tracked) = self.entries.get(key) else { return };
        if let Err(error) = self.journal.remember(key, &tracked.state.memory) {
            error!("cannot write the journal: {error}. A restart forgets recent failures and orders");
        }
    }

    /// Fetches the manifest, now or as soon as the fetch under way is over.
    fn fetch(&mut self, whole: bool) {
        if std::mem::replace(&mut self.fetching, true) {
            self.fetch_again = true;
            return;
        }
        let known = if whole { None } else { self.manifest.as_ref().map(|facts| facts.digest.clone()) };
        let (executor, messages) = (self.executor.clone(), self.messages.clone());
        tokio::spawn(async move {
            let fetched = manifest::fetch(&executor, known.as_deref()).await;
            let _ = messages.send(Message::Manifest(fetched)).await;
        });
    }
}
