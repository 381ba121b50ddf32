//! The decision: given facts, memory and time, the one next thing to do for an entry.

use serde::{Deserialize, Serialize};

use crate::facts::Observation;
use crate::lifecycle::chains::{self, Case, NEXT, Need};
use crate::lifecycle::memory::{Memory, Stage};
use crate::lifecycle::{rollback, rule};
use crate::manifest::Entry;
use crate::reason::Trouble;
use crate::rules::Finding;
use crate::schedule::{self, Jitter};
use crate::time::Timestamp;

/// Whether some issuer of the entry can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Availability {
    /// At least one can.
    Ready,
    /// None can.
    Unavailable {
        /// Why.
        trouble: Trouble,
        /// When it is looked at next.
        next_look: Timestamp,
    },
}

/// What is decided about.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// What the manifest wants.
    pub entry: &'a Entry,
    /// Spread of the renewal time.
    pub jitter: Jitter,
    /// Whether an issuer can be asked.
    pub availability: &'a Availability,
    /// When the entry's command line ran last, for whichever entry: what a restart budget counts from.
    pub last_run: Option<Timestamp>,
    /// The command is about to run for others, whether this entry comes along or not: neither its spacing nor its
    /// restart budget holds it back.
    pub invited: bool,
}

/// Something that the edges do for an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Work {
    /// Gather the facts.
    Observe,
    /// Get a certificate.
    Issue,
    /// Put the new pair on the live paths.
    Install,
    /// Take over the pair on the live paths.
    Adopt,
    /// Put our own copy back on the live paths.
    Restore,
    /// Copy the pair into the guest.
    Deliver,
    /// Run the command.
    Activate,
    /// See what the consumer uses.
    Verify,
    /// See whether the guest still has what was delivered.
    Recheck,
    /// Put the previous pair on the live paths.
    Rollback,
    /// Put the pair that was taken back on the live paths again.
    Reinstate,
}

impl Work {
    /// The stage that fails when this fails.
    pub const fn stage(self) -> Stage {
        match self {
            Self::Observe => Stage::Observe,
            Self::Issue => Stage::Issue,
            Self::Install | Self::Adopt | Self::Restore | Self::Rollback | Self::Reinstate => Stage::Write,
            Self::Deliver => Stage::Deliver,
            // It is the command that cannot run while it is not known what lies in the guest.
            Self::Recheck | Self::Activate => Stage::Activate,
            Self::Verify => Stage::Verify,
        }
    }
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// This, now.
    Act(Work, Finding),
    /// Nothing before that time.
    Rest(Option<Timestamp>),
    /// It cannot go on: to be recorded as the failure of a stage and looked at again at that time.
    Stuck(Stage, Trouble, Timestamp),
    /// No issuer can be asked before that time. No timer of its own: a thousand entries wait for one issuer,
    /// and it is the issuer that is looked at.
    AwaitIssuer(Trouble, Timestamp),
}

/// When the present pair is renewed.
pub fn renew_at(entry: &Entry, jitter: Jitter, seen: &Observation) -> Option<Timestamp> {
    let leaf = seen.own.as_ref().map(|own| &own.leaf).or(seen.live.leaf.as_ref())?;
    Some(schedule::renew_at(leaf, entry, jitter))
}

/// The files are as every rule wants them.
pub(super) fn is_as_wanted(
    context: &Context<'_>,
    seen: &Observation,
    memory: &Memory,
    now: Timestamp,
) -> bool {
    matches!(Case::new(context, seen, memory, now).need, Need::Nothing)
}

/// Stages whose failure is over because nothing is wanted of them any more: the files were mended from outside,
/// or a command ended well although its answer was lost.
pub(super) fn obsolete(
    context: &Context<'_>,
    seen: &Observation,
    memory: &Memory,
    now: Timestamp,
) -> Vec<Stage> {
    let Case { standing, need, .. } = Case::new(context, seen, memory, now);
    let unseen = seen.target_trouble.is_some();
    [
        (Stage::Issue, !unseen && matches!(need, Need::Nothing | Need::Adopt(_) | Need::Restore(_))),
        (Stage::Write, !unseen && matches!(need, Need::Nothing | Need::Judge)),
        (Stage::Deliver, standing.delivered != Some(false)),
        (Stage::Activate, standing.activated != Some(false)),
        (Stage::Verify, standing.verified != Some(false) && !rollback::is_rolled_back(&seen.ledger)),
    ]
    .into_iter()
    .filter_map(|(stage, over)| over.then_some(stage))
    .collect()
}

impl Decision {
    /// Until when nothing is done; none when something is, or when no time tells.
    pub(super) const fn until(&self) -> Option<Timestamp> {
        match self {
            Self::Rest(until) => *until,
            Self::Stuck(_, _, until) => Some(*until),
            Self::Act(..) | Self::AwaitIssuer(..) => None,
        }
    }
}

/// What goes on although something else was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Meanwhile {
    /// An issuer is waited for.
    pub(super) awaits_issuer: bool,
    /// What is decided about the pair in place, while another is wanted that cannot be had now.
    pub(super) present: Option<Decision>,
}

/// What goes on although something else was decided.
pub(super) fn meanwhile(
    context: &Context<'_>,
    seen: &Observation,
    memory: &Memory,
    now: Timestamp,
) -> Meanwhile {
    let case = Case::new(context, seen, memory, now);
    Meanwhile { awaits_issuer: chains::awaits_issuer(&case), present: chains::meanwhile(&case) }
}

/// The next thing to do for an entry, given what was seen: what the first rule of [`NEXT`] that has a finding says.
pub fn decide(context: &Context<'_>, seen: &Observation, memory: &Memory, now: Timestamp) -> Decision {
    let case = Case::new(context, seen, memory, now);
    rule::first(NEXT, &case).unwrap_or(Decision::Rest(case.renewal))
}
