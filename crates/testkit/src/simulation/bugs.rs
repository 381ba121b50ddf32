//! Bugs of decisions, put into what the state machine decided.

use std::time::Duration;

use phoenix_core::backoff::{LONGEST, WAITING};
use phoenix_core::lifecycle::{Action, Stage, State};
use phoenix_core::reason::Reason;
use phoenix_core::time::Timestamp;

use super::Bug;

/// Changes a decision as `bug` does, if that is one of decisions.
pub(super) fn mutate(bug: Bug, state: &mut State, actions: &mut [Action], now: Timestamp) {
    match bug {
        Bug::BackoffPastExpiry => back_off_past_expiry(state, actions),
        Bug::ClockLoop => ask_again_soon(state, actions, now),
        Bug::WindowForGood => wait_for_good(state, actions, now),
        Bug::ForgottenHook | Bug::TornPair | Bug::EveryoneAlone | Bug::BlindTrust | Bug::ClockNeverAgrees => {
        }
    }
}

/// Spacing doubles whatever the lifetime.
fn back_off_past_expiry(state: &mut State, actions: &mut [Action]) {
    let Some(failure) = state.memory.failures.values_mut().find(|failure| failure.attempts > 0) else {
        return;
    };
    let wait = LONGEST * (1 << failure.attempts.min(5));
    failure.next_attempt_at = failure.at.plus(wait.max(Duration::from_secs(1)));
    wake_at(actions, |at| at.max(failure.next_attempt_at));
}

/// What was not valid when it came is asked for again and again.
fn ask_again_soon(state: &mut State, actions: &mut [Action], now: Timestamp) {
    let issue = state.memory.failures.get_mut(&Stage::Issue);
    if let Some(failure) = issue.filter(|failure| failure.trouble.reason == Reason::ClockDiffers) {
        failure.next_attempt_at = failure.next_attempt_at.min(now.plus(WAITING));
        wake_at(actions, |at| at.min(failure.next_attempt_at));
    }
}

/// The next opening is waited for, however far it is.
fn wait_for_good(state: &mut State, actions: &mut [Action], now: Timestamp) {
    let expired = state.memory.in_use_until.is_some_and(|until| until <= now);
    let activate = state.memory.failures.get_mut(&Stage::Activate).filter(|_| expired);
    if let Some(failure) = activate.filter(|failure| failure.trouble.reason == Reason::WindowClosed) {
        failure.next_attempt_at = now.plus(LONGEST * 24);
        wake_at(actions, |at| at.max(failure.next_attempt_at));
    }
}

fn wake_at(actions: &mut [Action], change: impl Fn(Timestamp) -> Timestamp) {
    for action in actions {
        if let Action::WakeAt(Some(at)) = action {
            *at = change(*at);
        }
    }
}
