//! The simulated CAs, and what the daemon knows of them.

use std::collections::VecDeque;

use phoenix_core::breaker::{self, Breaker, Trial, Turns};
use phoenix_core::lifecycle::{Availability, Memory};
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

/// What the daemon knows of one CA. All of it but whether the CA ever answered is lost when the daemon dies.
pub(super) struct Known {
    /// Its root and password are there.
    pub(super) ready: bool,
    pub(super) breaker: Breaker,
    /// Version of its password and roots, as the executor told it.
    pub(super) version: Option<u64>,
    /// Who was called to try it.
    pub(super) turns: Turns<usize>,
    pub(super) trial: Trial<usize>,
    /// Requests under way.
    pub(super) busy: usize,
    /// Jobs that wait for their turn.
    pub(super) waiting: VecDeque<u64>,
}

impl Known {
    pub(super) fn new(answered: bool) -> Self {
        let breaker = Breaker::new(answered, no_root());
        Self {
            ready: false,
            breaker,
            version: None,
            turns: Turns::default(),
            trial: Trial::default(),
            busy: 0,
            waiting: VecDeque::new(),
        }
    }

    /// The executor says whether it has the root. True when the CA can be asked and could not before.
    pub(super) fn inform(&mut self, rooted: bool) -> bool {
        let before = self.breaker.usable();
        if std::mem::replace(&mut self.ready, rooted) != rooted {
            self.breaker.approach(rooted);
        }
        self.breaker.hinder((!rooted).then(no_root));
        !before && self.breaker.usable()
    }
}

fn no_root() -> Trouble {
    Trouble::new(Reason::IssuerNotReady, "the root of the CA is not there")
}

/// Which of `issuers` an entry names.
pub(super) fn doors(entry: &Entry, names: &[IssuerName]) -> Vec<usize> {
    let place = |name| names.iter().position(|known| known == name);
    entry.issuers.iter().filter_map(place).collect()
}

/// The CAs that an entry asks, in this order.
pub(super) fn in_order(
    key: usize,
    entry: &Entry,
    names: &[IssuerName],
    known: &[Known],
    memory: &Memory,
) -> Vec<usize> {
    let of = |door: &usize| (&known[*door].breaker, &known[*door].trial);
    breaker::in_order(&key, preferred(entry, names, memory), of)
}

/// The entry `key` is about to ask.
pub(super) fn begin_trials(
    key: usize,
    entry: &Entry,
    names: &[IssuerName],
    known: &mut [Known],
    memory: &Memory,
    now: Timestamp,
) {
    let _ = preferred(entry, names, memory).into_iter().try_for_each(|door| {
        let Known { breaker, trial, .. } = &mut known[door];
        trial.begin(breaker, &key, now)
    });
}

/// The CAs that an entry names, in the order in which it would ask them.
fn preferred(entry: &Entry, names: &[IssuerName], memory: &Memory) -> Vec<usize> {
    let place = |name: &IssuerName| names.iter().position(|known| known == name);
    memory.refused.preferred(&entry.issuers).into_iter().filter_map(place).collect()
}

/// Whether one of `doors` can be asked.
pub(super) fn availability(doors: &[usize], known: &[Known], now: Timestamp) -> Availability {
    breaker::availability(doors.iter().map(|door| &known[*door].breaker), now)
}
