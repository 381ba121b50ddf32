//! Facts of one entry: what lies on the live paths, what the executor has of its own, what was done.

use std::sync::Arc;

use phoenix_core::facts::{FileFact, LeafFacts, LivePair, Observation, OwnCopy};
use phoenix_core::manifest::Entry;
use phoenix_core::reason::{Reason, Trouble};
use phoenix_core::time::Timestamp;
use phoenix_store::{EntryStore, Generation, LiveFile, LiveFiles, Records, Vouched};
use phoenix_x509::{Chain, KeyPair, Roots};

use super::{Executor, activate};
use crate::clock;

impl Executor {
    /// Looks at an entry. Trouble with the live paths is part of the facts; trouble with the executor's own state
    /// is an error.
    pub(super) fn observe(&self, entry: &Entry) -> Result<Observation, Trouble> {
        let store = self.store_of(entry);
        let live = store.read_live();
        self.judge(entry, &store, live)
    }

    fn judge(
        &self,
        entry: &Entry,
        store: &EntryStore,
        live: Result<LiveFiles, Trouble>,
    ) -> Result<Observation, Trouble> {
        let now = clock::now();
        let (live, target_trouble) = match live {
            Ok(files) => (Some(files), None),
            Err(trouble) => (None, Some(trouble)),
        };
        let Records { current: generation, ledger, set_aside } = store.records()?;
        let pair = self.live_pair(entry, live.as_ref(), generation.as_ref(), target_trouble.as_ref(), now);
        Ok(Observation {
            at: now,
            target_trouble,
            own: generation.and_then(|own| self.own_copy(entry, &own, &pair, now)),
            live: pair,
            ledger,
            delivery_digest: activate::delivery_digest(entry),
            command_digest: activate::command_digest(entry),
            wanted: live.and_then(|files| files.wanted.ok()),
            set_aside,
        })
    }

    fn live_pair(
        &self,
        entry: &Entry,
        live: Option<&LiveFiles>,
        own: Option<&Generation>,
        trouble: Option<&Trouble>,
        now: Timestamp,
    ) -> LivePair {
        let Some(live) = live else {
            return LivePair::unread(trouble.map_or("", |trouble| &trouble.message));
        };
        let companions_differ = own.is_some_and(|own| {
            own.chain_differs(live) || own.roots_differ(live) && !self.serves_all(entry, own, live)
        });
        if let Some(own) = own.filter(|own| own.is_live(live) && self.still_vouched(entry, own, now)) {
            return as_recorded(live, own, companions_differ);
        }
        let (cert, chain) = read_chain(&live.cert);
        let (key, key_public) = read_key(&live.key);
        LivePair {
            cert,
            key,
            trusted: chain.as_ref().and_then(|chain| self.trusted(entry, chain, now)),
            leaf: chain.map(|chain| chain.leaf_facts().clone()),
            key_public,
            companions_differ,
        }
    }

    /// What was found about the signatures of this pair's chain, when it was installed or adopted, still holds: one of
    /// the entry's issuers has the very roots that it led to, and the certificates between the two are as valid as
    /// then.
    fn still_vouched(&self, entry: &Entry, own: &Generation, now: Timestamp) -> bool {
        let at = judged_at(own.leaf(), now);
        own.vouched().is_some_and(|vouched| {
            let pinned = |issuer| self.anchors.pinned(issuer);
            (vouched.from..=vouched.until).contains(&at)
                && entry.issuers.iter().filter_map(pinned).any(|roots| roots.digest() == vouched.by)
        })
    }

    fn own_copy(&self, entry: &Entry, own: &Generation, live: &LivePair, now: Timestamp) -> Option<OwnCopy> {
        let copy = own.own_copy(live.trusted);
        if matches!(&live.cert, FileFact::Present { sha256, .. } if *sha256 == copy.cert_sha256) {
            // The usual case: the same chain, judged already. Our copy, key included, stays on the disk.
            return Some(copy);
        }
        let chain = own.cert_pem().and_then(|pem| {
            Chain::from_pem(pem).map_err(|error| {
                Trouble::new(
                    Reason::Internal,
                    format!("our own copy of `{}` is damaged: {error}", entry.name),
                )
            })
        });
        match chain {
            Ok(chain) => Some(own.own_copy(self.trusted(entry, &chain, now))),
            Err(trouble) => {
                // Worth nothing for healing, so there is none.
                tracing::error!("{trouble}");
                None
            }
        }
    }

    /// Whether a chain leads to a root of one of the entry's issuers, at a time when its leaf is valid; none
    /// while that depends on an issuer whose root is not known.
    pub(super) fn trusted(&self, entry: &Entry, chain: &Chain, now: Timestamp) -> Option<bool> {
        if self.roots_of(entry, chain, now).is_some() {
            return Some(true);
        }
        let unknown = entry.issuers.iter().any(|issuer| self.anchors.pinned(issuer).is_none());
        (!unknown).then_some(false)
    }

    /// The pinned roots of the first of the entry's issuers to which a chain leads, at a time when its leaf is valid.
    pub(super) fn roots_of(&self, entry: &Entry, chain: &Chain, now: Timestamp) -> Option<Arc<Roots>> {
        let at = judged_at(chain.leaf_facts(), now);
        let pinned = entry.issuers.iter().filter_map(|issuer| self.anchors.pinned(issuer));
        pinned.into_iter().find(|roots| roots.trusts(chain, at).is_ok())
    }
}

/// When the chain of an expired leaf, or of one that is not valid yet, is judged: when it is.
fn judged_at(leaf: &LeafFacts, now: Timestamp) -> Timestamp {
    now.max(leaf.not_before).min(leaf.not_after)
}

/// What is to be recorded about a chain that was found to lead to these roots.
pub(super) fn vouched(chain: &Chain, roots: &Roots) -> Vouched {
    let (from, until) = chain.valid_between();
    Vouched { by: roots.digest().to_owned(), from, until }
}

/// The facts of files that are what was installed or adopted, byte for byte, and of which the same holds as then.
fn as_recorded(live: &LiveFiles, own: &Generation, companions_differ: bool) -> LivePair {
    LivePair {
        cert: live.cert.fact(),
        key: live.key.fact(),
        leaf: Some(own.leaf().clone()),
        key_public: Some(own.leaf().public_key.clone()),
        trusted: Some(true),
        companions_differ,
    }
}

/// The certificate file's fact and its chain. Garbage is a fact too.
pub(super) fn read_chain(file: &LiveFile) -> (FileFact, Option<Chain>) {
    match file.bytes().map(Chain::from_pem) {
        None => (file.fact(), None),
        Some(Ok(chain)) => (file.fact(), Some(chain)),
        Some(Err(error)) => (FileFact::Unreadable { why: error.to_string() }, None),
    }
}

/// The key file's fact and the digest of its public half.
fn read_key(file: &LiveFile) -> (FileFact, Option<String>) {
    match file.bytes().map(KeyPair::from_pem) {
        None => (file.fact(), None),
        Some(Ok(key)) => (file.fact(), Some(key.public_key_sha256())),
        Some(Err(error)) => (FileFact::Unreadable { why: error.to_string() }, None),
    }
}

/// The key in a file, for adoption.
pub(super) fn key_of(file: &LiveFile) -> Option<KeyPair> {
    KeyPair::from_pem(file.bytes()?).ok()
}

/// The executor's own copy of an entry, for operations that cannot do without.
pub(super) fn require_own(store: &EntryStore, entry: &Entry) -> Result<Generation, Trouble> {
    store.current()?.ok_or_else(|| {
        let message = format!("Nothing has been installed or adopted for `{}` yet.", entry.name);
        Trouble::new(Reason::Missing, message)
    })
}
