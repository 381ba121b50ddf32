//! Setting decided work going.

use phoenix_core::lifecycle::{Action, Event};
use phoenix_core::name::AbsolutePath;
use phoenix_core::reason::{Reason, Trouble};
use phoenix_core::waves::has_run;
use phoenix_protocol::executor::EntryRef;
use tokio::sync::mpsc;
use tracing::{debug, error, info};

use super::entries::Tracked;
use super::gate::Permit;
use super::{Engine, Message, orders};
use crate::clock::now;
use crate::jobs::{self, IssuerNews, Job};

/// How a job tells the engine of its end.
struct Report {
    messages: mpsc::Sender<Message>,
    key: AbsolutePath,
    incarnation: u64,
}

impl Report {
    async fn ended(self, event: Event, news: Vec<IssuerNews>) {
        let Self { messages, key, incarnation } = self;
        let _ = messages.send(Message::Ended { key, incarnation, event: Box::new(event), news }).await;
    }
}

impl Engine {
    /// Starts what was decided for an entry. A command that is shared waits for its wave.
    pub(super) fn start(&mut self, key: &AbsolutePath, action: Action) {
        if action == Action::Activate && self.waves.is_held(key) {
            self.held.push(key.clone());
            return;
        }
        let Some(incarnation) = self.entries.get(key).map(|tracked| tracked.incarnation) else { return };
        if action != Action::Observe {
            return self.begin(key, action, None);
        }
        if let Some(permit) = self.gate.enter(key, incarnation) {
            self.begin(key, action, Some(permit));
        }
    }

    /// Begins the looks that have waited for their turn, as far as there is room now.
    pub(super) fn admit(&mut self) {
        while let Some(((key, incarnation), permit)) = self.gate.next() {
            if self.entries.get(&key).is_some_and(|tracked| tracked.incarnation == incarnation) {
                self.begin(&key, Action::Observe, Some(permit));
            }
        }
    }

    fn begin(&mut self, key: &AbsolutePath, action: Action, permit: Option<Permit>) {
        let Some(tracked) = self.entries.get(key) else { return };
        if !matches!(action, Action::Observe) {
            self.announce_work(key, tracked, &action);
        }
        let looked = matches!(action, Action::Verify | Action::Issue);
        let looks = looked.then(|| self.looks(tracked)).flatten();
        let job = Job { looks, ..self.job(tracked) };
        let report = self.report(key, tracked);
        let command = (action == Action::Activate).then(|| argv(tracked)).flatten();
        tokio::spawn(async move {
            let failed = jobs::failure_of(&action);
            // A job that panics is a defect, but its entry must not wait for it for ever.
            let (event, news) = match tokio::spawn(job.run(action)).await {
                Ok(Some(end)) => end,
                Ok(None) => return,
                Err(error) => match failed(defect(&error)) {
                    Some(event) => (event, Vec::new()),
                    None => return,
                },
            };
            drop(permit);
            if let (Event::Activated(result), Some(command)) = (&event, command)
                && has_run(result)
            {
                let _ = report.messages.send(Message::Ran { command, at: now() }).await;
            }
            report.ended(event, news).await;
        });
    }

    /// Runs the command that these entries share, once for all of them.
    pub(super) fn start_wave(&mut self, keys: &[AbsolutePath]) {
        let members: Vec<(&AbsolutePath, &Tracked)> =
            keys.iter().filter_map(|key| Some((key, self.entries.get(key)?))).collect();
        let Some((_, first)) = members.first() else { return };
        for (key, tracked) in &members {
            self.announce_work(key, tracked, &Action::Activate);
        }
        let (job, command) = (self.job(first), argv(first));
        let references = members.iter().map(|(_, tracked)| reference(tracked)).collect();
        let reports: Vec<Report> = members.iter().map(|(key, tracked)| self.report(key, tracked)).collect();
        let messages = self.messages.clone();
        tokio::spawn(async move {
            let count = reports.len();
            let run = tokio::spawn(async move { job.activate(references).await });
            let result = run.await.unwrap_or_else(|error| Err(defect(&error)));
            if let Some(command) = command.filter(|_| has_run(&result)) {
                let _ = messages.send(Message::Ran { command, at: now() }).await;
            }
            let results = match result {
                Ok(observations) => observations.into_iter().map(Ok).collect(),
                Err(trouble) => vec![Err(trouble); count],
            };
            for (report, result) in reports.into_iter().zip(results) {
                report.ended(Event::Activated(result), Vec::new()).await;
            }
        });
    }

    fn announce_work(&self, key: &AbsolutePath, tracked: &Tracked, action: &Action) {
        let (name, state) = (&tracked.entry.name, &tracked.state);
        let why = state.finding.as_ref().map_or("", |finding| finding.message.as_str());
        match action {
            // Sweeps look at everything, time and again.
            Action::Verify | Action::Recheck => debug!(%name, "{name}: {}: {why}", orders::words(action)),
            _ => info!(%name, "{name}: {}: {why}", orders::words(action)),
        }
        self.note_begun(tracked);
        self.orders.progress(key, name, orders::words(action));
    }

    fn job(&self, tracked: &Tracked) -> Job {
        Job {
            executor: self.executor.clone(),
            reference: reference(tracked),
            doors: self.authorities.doors(&tracked.entry, &tracked.state.memory.refused),
            entry: tracked.entry.clone(),
            looks: None,
            turns: self.entries.probes(),
        }
    }

    fn report(&self, key: &AbsolutePath, tracked: &Tracked) -> Report {
        let messages = self.messages.clone();
        Report { messages, key: key.clone(), incarnation: tracked.incarnation }
    }
}

pub(super) fn reference(tracked: &Tracked) -> EntryRef {
    EntryRef { name: tracked.entry.name.clone(), digest: tracked.digest.clone() }
}

fn argv(tracked: &Tracked) -> Option<Vec<String>> {
    tracked.entry.command.as_ref().map(|command| command.argv.clone())
}

/// What the end of a task that panicked means for its entry.
fn defect(error: &tokio::task::JoinError) -> Trouble {
    error!("a piece of work ended in a defect: {error}");
    Trouble::new(
        Reason::Internal,
        "the daemon met a defect of its own while doing this; its log says where. Please report it",
    )
}
