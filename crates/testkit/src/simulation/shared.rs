//! What must hold of commands: windows, restart budgets, and equal commands that run together.

use std::collections::BTreeMap;
use std::time::Duration;

use phoenix_core::lifecycle::{Phase, Reach, Stage, Work, delivered_by_command};
use phoenix_core::reason::{Reason, RetryClass};
use phoenix_core::time::Timestamp;
use phoenix_core::waves::LONGEST_HOLD;
use phoenix_core::window::Opening;

use super::clock::{Clock, Moment, span};
use super::daemon::Tracked;
use super::watch::Watch;
use super::world::World;

/// Rounding to seconds.
const ROUNDING: Duration = Duration::from_secs(2);

/// How often a command without effect is repeated once what is in use has expired.
const REPEATED_EVERY: Duration = Duration::from_secs(3600);

/// What is known of commands.
#[derive(Default)]
pub(super) struct Commands {
    /// When each command line ended last, while neither the clock was set nor the daemon died since.
    ended: BTreeMap<Vec<String>, Moment>,
    /// Since when each entry has been ready.
    ready: BTreeMap<usize, Moment>,
}

impl Commands {
    /// Whoever counted time or runs has to begin anew.
    pub(super) fn forget(&mut self) {
        self.ended.clear();
        self.ready.clear();
    }
}

/// The certificate in use would expire soon, or an operator does not want to wait.
fn gives_way(tracked: &Tracked, now: Timestamp) -> bool {
    let memory = &tracked.state.memory;
    let own = tracked.state.seen.as_ref().and_then(|seen| seen.own.as_ref());
    let Some(own) = own else { return true };
    // Where it was forgotten what is in use, a cautious guess is made.
    let until = memory.in_use_until.unwrap_or(own.leaf.not_before);
    let margin = own.leaf.lifetime() / 5 + ROUNDING;
    // Where the previous pair was put back, its consumer is without any.
    let rolled_back = tracked.state.seen.as_ref().is_some_and(|seen| seen.ledger.rolled_back.is_some());
    let hurry = memory.order.as_ref().and_then(|order| order.hurry);
    let urgent = hurry >= Some(Reach::Activated) && !memory.reissue;
    let early = rolled_back || until <= now.plus(margin);
    urgent || (early && !(has_expired(tracked, now) && is_repeat(tracked)))
}

/// What is in use has expired, and the command has had no effect: nothing can be saved or broken, and it is repeated
/// once an hour whatever its window, and whatever became of it.
fn is_repeated(tracked: &Tracked, now: Timestamp) -> bool {
    let ran = tracked.state.seen.as_ref().and_then(|seen| seen.ledger.activated.as_ref()).map(|deed| deed.at);
    let failure = tracked.state.memory.failures.get(&Stage::Activate);
    let failed = failure.filter(|failure| failure.trouble.reason.class() == RetryClass::Command);
    let is_past = |at: Timestamp| at > now || at.plus(REPEATED_EVERY) <= now;
    let long_ago = ran.is_some_and(is_past) && failed.is_none_or(|failure| is_past(failure.at));
    has_expired(tracked, now) && is_repeat(tracked) && long_ago
}

/// What is in use is of no use any more.
fn has_expired(tracked: &Tracked, now: Timestamp) -> bool {
    tracked.state.memory.in_use_until.is_some_and(|until| until <= now)
}

/// The command succeeded for the present certificate and had no effect.
fn is_repeat(tracked: &Tracked) -> bool {
    let Some(seen) = &tracked.state.seen else { return false };
    let own = seen.own.as_ref().map(|own| &own.leaf.fingerprint);
    let deed = seen.ledger.activated.as_ref();
    deed.is_some_and(|deed| Some(&deed.fingerprint) == own && Some(&deed.of) == seen.command_digest.as_ref())
}

fn argv(tracked: &Tracked) -> Option<&Vec<String>> {
    tracked.entry.command.as_ref().map(|command| &command.argv)
}

fn is_ready(tracked: &Tracked) -> bool {
    matches!(tracked.state.phase, Phase::Working { work: Work::Activate, .. })
}

fn is_coming(tracked: &Tracked) -> bool {
    let Phase::Working { work, .. } = tracked.state.phase else { return false };
    matches!(work, Work::Issue | Work::Install | Work::Deliver)
}

impl Watch {
    /// It was decided that a command is to run: is its window open?
    pub(super) fn may_run(&mut self, clock: &Clock, key: usize, tracked: &Tracked) {
        self.commands.ready.insert(key, clock.now);
        let closed =
            tracked.entry.window.as_ref().is_some_and(|window| window.opening(clock.wall()) != Opening::Open);
        let now = clock.wall();
        if closed && !gives_way(tracked, now) && !is_repeated(tracked, now) {
            self.fail(clock, key, "its command is to run outside of its window");
        }
    }

    /// A command ended.
    pub(super) fn command_ended(&mut self, clock: &Clock, argv: &[String]) {
        self.commands.ended.insert(argv.to_vec(), clock.now);
    }

    /// What waits for its window or budget does not wait beyond the expiry of what is in use.
    pub(super) fn waits_in_time(&mut self, clock: &Clock, key: usize, tracked: &Tracked) {
        let memory = &tracked.state.memory;
        let held = memory.failures.values().any(|failure| {
            matches!(failure.trouble.reason, Reason::WindowClosed | Reason::RestartBudget)
                && failure.next_attempt_at > clock.wall()
        });
        if !has_expired(tracked, clock.wall()) {
            return;
        }
        if held && !is_repeat(tracked) {
            self.fail(clock, key, "its command is held back although what is in use has expired");
        }
        let interval = tracked.entry.command.as_ref().and_then(|command| command.min_interval);
        let longest = clock.wall().plus(REPEATED_EVERY + interval.unwrap_or_default() + ROUNDING);
        let activate = memory.failures.get(&Stage::Activate);
        if activate.is_some_and(|failure| failure.next_attempt_at > longest)
            && tracked.state.phase == Phase::Idle
        {
            self.fail(clock, key, "its command waits for good although what is in use has expired");
        }
    }
}

impl World {
    /// A command begins for these entries: nobody who is ready is left behind, whoever is on the way is waited
    /// for, and there is a budget for it.
    pub(super) fn wave_begins(&mut self, keys: &[usize]) {
        let Some(first) = keys.first() else { return };
        let members: Vec<&Tracked> =
            keys.iter().filter_map(|key| self.daemon.tracked[*key].as_ref()).collect();
        let Some(command) = members.first().and_then(|tracked| argv(tracked)).cloned() else { return };
        let mut breach = None;
        if members.iter().all(|tracked| !delivered_by_command(&tracked.entry)) {
            let hold = keys.iter().filter_map(|key| self.hold_ends(*key)).min().unwrap_or(0);
            for (key, other) in self.daemon.tracked.iter().enumerate() {
                // Nearly all of them are at rest: that is asked first, because it is asked of everyone.
                let Some(other) = other.as_ref().filter(|other| is_ready(other) || is_coming(other)) else {
                    continue;
                };
                if argv(other) != Some(&command) {
                    continue;
                }
                if keys.contains(&key) || delivered_by_command(&other.entry) {
                    continue;
                }
                if is_ready(other) {
                    breach = Some((key, "its command runs apart from it although it is ready"));
                } else if is_coming(other) && self.clock.now < hold {
                    breach = Some((key, "its command runs apart from it although it is on its way"));
                }
            }
        }
        if !self.has_budget(&members, &command) {
            breach = Some((*first, "the restart budget is exceeded"));
        }
        if let Some((key, what)) = breach {
            self.watch.fail(&self.clock, key, what);
        }
    }

    /// Until when an entry that is ready waits for others, at least.
    fn hold_ends(&self, key: usize) -> Option<Moment> {
        let tracked = self.daemon.tracked[key].as_ref()?;
        let since = *self.watch.commands.ready.get(&key)?;
        let own = tracked.state.seen.as_ref()?.own.as_ref()?;
        let left =
            tracked.state.memory.in_use_until.map_or(LONGEST_HOLD, |until| until.since(self.clock.wall()));
        let hold = (own.leaf.lifetime() / 50).min(left / 10).min(LONGEST_HOLD).saturating_sub(ROUNDING);
        let hold = if tracked.entry.window.is_some() { Duration::ZERO } else { hold };
        Some(since + span(hold))
    }

    /// Some entry of the wave may run it by itself; the others come along.
    fn has_budget(&self, members: &[&Tracked], command: &[String]) -> bool {
        let Some(ended) = self.watch.commands.ended.get(command) else { return true };
        let passed = Duration::from_millis(self.clock.now - ended) + ROUNDING;
        members.iter().any(|tracked| {
            let interval = tracked.entry.command.as_ref().and_then(|command| command.min_interval);
            interval.is_none_or(|interval| passed >= interval) || gives_way(tracked, self.clock.wall())
        })
    }
}
