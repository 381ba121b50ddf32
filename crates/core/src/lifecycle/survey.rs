//! What a sweep looks at besides the files: what lies in the guest, and what the consumer uses.

use super::memory::Reach;
use super::{Context, Memory, Work, standing};
use crate::facts::Observation;
use crate::manifest::Delivery;
use crate::reason::Reason;
use crate::rules::Finding;

/// What of a sweep is still to be done. Only what was done before is looked at again: what is still to be done has
/// its own time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    recheck: bool,
    verify: bool,
}

impl Survey {
    /// Everything.
    pub(super) const WHOLE: Self = Self { recheck: true, verify: true };

    /// The next part of the sweep, if there is one.
    pub(super) fn next(
        &mut self,
        context: &Context<'_>,
        seen: &Observation,
        memory: &Memory,
    ) -> Option<(Work, Finding)> {
        if context.entry.paused || seen.target_trouble.is_some() {
            *self = Self::default();
            return None;
        }
        let standing = standing(context.entry, seen, memory);
        let explicit = matches!(context.entry.delivery, Some(Delivery::Explicit { .. }));
        if std::mem::take(&mut self.recheck) && explicit && standing.delivered == Some(true) {
            let message = "a sweep looks whether the guest still has what was delivered";
            return Some((Work::Recheck, Finding { reason: Reason::NotDelivered, message: message.into() }));
        }
        if std::mem::take(&mut self.verify)
            && standing.verified == Some(true)
            && standing.reached(Reach::Activated)
        {
            let message = "a sweep looks whether the consumer still uses the certificate";
            return Some((Work::Verify, Finding { reason: Reason::NotVerified, message: message.into() }));
        }
        None
    }
}
