//! Roots bundles that entries share: one file with the roots of all of them.
//!
//! An entry's own copy holds the bundle as it was when its pair was installed, and issuers and their roots may have
//! changed since. What lies there is good for an entry whose roots are in it, as far as they still count, and that
//! holds no others than those of the entries that share it. So no two of them write in turns.

use std::collections::BTreeSet;
use std::sync::Arc;

use phoenix_core::manifest::Entry;
use phoenix_store::{Generation, LiveFile, LiveFiles};
use phoenix_x509::Roots;

use super::Executor;

impl Executor {
    /// What belongs at `ca_path` when these are the roots of the entry: those of the entries that share it, too.
    pub(super) fn bundle(&self, entry: &Entry, roots: &Roots) -> String {
        match self.shared_roots(entry) {
            Some(shared) => roots.joined(shared.iter().map(Arc::as_ref)).pem(),
            None => roots.pem(),
        }
    }

    /// The bundle that lies there differs from the own copy's, and serves this entry as well as those that share it.
    pub(super) fn serves_all(&self, entry: &Entry, own: &Generation, live: &LiveFiles) -> bool {
        let Some(LiveFile::Present(found)) = &live.ca else { return false };
        let Some(shared) = self.shared_roots(entry) else { return false };
        let counts: BTreeSet<String> = shared.iter().flat_map(|roots| roots.fingerprints()).collect();
        let prints = |pem: &[u8]| Some(BTreeSet::from_iter(Roots::from_pem(pem).ok()?.fingerprints()));
        let ours = own.roots_pem().ok().flatten().and_then(|pem| prints(&pem));
        let (Some(lies), Some(ours)) = (prints(&found.bytes), ours) else { return false };
        let needed: BTreeSet<String> = ours.intersection(&counts).cloned().collect();
        needed.is_subset(&lies) && lies.is_subset(&counts)
    }

    /// Pinned roots of all entries with the same `ca_path`; none when it is this entry's alone.
    fn shared_roots(&self, entry: &Entry) -> Option<Vec<Arc<Roots>>> {
        let path = entry.ca_path.as_ref()?;
        let in_force = self.authority.in_force();
        let sharing: Vec<&Entry> = in_force
            .entries()
            .iter()
            .map(|known| &known.entry)
            .filter(|other| other.ca_path.as_ref() == Some(path))
            .collect();
        let issuers: BTreeSet<_> = sharing.iter().flat_map(|entry| &entry.issuers).collect();
        (sharing.len() > 1)
            .then(|| issuers.into_iter().filter_map(|issuer| self.anchors.pinned(issuer)).collect())
    }
}
