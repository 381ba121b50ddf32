//! How far a certificate has come on its way to its consumer.

use crate::facts::{Deed, FileFact, Observation, OwnCopy};
use crate::lifecycle::memory::{Memory, Reach};
use crate::lifecycle::verify::is_verified;
use crate::manifest::{self, Delivery, Entry};
use crate::rules::{self, Pair, USABLE};
use crate::time::Timestamp;

/// How far the present certificate has come. None: not configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Our pair is on the live paths and nothing asks for another.
    pub written: bool,
    /// In the guest.
    pub delivered: Option<bool>,
    /// The command succeeded.
    pub activated: Option<bool>,
    /// Seen at the consumer.
    pub verified: Option<bool>,
}

impl Standing {
    /// Everything up to `reach` is done.
    pub fn reached(&self, reach: Reach) -> bool {
        self.written
            && (reach < Reach::Delivered || self.delivered != Some(false))
            && (reach < Reach::Activated || self.activated != Some(false))
            && (reach < Reach::Verified || self.verified != Some(false))
    }
}

/// Files in the guest's `/tmp` for a command: one critical section with it.
pub fn delivered_by_command(entry: &Entry) -> bool {
    matches!(entry.delivery, Some(Delivery::Legacy { .. })) && entry.command.is_some()
}

/// The live files are our own copy.
pub fn is_own(seen: &Observation, own: &OwnCopy) -> bool {
    let is =
        |file: &FileFact, wanted: &str| matches!(file, FileFact::Present { sha256, .. } if sha256 == wanted);
    is(&seen.live.cert, &own.cert_sha256) && is(&seen.live.key, &own.key_sha256)
}

/// Our pair is on the live paths and can serve: it is what a look at a consumer looks for.
pub fn serves(entry: &Entry, seen: &Observation, now: Timestamp) -> bool {
    let in_place = seen.own.as_ref().is_some_and(|own| is_own(seen, own));
    let usable = |pair: Pair<'_>| rules::first(&[USABLE], &pair).is_none();
    in_place && Pair::own(entry, seen, None, now).is_some_and(usable)
}

fn deed_done(own: &OwnCopy, deed: Option<&Deed>, digest: Option<&String>, again: bool) -> Option<bool> {
    let digest = digest?;
    // What lay there before our time is in use already. What another writer put in place of ours is not known to be.
    let done =
        deed.map_or(own.adopted, |deed| deed.fingerprint == own.leaf.fingerprint && &deed.of == digest);
    Some(done && !again)
}

/// How far the present certificate has come.
pub fn standing(entry: &Entry, seen: &Observation, memory: &Memory) -> Standing {
    // A stage that the manifest has wrong is configured, and cannot be done.
    let impossible = |stage| entry.stage_error(stage).map(|_| false);
    let verified = impossible(manifest::Stage::Verify);
    let Some(own) = seen.own.as_ref().filter(|own| is_own(seen, own)) else {
        return Standing {
            written: false,
            delivered: impossible(manifest::Stage::Deliver).or(seen.delivery_digest.as_ref().map(|_| false)),
            activated: impossible(manifest::Stage::Activate).or(seen.command_digest.as_ref().map(|_| false)),
            verified: verified.or((!entry.verify.is_empty()).then_some(false)),
        };
    };
    let ledger = &seen.ledger;
    let delivered = impossible(manifest::Stage::Deliver).or_else(|| {
        let again = memory.redeliver || (memory.rerun && entry.command.is_none());
        deed_done(own, ledger.delivered.as_ref(), seen.delivery_digest.as_ref(), again)
    });
    let mut activated = impossible(manifest::Stage::Activate).or_else(|| {
        let again = memory.reactivate || memory.rerun;
        deed_done(own, ledger.activated.as_ref(), seen.command_digest.as_ref(), again)
    });
    if delivered_by_command(entry) && delivered == Some(false) {
        activated = activated.map(|_| false);
    }
    let verified = verified.or_else(|| is_verified(entry, &own.leaf.fingerprint, memory));
    Standing { written: !memory.reissue, delivered, activated, verified }
}
