//! What an entry is to the group of its command.

use std::time::Duration;

use crate::facts::OwnCopy;
use crate::lifecycle::{Phase, Stage, State, Work, delivered_by_command};
use crate::manifest::{Entry, Window};
use crate::reason::{Reason, RetryClass};
use crate::time::Timestamp;
use crate::window::Opening;

/// Longest time for which a command is held for others.
pub const LONGEST_HOLD: Duration = Duration::from_secs(60);

/// What an entry is to its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Nothing.
    Away,
    /// It waits for another attempt, and would go along with others.
    Willing,
    /// It gets a certificate or its files are being put in place.
    Coming,
    /// Its files are in place and its command is to run.
    Ready {
        /// How long it may be held for others.
        patience: Duration,
    },
}

/// The part that an entry in this state takes at `now`, `invited` or not.
pub fn part(entry: &Entry, state: &State, invited: bool, now: Timestamp) -> Part {
    if entry.command.is_none() || delivered_by_command(entry) {
        // Copies for the command and the command are one critical section for each entry.
        return Part::Away;
    }
    match state.phase {
        Phase::Working { work: Work::Activate, .. } => Part::Ready { patience: patience(entry, state, now) },
        Phase::Working { work: Work::Issue | Work::Install | Work::Deliver | Work::Recheck, .. } => {
            Part::Coming
        }
        Phase::Working { work: Work::Observe, .. } if invited || is_wanted(state, now) => Part::Coming,
        Phase::Idle if goes_along(state) => Part::Willing,
        Phase::Working { .. } | Phase::Idle => Part::Away,
    }
}

/// A fiftieth of the lifetime, but no longer than consumers can wait, and not beyond the maintenance window.
fn patience(entry: &Entry, state: &State, now: Timestamp) -> Duration {
    let own: Option<&OwnCopy> = state.seen.as_ref().and_then(|seen| seen.own.as_ref());
    let share = own.map_or(Duration::ZERO, |own| own.leaf.lifetime() / 50);
    let left = state.memory.in_use_until.map_or(LONGEST_HOLD, |until| until.since(now) / 10);
    let patience = share.min(left).min(LONGEST_HOLD);
    let stays_open = |window: &Window| window.opening(now.plus(patience)) == Opening::Open;
    if entry.window.as_ref().is_none_or(stays_open) { patience } else { Duration::ZERO }
}

/// Somebody or some timer asked for what it is being looked at for.
fn is_wanted(state: &State, now: Timestamp) -> bool {
    let memory = &state.memory;
    let retried = |stage| memory.failures.get(stage).is_some_and(|failure| failure.next_attempt_at <= now);
    memory.reissue
        || memory.redeliver
        || memory.reactivate
        || [Stage::Issue, Stage::Activate].iter().any(retried)
}

/// What holds it up is no other than what would hold up a run for others too.
fn goes_along(state: &State) -> bool {
    state.memory.failures.get(&Stage::Activate).is_some_and(|failure| {
        let reason = failure.trouble.reason;
        reason.class() != RetryClass::Blocked && reason != Reason::WindowClosed
    })
}
