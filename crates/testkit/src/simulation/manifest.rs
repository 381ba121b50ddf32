//! The daemon follows the manifest that the executor has in force.

use phoenix_core::lifecycle::{Event, State};
use phoenix_core::schedule::Jitter;

use super::authority;
use super::daemon::Tracked;
use super::world::{Happening, World};

impl World {
    /// Fetches the manifest.
    pub(super) fn fetch(&mut self, whole: bool) {
        if self.daemon.up.is_none() {
            return;
        }
        if std::mem::replace(&mut self.daemon.fetching, true) {
            self.daemon.fetch_again = true;
            return;
        }
        if whole {
            self.daemon.digest = None;
        }
        self.later(5, Happening::FetchReads(self.daemon.epoch));
    }

    /// The executor reads the file and answers.
    pub(super) fn fetch_reads(&mut self, epoch: u64) {
        let well = self.executor.is_some();
        if well && std::mem::take(&mut self.edited) {
            for site in &mut self.sites {
                if site.force.version != site.written.version {
                    site.force = site.written.clone();
                }
                self.in_force = self.in_force.max(site.force.version);
            }
        }
        let after = if well { 20 + self.dice.below(150) } else { 20_000 };
        self.later(after, Happening::Fetched(epoch, well));
    }

    /// The manifest is there.
    pub(super) fn fetched(&mut self, well: bool) {
        self.daemon.fetching = false;
        if well && self.executor.is_some() {
            self.informed();
            if self.daemon.digest != Some(self.in_force) {
                self.daemon.digest = Some(self.in_force);
                self.adopt_manifest();
            }
        }
        if std::mem::take(&mut self.daemon.fetch_again) {
            self.fetch(true);
        }
    }

    fn adopt_manifest(&mut self) {
        for key in 0..self.sites.len() {
            let wish = self.sites[key].force.clone();
            let Some(entry) = wish.entry else {
                self.set_wake(key, None);
                self.daemon.waves.remove(&key);
                self.daemon.tracked[key] = None;
                continue;
            };
            match &mut self.daemon.tracked[key] {
                Some(tracked) if tracked.version == wish.version => {}
                Some(tracked) => {
                    tracked.jitter = Jitter::of(self.plan.seed, &entry);
                    tracked.version = wish.version;
                    tracked.entry = entry;
                    self.send(key, Event::Rewritten);
                }
                place => {
                    let memory = self.journal[key].clone().restarted(self.clock.wall());
                    *place = Some(Tracked {
                        jitter: Jitter::of(self.plan.seed, &entry),
                        doors: authority::doors(&entry, &self.names),
                        state: State { memory, ..State::default() },
                        version: wish.version,
                        wake: None,
                        entry,
                    });
                    self.send(key, Event::Look);
                }
            }
        }
    }
}
