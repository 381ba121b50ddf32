//! What keeps a command from running now: its maintenance window and its restart budget. Both give way while there
//! is still time for several attempts before what consumers use expires, and to an operator's `renew`. Once that has
//! expired, there is nothing left that a window could save or a run could break: a command that succeeded for the
//! present certificate and had no effect is repeated whatever the window, but once an hour only, and its restart budget
//! is kept.

use std::time::Duration;

use super::Case;
use crate::facts::OwnCopy;
use crate::lifecycle::decide::Decision;
use crate::lifecycle::memory::Stage;
use crate::manifest::PostCommand;
use crate::reason::{Reason, RetryClass, Trouble};
use crate::schedule;
use crate::time::Timestamp;
use crate::window::Opening;

/// How often a command without effect is repeated outside its window once what consumers use has expired.
const REPEATED_EVERY: Duration = Duration::from_secs(3600);
/// The longest time before expiry at which nothing holds a command back any more.
const LONGEST_MARGIN: Duration = Duration::from_secs(86_400);

/// The command waits for its maintenance window.
pub(super) fn window(case: &Case<'_>) -> Option<Decision> {
    let within_budget = budget_until(case).unwrap_or(case.now);
    let gives_way = match in_vain_since(case) {
        Some(last) => Some(last.plus(REPEATED_EVERY).max(within_budget)).filter(|at| *at > case.now),
        None => gives_way(case),
    }?;
    if opening(case, case.now) == Opening::Open {
        return None;
    }
    let until = opens(case, within_budget).min(gives_way);
    Some(Decision::Stuck(Stage::Activate, told(case, Reason::WindowClosed), until))
}

/// The command waits for its restart budget.
pub(super) fn budget(case: &Case<'_>) -> Option<Decision> {
    let spent_until = budget_until(case)?;
    let until = match in_vain_since(case) {
        Some(last) => opens(case, spent_until).min(spent_until.max(last.plus(REPEATED_EVERY))),
        None => opens(case, spent_until).min(gives_way(case)?),
    };
    Some(Decision::Stuck(Stage::Activate, told(case, Reason::RestartBudget), until))
}

/// The facts of [`window`].
pub(super) fn window_words(case: &Case<'_>) -> String {
    let Some(window) = &case.entry.window else { return "there is no window".to_owned() };
    let (cron, zone) = (&window.cron, window.timezone.map_or_else(String::new, |zone| format!(" {zone}")));
    match window.opening(case.now) {
        Opening::Open => format!("the window `{cron}`{zone} is open"),
        Opening::At(opens) => format!("the window `{cron}`{zone} opens at {opens}"),
        Opening::Never => format!("the window `{cron}`{zone} will not open"),
    }
}

/// The facts of [`budget`].
pub(super) fn budget_words(case: &Case<'_>) -> String {
    let Some(interval) = case.entry.command.as_ref().and_then(|command| command.min_interval) else {
        return "the command has no `min_interval`".to_owned();
    };
    match case.context.last_run {
        Some(at) => format!("the command line ran last at {at}, at most once in {} s", interval.as_secs()),
        None => format!("no run of the command line is known, at most one in {} s", interval.as_secs()),
    }
}

/// An operator is in a hurry to see the present certificate used. Who ordered a new one is in a hurry to see that one
/// used, not the one that it replaces.
fn is_urgent(case: &Case<'_>) -> bool {
    let hurry = case.memory.order.as_ref().and_then(|order| order.hurry);
    hurry.is_some_and(|reach| reach.covers(Stage::Activate)) && !case.memory.reissue
}

/// When nothing holds the command back any more; none when nothing does now, or no command is to run.
fn gives_way(case: &Case<'_>) -> Option<Timestamp> {
    let (own, command) = (case.seen.own.as_ref()?, case.entry.command.as_ref()?);
    // The previous pair was put back because consumers did not take the new one: they are without any.
    let urgent = is_urgent(case) || (case.seen.ledger.rolled_back.is_some() && !is_repeat(case));
    let at = in_use_until(case, own).minus(margin(own, command));
    (!urgent && at > case.now).then_some(at)
}

/// When the command ran last, well or not, if what consumers use has expired and that run had no effect on it. There is nothing left
/// that could be saved by being early.
fn in_vain_since(case: &Case<'_>) -> Option<Timestamp> {
    let own = case.seen.own.as_ref()?;
    let succeeded = case.seen.ledger.activated.as_ref().filter(|_| is_repeat(case))?.at;
    (in_use_until(case, own) <= case.now && !is_urgent(case)).then_some(())?;
    let failure = case.memory.failures.get(&Stage::Activate);
    let failed = failure.filter(|failure| failure.trouble.reason.class() == RetryClass::Command);
    let runs = [Some(succeeded), case.context.last_run, failed.map(|failure| failure.at)];
    // A run that lies in the future was noted under a clock that was wrong.
    Some(runs.into_iter().flatten().filter(|at| *at <= case.now).max().unwrap_or_default())
}

/// The command succeeded for this certificate, and is to run once more.
pub(super) fn is_repeat(case: &Case<'_>) -> bool {
    let Some(own) = &case.seen.own else { return false };
    let digest = case.seen.command_digest.as_ref();
    let done = case.seen.ledger.activated.as_ref();
    done.is_some_and(|deed| deed.fingerprint == own.leaf.fingerprint && Some(&deed.of) == digest)
}

/// Long enough for several attempts, should the first one fail.
fn margin(own: &OwnCopy, command: &PostCommand) -> Duration {
    let lifetime = own.leaf.lifetime();
    (lifetime / 10).min(LONGEST_MARGIN).max(command.timeout.saturating_mul(3)).min(lifetime / 5)
}

/// When what consumers use expires. Where that was forgotten, something was activated before and must have had as
/// much left as it is renewed with; where nothing was, nothing can expire before the new one does.
fn in_use_until(case: &Case<'_>, own: &OwnCopy) -> Timestamp {
    let forgotten = || match &case.seen.ledger.activated {
        Some(_) => {
            let before = schedule::renew_before(case.entry.renew_before, own.leaf.lifetime());
            own.installed_at.plus(before / 2)
        }
        None => own.leaf.not_after,
    };
    case.memory.in_use_until.unwrap_or_else(forgotten)
}

/// When the restart budget allows the next run, if not now.
fn budget_until(case: &Case<'_>) -> Option<Timestamp> {
    let interval = case.entry.command.as_ref()?.min_interval.filter(|_| !case.context.invited)?;
    // A run that lies in the future was noted under a clock that was wrong.
    let last = case.context.last_run?.min(case.now);
    Some(last.plus(interval)).filter(|until| *until > case.now)
}

fn opening(case: &Case<'_>, at: Timestamp) -> Opening {
    case.entry.window.as_ref().map_or(Opening::Open, |window| window.opening(at))
}

/// The first moment not before `at` at which the window is open.
fn opens(case: &Case<'_>, at: Timestamp) -> Timestamp {
    match opening(case, at) {
        Opening::Open => at,
        Opening::At(opens) => opens,
        Opening::Never => Timestamp::from_unix(i64::MAX),
    }
}

/// A command that failed says so until it has succeeded; anything else says what it waits for.
fn told(case: &Case<'_>, reason: Reason) -> Trouble {
    let failure = case.memory.failures.get(&Stage::Activate).map(|failure| &failure.trouble);
    if let Some(trouble) = failure.filter(|trouble| trouble.reason.class() != RetryClass::Waiting) {
        return trouble.clone();
    }
    let name = &case.entry.name;
    let what = match reason {
        Reason::WindowClosed => "the command waits for its maintenance window",
        _ => "the same command ran less than its `min_interval` ago",
    };
    Trouble::new(reason, format!("{what}; `phoenix-certctl renew --name {name}` does not wait"))
}
