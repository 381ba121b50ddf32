//! An issuer whose certificates are not valid at our time: ours is wrong, or that of the CA.
//!
//! It is tried by one entry at a time. The trials become rarer as attempts do ([`spacing`]), and are as frequent as the
//! certificates of those who wait demand: whoever comes to wait tells until when its own is valid. Each trial may cost a
//! certificate, so whatever is demanded, an hour sees no more than [`FREELY`] of them and one each minute besides: a
//! hundred.

use std::time::Duration;

use super::{Breaker, LONGEST_LOOK};
use crate::backoff::{LONGEST_EXPIRED, spacing};
use crate::reason::{RetryClass, Trouble};
use crate::time::Timestamp;

/// An entry that was called to try the issuer and is held up by something of its own leaves the trial to another after
/// this time.
const NEXT_CALL: Duration = Duration::from_secs(2);

/// Trials within an hour after which the next ones keep [`RARELY`].
const FREELY: usize = 40;
/// How long a trial waits after the one before it when there were many within the hour.
const RARELY: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// What is known of an issuer whose clock and ours differ.
#[derive(Clone, Debug)]
pub(super) struct Disagreement {
    trouble: Trouble,
    /// Certificates in a row that were not valid at our time.
    trials: u32,
    /// Since when an entry is trying it; what else is answered was asked before, or by order of an operator.
    trying: Option<Timestamp>,
    /// The certificate of an entry that waits and is the first to expire, as far as was said.
    soonest: Option<Timestamp>,
    next_trial: Timestamp,
    next_call: Timestamp,
    /// When it was tried, the newest last, as far as that is within the hour.
    pub(super) tried: Vec<Timestamp>,
}

impl Disagreement {
    pub(super) fn trouble(&self) -> &Trouble {
        &self.trouble
    }

    pub(super) fn next_trial(&self) -> Timestamp {
        self.next_trial
    }

    pub(super) fn may_be_tried(&self, now: Timestamp) -> bool {
        self.next_trial <= now
    }

    pub(super) fn clock_set(&mut self, now: Timestamp) {
        (self.trials, self.trying) = (0, None);
        self.tried.iter_mut().for_each(|at| *at = (*at).min(now));
        self.try_at(self.next_trial.min(now), now);
    }

    /// The next trial is due at that time, or when there were not too many before it.
    fn try_at(&mut self, at: Timestamp, now: Timestamp) {
        self.tried.retain(|tried| tried.plus(HOUR) > now);
        let last = self.tried.last().filter(|_| self.tried.len() >= FREELY);
        self.next_trial = last.map_or(at, |last| at.max(last.plus(RARELY)));
        self.next_call = self.next_trial;
    }

    fn pause(&self, valid_until: Option<Timestamp>, now: Timestamp) -> Duration {
        let ahead = valid_until.filter(|until| *until > now);
        spacing(RetryClass::CaFault, self.trials, ahead, now).min(LONGEST_EXPIRED)
    }
}

impl Breaker {
    /// A certificate that it gave is not valid at our time. `soonest` is when the first certificate of those expires
    /// that wait for it and have a valid one.
    pub fn clock_differs(&mut self, trouble: Trouble, soonest: Option<Timestamp>, now: Timestamp) {
        self.outages += 1;
        let (trials, tried) = match &mut self.disagreement {
            Some(known) if known.trying.is_none() => {
                known.trouble = trouble;
                return;
            }
            Some(known) => (known.trials.saturating_add(1), std::mem::take(&mut known.tried)),
            None => (1, Vec::new()),
        };
        let mut known =
            Disagreement { trouble, trials, trying: None, soonest, next_trial: now, next_call: now, tried };
        known.try_at(now.plus(known.pause(soonest, now)), now);
        self.disagreement = Some(known);
    }

    /// A certificate that it gave is valid at our time. True when whoever waits for it is to be told.
    pub fn clock_agrees(&mut self) -> bool {
        self.disagreement.take().is_some()
    }

    /// Its clock and ours are known to differ.
    pub fn has_other_clock(&self) -> bool {
        self.disagreement.is_some()
    }

    /// An entry is about to ask it: nobody else does until it has had the time to. False when no trial is due, or when
    /// it cannot be asked whatever the clocks say.
    pub fn begin_trial(&mut self, now: Timestamp) -> bool {
        if self.out_of_reach().is_some() {
            return false;
        }
        let due = self.disagreement.as_mut().filter(|known| known.may_be_tried(now));
        let begins = due.is_some();
        if let Some(known) = due {
            let pause = known.pause(known.soonest, now).min(LONGEST_LOOK);
            known.tried.push(now);
            known.try_at(now.plus(pause), now);
            known.trying = Some(now);
        }
        begins
    }

    /// The trial under way ended and showed nothing about the clocks: another entry may try at once. `asked` is whether
    /// the issuer was asked for a certificate at all.
    pub fn end_trial(&mut self, asked: bool, now: Timestamp) {
        let Some(known) = &mut self.disagreement else { return };
        let Some(begun) = known.trying.take() else { return };
        // Another one may have begun since.
        if let Some(place) = known.tried.iter().rposition(|at| *at == begun).filter(|_| !asked) {
            known.tried.remove(place);
        }
        known.try_at(now, now);
    }

    /// An entry is trying it.
    pub fn is_tried(&self) -> bool {
        self.disagreement.as_ref().is_some_and(|known| known.trying.is_some())
    }

    /// An entry waits for it whose own certificate is valid until `valid_until`.
    pub fn awaited(&mut self, valid_until: Option<Timestamp>, now: Timestamp) {
        let Some(known) = &mut self.disagreement else { return };
        let wanted = now.plus(known.pause(valid_until, now));
        if wanted < known.next_trial {
            known.soonest = valid_until;
            known.try_at(wanted, now);
        }
        known.next_call = known.next_call.min(known.next_trial.max(now.plus(NEXT_CALL)));
    }

    /// There was nobody to be called. Whoever comes to wait is called in time again.
    pub fn nobody_waits(&mut self, now: Timestamp) {
        if let Some(known) = &mut self.disagreement {
            known.next_call = now.plus(LONGEST_EXPIRED);
        }
    }

    /// When an entry is to be called to try it, if a timer is needed for that.
    pub fn next_call(&self) -> Option<Timestamp> {
        let known = self.disagreement.as_ref().filter(|_| self.out_of_reach().is_none())?;
        Some(known.next_call)
    }

    /// Whether one of the entries that wait for it is to be called now, to try it.
    pub fn begin_call(&mut self, now: Timestamp) -> bool {
        let due = self.next_call().is_some_and(|at| at <= now);
        if let Some(known) = self.disagreement.as_mut().filter(|_| due) {
            known.next_call = now.plus(NEXT_CALL);
        }
        due
    }
}
