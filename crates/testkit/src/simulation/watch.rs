//! What must hold at every step, and the trace that shows how it came not to.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use phoenix_core::backoff::LONGEST_EXPIRED;
use phoenix_core::facts::{Deed, LeafFacts, Observation};
use phoenix_core::lifecycle::{
    Action, Availability, Event, Memory, Phase, Reach, RollbackStep, Stage, Standing, State,
    delivered_by_command, is_own, standing,
};
use phoenix_core::reason::Reason;
use phoenix_core::schedule::{Jitter, renew_before};
use phoenix_core::time::Timestamp;

use super::authority::{self, Known};
use super::clock::{Clock, Moment, span};
use super::daemon::Tracked;
use super::issuance::Issuances;
use super::shared::Commands;
use super::site::{Site, command_digest};
use super::words::{describe, failure};
use super::world::{Errand, stage_of};

/// Lines of a trace.
const LINES: usize = 80;
/// Attempts of one kind that an entry may make in an hour without being disturbed.
const ATTEMPTS: u32 = 150;
/// The same for what is waited for without counting attempts: every ten seconds, more often just before expiry.
const WAITS: u32 = 500;
/// Looks at an entry in an hour, those before attempts included.
const LOOKS: u32 = 900;
/// Issuances within one lifetime: what the loop guard allows, and the one that it meets first.
const ISSUANCES: usize = 7;
const HOUR: Moment = 3_600_000;

/// What must not happen, and did.
#[derive(Clone, Debug)]
pub(super) struct Breach {
    pub(super) key: usize,
    pub(super) at: Moment,
    pub(super) what: String,
}

/// What is counted for one entry.
#[derive(Default)]
struct Counts {
    hour: Moment,
    attempts: [u32; 6],
    grace: u32,
    installs: VecDeque<Moment>,
    excuses: VecDeque<Moment>,
    /// Nothing from outside disturbs it from then on.
    calm: Moment,
}

/// The one who knows the truth.
#[derive(Default)]
pub(super) struct Watch {
    pub(super) breach: Option<Breach>,
    pub(super) lines: VecDeque<String>,
    watching: Option<usize>,
    counts: Vec<Counts>,
    pub(super) commands: Commands,
    pub(super) issuances: Issuances,
    /// Failure that the present event reports.
    reported: Option<(Stage, Reason)>,
    overtaken: bool,
    /// What was wished of the command and of the previous pair before the present event, which tells of a consumer
    /// that uses the certificate and has another trouble.
    amiss: Option<[bool; 3]>,
    /// The present event tells of a command that ended well.
    ran: bool,
}

impl Watch {
    /// Watches all of `entries`, and writes down what concerns `watching`.
    pub(super) fn new(entries: usize, watching: Option<usize>) -> Self {
        Self { watching, counts: (0..entries).map(|_| Counts::default()).collect(), ..Self::default() }
    }

    /// Writes something down about an entry, or about everything.
    pub(super) fn note(&mut self, clock: &Clock, key: Option<usize>, what: impl FnOnce() -> String) {
        let Some(watching) = self.watching else { return };
        if key.is_some_and(|key| key != watching) {
            return;
        }
        if self.lines.len() == LINES {
            self.lines.pop_front();
        }
        let (seconds, millis) = (clock.now / 1000, clock.now % 1000);
        self.lines.push_back(format!("{seconds:>9}.{millis:03} {} {}", clock.wall(), what()));
    }

    /// Something is as it must not be. The first breach counts.
    pub(super) fn fail(&mut self, clock: &Clock, key: usize, what: impl Into<String>) {
        if self.breach.is_none() {
            let what = what.into();
            self.note(clock, Some(key), || what.clone());
            self.breach = Some(Breach { key, at: clock.now, what });
        }
    }

    /// Something from outside concerns an entry until `calm`: more attempts than usual are to be expected.
    pub(super) fn disturbed(&mut self, key: usize, calm: Moment, excuses: usize, now: Moment) {
        let counts = &mut self.counts[key];
        counts.grace += 10 * (1 + excuses as u32);
        counts.calm = counts.calm.max(calm);
        self.issuances.excuse(excuses, now);
        counts.excuses.extend(std::iter::repeat_n(now, excuses));
    }

    /// From when on an entry was left in peace.
    pub(super) fn calm(&self, key: usize) -> Moment {
        self.counts[key].calm
    }

    /// A new daemon knows nothing of what it did.
    pub(super) fn daemon_started(&mut self) {
        self.reported = None;
        self.commands.forget();
        self.counts.iter_mut().for_each(|counts| counts.grace += 4);
    }

    /// An entry is about to be told something.
    pub(super) fn before_step(
        &mut self,
        clock: &Clock,
        key: usize,
        event: &Event,
        availability: &Availability,
        memory: &Memory,
    ) {
        self.overtaken = event.is_overtaken();
        self.amiss = matches!(event, Event::Verified(seen) if seen.takes).then(|| wishes(memory));
        self.reported = failure(event).filter(|_| !self.overtaken);
        self.ran = matches!(event, Event::Activated(Ok(_)));
        self.note(clock, Some(key), || {
            let ready = matches!(availability, Availability::Ready);
            format!("event {}{}", describe(event), if ready { "" } else { " (no issuer can be asked)" })
        });
    }

    /// What was decided.
    pub(super) fn after_step(&mut self, clock: &Clock, key: usize, actions: &[Action]) {
        self.note(clock, Some(key), || format!("  decides {actions:?}"));
    }

    /// A decision was made for an entry: is it a sound one?
    pub(super) fn at_rest(&mut self, clock: &Clock, key: usize, tracked: &Tracked, site: &Site) {
        let memory = &tracked.state.memory;
        if self.watching == Some(key) {
            for (stage, failure) in &memory.failures {
                let at = failure.next_attempt_at;
                let (reason, attempts) = (failure.trouble.reason, failure.attempts);
                self.note(clock, Some(key), || format!("    {}: {reason}, {attempts}, {at}", stage.as_str()));
            }
        }
        if self
            .amiss
            .take()
            .is_some_and(|before| wishes(memory).iter().zip(before).any(|(now, then)| *now && !then))
        {
            self.fail(
                clock,
                key,
                "its consumer uses the certificate, and its command or the previous pair is wanted",
            );
        }
        if std::mem::take(&mut self.ran) && memory.verified.is_some() {
            self.fail(clock, key, "its command has run, and it is called verified without a look since");
        }
        let Some(seen) = &tracked.state.seen else { return };
        let standing = standing(&tracked.entry, seen, memory);
        if let Some((stage, reason)) = self.reported.take()
            && tracked.state.phase == Phase::Idle
            && !memory.failures.contains_key(&stage)
            && !moot(stage, standing)
        {
            self.fail(clock, key, format!("{} failed with {reason}, and nobody will know", stage.as_str()));
        }
        if tracked.state.phase != Phase::Idle || tracked.entry.paused || self.overtaken {
            return;
        }
        if tracked.wake.is_none() && !tracked.state.awaits_issuer {
            self.fail(clock, key, "nothing will wake the entry");
        }
        let done = standing.reached(Reach::Verified);
        if !done && memory.failures.is_empty() && memory.hold.is_none() {
            self.fail(clock, key, "it is not done, and nothing says why");
        }
        if retries_use_at(tracked, clock.wall()).is_some_and(|at| tracked.wake.is_none_or(|wake| wake > at)) {
            self.fail(
                clock,
                key,
                "nothing will wake the entry when its delivery, command or look is to be retried",
            );
        }
        if done && memory.failures.is_empty() {
            self.really_done(clock, key, tracked, site);
        }
    }

    /// What is said to be done really was.
    fn really_done(&mut self, clock: &Clock, key: usize, tracked: &Tracked, site: &Site) {
        let Some(seen) = &tracked.state.seen else { return };
        let own = seen.own.as_ref().filter(|own| !own.adopted && !site.outdated && is_own(seen, own));
        let Some(own) = own else { return };
        let ran = seen.command_digest.clone().map(|digest| (own.leaf.fingerprint.clone(), digest));
        if ran.is_some() && site.consumer.ran != ran {
            self.fail(clock, key, "all is said to be done, but the command never succeeded");
        }
        if seen.delivery_digest.is_some() && site.consumer.has.as_ref() != Some(&own.leaf.fingerprint) {
            self.fail(clock, key, "all is said to be done, but the guest does not have it");
        }
        let looked = !tracked.entry.verify.is_empty() && !site.consumer.unseen;
        if looked && !site.consumer.is_using(&own.leaf.fingerprint) {
            self.fail(clock, key, "all is said to be done, but the consumer does not use it");
        }
    }

    /// Nobody waits for an issuer that can be asked.
    pub(super) fn waits(&mut self, clock: &Clock, key: usize, tracked: &Tracked, known: &[Known]) {
        let waits =
            tracked.state.phase == Phase::Idle && tracked.state.awaits_issuer && tracked.wake.is_none();
        // Where the clocks differ, one of those who wait is called when a trial is due.
        let soon = clock.wall().plus(LONGEST_EXPIRED);
        let called = tracked
            .doors
            .iter()
            .any(|door| known[*door].breaker.next_call().is_some_and(|call| call <= soon));
        let ready = authority::availability(&tracked.doors, known, clock.wall()) == Availability::Ready;
        if waits && ready && !called {
            self.fail(clock, key, "it waits for an issuer that can be asked");
        }
    }

    /// Work begins for an entry: is there a reason, and not too often?
    pub(super) fn job_starts(&mut self, clock: &Clock, errand: &Errand, tracked: &Tracked, site: &Site) {
        let key = tracked_key(tracked);
        self.count(clock, key, errand);
        match errand {
            Errand::Activate(_) if !has_reason(tracked, site) => {
                self.fail(clock, key, "a command that finished is run again without reason");
            }
            Errand::Prepare(_) => self.not_too_early(clock, key, tracked),
            _ => {}
        }
    }

    /// What begins.
    pub(super) fn begins(&mut self, clock: &Clock, key: usize, errand: &Errand) {
        self.note(clock, Some(key), || match errand {
            Errand::Install(_, leaf, _) => {
                format!("begins: Install {:?}", leaf.as_ref().map(|leaf| &leaf.fingerprint))
            }
            other => format!("begins: {other:?}"),
        });
    }

    fn count(&mut self, clock: &Clock, key: usize, errand: &Errand) {
        let counts = &mut self.counts[key];
        if clock.now / HOUR != counts.hour {
            *counts = Counts { hour: clock.now / HOUR, attempts: [0; 6], grace: 0, ..std::mem::take(counts) };
        }
        let stage = if matches!(errand, Errand::Prepare(_)) { Stage::Issue } else { stage_of(errand) };
        let number = &mut counts.attempts[stage as usize];
        *number += 1;
        let limit = match stage {
            Stage::Observe => LOOKS + 6 * counts.grace,
            Stage::Deliver | Stage::Activate | Stage::Verify => WAITS + counts.grace,
            Stage::Issue | Stage::Write => ATTEMPTS + counts.grace,
        };
        if *number > limit {
            let number = *number;
            self.fail(clock, key, format!("{}: {number} attempts within an hour", stage.as_str()));
        }
    }

    fn not_too_early(&mut self, clock: &Clock, key: usize, tracked: &Tracked) {
        let due = tracked.state.finding.as_ref().is_some_and(|finding| finding.reason == Reason::Due);
        let leaf = tracked.state.seen.as_ref().and_then(leaf_in_place);
        let (true, Some(leaf)) = (due, leaf) else { return };
        let lifetime = leaf.lifetime();
        let most = renew_before(tracked.entry.renew_before, lifetime)
            + lifetime * u32::from(Jitter::MAX_PERMILLE) / 1000
            + Duration::from_secs(2);
        if leaf.not_after.since(clock.wall()) > most {
            self.fail(clock, key, "it is renewed earlier than jitter explains");
        }
    }

    /// A new pair was installed.
    pub(super) fn installed(&mut self, clock: &Clock, key: usize, leaf: &Rc<LeafFacts>) {
        let counts = &mut self.counts[key];
        counts.installs.push_back(clock.now);
        if clock.ahead != 0 {
            // What looks almost expired when it comes is renewed as often as the guard gives way.
            counts.excuses.push_back(clock.now);
        }
        let since = clock.now.saturating_sub(span(leaf.lifetime()));
        counts.installs.retain(|at| *at > since);
        // What an operator asked for may have to wait for long.
        counts.excuses.retain(|at| at + 3 * span(leaf.lifetime()) > clock.now);
        if counts.installs.len() > ISSUANCES + counts.excuses.len() {
            let number = counts.installs.len();
            self.fail(clock, key, format!("{number} certificates within one lifetime"));
        }
    }

    /// The executor has finished what was interrupted.
    pub(super) fn recovered(&mut self, clock: &Clock, key: usize, site: &Site) {
        if !site.touched && site.live.cert.is_some() && !site.live.matches() {
            self.fail(clock, key, "the live pair is torn although the executor has recovered it");
        }
    }
}

/// Entries are called by their number.
fn tracked_key(tracked: &Tracked) -> usize {
    tracked.entry.name.as_str().trim_start_matches('e').parse().unwrap_or(0)
}

/// When the pair in place is to be put to use once more after a failure, whatever an issuer does.
fn retries_use_at(tracked: &Tracked, now: Timestamp) -> Option<Timestamp> {
    let State { memory, seen, .. } = &tracked.state;
    let seen = seen.as_ref().filter(|seen| seen.target_trouble.is_none())?;
    seen.own
        .as_ref()
        .filter(|own| is_own(seen, own) && own.leaf.not_after > now && own.leaf.not_before <= now)?;
    let local = [Stage::Observe, Stage::Write].iter().any(|stage| memory.failures.contains_key(stage));
    let is_open = !standing(&tracked.entry, seen, memory).reached(Reach::Verified) || memory.reissue;
    let failures = memory.failures.iter().filter(|(stage, _)| **stage >= Stage::Deliver);
    let last = failures.map(|(_, failure)| failure.next_attempt_at).max();
    last.filter(|_| is_open && !local && memory.hold.is_none())
}

/// The certificate that lies on the live paths: ours, or that of another writer.
fn leaf_in_place(seen: &Observation) -> Option<&LeafFacts> {
    let own = seen.own.as_ref().filter(|own| is_own(seen, own)).map(|own| &own.leaf);
    own.or(seen.live.leaf.as_ref())
}

/// What repeats or takes back.
fn wishes(memory: &Memory) -> [bool; 3] {
    let back = memory.rollback.as_ref().is_some_and(|rollback| rollback.step == RollbackStep::Wanted);
    [memory.rerun, memory.reactivate || memory.redeliver, back]
}

/// A failure of something that turned out not to be wanted any more.
fn moot(stage: Stage, standing: Standing) -> bool {
    match stage {
        Stage::Observe => false,
        // A sweep looks at what is done: that it could not look changes nothing.
        Stage::Activate if standing.activated != Some(false) => true,
        _ => standing.reached(Reach::Verified),
    }
}

fn has_reason(tracked: &Tracked, site: &Site) -> bool {
    let memory = &tracked.state.memory;
    let Some(own) = &site.own else { return true };
    let is_own = |deed: &Deed| deed.fingerprint == own.leaf.fingerprint;
    let done = site.ledger.activated.as_ref().map_or(own.adopted, |deed| {
        is_own(deed) && command_digest(&tracked.entry).as_ref() == Some(&deed.of)
    });
    let delivered = site.ledger.delivered.as_ref().map_or(own.adopted, is_own);
    memory.rerun || memory.reactivate || !done || (delivered_by_command(&tracked.entry) && !delivered)
}
