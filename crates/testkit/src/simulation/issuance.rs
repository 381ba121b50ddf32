//! What must hold of issuances: no loop, whatever the clocks, the answers and the disks do.
//!
//! What a CA makes within an hour is what its entries need, what was asked for, and one certificate for each entry
//! after each upset: a request under way then may come to nothing. Two kinds come to nothing besides, and have bounds
//! of their own: answers that are lost, which spacing bounds for each entry, and certificates that are not valid at the
//! host's time, which the breaker bounds for all entries together.

use std::time::Duration;

use phoenix_core::manifest::Entry;

use super::clock::Moment;
use super::jobs::CONCURRENCY;
use super::world::World;

const HOUR: Moment = 3_600_000;
/// What the spacing of the last hour of a certificate allows.
const LOST: u32 = 80;
/// Trials of a CA whose clock differs: forty, and one each minute.
const TRIALS: u32 = 40 + 60;
/// The same after the daemon has forgotten them, or the clock was set: forty anew, and what is under way.
const TRIALS_ANEW: u32 = 40 + CONCURRENCY as u32;

/// What one CA made within an hour, and what upset that.
#[derive(Clone, Copy, Debug, Default)]
struct Made {
    hour: Moment,
    /// Certificates.
    all: u32,
    /// Those of them of which nobody heard.
    lost: u32,
    /// Those of them that were not valid at the host's time.
    out_of_time: u32,
    /// What its entries need, right clock or wrong, as it was when that was asked for.
    need: Option<(bool, Need)>,
}

/// What the entries of a CA need within an hour.
#[derive(Clone, Copy, Debug, Default)]
struct Need {
    entries: u32,
    certificates: u32,
}

/// What happened within an hour that costs certificates.
#[derive(Clone, Copy, Debug, Default)]
struct Upsets {
    hour: Moment,
    /// Requests under way may have come to nothing.
    lost: u32,
    /// Trials may have begun anew.
    anew: u32,
    /// Certificates that were asked for, or that something else explains.
    excuses: u32,
    /// Certificates that were ordered whatever is known of the CA.
    orders: u32,
    /// The host's clock was wrong.
    wrong_clock: bool,
}

/// What the CAs made.
#[derive(Default)]
pub(super) struct Issuances {
    made: [Made; 2],
    /// In this hour and in the one before: what has happened may take its time to have an effect.
    upsets: [Upsets; 2],
}

impl Issuances {
    fn made(&mut self, issuer: usize, now: Moment) -> &mut Made {
        let made = &mut self.made[issuer];
        if made.hour != now / HOUR {
            *made = Made { hour: now / HOUR, ..Made::default() };
        }
        made
    }

    fn upsets(&mut self, now: Moment) -> &mut Upsets {
        let hour = now / HOUR;
        if self.upsets[0].hour != hour {
            self.upsets.swap(0, 1);
            if self.upsets[1].hour + 1 != hour {
                self.upsets[1] = Upsets::default();
            }
            self.upsets[0] = Upsets { hour, ..Upsets::default() };
        }
        &mut self.upsets[0]
    }

    /// Requests under way may come to nothing from now on.
    pub(super) fn upset(&mut self, now: Moment) {
        self.upsets(now).lost += 1;
    }

    /// The daemon has forgotten what it knew of the CAs, or the clock was set forward: what was tried within the hour
    /// seems to be longer ago.
    pub(super) fn begin_anew(&mut self, now: Moment) {
        self.upset(now);
        self.upsets(now).anew += 1;
    }

    /// A certificate was ordered.
    pub(super) fn order(&mut self, now: Moment) {
        self.upsets(now).orders += 1;
    }

    /// So many certificates more than usual are to be expected.
    pub(super) fn excuse(&mut self, certificates: usize, now: Moment) {
        self.upsets(now).excuses += certificates as u32;
    }
}

/// How many certificates an entry needs within an hour: one in not quite half of a lifetime. Where the clock is wrong
/// and each looks almost expired when it comes, the loop guard gives way once in a twentieth of it.
fn needed(entry: &Entry, lifetime: Duration, wrong_clock: bool) -> u32 {
    let spacing = lifetime * if wrong_clock { 5 } else { 45 } / 100;
    1 + (3600 / spacing.as_secs().max(1)) as u32 + u32::from(entry.validity.is_some())
}

impl World {
    /// A CA made a certificate, of which nobody hears if it is `lost`.
    pub(super) fn made(&mut self, issuer: usize, key: usize, lost: bool) {
        let issuances = &mut self.watch.issuances;
        issuances.upsets(self.clock.now).wrong_clock |= self.clock.ahead != 0;
        let made = issuances.made(issuer, self.clock.now);
        made.all += 1;
        made.lost += u32::from(lost);
        self.judge_issuances(issuer, key);
    }

    /// A certificate was refused because it is not valid at the host's time.
    pub(super) fn out_of_time(&mut self, issuer: usize, key: usize) {
        self.watch.issuances.made(issuer, self.clock.now).out_of_time += 1;
        self.judge_issuances(issuer, key);
    }

    fn needed_of(&self, issuer: usize, wrong_clock: bool) -> Need {
        let entries = self.sites.iter().filter_map(|site| site.written.entry.as_ref());
        let mut need = Need::default();
        for entry in entries.filter(|entry| entry.issuers.contains(&self.names[issuer])) {
            need.entries += 1;
            need.certificates += needed(entry, self.plan.lifetime, wrong_clock);
        }
        need
    }

    fn judge_issuances(&mut self, issuer: usize, key: usize) {
        let issuances = &self.watch.issuances;
        let (made, upsets) = (issuances.made[issuer], issuances.upsets);
        let both = |of: fn(&Upsets) -> u32| upsets.iter().map(of).sum::<u32>();
        let wrong_clock = upsets.iter().any(|upsets| upsets.wrong_clock);
        let known = made.need.filter(|(wrong, _)| *wrong == wrong_clock).map(|(_, need)| need);
        let need = known.unwrap_or_else(|| self.needed_of(issuer, wrong_clock));
        self.watch.issuances.made[issuer].need = Some((wrong_clock, need));
        let clients = need.entries;
        let upset = both(|upsets| upsets.lost);
        let usual = need.certificates + clients * upset + both(|upsets| upsets.excuses);
        let trials = TRIALS + TRIALS_ANEW * upsets[0].anew + both(|upsets| upsets.orders);
        let explained = made.all.saturating_sub(made.lost + made.out_of_time);
        let bounds = [
            (explained, usual, "more than its entries need and was asked for"),
            (made.lost, clients * (LOST + upset), "of which nobody heard"),
            (made.out_of_time, trials, "not valid when they came"),
        ];
        for (number, bound, what) in bounds {
            if number > bound {
                let what = format!(
                    "CA {issuer} made {number} certificates within an hour, {what}: {bound} are to be expected"
                );
                self.watch.fail(&self.clock, key, what);
            }
        }
    }
}
