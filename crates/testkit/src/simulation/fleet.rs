//! Commands that several entries share: the rules of the engine's `waves` and `work` modules in small.

use phoenix_core::facts::Observation;
use phoenix_core::lifecycle::Event;
use phoenix_core::reason::Trouble;
use phoenix_core::time::Timestamp;
use phoenix_core::waves::{has_run, part, recorded_run};

use super::Bug;
use super::executor::verdict;
use super::world::{Errand, Job, Ward, World};

impl World {
    /// When the command line of an entry ran last, as far as that can hold the entry back.
    pub(super) fn last_run(&self, key: usize, at: Timestamp) -> Option<Timestamp> {
        let command = self.daemon.tracked.get(key)?.as_ref()?.entry.command.as_ref()?;
        command.min_interval?;
        if self.daemon.waves.is_running(&command.argv) {
            return Some(at);
        }
        self.daemon.runs.last(&command.argv)
    }

    /// An entry's state has changed: what is it to those with the same command now?
    pub(super) fn take_part(&mut self, key: usize, at: Timestamp) {
        if self.plan.bug == Some(Bug::EveryoneAlone) {
            return;
        }
        let Some(Some(tracked)) = self.daemon.tracked.get(key) else { return };
        let part = part(&tracked.entry, &tracked.state, self.daemon.waves.is_invited(&key), at);
        let command = tracked.entry.command.as_ref();
        self.daemon.waves.place(&key, command.map(|command| command.argv.as_slice()), part, at);
        let recorded = tracked.state.seen.as_ref().and_then(recorded_run);
        let run = command.zip(recorded).filter(|(command, ran)| {
            self.daemon.runs.last(&command.argv).is_none_or(|known| known < (*ran).min(at))
        });
        if let Some((argv, ran)) = run.map(|(command, ran)| (command.argv.clone(), ran.min(at))) {
            self.note_run(&argv, ran);
        }
    }

    /// Runs the commands of waves that are complete or have waited long enough.
    pub(super) fn depart(&mut self) {
        for key in self.daemon.waves.invite() {
            self.send(key, Event::Invited);
        }
        for (key, action) in std::mem::take(&mut self.daemon.decided) {
            self.start(key, action);
        }
        for wave in self.daemon.waves.depart(self.clock.wall()) {
            self.start_wave(&wave);
        }
    }

    fn start_wave(&mut self, keys: &[usize]) {
        let members = keys.iter().filter_map(|key| Some((*key, self.daemon.tracked.get(*key)?.as_ref()?)));
        let mut members: Vec<_> =
            members.map(|(key, tracked)| (key, tracked.entry.clone(), tracked.version)).collect();
        if members.is_empty() {
            return;
        }
        let (key, entry, version) = members.remove(0);
        let ward = self.guests[self.sites[key].guest].ward;
        let errand = Errand::Activate(ward);
        self.set_going(Job {
            key,
            others: members,
            epoch: self.daemon.epoch,
            entry,
            version,
            errand,
            begun: false,
        });
    }

    /// A command ends: once for all for which it was run.
    pub(super) fn command_ends(&mut self, id: u64) {
        let Some(job) = self.jobs.remove(&id) else { return };
        let result = self.run_command(&job);
        self.wave_ends(&job, result);
    }

    fn run_command(&mut self, job: &Job) -> Result<Vec<Observation>, Trouble> {
        let Errand::Activate(ward) = job.errand else { return Ok(Vec::new()) };
        for (key, version) in keys(job) {
            self.known(key, version)?;
        }
        self.figures.runs += u64::from(ward == Ward::Well);
        for (key, version) in keys(job) {
            let entry = self.known(key, version)?;
            let _ = self.activate(key, &entry, ward);
        }
        verdict(ward)?;
        keys(job).map(|(key, version)| Ok(self.observe(key, &*self.known(key, version)?))).collect()
    }

    /// Tells every entry of a wave how its command ended.
    pub(super) fn wave_ends(&mut self, job: &Job, result: Result<Vec<Observation>, Trouble>) {
        if has_run(&result)
            && job.epoch == self.daemon.epoch
            && let Some(command) = &job.entry.command
        {
            self.note_run(&command.argv, self.clock.wall());
            self.watch.command_ended(&self.clock, &command.argv);
            for key in self.daemon.waves.held_for(&command.argv) {
                let entry =
                    self.daemon.tracked[key].as_ref().and_then(|tracked| tracked.entry.command.as_ref());
                if entry.is_some_and(|command| command.min_interval.is_some()) {
                    self.send(key, Event::Withdrawn);
                }
            }
        }
        let results: Vec<Result<Observation, Trouble>> = match result {
            Ok(seen) => seen.into_iter().map(Ok).collect(),
            Err(trouble) => keys(job).map(|_| Err(trouble.clone())).collect(),
        };
        for ((key, _), result) in keys(job).zip(results) {
            self.report_of(job, key, Event::Activated(result));
        }
    }
}

/// The entries that a job is for, with the versions that the daemon knew.
fn keys(job: &Job) -> impl Iterator<Item = (usize, u64)> {
    std::iter::once((job.key, job.version)).chain(job.others.iter().map(|(key, _, version)| (*key, *version)))
}
