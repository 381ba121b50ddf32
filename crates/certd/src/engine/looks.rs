//! What a look at consumers needs to know of the entries.

use phoenix_core::manifest::Verify;
use phoenix_core::schedule::{Patience, renew_at};

use super::Engine;
use super::entries::Tracked;
use super::work::reference;
use crate::clock::now;
use crate::verification::Looks;

impl Engine {
    /// What is needed to verify an entry; none while it has no certificate of ours.
    pub(super) fn looks(&self, tracked: &Tracked) -> Option<Looks> {
        let ours = tracked.state.seen.as_ref()?.own.as_ref()?.leaf.clone();
        let named = tracked.entry.verify.iter().filter_map(|verify| match verify {
            Verify::Tls { client, .. } => client.as_ref(),
            Verify::AcceptedBy { .. } | Verify::Command { .. } => None,
        });
        let clients = named.filter_map(|name| {
            let (_, client) = self.entries.find(name.as_str())?;
            Some((name.clone(), reference(client)))
        });
        Some(Looks {
            executor: self.executor.clone(),
            entry: reference(tracked),
            verify: tracked.entry.verify.clone(),
            previous: tracked.state.memory.served.as_ref().map(|served| served.fingerprint.clone()),
            roots: self.authorities.roots(&tracked.entry),
            clients: clients.collect(),
            patience: Patience::of(&ours, renew_at(&ours, &tracked.entry, tracked.jitter), now()),
            turns: self.entries.probes(),
            ours,
        })
    }
}
