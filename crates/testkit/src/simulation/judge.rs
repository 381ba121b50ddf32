//! The audit: what the one who knows the truth sees when looking at all entries.

use std::collections::BTreeMap;
use std::time::Duration;

use phoenix_core::lifecycle::{Phase, Stage};
use phoenix_core::reason::Reason;
use phoenix_core::schedule::{Jitter, renew_before};

use super::activity::Activity;
use super::clock::{Moment, span, to_moment};
use super::world::World;

/// Longest spacing while something is valid, and when nothing is.
const LONGEST: Moment = 3_600_000;
const LONGEST_EXPIRED: Moment = 300_000;
/// So many groups of entries tell a spread from chance.
const ENOUGH: usize = 150;

impl World {
    /// Looks at every entry.
    pub(super) fn audit(&mut self) {
        for key in 0..self.sites.len() {
            self.is_alive(key);
            self.note_reasons(key);
            self.is_unblocked(key);
            if let Some(Some(tracked)) = self.daemon.tracked.get(key) {
                self.watch.waits(&self.clock, key, tracked, &self.daemon.known);
                self.watch.waits_in_time(&self.clock, key, tracked);
            }
        }
    }

    fn note_reasons(&mut self, key: usize) {
        let Some(Some(tracked)) = self.daemon.tracked.get(key) else { return };
        for failure in tracked.state.memory.failures.values() {
            let activity = match failure.trouble.reason {
                Reason::WindowClosed => Activity::WindowClosed,
                Reason::RestartBudget => Activity::RestartBudget,
                Reason::ForeignWriter => Activity::ForeignWriter,
                Reason::DriftLoop => Activity::DriftLoop,
                _ => continue,
            };
            self.figures.activities.saw(activity);
        }
    }

    /// What a CA refused is tried again soon after something about that CA was changed.
    fn is_unblocked(&mut self, key: usize) {
        let Some(Some(tracked)) = self.daemon.tracked.get(key) else { return };
        let changed = tracked.doors.iter().filter_map(|door| self.cas[*door].changed).max();
        let (Some(changed), Some(good)) = (changed, self.good_since(key)) else { return };
        let noticed = changed.max(good) + 2 * span(self.plan.poll) + self.slack();
        let failure = tracked.state.memory.failures.get(&Stage::Issue);
        let refused = failure.filter(|failure| {
            matches!(failure.trouble.reason, Reason::TokenRefused | Reason::CaForbids)
                && to_moment(failure.at) < changed
        });
        if let Some(failure) = refused.filter(|_| noticed < self.clock.now) {
            let reason = failure.trouble.reason;
            let what = format!("its CA was changed, and it still waits after {reason}");
            self.watch.fail(&self.clock, key, what);
        }
    }

    /// What a renewal takes besides its spacing: requests under way that have to time out, looks at a CA that is
    /// coming back, commands before it in the same guest, other entries before it at the CA.
    pub(super) fn slack(&self) -> Moment {
        let fleet = self.sites.len() as Moment;
        let commands = (fleet / self.guests.len() as Moment + 1) * self.plan.command_limit();
        60_000 + commands + fleet * 2_500
    }

    /// Nothing is past expiry while it could have been renewed for one full retry interval.
    fn is_alive(&mut self, key: usize) {
        let site = &self.sites[key];
        let truth = self.clock.truth();
        let leaf = site.live.cert.as_ref();
        if leaf.is_some_and(|leaf| leaf.not_after > truth && site.live.matches()) {
            return;
        }
        let Some(good) = self.good_since(key) else { return };
        let Some(entry) = &site.written.entry else { return };
        // Where files are missing or torn nothing is valid, however long the certificate would be.
        let whole = leaf.filter(|_| site.live.matches());
        let (from, end) = whole.map_or((good, 0), |leaf| {
            let before = renew_before(entry.renew_before, leaf.lifetime());
            (good.max(to_moment(leaf.not_after.minus(before))), to_moment(leaf.not_after))
        });
        let left = end.saturating_sub(from);
        // An attempt under way may fail yet, and be the last one before expiry.
        let interval = if left <= self.slack() { LONGEST_EXPIRED } else { (left / 9).min(LONGEST) };
        if from + interval + self.slack() < self.clock.now {
            let since = (self.clock.now - from) / 1000;
            let what = format!("it is not valid, and could have been renewed for {since} s");
            self.watch.fail(&self.clock, key, what);
        }
    }

    /// Since when everything has been as it must be for a renewal to succeed.
    fn good_since(&self, key: usize) -> Option<Moment> {
        let site = &self.sites[key];
        let entry = site.written.entry.as_ref().filter(|entry| !entry.paused)?;
        let doors = super::authority::doors(entry, &self.names);
        let ca = doors
            .iter()
            .filter(|door| self.cas[**door].rooted)
            .filter_map(|door| self.cas[*door].well)
            .min()?;
        let host = [self.executor?, self.daemon.up?, self.clock_right?, self.awake];
        let all = host.into_iter().chain([ca, self.storages[site.root].well?]);
        let good = all.max()?.max(self.watch.calm(key));
        Some(good.max(self.held_back(key)))
    }

    /// Until when something from outside keeps the daemon from renewing for good reasons.
    fn held_back(&self, key: usize) -> Moment {
        let Some(Some(tracked)) = self.daemon.tracked.get(key) else { return 0 };
        let failures = &tracked.state.memory.failures;
        let held = [Stage::Issue, Stage::Write]
            .iter()
            .filter_map(|stage| failures.get(stage))
            .filter(|failure| matches!(failure.trouble.reason, Reason::DriftLoop | Reason::ForeignWriter));
        held.map(|failure| to_moment(failure.next_attempt_at)).max().unwrap_or(0)
    }

    /// Some time after the last trouble: nothing is left of it but what only a renewal heals.
    pub(super) fn all_mended(&mut self) {
        for key in 0..self.sites.len() {
            let Some(Some(tracked)) = self.daemon.tracked.get(key) else { continue };
            // A command that failed is run again when its window or budget lets it: that may take longer than this.
            let entry = &tracked.entry;
            let budget = entry.command.as_ref().and_then(|command| command.min_interval);
            let gated = entry.window.is_some() || budget.is_some();
            // What an operator took back stays so until its renewal.
            let rollback = tracked.state.memory.rollback.as_ref();
            let ordered = rollback.is_some_and(|rollback| rollback.ordered);
            let left = tracked.state.memory.failures.iter().find(|(stage, failure)| {
                let waits = gated && **stage >= Stage::Activate;
                let stays = ordered && failure.trouble.reason == Reason::RolledBack;
                let told = matches!(
                    failure.trouble.reason,
                    Reason::DriftLoop | Reason::ForeignWriter | Reason::WindowClosed | Reason::RestartBudget
                );
                !(waits || stays || told)
            });
            if let Some((stage, failure)) = left {
                let reason = failure.trouble.reason;
                let what = format!("every trouble is over, but {} still fails: {reason}", stage.as_str());
                self.watch.fail(&self.clock, key, what);
            }
        }
    }

    /// Renewal times of entries that share no command lie all over the jitter's range.
    pub(super) fn spreads(&mut self) {
        let mut groups = BTreeMap::new();
        for tracked in self.daemon.tracked.iter().flatten() {
            let own = || vec![tracked.entry.name.to_string()];
            let group = tracked.entry.command.as_ref().map_or_else(own, |command| command.argv.clone());
            groups.insert(group, tracked.jitter.share_of(Duration::from_secs(1000)).as_secs());
        }
        let mut fifths = [0_usize; 5];
        for share in groups.values() {
            fifths[(share * 5 / (u64::from(Jitter::MAX_PERMILLE) + 1)) as usize] += 1;
        }
        let few = fifths.iter().any(|count| count * 10 < groups.len());
        if groups.len() >= ENOUGH && few {
            self.watch.fail(&self.clock, 0, format!("jitter does not spread: {fifths:?}"));
        }
    }

    /// Where it is looked at, the consumer uses the certificate that is in place, and that is called verified.
    fn is_in_use(&self, key: usize) -> bool {
        let Some(Some(tracked)) = self.daemon.tracked.get(key) else { return false };
        // A renewal may be under way again.
        let looked_at = tracked.state.phase == Phase::Idle && !tracked.entry.verify.is_empty();
        let Some(own) = self.sites[key].own.as_ref().filter(|_| looked_at) else { return true };
        let verified = tracked.state.memory.verified.as_ref();
        verified.is_some_and(|deed| deed.fingerprint == own.leaf.fingerprint)
            && self.sites[key].consumer.is_using(&own.leaf.fingerprint)
    }

    /// A lifetime after the last trouble: everything is as it should be.
    pub(super) fn all_settled(&mut self) {
        for key in 0..self.sites.len() {
            let Some(Some(tracked)) = self.daemon.tracked.get(key) else {
                self.watch.fail(&self.clock, key, "the daemon does not know the entry");
                return;
            };
            let memory = &tracked.state.memory;
            let site = &self.sites[key];
            let valid = site.live.cert.as_ref().is_some_and(|leaf| leaf.not_after > self.clock.truth());
            let waits = memory.failures.values().any(|failure| {
                matches!(failure.trouble.reason, Reason::WindowClosed | Reason::RestartBudget)
            });
            let wrong = [
                (!waits && !memory.failures.is_empty(), "a failure is left"),
                (!waits && memory.order.is_some(), "an order is left"),
                (!waits && (memory.reactivate || memory.redeliver), "an operator's wish is left"),
                (!waits && (memory.rerun || memory.reverify), "a consumer is still to be told or looked at"),
                (memory.reissue, "an operator's wish for a certificate is left"),
                (memory.hold.is_some(), "it is still held"),
                (!site.live.matches(), "the pair does not match"),
                (!valid, "the certificate is not valid"),
                (
                    !waits && !self.is_in_use(key),
                    "the consumer does not use the certificate that is called verified",
                ),
            ];
            if let Some((_, what)) = wrong.into_iter().find(|(is, _)| *is) {
                self.watch.fail(
                    &self.clock,
                    key,
                    format!("every trouble has been over for long, but {what}"),
                );
            }
        }
    }
}
