//! `adopt` and `restore`: taking over a pair that is there, and putting ours back.

use phoenix_core::manifest::Entry;
use phoenix_core::reason::{Reason, Trouble};
use phoenix_core::rules::{self, FITTING, Pair, USABLE};
use phoenix_protocol::executor::Answer;
use phoenix_store::{EntryStore, Generation, LiveFile, LiveFiles, NewPair};
use phoenix_x509::{Chain, Roots};
use zeroize::Zeroizing;

use super::Executor;
use super::observe::{key_of, read_chain, require_own, vouched};
use crate::clock;

impl Executor {
    /// Takes over the pair on the live paths if it matches, is valid and is trusted. Whether it also fits the
    /// manifest is for the daemon's rules to say: a pair that does not is renewed in due time.
    pub(super) fn adopt(&self, entry: &Entry) -> Result<Answer, Trouble> {
        let store = self.store_of(entry);
        let live = store.read_live()?;
        let pair = self.adoptable(entry, &live)?;
        tracing::info!(
            name = %entry.name, serial = %pair.leaf.serial, not_after = %pair.leaf.not_after,
            "certificate found and adopted"
        );
        store.adopt(&pair, &live)?;
        begin_counting_again(&store)?;
        Ok(Answer::Observed(Box::new(self.observe(entry)?)))
    }

    /// Puts the executor's own copy back on the live paths.
    pub(super) fn restore(&self, entry: &Entry) -> Result<Answer, Trouble> {
        let store = self.store_of(entry);
        let own = require_own(&store, entry)?;
        let foreign = replaced_from_outside(&store.read_live()?, &own);
        self.bring_bundle_up_to_date(entry, &store, &own)?;
        store.restore()?;
        if foreign {
            store.update_ledger(|ledger| ledger.foreign_writes = ledger.foreign_writes.saturating_add(1))?;
        }
        tracing::info!(name = %entry.name, serial = %own.leaf().serial, "our own copy was put back");
        Ok(Answer::Observed(Box::new(self.observe(entry)?)))
    }

    fn adoptable(&self, entry: &Entry, live: &LiveFiles) -> Result<NewPair, Trouble> {
        let refuse = |reason, why: &str| {
            Trouble::new(reason, format!("The files of `{}` are not taken over: {why}.", entry.name))
        };
        let (_, chain) = read_chain(&live.cert);
        let chain = chain.ok_or_else(|| refuse(Reason::Unreadable, "there is no readable certificate"))?;
        let key = key_of(&live.key).ok_or_else(|| refuse(Reason::Unreadable, "there is no readable key"))?;
        let leaf = chain.leaf_facts();
        let now = clock::now();
        let roots = self.roots_of(entry, &chain, now);
        // The same rules by which the daemon wants it taken over: it is not believed that they hold.
        let pair = Pair {
            entry,
            leaf: Some(leaf),
            present: true,
            unreadable: None,
            matches: key.public_key_sha256() == leaf.public_key,
            trusted: Some(roots.is_some()),
            revoked: self.store_of(entry).ledger()?.revoked.contains(&leaf.serial),
            adopted: true,
            renew_at: None,
            now,
        };
        if let Some(finding) = rules::first(&[USABLE, FITTING], &pair) {
            return Err(refuse(finding.reason, &finding.message));
        }
        let roots = roots.ok_or_else(|| refuse(Reason::Issuer, "no root of its issuers is known"))?;
        let bundle = self.bundle(entry, &roots);
        Ok(NewPair {
            key_pem: own_part(&live.key, entry.combined(), Part::Key)
                .unwrap_or_else(|| Zeroizing::new(key.pem().as_bytes().to_vec())),
            cert_pem: own_part(&live.cert, entry.combined(), Part::Certificates)
                .map_or_else(|| chain.pem().into_bytes(), |bytes| bytes.to_vec()),
            chain_pem: companion(live.chain.as_ref(), |bytes| same_chain(bytes, &chain))
                .unwrap_or_else(|| chain.intermediates_pem().into_bytes()),
            roots_pem: companion(live.ca.as_ref(), |bytes| same_roots(bytes, &bundle))
                .or_else(|| Some(bundle.clone().into_bytes())),
            leaf: leaf.clone(),
            vouched: vouched(&chain, &roots),
            at: now,
        })
    }
}

/// Somebody wrote another pair, which is more than removing ours or changing its owner.
fn replaced_from_outside(live: &LiveFiles, own: &Generation) -> bool {
    let own = own.own_copy(None);
    let differs =
        |file: &LiveFile, sha256: &str| matches!(file, LiveFile::Present(found) if found.sha256 != sha256);
    differs(&live.cert, &own.cert_sha256) || differs(&live.key, &own.key_sha256)
}

/// With a new pair the counts begin again.
pub(super) fn begin_counting_again(store: &EntryStore) -> Result<(), Trouble> {
    let ledger = store.ledger()?;
    if ledger.foreign_writes > 0 || !ledger.reverted.is_empty() {
        store.update_ledger(|ledger| {
            ledger.foreign_writes = 0;
            ledger.reverted.clear();
        })?;
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Part {
    Certificates,
    Key,
}

/// The bytes of a live file that make up one half of the pair, exactly as they are, so that the files count as
/// unchanged. None for a combined file that is not chain first, key after.
fn own_part(file: &LiveFile, combined: bool, part: Part) -> Option<Zeroizing<Vec<u8>>> {
    let bytes = file.bytes()?;
    if !combined {
        return Some(Zeroizing::new(bytes.to_vec()));
    }
    let at = key_begins(bytes)?;
    let (certificates, key) = bytes.split_at_checked(at)?;
    let after_key = key.windows(CERTIFICATE.len()).any(|window| window == CERTIFICATE);
    if after_key {
        return None;
    }
    Some(Zeroizing::new(match part {
        Part::Certificates => certificates.to_vec(),
        Part::Key => key.to_vec(),
    }))
}

const CERTIFICATE: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// Where the first PEM section with a private key begins.
fn key_begins(bytes: &[u8]) -> Option<usize> {
    [
        &b"-----BEGIN PRIVATE KEY-----"[..],
        b"-----BEGIN EC PRIVATE KEY-----",
        b"-----BEGIN RSA PRIVATE KEY-----",
    ]
    .iter()
    .filter_map(|mark| bytes.windows(mark.len()).position(|window| window == *mark))
    .min()
}

/// A companion file as it is, where it says the same as what would be written.
fn companion(file: Option<&LiveFile>, same: impl FnOnce(&[u8]) -> bool) -> Option<Vec<u8>> {
    let bytes = file?.bytes()?;
    same(bytes).then(|| bytes.to_vec())
}

fn same_chain(bytes: &[u8], chain: &Chain) -> bool {
    Chain::from_pem(bytes).is_ok_and(|found| Some(found.certificates()) == chain.certificates().get(1..))
}

fn same_roots(bytes: &[u8], bundle: &str) -> bool {
    let certificates = |pem: &[u8]| Some(Roots::from_pem(pem).ok()?.certificates().to_vec());
    certificates(bytes).is_some_and(|found| Some(found) == certificates(bundle.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_combined_file_is_split_before_its_key() {
        let file = b"-----BEGIN CERTIFICATE-----\nx\n-----BEGIN EC PRIVATE KEY-----\ny\n";
        assert_eq!(key_begins(file), Some(30));
        assert_eq!(key_begins(b"nothing"), None);
    }
}
