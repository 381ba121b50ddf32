//! What the daemon noticed about the clock and about its own records: told among its warnings for a week.

use std::path::PathBuf;
use std::time::Duration;

use phoenix_core::time::Timestamp;
use rustix::time::{ClockId, clock_gettime};
use tracing::warn;

use super::Engine;
use crate::clock::now;
use crate::journal::{self, Found};

/// How long a notice is told.
const TOLD_FOR: Duration = Duration::from_secs(7 * 86_400);
/// Notices that are kept.
const KEPT: usize = 8;
/// Time between two lines of the journal that say that the daemon is at work.
const ALIVE: Duration = Duration::from_secs(600);
/// A journal that ends so much earlier than what was done is an older copy.
const OLDER: Duration = Duration::from_secs(1800);
/// Away for so long is worth telling.
const AWAY: Duration = Duration::from_secs(86_400);
/// Clocks that are set by less need not be mentioned.
const STEP: i64 = 5;

/// What was noticed, and what to compare with.
pub(super) struct Notices {
    list: Vec<(Timestamp, String)>,
    /// A journal with damage, if there is one.
    damaged: PathBuf,
    found: Found,
    started: Timestamp,
    /// The records of the executor were compared with the journal, and differ.
    compared: bool,
    next_alive: Timestamp,
    /// Clock and time since boot, as they were read together last.
    reference: (i64, i64),
}

impl Notices {
    /// What can be told at the start.
    pub(super) fn new(found: Found, state_dir: &std::path::Path, at: Timestamp) -> Self {
        let mut notices = Self {
            list: Vec::new(),
            damaged: journal::aside(state_dir),
            found,
            started: at,
            compared: false,
            next_alive: at,
            reference: (at.unix(), since_boot()),
        };
        if let Some(ended) = found.ended {
            if at.since(ended) > AWAY {
                notices.add(at, format!("the daemon did not run between {ended} and {at}"));
            } else if ended.since(at) > OLDER {
                notices.add(at, format!("the clock shows {at} although the daemon was at work at {ended}: it was set back, or was wrong then"));
            }
        }
        notices
    }

    fn add(&mut self, at: Timestamp, text: String) {
        warn!("{text}");
        self.list.push((at, text));
        let surplus = self.list.len().saturating_sub(KEPT);
        self.list.drain(..surplus);
    }

    /// The clock was set.
    pub(super) fn clock_set(&mut self, at: Timestamp) {
        let (clock, boot) = std::mem::replace(&mut self.reference, (at.unix(), since_boot()));
        let step = (at.unix() - clock) - (self.reference.1 - boot);
        if step.abs() >= STEP {
            let way = if step > 0 { "forward" } else { "back" };
            let seconds = step.abs();
            self.add(at, format!("the clock was set {way} by {seconds} s; everything was looked at again"));
        }
    }

    /// The executor says when a pair was installed or taken over.
    fn compare(&mut self, installed_at: Timestamp) {
        // Times are whole seconds: what was installed in the second of the start was installed after it.
        if self.compared || installed_at >= self.started {
            return;
        }
        let text = match self.found {
            Found { fresh: true, .. } => {
                "there was no readable journal, although the executor has records of earlier work: it was \
                 lost. Counts of attempts, open requests and times of next attempts are forgotten"
                    .to_owned()
            }
            Found { ended: Some(ended), .. } if installed_at.since(ended) > OLDER => format!(
                "the journal ends at {ended}, although a pair was installed at {installed_at}: it was restored from \
                 an older copy"
            ),
            Found { .. } => return,
        };
        self.compared = true;
        self.add(self.started, text);
    }

    /// In words, the newest last.
    pub(super) fn told(&self, now: Timestamp) -> Vec<String> {
        let fresh = self.list.iter().filter(|(at, _)| at.plus(TOLD_FOR) > now);
        let damaged = self.damaged.exists().then(|| {
            format!(
                "lines of the journal could not be read and are forgotten; the file is kept as {}. Remove it when you \
                 have seen to the cause",
                self.damaged.display()
            )
        });
        damaged.into_iter().chain(fresh.map(|(at, text)| format!("noticed at {at}: {text}"))).collect()
    }
}

/// Seconds since boot, time in suspend included.
fn since_boot() -> i64 {
    clock_gettime(ClockId::Boottime).tv_sec
}

impl Engine {
    /// From time to time: says in the journal that the daemon is at work.
    pub(super) fn note_alive(&mut self, at: Timestamp) {
        // The difference to the clock is what the next step of it is measured by: slow corrections are none.
        self.notices.reference = (at.unix(), since_boot());
        if self.notices.next_alive > at && self.notices.next_alive.since(at) <= ALIVE {
            return;
        }
        self.notices.next_alive = at.plus(ALIVE);
        if let Err(error) = self.journal.remember_alive(now()) {
            warn!("cannot write the journal: {error}");
        }
    }

    /// Compares what the executor knows of an entry with what the journal knows.
    pub(super) fn compare_history(&mut self, key: &phoenix_core::name::AbsolutePath) {
        let seen = self.entries.get(key).and_then(|tracked| tracked.state.seen.as_ref());
        if let Some(own) = seen.and_then(|seen| seen.own.as_ref()) {
            self.notices.compare(own.installed_at);
        }
    }
}
