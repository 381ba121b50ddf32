//! Whether an issuer can be asked, and when it is looked at again: one circuit breaker for each issuer.
//!
//! An issuer that cannot be reached is looked at on its own, however many entries wait for it; when it answers,
//! they go on. That is what keeps a thousand entries from falling on a CA that is coming back.
//!
//! An issuer whose certificates are not valid at our time answers, and each answer is a certificate that nobody can
//! use. Whether the clocks agree again shows in a certificate alone: one entry at a time asks for one ([`clock`]).

mod clock;
mod trial;
mod turns;

use std::time::Duration;

use self::clock::Disagreement;
pub use self::trial::{Ended, Trial, in_order};
pub use self::turns::Turns;
use crate::lifecycle::Availability;
use crate::reason::{Reason, Trouble};
use crate::time::Timestamp;

/// Longest time between two looks at an issuer that cannot be used.
pub const LONGEST_LOOK: Duration = Duration::from_secs(10);

/// What is known of one issuer. Nothing but whether it has [ever answered](Self::has_answered) need outlive the
/// process.
#[derive(Clone, Debug)]
pub struct Breaker {
    hindrance: Option<Trouble>,
    outage: Option<Outage>,
    disagreement: Option<Disagreement>,
    outages: u64,
    answered: bool,
    checked: bool,
    approachable: bool,
    looking: bool,
}

#[derive(Clone, Debug)]
struct Outage {
    trouble: Trouble,
    looks: u32,
    next_look: Timestamp,
}

impl Breaker {
    /// An issuer of which nothing is known but whether it has `answered` some day, and why it cannot be asked
    /// until [`hinder`](Self::hinder) says otherwise.
    pub fn new(answered: bool, hindrance: Trouble) -> Self {
        Self {
            hindrance: Some(hindrance),
            outage: None,
            disagreement: None,
            outages: 0,
            answered,
            checked: false,
            approachable: false,
            looking: false,
        }
    }

    /// What keeps us from asking it, on our side: no root, no password, a setting that makes no sense.
    pub fn hinder(&mut self, hindrance: Option<Trouble>) {
        self.hindrance = hindrance;
    }

    /// It is reached by another way from now on, or by none: what was found out about the old one says nothing.
    pub fn approach(&mut self, approachable: bool) {
        self.approachable = approachable;
        self.outage = None;
        self.disagreement = None;
        self.checked = false;
    }

    /// Whether it can be asked.
    pub fn usable(&self) -> bool {
        self.trouble().is_none()
    }

    /// Why it cannot be asked.
    pub fn trouble(&self) -> Option<&Trouble> {
        self.out_of_reach().or(self.disagreement.as_ref().map(Disagreement::trouble))
    }

    /// Why it cannot be asked, whatever the clocks say.
    fn out_of_reach(&self) -> Option<&Trouble> {
        self.hindrance.as_ref().or(self.outage.as_ref().map(|outage| &outage.trouble))
    }

    /// Why it cannot be asked at `now`, by an entry that may be the one to try.
    fn trouble_at(&self, now: Timestamp) -> Option<&Trouble> {
        let differs = self.disagreement.as_ref().filter(|differs| !differs.may_be_tried(now));
        self.out_of_reach().or(differs.map(Disagreement::trouble))
    }

    /// When [`trouble_at`](Self::trouble_at) is looked into next.
    fn looked_into_at(&self, now: Timestamp) -> Timestamp {
        let outage = self.outage.as_ref().map(|outage| outage.next_look);
        let trial = || self.disagreement.as_ref().map(Disagreement::next_trial);
        outage.or_else(trial).unwrap_or(now.plus(LONGEST_LOOK))
    }

    /// Whether it has answered, now or in an earlier life.
    pub fn has_answered(&self) -> bool {
        self.answered
    }

    /// How often it was found out of reach, or its clock to differ. A request that has waited its turn while this changed need not find
    /// out too.
    pub fn outages(&self) -> u64 {
        self.outages
    }

    /// It answered: a certificate, or a refusal of its own. True when whoever waits for it is to be told: it
    /// was out of reach, or had never answered.
    pub fn answered(&mut self) -> bool {
        let first = !std::mem::replace(&mut self.answered, true);
        self.outage.take().is_some() || first
    }

    /// It could not be reached.
    pub fn unreachable(&mut self, trouble: Trouble, now: Timestamp) {
        let looks = self.outage.as_ref().map_or(0, |outage| outage.looks).saturating_add(1);
        let pause = Duration::from_secs(1 << looks.min(4)).min(LONGEST_LOOK);
        let trouble = if self.answered || trouble.reason != Reason::CaUnreachable {
            trouble
        } else {
            Trouble::new(Reason::IssuerNotReady, format!("{} It has never answered so far.", trouble.message))
        };
        self.outages += 1;
        self.outage = Some(Outage { trouble, looks, next_look: now.plus(pause) });
    }

    /// Begins a look if it is time to: one at a time, at an issuer that is out of reach or was never looked at
    /// (its version may have known weaknesses). To be followed by [`looked`](Self::looked).
    pub fn begin_look(&mut self, now: Timestamp) -> bool {
        let due = self.outage.as_ref().map_or(!self.checked, |outage| outage.next_look <= now);
        let begins = due && self.approachable && !self.looking;
        self.looking |= begins;
        begins
    }

    /// A look ended. True when whoever waits for the issuer is to be told.
    pub fn looked(&mut self, result: Result<(), Trouble>, now: Timestamp) -> bool {
        self.looking = false;
        self.checked = true;
        match result {
            Ok(()) => {
                self.answered();
                true
            }
            Err(trouble) => {
                self.unreachable(trouble, now);
                false
            }
        }
    }

    /// When it is to be looked at next, if a timer is needed for that.
    pub fn next_look(&self) -> Option<Timestamp> {
        self.outage.as_ref().filter(|_| self.approachable && !self.looking).map(|outage| outage.next_look)
    }

    /// The clock was set: a look that was put off to a time under the old one is due, and whether the clocks agree
    /// now is tried at once.
    pub fn clock_set(&mut self, now: Timestamp) {
        if let Some(outage) = &mut self.outage {
            outage.next_look = outage.next_look.min(now);
        }
        if let Some(disagreement) = &mut self.disagreement {
            disagreement.clock_set(now);
        }
    }
}

/// Whether one of `issuers` can be asked at `now`; otherwise what is the matter with the first of them.
pub fn availability<'a>(issuers: impl IntoIterator<Item = &'a Breaker>, now: Timestamp) -> Availability {
    let mut unavailable = None;
    for issuer in issuers {
        let Some(trouble) = issuer.trouble_at(now) else { return Availability::Ready };
        unavailable.get_or_insert_with(|| Availability::Unavailable {
            trouble: trouble.clone(),
            next_look: issuer.looked_into_at(now),
        });
    }
    unavailable.unwrap_or_else(|| Availability::Unavailable {
        trouble: Trouble::new(Reason::IssuerNotReady, "the entry's issuers are not configured"),
        next_look: now.plus(LONGEST_LOOK),
    })
}

#[cfg(test)]
mod tests;
