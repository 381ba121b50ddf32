//! An issuer whose certificates are not valid at our time: ours is wrong, or that of the CA.
//!
//! It is tried by one entry at a time. The trials become rarer as attempts do ([`spacing`]), and are as frequent as the
//! certificates of those who wait demand: whoever comes to wait tells until when its own is valid.

use std::time::Duration;

use super::{Breaker, LONGEST_LOOK};
use crate::backoff::{LONGEST_EXPIRED, spacing};
use crate::reason::{RetryClass, Trouble};
use crate::time::Timestamp;

/// An entry that was called to try the issuer and is held up by something of its own leaves the trial to another after
/// this time.
const NEXT_CALL: Duration = Duration::from_secs(2);

/// What is known of an issuer whose clock and ours differ.
#[derive(Clone, Debug)]
pub(super) struct Disagreement {
    trouble: Trouble,
    /// Certificates in a row that were not valid at our time.
    trials: u32,
    /// An entry is trying it; what else is answered was asked before, or by order of an operator.
    trying: bool,
    /// The certificate of an entry that waits and is the first to expire, as far as was said.
    soonest: Option<Timestamp>,
    next_trial: Timestamp,
    next_call: Timestamp,
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
        (self.trials, self.trying) = (0, false);
        self.try_at(self.next_trial.min(now));
    }

    fn try_at(&mut self, at: Timestamp) {
        self.next_trial = at;
        self.next_call = at;
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
        let trials = match &mut self.disagreement {
            Some(known) if !known.trying => {
                known.trouble = trouble;
                return;
            }
            Some(known) => known.trials.saturating_add(1),
            None => 1,
        };
        let mut known =
            Disagreement { trouble, trials, trying: false, soonest, next_trial: now, next_call: now };
        known.try_at(now.plus(known.pause(soonest, now)));
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

    /// An entry is about to ask it: nobody else does until it has had the time to. False when no trial is due.
    pub fn begin_trial(&mut self, now: Timestamp) -> bool {
        let due = self.disagreement.as_mut().filter(|known| known.may_be_tried(now));
        let begins = due.is_some();
        if let Some(known) = due {
            let pause = known.pause(known.soonest, now).min(LONGEST_LOOK);
            known.try_at(now.plus(pause));
            known.trying = true;
        }
        begins
    }

    /// An entry is trying it.
    pub fn is_tried(&self) -> bool {
        self.disagreement.as_ref().is_some_and(|known| known.trying)
    }

    /// An entry waits for it whose own certificate is valid until `valid_until`.
    pub fn awaited(&mut self, valid_until: Option<Timestamp>, now: Timestamp) {
        let Some(known) = &mut self.disagreement else { return };
        let wanted = now.plus(known.pause(valid_until, now));
        if wanted < known.next_trial {
            known.soonest = valid_until;
            known.try_at(wanted);
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
