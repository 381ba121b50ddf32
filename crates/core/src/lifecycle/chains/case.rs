//! What the rules look at.

use crate::facts::{Observation, OwnCopy};
use crate::lifecycle::chains::FILES;
use crate::lifecycle::decide::{Context, renew_at};
use crate::lifecycle::memory::{Memory, Reach, Stage};
use crate::lifecycle::rollback;
use crate::lifecycle::rule;
use crate::lifecycle::standing::{Standing, is_own, standing};
use crate::manifest::Entry;
use crate::reason::Trouble;
use crate::rules::{self, FITTING, Finding, Pair, USABLE};
use crate::schedule;
use crate::time::Timestamp;

/// What the pair on disk needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing: our pair is in place and fits.
    Nothing,
    /// To be taken over.
    Adopt(Finding),
    /// Our own copy put back.
    Restore(Finding),
    /// A new certificate.
    Issue(Finding),
    /// The previous pair in place of the present one.
    Rollback(Finding),
    /// The pair that was taken back, in place again.
    Reinstate(Finding),
    /// To be left to another writer.
    Yield(Trouble),
    /// The pair is good, but for its chain, which cannot be judged without the issuer's root.
    Judge,
}

/// Everything that the rules of an entry look at: gathered once, then only read.
#[derive(Clone, Debug)]
pub struct Case<'a> {
    /// Wishes and surroundings.
    pub context: &'a Context<'a>,
    /// What the manifest wants.
    pub entry: &'a Entry,
    /// The newest facts.
    pub seen: &'a Observation,
    /// What is remembered.
    pub memory: &'a Memory,
    /// The time.
    pub now: Timestamp,
    /// How far the present certificate has come.
    pub standing: Standing,
    /// When another pair is put in place: the renewal, or another attempt with the one that was taken back.
    pub renewal: Option<Timestamp>,
    /// The pair on the live paths.
    pub live: Pair<'a>,
    /// What makes the live pair unusable or unfit.
    pub live_problem: Option<Finding>,
    /// Our own copy.
    pub own: Option<Own<'a>>,
    /// What the files need: the finding of [`FILES`].
    pub need: Need,
}

/// Our own copy of what was installed last.
#[derive(Clone, Debug)]
pub struct Own<'a> {
    /// The copy.
    pub copy: &'a OwnCopy,
    /// The copy as a pair.
    pub pair: Pair<'a>,
    /// It is what lies on the live paths.
    pub in_place: bool,
}

impl<'a> Case<'a> {
    /// Gathers what the rules look at, and finds what the files need.
    pub fn new(context: &'a Context<'a>, seen: &'a Observation, memory: &'a Memory, now: Timestamp) -> Self {
        let entry = context.entry;
        let renewal = |leaf| schedule::renew_at(leaf, entry, context.jitter);
        let live =
            Pair::live(entry, &seen.live, seen.live.leaf.as_ref().map(renewal), now).given(&seen.ledger);
        let own = seen.own.as_ref().and_then(|copy| {
            let pair = Pair::own(entry, seen, Some(renewal(&copy.leaf)), now)?;
            Some(Own { copy, pair, in_place: is_own(seen, copy) })
        });
        let mut case = Self {
            context,
            entry,
            seen,
            memory,
            now,
            standing: standing(entry, seen, memory),
            renewal: rollback::retry_at(memory).or_else(|| renew_at(entry, context.jitter, seen)),
            live,
            live_problem: rules::first(&[USABLE, FITTING], &live),
            own,
            need: Need::Nothing,
        };
        case.need = rule::first(FILES, &case).unwrap_or(Need::Nothing);
        case
    }

    /// The live pair serves, and its chain is known to be good.
    pub(super) fn live_is_good(&self) -> bool {
        self.live_problem.is_none() && self.seen.live.trusted == Some(true)
    }

    /// Our own copy, if it lies on the live paths.
    pub(super) fn own_in_place(&self) -> Option<&Own<'a>> {
        self.own.as_ref().filter(|own| own.in_place)
    }

    /// Our own copy, if something else lies on the live paths.
    pub(super) fn own_displaced(&self) -> Option<&Own<'a>> {
        self.own.as_ref().filter(|own| !own.in_place)
    }

    /// Until when one of `stages` waits after a failure.
    pub(super) fn waits_until(&self, stages: &[Stage]) -> Option<Timestamp> {
        let failures = stages.iter().filter_map(|stage| self.memory.failures.get(stage));
        failures.map(|failure| failure.next_attempt_at).max().filter(|until| *until > self.now)
    }

    /// The last stage that the present certificate may go through.
    pub(super) fn reach(&self) -> Reach {
        match (&self.memory.hold, &self.seen.own) {
            (Some(hold), Some(own)) if hold.fingerprint == own.leaf.fingerprint => hold.reach,
            _ => Reach::Verified,
        }
    }

    /// The last failure of `stages`, in words.
    pub(super) fn failures_in_words(&self, stages: &[Stage]) -> String {
        let failures = stages.iter().filter_map(|stage| Some((stage, self.memory.failures.get(stage)?)));
        let words: Vec<String> = failures
            .map(|(stage, failure)| {
                format!(
                    "{} failed at {} ({}), next attempt at {}",
                    stage.as_str(),
                    failure.at,
                    failure.trouble.reason,
                    failure.next_attempt_at
                )
            })
            .collect();
        if words.is_empty() { "no failure is remembered".to_owned() } else { words.join("; ") }
    }
}
