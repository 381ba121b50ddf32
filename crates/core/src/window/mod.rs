//! When a maintenance window is open.
//!
//! A window opens whenever clocks of its zone show a time of its schedule, and stays open for its duration of
//! real time. Where clocks are set back it opens both times that they show that time; what lies in an hour that
//! clocks skip opens it at the end of the skip, so that no day loses its window.

mod zone;

#[cfg(test)]
mod tests;

pub use zone::{UnknownZone, Zone};

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use crate::manifest::Window;
use crate::settings::Schedule;
use crate::time::Timestamp;

/// More changes of a zone's clocks than lie between any two times of a schedule.
const CHANGES: usize = 100;

/// Expressions that are kept as read, for each thread.
const KEPT: usize = 256;

/// How a window stands at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// It is open.
    Open,
    /// It opens then.
    At(Timestamp),
    /// It will not open in this century.
    Never,
}

impl Window {
    /// How the window stands at `at`.
    pub fn opening(&self, at: Timestamp) -> Opening {
        // The expression was checked when the manifest was read; one that is none would hold back for ever.
        let Some(schedule) = read_before(&self.cron) else { return Opening::Open };
        let zone = self.timezone.unwrap_or(Zone::UTC);
        match next_opening(&schedule, zone, at.minus(self.duration)) {
            Some(opens) if opens <= at => Opening::Open,
            Some(opens) => Opening::At(opens),
            None => Opening::Never,
        }
    }
}

/// The schedule of an expression; none for what is none. Reading one takes far longer than asking it, and every
/// decision about a command asks: what was read is kept under its text, which is all that it depends on.
fn read_before(cron: &str) -> Option<Rc<Schedule>> {
    thread_local! {
        static READ: RefCell<BTreeMap<String, Rc<Schedule>>> = const { RefCell::new(BTreeMap::new()) };
    }
    READ.with_borrow_mut(|read| {
        if let Some(schedule) = read.get(cron) {
            return Some(Rc::clone(schedule));
        }
        if read.len() >= KEPT {
            read.clear();
        }
        let schedule = Rc::new(Schedule::parse(cron).ok()?);
        read.insert(cron.to_owned(), Rc::clone(&schedule));
        Some(schedule)
    })
}

/// The first moment after `after` at which clocks in `zone` show a time of `schedule`, or skip one.
pub fn next_opening(schedule: &Schedule, zone: Zone, after: Timestamp) -> Option<Timestamp> {
    const SECOND: Duration = Duration::from_secs(1);
    // The schedule is followed from `from` on; clocks are known not to be set from `since` on.
    let (mut from, mut since, mut offset) = (after, after, zone.offset(after));
    for _ in 0..CHANGES {
        let due = schedule.next_after(from, offset)?;
        let Some(change) = zone.change(since, due) else { return Some(due) };
        let later = zone.offset(change);
        let skipped = Duration::from_secs(u64::try_from(later - offset).unwrap_or(0));
        if due < change.plus(skipped) {
            return Some(change);
        }
        // What clocks show at the very change counts too.
        (from, since, offset) = (change.minus(SECOND), change, later);
    }
    None
}
