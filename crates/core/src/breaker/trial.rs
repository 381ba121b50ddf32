//! Which of its issuers an entry asks, in which order, and which of them it tries although their clock differs.
//!
//! Each trial is a certificate that is probably issued in vain, so one entry tries an issuer at a time
//! ([`Turns`](super::Turns) says which). To all others that issuer is as good as away.

use std::ops::ControlFlow;

use super::Breaker;
use crate::lifecycle::{Event, Stage};
use crate::name::IssuerName;
use crate::time::Timestamp;

/// Who tries one issuer whose clock differs, by the key of the entry.
#[derive(Clone, Debug)]
pub struct Trial<K>(Option<K>);

impl<K> Default for Trial<K> {
    fn default() -> Self {
        Self(None)
    }
}

/// What the end of an entry's work means for what it was trying.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'e> {
    /// The issuer that gave a certificate which is still to be installed: its trial goes on.
    gave: Option<&'e IssuerName>,
    /// Whether any issuer was asked at all.
    asked: bool,
}

impl<'e> Ended<'e> {
    /// None where the event is not the end of such work.
    pub const fn of(event: &'e Event) -> Option<Self> {
        match event {
            Event::Issued(Ok(offer)) => Some(Self { gave: Some(&offer.issuer), asked: true }),
            Event::Issued(Err((stage, _))) => Some(Self { gave: None, asked: matches!(stage, Stage::Issue) }),
            Event::Installed(_) => Some(Self { gave: None, asked: true }),
            _ => None,
        }
    }
}

impl<K: PartialEq + Clone> Trial<K> {
    /// `entry` is about to ask its issuers, of which this is the next in [`order`](crate::lifecycle::Memory::preferred):
    /// goes on until one can be asked, which makes a trial of those after it pointless, or is tried by it from now on.
    pub fn begin(&mut self, breaker: &mut Breaker, entry: &K, now: Timestamp) -> ControlFlow<()> {
        if breaker.usable() {
            return ControlFlow::Break(());
        }
        if breaker.begin_trial(now) {
            self.0 = Some(entry.clone());
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    /// Work of `entry` ended, and what it tells of `issuer`, to which this belongs, was noted: what it was trying and
    /// learnt nothing of, others may try.
    pub fn end(
        &mut self,
        breaker: &mut Breaker,
        entry: &K,
        issuer: &IssuerName,
        ended: Ended<'_>,
        now: Timestamp,
    ) {
        if self.0.as_ref() == Some(entry) && ended.gave != Some(issuer) {
            self.0 = None;
            breaker.end_trial(ended.asked, now);
        }
    }

    fn is_of(&self, breaker: &Breaker, entry: &K) -> bool {
        breaker.is_tried() && self.0.as_ref() == Some(entry)
    }
}

/// The issuers that `entry` asks, in this order: those of `preferred` that can be asked or that it tries, then the
/// others. Of an issuer whose clock differs nothing is wanted besides, and nothing of one that another entry tries.
pub fn in_order<'b, T, K: PartialEq + Clone + 'b>(
    entry: &K,
    preferred: impl IntoIterator<Item = T>,
    known: impl Fn(&T) -> (&'b Breaker, &'b Trial<K>),
) -> Vec<T> {
    let is_first = |issuer: &T| {
        let (breaker, trial) = known(issuer);
        breaker.usable() || trial.is_of(breaker, entry)
    };
    let (mut asked, other): (Vec<T>, Vec<T>) = preferred.into_iter().partition(is_first);
    let alone = asked.is_empty();
    asked.extend(other.into_iter().filter(|issuer| alone || !known(issuer).0.has_other_clock()));
    asked
}

#[cfg(test)]
mod tests;
