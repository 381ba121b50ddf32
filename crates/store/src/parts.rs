//! The parts of a pair, and what is known about it.

use std::path::Path;

use phoenix_core::facts::{Baseline, LeafFacts};
use phoenix_core::reason::{Reason, Trouble};
use phoenix_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::pair::{NewPair, Vouched, sha256_hex};
use crate::target::Role;

/// Bytes of a pair.
pub(crate) struct Parts {
    pub(crate) key: Zeroizing<Vec<u8>>,
    pub(crate) cert: Vec<u8>,
    pub(crate) chain: Vec<u8>,
    pub(crate) ca: Option<Vec<u8>>,
}

/// SHA-256 of the files that the parts make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sums {
    pub(crate) key: String,
    pub(crate) cert: String,
    pub(crate) pair: String,
    pub(crate) chain: String,
    pub(crate) ca: Option<String>,
}

impl Sums {
    pub(crate) fn of(&self, role: Role) -> Option<&str> {
        match role {
            Role::Key => Some(&self.key),
            Role::Cert => Some(&self.cert),
            Role::Pair => Some(&self.pair),
            Role::Chain => Some(&self.chain),
            Role::Ca => self.ca.as_deref(),
        }
    }
}

/// What is known about a pair besides its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Meta {
    pub(crate) leaf: LeafFacts,
    pub(crate) adopted: bool,
    pub(crate) installed_at: Timestamp,
    pub(crate) sums: Sums,
    /// Owner and mode that the manifest asked for then.
    pub(crate) wanted: Baseline,
    /// Owner and mode that the live files had then.
    pub(crate) baseline: Baseline,
    /// Fingerprint of the newer certificate in whose stead this pair was put back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) instead_of: Option<String>,
    /// What its chain was found to lead to; none in records that do not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) vouched: Option<Vouched>,
}

impl Parts {
    pub(crate) fn of(pair: &NewPair) -> Self {
        Self {
            key: pair.key_pem.clone(),
            cert: pair.cert_pem.clone(),
            chain: pair.chain_pem.clone(),
            ca: pair.roots_pem.clone(),
        }
    }

    /// Content of a live file; none when there is nothing to put there.
    pub(crate) fn content(&self, role: Role) -> Option<Zeroizing<Vec<u8>>> {
        match role {
            Role::Key => Some(self.key.clone()),
            Role::Cert => Some(Zeroizing::new(self.cert.clone())),
            Role::Chain => Some(Zeroizing::new(self.chain.clone())),
            Role::Ca => self.ca.clone().map(Zeroizing::new),
            Role::Pair => Some(self.combined()),
        }
    }

    /// Chain, then key.
    fn combined(&self) -> Zeroizing<Vec<u8>> {
        let mut both = Zeroizing::new(Vec::with_capacity(self.cert.len() + 1 + self.key.len()));
        both.extend_from_slice(&self.cert);
        if !both.ends_with(b"\n") {
            both.push(b'\n');
        }
        both.extend_from_slice(&self.key);
        both
    }

    pub(crate) fn sums(&self) -> Sums {
        Sums {
            key: sha256_hex(&self.key),
            cert: sha256_hex(&self.cert),
            pair: sha256_hex(&self.combined()),
            chain: sha256_hex(&self.chain),
            ca: self.ca.as_deref().map(sha256_hex),
        }
    }
}

/// The executor's own copy is damaged.
pub(crate) fn damaged(path: &Path) -> Trouble {
    Trouble::new(
        Reason::Internal,
        format!(
            "the executor's own copy in `{}` is damaged and was set aside; a new certificate will be obtained if \
             the live files are not good (look after the disk)",
            path.display()
        ),
    )
}
