//! `prepare`, `install`: the way to a new certificate.

use phoenix_core::manifest::{Entry, KeyPolicy};
use phoenix_core::name::IssuerName;
use phoenix_core::reason::{Reason, Trouble};
use phoenix_core::time::Timestamp;
use phoenix_protocol::executor::Answer;
use phoenix_store::{EntryStore, NewPair, StageId, Staged, Vouched};
use phoenix_x509::{Chain, Expectation, KeyPair, Mismatch, Roots, X509Error, check_issued};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::keep::begin_counting_again;
use super::observe::vouched;
use super::{Executor, check_issuer};
use crate::clock;

/// What is kept with a staged key.
#[derive(Serialize, Deserialize)]
struct StageMeta {
    /// SHA-256 of the CSR's DER, which tokens are bound to.
    csr_sha256: [u8; 32],
}

impl Executor {
    /// Proves the target writable, then makes and stages a key.
    pub(super) fn prepare(&self, entry: &Entry) -> Result<Answer, Trouble> {
        let store = self.store_of(entry);
        store.prove()?;
        let key = key_for(entry, &store)?;
        let csr = key.csr(&entry.common_name, &entry.sans).map_err(|error| cannot_make(entry, &error))?;
        let meta = serde_json::to_value(StageMeta { csr_sha256: csr.sha256 }).map_err(|error| {
            Trouble::new(Reason::Internal, format!("The stage cannot be written: {error}."))
        })?;
        let stage = store.stage_key(key.pem().as_bytes(), &meta)?;
        // Stages of attempts that came to nothing; keys that nobody needs should not lie about.
        if let Err(trouble) = store.drop_stages(Some(&stage)) {
            tracing::warn!(name = %entry.name, "earlier staged keys are still there: {trouble}");
        }
        Ok(Answer::Prepared { stage: stage.to_string(), csr: csr.pem })
    }

    /// Checks a chain in every way before anything on disk changes, then commits it with the staged key.
    pub(super) fn install(
        &self,
        entry: &Entry,
        stage: &str,
        issuer: &IssuerName,
        chain: &str,
    ) -> Result<Answer, Trouble> {
        check_issuer(entry, issuer)?;
        let store = self.store_of(entry);
        let staged = staged(&store, entry, stage)?;
        let key = KeyPair::from_pem(&staged.key_pem).map_err(|error| {
            Trouble::new(Reason::Internal, format!("The staged key is damaged: {error}."))
        })?;
        let roots = self.anchors.roots(issuer)?;
        let now = clock::now();
        let chain = Chain::from_pem(chain)
            .map_err(|error| wrong_answer(entry, issuer, &error.to_string()))?
            .without_roots();
        let warnings = check(entry, issuer, &chain, &key, &roots, now)?;
        let vouched = vouched(&chain, &roots);
        store.install(new_pair(&chain, &key, vouched, self.bundle(entry, &roots), now))?;
        begin_counting_again(&store)?;
        tracing::info!(
            name = %entry.name, %issuer, serial = %chain.leaf_facts().serial,
            not_after = %chain.leaf_facts().not_after, "certificate installed"
        );
        if let Err(trouble) = store.drop_stages(None) {
            tracing::warn!(name = %entry.name, "the staged key is still there: {trouble}");
        }
        Ok(Answer::Installed { observation: Box::new(self.observe(entry)?), warnings })
    }
}

/// The key that the policy asks for: the present one where it is to be kept and fits, else a new one.
fn key_for(entry: &Entry, store: &EntryStore) -> Result<KeyPair, Trouble> {
    if entry.key_policy == KeyPolicy::Reuse
        && let Some(own) = store.current()?
    {
        let pem = own.key_pem()?;
        match KeyPair::from_pem(&pem) {
            Ok(key) if key.key_type() == Some(entry.key_type) => return Ok(key),
            Ok(_) => tracing::info!(name = %entry.name, "the key is of another type: a new one is made"),
            Err(error) => tracing::warn!(name = %entry.name, "our copy of the key is damaged: {error}"),
        }
    }
    KeyPair::generate(entry.key_type).map_err(|error| cannot_make(entry, &error))
}

fn cannot_make(entry: &Entry, error: &X509Error) -> Trouble {
    Trouble::new(Reason::Internal, format!("No request could be made for `{}`: {error}.", entry.name))
}

/// Digest of the CSR for a staged key.
pub(super) fn staged_csr(store: &EntryStore, entry: &Entry, stage: &str) -> Result<[u8; 32], Trouble> {
    let staged = staged(store, entry, stage)?;
    let meta: StageMeta = serde_json::from_value(staged.meta.clone())
        .map_err(|error| Trouble::new(Reason::Internal, format!("The stage cannot be read: {error}.")))?;
    Ok(meta.csr_sha256)
}

fn staged(store: &EntryStore, entry: &Entry, stage: &str) -> Result<Staged, Trouble> {
    let id: StageId = stage.parse().map_err(|_| {
        Trouble::new(Reason::BadRequest, "This is not the name of a staged key: 32 hexadecimal digits are.")
    })?;
    store.staged(&id)?.ok_or_else(|| {
        let message = format!("The staged key for `{}` is gone: another request took its place.", entry.name);
        Trouble::new(Reason::Stale, message)
    })
}

fn check(
    entry: &Entry,
    issuer: &IssuerName,
    chain: &Chain,
    key: &KeyPair,
    roots: &Roots,
    now: Timestamp,
) -> Result<Vec<String>, Trouble> {
    let expected = Expectation {
        public_key: &key.public_key_sha256(),
        key_type: entry.key_type,
        common_name: &entry.common_name,
        sans: &entry.sans,
        usage: entry.usage,
        strict_eku: entry.strict_eku,
        roots,
        now,
        validity: entry.validity,
    };
    check_issued(chain, &expected).map_err(|mismatches| {
        let is_time =
            |mismatch: &Mismatch| matches!(mismatch, Mismatch::Expired(_) | Mismatch::NotYetValid(_));
        if mismatches.iter().all(is_time) {
            return clock_differs(entry, issuer, chain, now);
        }
        let all: Vec<_> = mismatches.iter().map(ToString::to_string).collect();
        let refused = wrong_answer(entry, issuer, &all.join("; "));
        // What asking again would not change: the certificate serves, and a rule of the manifest's own forbids it.
        let is_strictness = |mismatch: &Mismatch| matches!(mismatch, Mismatch::ExtraUsage(_));
        if mismatches.iter().all(is_strictness) {
            return Trouble { reason: Reason::EkuRefused, ..refused };
        }
        refused
    })
}

fn clock_differs(entry: &Entry, issuer: &IssuerName, chain: &Chain, now: Timestamp) -> Trouble {
    let leaf = chain.leaf_facts();
    Trouble::new(
        Reason::ClockDiffers,
        format!(
            "The certificate that issuer `{issuer}` just gave for `{}` is valid from {} to {}, and here it is {now}: \
             set the clock of this machine right, or that of the CA. Nothing on disk was changed.",
            entry.name, leaf.not_before, leaf.not_after
        ),
    )
}

fn wrong_answer(entry: &Entry, issuer: &IssuerName, why: &str) -> Trouble {
    Trouble::new(
        Reason::WrongAnswer,
        format!(
            "The certificate that issuer `{issuer}` gave for `{}` is refused: {why}. Nothing on disk was changed.",
            entry.name
        ),
    )
}

fn new_pair(chain: &Chain, key: &KeyPair, vouched: Vouched, roots_pem: String, now: Timestamp) -> NewPair {
    NewPair {
        key_pem: Zeroizing::new(key.pem().as_bytes().to_vec()),
        cert_pem: chain.pem().into_bytes(),
        chain_pem: chain.intermediates_pem().into_bytes(),
        roots_pem: Some(roots_pem.into_bytes()),
        leaf: chain.leaf_facts().clone(),
        vouched,
        at: now,
    }
}
