//! Roots bundles that entries share: one file with the roots of all of them.
//!
//! An entry's own copy holds the bundle as it was when its pair was installed, and issuers and their roots may have
//! changed since. What lies there is good for an entry whose roots are in it, as far as they still count, and that
//! holds no others than those of the entries that share it. Whoever writes writes the roots of all, and into its own copy
//! too. So no two of them write in turns.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use phoenix_core::manifest::Entry;
use phoenix_core::name::{AbsolutePath, IssuerName};
use phoenix_core::reason::Trouble;
use phoenix_store::{EntryStore, Generation, LiveFile, LiveFiles};
use phoenix_x509::{Chain, Roots};

use super::Executor;
use crate::clock;

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

    /// Before the own copy of an entry is put back: its part of a shared bundle becomes that of all.
    pub(super) fn bring_bundle_up_to_date(
        &self,
        entry: &Entry,
        store: &EntryStore,
        own: &Generation,
    ) -> Result<(), Trouble> {
        if self.shared_roots(entry).is_none() {
            return Ok(());
        }
        let chain = own.cert_pem().ok().and_then(|pem| Chain::from_pem(pem).ok());
        // Without a root of its own it keeps what it has: which of those it needs cannot be told.
        let Some(roots) = chain.and_then(|chain| self.roots_of(entry, &chain, clock::now())) else {
            return Ok(());
        };
        store.exchange_roots(self.bundle(entry, &roots).into_bytes())?;
        Ok(())
    }

    /// What an issuer of which no root is pinned means for bundles that several entries share, in words.
    pub(super) fn bundles_without(&self, issuer: &IssuerName) -> Option<String> {
        if self.anchors.pinned(issuer).is_some() {
            return None;
        }
        let in_force = self.authority.in_force();
        let mut sharing: BTreeMap<&AbsolutePath, (usize, bool)> = BTreeMap::new();
        for entry in in_force.entries().iter().map(|known| &known.entry) {
            let Some(path) = &entry.ca_path else { continue };
            let (entries, of_it) = sharing.entry(path).or_default();
            *entries += 1;
            *of_it |= entry.issuers.contains(issuer);
        }
        let lack = sharing.iter().filter(|(_, (entries, of_it))| *entries > 1 && *of_it);
        let lack: Vec<String> = lack.map(|(path, _)| format!("`{path}`")).collect();
        (!lack.is_empty()).then(|| {
            format!(
                "no root of issuer {issuer} is pinned, so what is written to {} meanwhile lacks it; see \
                 `phoenix-certctl trust`",
                lack.join(", ")
            )
        })
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
