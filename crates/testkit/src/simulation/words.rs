//! Events in words, for a trace.

use phoenix_core::facts::LeafFacts;
use phoenix_core::lifecycle::{Event, Stage};
use phoenix_core::reason::Reason;

/// The stage that an event says has failed, and why.
pub(super) fn failure(event: &Event) -> Option<(Stage, Reason)> {
    match event {
        Event::Issued(Err((stage, trouble))) => Some((*stage, trouble.reason)),
        Event::Observed(Err(trouble)) => Some((Stage::Observe, trouble.reason)),
        Event::Installed(Err(trouble)) if trouble.reason == Reason::ClockDiffers => {
            Some((Stage::Issue, trouble.reason))
        }
        Event::Installed(Err(trouble)) | Event::Adopted(Err(trouble)) | Event::Restored(Err(trouble)) => {
            Some((Stage::Write, trouble.reason))
        }
        Event::Delivered(Err(trouble)) => Some((Stage::Deliver, trouble.reason)),
        Event::Activated(Err(trouble)) | Event::Rechecked(Err(trouble)) => {
            Some((Stage::Activate, trouble.reason))
        }
        Event::Verified(seen) => seen.result.as_ref().err().map(|trouble| (Stage::Verify, trouble.reason)),
        _ => None,
    }
}

/// An event in a line of a trace.
pub(super) fn describe(event: &Event) -> String {
    if let Some((stage, reason)) = failure(event) {
        return format!("{} failed: {reason}", stage.as_str());
    }
    match event {
        Event::Observed(Ok(seen)) => {
            let leaf = |leaf: Option<&LeafFacts>| {
                leaf.map_or("none".into(), |leaf| format!("{} until {}", leaf.fingerprint, leaf.not_after))
            };
            format!(
                "observed: live {} key {:?}, own {}, {:?}, trouble {:?}",
                leaf(seen.live.leaf.as_ref()),
                seen.live.key_public,
                leaf(seen.own.as_ref().map(|own| &own.leaf)),
                seen.ledger,
                seen.target_trouble.as_ref().map(|trouble| trouble.reason)
            )
        }
        Event::Look => "look".into(),
        Event::Invited => "invited".into(),
        Event::Withdrawn => "withdrawn".into(),
        Event::Sweep => "sweep".into(),
        Event::Rewritten => "rewritten".into(),
        Event::IssuerBack => "issuer back".into(),
        Event::IssuerChanged => "issuer changed".into(),
        Event::Ordered(request) => format!("ordered {request:?}"),
        Event::OrderedBack => "ordered back".to_owned(),
        Event::Issued(Ok(offer)) => format!("issued {}", offer.chain),
        Event::Installed(_) => "installed".into(),
        Event::Adopted(_) => "adopted".into(),
        Event::Restored(_) => "restored".into(),
        Event::Delivered(_) => "delivered".into(),
        Event::Activated(_) => "activated".into(),
        Event::Verified(_) => "verified".into(),
        Event::Rechecked(_) => "rechecked".into(),
        Event::RolledBack(_) => "rolled back".into(),
        Event::Reinstated(_) => "reinstated".into(),
        Event::Observed(Err(_)) | Event::Issued(Err(_)) => String::new(),
    }
}
