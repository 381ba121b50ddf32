//! The simulated CAs, and what the daemon makes of them: the rules of its `authorities` module in small.

use std::collections::VecDeque;
use std::time::Duration;

use phoenix_core::lifecycle::Availability;
use phoenix_core::manifest::Entry;
use phoenix_core::name::IssuerName;
use phoenix_core::reason::{Reason, Trouble};
use phoenix_core::time::Timestamp;

use super::clock::Moment;
use crate::dice::Dice;

/// How a CA behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    /// Answers at once.
    Well,
    /// Answers after a while.
    Slow,
    /// Refuses connections.
    Down,
    /// Accepts connections and says nothing.
    Silent,
    /// Issues, but the answer never arrives.
    Mute,
    /// Server errors.
    Broken,
    /// Refuses tokens: 401.
    Distrusts,
    /// Refuses names: 403.
    Forbids,
}

impl Mood {
    /// All that are troubles.
    pub(super) const TROUBLES: [Self; 7] =
        [Self::Slow, Self::Down, Self::Silent, Self::Mute, Self::Broken, Self::Distrusts, Self::Forbids];

    /// How long a request takes.
    pub(super) fn latency(self, dice: &mut Dice) -> Moment {
        match self {
            Self::Well | Self::Broken | Self::Distrusts | Self::Forbids => 30 + dice.below(400),
            Self::Slow => 2_000 + dice.below(6_000),
            Self::Down => 5 + dice.below(50),
            Self::Silent => 30_000,
            Self::Mute => 500 + dice.below(5_000),
        }
    }

    /// A certificate is made.
    pub(super) fn issues(self) -> bool {
        matches!(self, Self::Well | Self::Slow | Self::Mute)
    }

    /// Why a request for a certificate fails.
    pub(super) fn refusal(self) -> Option<Trouble> {
        let reason = match self {
            Self::Well | Self::Slow => return None,
            Self::Down | Self::Silent | Self::Mute => Reason::CaUnreachable,
            Self::Broken => Reason::CaError,
            Self::Distrusts => Reason::TokenRefused,
            Self::Forbids => Reason::CaForbids,
        };
        Some(Trouble::new(reason, "the CA does not give a certificate"))
    }

    /// Why a look at its health fails.
    pub(super) fn illness(self) -> Option<Trouble> {
        matches!(self, Self::Down | Self::Silent)
            .then(|| Trouble::new(Reason::CaUnreachable, "the CA does not answer"))
    }
}

struct Outage {
    trouble: Trouble,
    looks: u32,
    next_look: Timestamp,
}

/// What the daemon knows of one CA. All of it is lost when the daemon dies.
#[derive(Default)]
pub(super) struct Known {
    /// Its root and password are there.
    pub(super) ready: bool,
    outage: Option<Outage>,
    checked: bool,
    looking: bool,
    /// How often it was found out of reach.
    pub(super) outages: u64,
    /// Requests under way.
    pub(super) busy: usize,
    /// Jobs that wait for their turn.
    pub(super) waiting: VecDeque<u64>,
}

impl Known {
    fn usable(&self) -> bool {
        self.ready && self.outage.is_none()
    }

    /// It answered. True when it was out of reach before.
    pub(super) fn answered(&mut self) -> bool {
        self.outage.take().is_some()
    }

    /// It could not be reached.
    pub(super) fn unreachable(&mut self, trouble: Trouble, now: Timestamp) {
        let looks = self.outage.as_ref().map_or(0, |outage| outage.looks) + 1;
        let pause = Duration::from_secs(1 << looks.min(4)).min(LONGEST_LOOK);
        self.outages += 1;
        self.outage = Some(Outage { trouble, looks, next_look: now.plus(pause) });
    }

    /// A look ended.
    pub(super) fn looked(&mut self) {
        self.looking = false;
        self.checked = true;
    }

    /// The clock was set: looks that were put off to a time under the old one are due.
    pub(super) fn clock_set(&mut self, now: Timestamp) {
        if let Some(outage) = &mut self.outage {
            outage.next_look = outage.next_look.min(now);
        }
    }

    /// Begins a look if it is time to.
    pub(super) fn begin_look(&mut self, now: Timestamp) -> bool {
        let due = self.outage.as_ref().map_or(!self.checked, |outage| outage.next_look <= now);
        let looks = self.ready && !self.looking && due;
        self.looking |= looks;
        looks
    }

    /// When it is to be looked at next.
    pub(super) fn next_look(&self) -> Option<Timestamp> {
        self.outage.as_ref().filter(|_| self.ready && !self.looking).map(|outage| outage.next_look)
    }
}

/// Longest time between two looks at an issuer that cannot be used.
const LONGEST_LOOK: Duration = Duration::from_secs(10);

/// Which of `issuers` an entry names.
pub(super) fn doors(entry: &Entry, names: &[IssuerName]) -> Vec<usize> {
    let place = |name| names.iter().position(|known| known == name);
    entry.issuers.iter().filter_map(place).collect()
}

/// Those of `doors` that can be asked first, then the others.
pub(super) fn in_order(doors: &[usize], known: &[Known]) -> Vec<usize> {
    let (usable, other): (Vec<_>, Vec<_>) = doors.iter().partition(|door| known[**door].usable());
    usable.into_iter().chain(other).collect()
}

/// Whether one of `doors` can be asked.
pub(super) fn availability(doors: &[usize], known: &[Known], now: Timestamp) -> Availability {
    let mut unavailable = None;
    for issuer in doors.iter().map(|door| &known[*door]) {
        if issuer.usable() {
            return Availability::Ready;
        }
        unavailable.get_or_insert_with(|| match &issuer.outage {
            Some(outage) if issuer.ready => {
                Availability::Unavailable { trouble: outage.trouble.clone(), next_look: outage.next_look }
            }
            _ => not_ready(now),
        });
    }
    unavailable.unwrap_or_else(|| not_ready(now))
}

fn not_ready(now: Timestamp) -> Availability {
    Availability::Unavailable {
        trouble: Trouble::new(Reason::IssuerNotReady, "the root of the CA is not there"),
        next_look: now.plus(LONGEST_LOOK),
    }
}
