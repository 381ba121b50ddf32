//! Does a chain lead to a configured root?

use std::collections::BTreeMap;

use phoenix_core::name::IssuerName;
use phoenix_core::settings::{IssuerSettings, TrustAnchor};
use phoenix_core::time::Timestamp;
use phoenix_x509::{Chain, Roots};

use crate::files;

/// The roots of the issuers, as far as their files can be read.
#[derive(Debug, Default)]
pub struct Anchors {
    roots: BTreeMap<IssuerName, Result<Roots, String>>,
}

/// Whether a chain leads to a root of an entry's issuers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// It leads to a root of this issuer.
    Leads(IssuerName),
    /// It leads to none of them: why not.
    Fails(String),
    /// No root is at hand: why not.
    Unknown(String),
}

impl Trust {
    /// As a fact for the rules.
    pub fn verdict(self) -> Option<bool> {
        match self {
            Self::Leads(_) => Some(true),
            Self::Fails(_) => Some(false),
            Self::Unknown(_) => None,
        }
    }
}

impl Anchors {
    /// Reads the root files of `issuers`.
    pub fn read(issuers: &[IssuerSettings]) -> Self {
        let roots = issuers.iter().map(|issuer| (issuer.name.clone(), read_roots(&issuer.trust)));
        Self { roots: roots.collect() }
    }

    /// Names of all issuers.
    pub fn issuers(&self) -> Vec<IssuerName> {
        self.roots.keys().cloned().collect()
    }

    /// Judges the path of `chain` to the roots of `issuers` at the time `now`, or at its end when it has expired:
    /// expiry is another finding.
    pub fn judge(&self, issuers: &[IssuerName], chain: &Chain, now: Timestamp) -> Trust {
        let leaf = chain.leaf_facts();
        let at = now.min(leaf.not_after).max(leaf.not_before);
        let mut failure = None;
        let mut unknown = None;
        for issuer in issuers {
            match self.roots.get(issuer) {
                Some(Ok(roots)) => match roots.trusts(chain, at) {
                    Ok(()) => return Trust::Leads(issuer.clone()),
                    Err(error) => failure = Some(error.to_string()),
                },
                Some(Err(why)) => unknown = Some(why.clone()),
                None => unknown = Some(format!("the configuration has no issuer `{issuer}`")),
            }
        }
        match (unknown, failure) {
            (Some(why), _) => Trust::Unknown(why),
            (None, Some(why)) => Trust::Fails(why),
            (None, None) => Trust::Unknown("no issuer is configured".to_owned()),
        }
    }
}

fn read_roots(anchor: &TrustAnchor) -> Result<Roots, String> {
    match anchor {
        TrustAnchor::Fingerprint(_) => Err("the root is known by its fingerprint only".to_owned()),
        TrustAnchor::File(path) => {
            let bytes = files::read(path.as_path(), Roots::MAX_BYTES)
                .map_err(|error| format!("cannot read the root certificate {path}: {error}"))?;
            Roots::from_pem(&bytes).map_err(|error| format!("{path} holds no root certificate: {error}"))
        }
    }
}
