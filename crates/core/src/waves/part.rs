//! What an entry is to the group of its command.

use std::time::Duration;

use crate::facts::OwnCopy;
use crate::lifecycle::{Phase, Reach, Stage, State, Work, delivered_by_command, standing};
use crate::manifest::{Entry, Window};
use crate::reason::{Reason, RetryClass};
use crate::time::Timestamp;
use crate::window::Opening;

/// Longest time for which a command is held for others.
pub const LONGEST_HOLD: Duration = Duration::from_secs(60);

/// The same when what consumers have has expired: after days without power everything is renewed at once, and
/// consumers that are restarted once for each certificate are worse off than after these seconds.
const EXPIRED_HOLD: Duration = Duration::from_secs(5);

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
        Phase::Working { work: Work::Observe, .. }
            if invited || is_wanted(state, now) || is_unused(entry, state) =>
        {
            Part::Coming
        }
        Phase::Idle if goes_along(state) => Part::Willing,
        Phase::Working { .. } | Phase::Idle => Part::Away,
    }
}

/// A fiftieth of the lifetime, but no longer than consumers can wait, and not beyond the maintenance window.
fn patience(entry: &Entry, state: &State, now: Timestamp) -> Duration {
    let own: Option<&OwnCopy> = state.seen.as_ref().and_then(|seen| seen.own.as_ref());
    let share = own.map_or(Duration::ZERO, |own| own.leaf.lifetime() / 50);
    let left = match state.memory.in_use_until {
        None => LONGEST_HOLD,
        Some(until) if until <= now => EXPIRED_HOLD,
        Some(until) => until.since(now) / 10,
    };
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
        || memory.rerun
        || [Stage::Issue, Stage::Activate].iter().any(retried)
}

/// Its files are in place, its command has not run yet, and nothing holds it up: it is only being looked at once more.
fn is_unused(entry: &Entry, state: &State) -> bool {
    let Some(seen) = &state.seen else { return false };
    let standing = standing(entry, seen, &state.memory);
    standing.reached(Reach::Delivered)
        && standing.activated == Some(false)
        && state.memory.failures.is_empty()
        && state.memory.hold.is_none()
}

/// What holds it up is no other than what would hold up a run for others too.
fn goes_along(state: &State) -> bool {
    state.memory.failures.get(&Stage::Activate).is_some_and(|failure| {
        let reason = failure.trouble.reason;
        reason.class() != RetryClass::Blocked && reason != Reason::WindowClosed
    })
}
