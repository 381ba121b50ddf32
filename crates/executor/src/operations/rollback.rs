//! `rollback`: the other of the two pairs that are kept goes on the live paths.

use phoenix_core::manifest::Entry;
use phoenix_core::reason::{Reason, Trouble};
use phoenix_core::rules::{self, Pair, USABLE};
use phoenix_protocol::executor::{Answer, RollbackTo};
use phoenix_store::{EntryStore, Generation, Other};
use phoenix_x509::{Chain, KeyPair};

use super::Executor;
use super::keep::begin_counting_again;
use crate::clock;

impl Executor {
    /// Puts the other pair in place if it still is a good one. Whether it fits the manifest is not asked: that it
    /// is the older one is the reason to want it.
    pub(super) fn rollback(&self, entry: &Entry, to: RollbackTo) -> Result<Answer, Trouble> {
        let store = self.store_of(entry);
        let to = match to {
            RollbackTo::Previous => Other::Previous,
            RollbackTo::Newer => Other::Newer,
        };
        let other = other(&store, entry, to)?;
        self.require_usable(entry, &store, &other)?;
        let now_in_place = store.rollback(to, clock::now())?;
        begin_counting_again(&store)?;
        tracing::warn!(
            name = %entry.name, serial = %now_in_place.leaf().serial, to = ?to, "the other pair was put in place"
        );
        Ok(Answer::Observed(Box::new(self.observe(entry)?)))
    }

    /// Refuses a pair that could not serve: our own copy may have been damaged, and time has passed.
    fn require_usable(&self, entry: &Entry, store: &EntryStore, other: &Generation) -> Result<(), Trouble> {
        let refuse = |reason, why: &str| {
            let serial = &other.leaf().serial;
            let message = format!(
                "The pair of `{}` with serial {serial} is not put back, for it would not serve: {why}.",
                entry.name
            );
            Trouble::new(reason, message)
        };
        let chain = Chain::from_pem(other.cert_pem()?)
            .map_err(|error| refuse(Reason::Unreadable, &error.to_string()))?;
        let key = KeyPair::from_pem(&other.key_pem()?)
            .map_err(|error| refuse(Reason::Unreadable, &error.to_string()))?;
        let (leaf, now) = (chain.leaf_facts(), clock::now());
        let pair = Pair {
            entry,
            leaf: Some(leaf),
            present: true,
            unreadable: None,
            matches: key.public_key_sha256() == leaf.public_key,
            trusted: self.trusted(entry, &chain, now),
            revoked: store.ledger()?.revoked.contains(&leaf.serial),
            adopted: other.adopted(),
            renew_at: None,
            now,
        };
        rules::first(&[USABLE], &pair).map_or(Ok(()), |found| Err(refuse(found.reason, &found.message)))
    }
}

/// The generation that is meant. The store looks again when it puts it in place.
fn other(store: &EntryStore, entry: &Entry, to: Other) -> Result<Generation, Trouble> {
    let newest = store.current()?.filter(|newest| newest.other() == to);
    let found = newest.map(|_| store.previous()).transpose()?.flatten();
    found.ok_or_else(|| {
        let why = match to {
            Other::Previous => "no earlier pair of it is kept, or it is in place already",
            Other::Newer => "no newer pair of it was taken back",
        };
        Trouble::new(Reason::Missing, format!("Nothing is put back for `{}`: {why}.", entry.name))
    })
}
