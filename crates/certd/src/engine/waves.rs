//! Commands that several entries share: who waits for whom, and when each command line ran last.

use std::collections::BTreeSet;

use phoenix_core::lifecycle::Event;
use phoenix_core::name::AbsolutePath;
use phoenix_core::time::Timestamp;
use phoenix_core::waves::{part, recorded_run};
use tracing::error;

use super::{Engine, orders};
use crate::clock::now;

impl Engine {
    /// When the command line of an entry ran last, as far as that can hold the entry back.
    pub(super) fn last_run(&self, key: &AbsolutePath, at: Timestamp) -> Option<Timestamp> {
        let command = self.entries.get(key)?.entry.command.as_ref()?;
        command.min_interval?;
        if self.waves.is_running(&command.argv) {
            return Some(at);
        }
        self.journal.last_run(&command.argv)
    }

    /// Notes that a command line ran.
    pub(super) fn note_run(&mut self, command: &[String], at: Timestamp) {
        if let Err(error) = self.journal.remember_run(command, at) {
            error!("cannot write the journal: {error}. A restart may forget when a command ran last");
        }
    }

    /// A command ended: whoever waits for a run of it by itself has to see whether its restart budget still allows
    /// one.
    pub(super) fn ran(&mut self, command: &[String], at: Timestamp) {
        self.note_run(command, at);
        for key in self.waves.held_for(command) {
            let entry = self.entries.get(&key).and_then(|tracked| tracked.entry.command.as_ref());
            if entry.is_some_and(|command| command.min_interval.is_some()) {
                self.send(&key, Event::Withdrawn);
            }
        }
    }

    /// An entry's state has changed: what is it to those with the same command now?
    pub(super) fn take_part(&mut self, key: &AbsolutePath, at: Timestamp) {
        let Some(tracked) = self.entries.get(key) else { return };
        let part = part(&tracked.entry, &tracked.state, self.waves.is_invited(key), at);
        let command = tracked.entry.command.as_ref();
        self.waves.place(key, command.map(|command| command.argv.as_slice()), part, at);
        let budget = command.filter(|command| command.min_interval.is_some());
        // A run that lies ahead was recorded under a clock that was wrong, and says nothing.
        let recorded = tracked.state.seen.as_ref().and_then(recorded_run).filter(|ran| *ran <= at);
        if let (Some(command), Some(ran)) = (budget, recorded) {
            let argv = command.argv.clone();
            self.note_run(&argv, ran);
        }
    }

    /// Runs the commands of waves that are complete or have waited long enough.
    pub(super) fn depart(&mut self) {
        for key in self.waves.invite() {
            self.send(&key, Event::Invited);
        }
        for (key, action) in std::mem::take(&mut self.decided) {
            self.start(&key, action);
        }
        for wave in self.waves.depart(now()) {
            self.start_wave(&wave);
        }
        for key in std::mem::take(&mut self.held) {
            if let Some(tracked) = self.entries.get(&key).filter(|_| self.waves.is_held(&key)) {
                self.orders.progress(&key, &tracked.entry.name, orders::HELD);
            }
        }
    }

    /// Command lines that are no longer in the manifest need not be remembered.
    pub(super) fn forget_commands(&mut self) {
        let commands = self.entries.in_order().filter_map(|tracked| tracked.entry.command.as_ref());
        let kept: BTreeSet<&[String]> = commands.map(|command| command.argv.as_slice()).collect();
        self.journal.retain_runs(|command| kept.contains(command));
    }
}
