//! What happens to an entry, and what the edges are to do about it.

use super::{Reach, Stage, Verification};
use crate::facts::Observation;
use crate::name::IssuerName;
use crate::reason::{Reason, Trouble};
use crate::time::Timestamp;

/// What an issuer offered for a staged key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The staged key.
    pub stage: String,
    /// Issuer that answered.
    pub issuer: IssuerName,
    /// PEM: leaf, then intermediates.
    pub chain: String,
    /// Whether the consumer could be reached meanwhile; none where no verification tells.
    pub reachable: Option<bool>,
    /// What was wrong at the consumer meanwhile, while it was still to use the pair in place; none where nothing was,
    /// or nobody looked.
    pub ailing: Option<Reason>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Time to look: start, timer, changed manifest, issuer that is back.
    Look,
    /// Time to look at everything, consumers included.
    Sweep,
    /// The manifest's wishes for this entry changed.
    Rewritten,
    /// An issuer that could not be asked can be asked again.
    IssuerBack,
    /// Something about an issuer of the entry was changed: its password, its roots.
    IssuerChanged,
    /// The command that the entry waits for is about to run for others: it may go along.
    Invited,
    /// [`Action::Activate`] was not begun and will not be: something happened while it was held for others.
    Withdrawn,
    /// An operator asks for something.
    Ordered(Request),
    /// An operator wants the pair before the present one back.
    OrderedBack,
    /// [`Action::Observe`] ended.
    Observed(Result<Observation, Trouble>),
    /// [`Action::Issue`] ended.
    Issued(Result<Offer, (Stage, Trouble)>),
    /// [`Action::Install`] ended, with warnings.
    Installed(Result<(Observation, Vec<String>), Trouble>),
    /// [`Action::Adopt`] ended.
    Adopted(Result<Observation, Trouble>),
    /// [`Action::Restore`] ended.
    Restored(Result<Observation, Trouble>),
    /// [`Action::Deliver`] ended.
    Delivered(Result<Observation, Trouble>),
    /// [`Action::Activate`] ended.
    Activated(Result<Observation, Trouble>),
    /// [`Action::Verify`] ended.
    Verified(Box<Verification>),
    /// [`Action::Recheck`] ended.
    Rechecked(Result<Observation, Trouble>),
    /// [`Action::Rollback`] ended.
    RolledBack(Result<Observation, Trouble>),
    /// [`Action::Reinstate`] ended.
    Reinstated(Result<Observation, Trouble>),
}

impl Event {
    /// Some work was refused because the manifest moved on between decision and deed: no failure, but a reason
    /// to fetch the manifest.
    pub fn is_overtaken(&self) -> bool {
        self.trouble().is_some_and(|trouble| matches!(trouble.reason, Reason::Stale | Reason::UnknownEntry))
    }

    /// Why the work that ended with it went wrong, if it did.
    pub fn trouble(&self) -> Option<&Trouble> {
        match self {
            Self::Look
            | Self::Sweep
            | Self::Rewritten
            | Self::IssuerBack
            | Self::IssuerChanged
            | Self::Invited
            | Self::Withdrawn
            | Self::Ordered(_)
            | Self::OrderedBack => None,
            Self::Verified(seen) => seen.result.as_ref().err(),
            Self::Issued(result) => result.as_ref().err().map(|(_, trouble)| trouble),
            Self::Installed(result) => result.as_ref().err(),
            Self::Observed(result)
            | Self::Adopted(result)
            | Self::Restored(result)
            | Self::Delivered(result)
            | Self::Activated(result)
            | Self::Rechecked(result)
            | Self::RolledBack(result)
            | Self::Reinstated(result) => result.as_ref().err(),
        }
    }
}

/// What an operator asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// A new certificate whatever the rules say (`renew`).
    pub reissue: bool,
    /// Deliver and run everything again (`sync --force`).
    pub redeploy: bool,
    /// Look at the consumer again (`verify`).
    pub reverify: bool,
    /// Windows and spacing do not hold it back (`renew`).
    pub urgent: bool,
    /// How far to go.
    pub reach: Reach,
}

impl Request {
    /// It asks for a look at the consumer, and for nothing else.
    pub const fn is_look(&self) -> bool {
        self.reverify && !self.reissue && !self.redeploy
    }
}

/// What the edges are to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Gather the facts; answer with [`Event::Observed`].
    Observe,
    /// Get a certificate; answer with [`Event::Issued`].
    Issue,
    /// Commit the pair; answer with [`Event::Installed`].
    Install(Offer),
    /// Take over the live pair; answer with [`Event::Adopted`].
    Adopt,
    /// Put our copy back; answer with [`Event::Restored`].
    Restore,
    /// Copy into the guest; answer with [`Event::Delivered`].
    Deliver,
    /// Run the command; answer with [`Event::Activated`].
    Activate,
    /// See what the consumer uses; answer with [`Event::Verified`].
    Verify,
    /// See whether the guest still has what was delivered; answer with [`Event::Rechecked`].
    Recheck,
    /// Put the previous pair on the live paths; answer with [`Event::RolledBack`].
    Rollback,
    /// Put the pair that was taken back on the live paths again; answer with [`Event::Reinstated`].
    Reinstate,
    /// Send [`Event::Look`] at that time; replaces an earlier wish. None: no timer.
    WakeAt(Option<Timestamp>),
    /// Keep [`State::memory`](super::State::memory) durably before anything that follows.
    Remember,
}
