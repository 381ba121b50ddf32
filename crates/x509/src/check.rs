//! Is an issued certificate what was asked for?

use std::collections::BTreeSet;
use std::fmt::Display;
use std::time::Duration;

use phoenix_core::facts::LeafFacts;
use phoenix_core::manifest::{KeyType, San, Usage};
use phoenix_core::time::Timestamp;

use crate::{Chain, Mismatch, Roots, X509Error};

/// What an issued certificate has to be.
#[derive(Clone, Debug)]
pub struct Expectation<'a> {
    /// SHA-256 of the SubjectPublicKeyInfo of the key that was made for it, lower-case hexadecimal
    /// ([`crate::KeyPair::public_key_sha256`]).
    pub public_key: &'a str,
    /// Type of that key.
    pub key_type: KeyType,
    /// Subject CN.
    pub common_name: &'a str,
    /// Exactly these names, in any order.
    pub sans: &'a [San],
    /// Extended key usages that must be there.
    pub usage: Usage,
    /// No other extended key usages.
    pub strict_eku: bool,
    /// Where the chain has to lead.
    pub roots: &'a Roots,
    /// The present.
    pub now: Timestamp,
    /// Lifetime that was asked for, if one was.
    pub validity: Option<Duration>,
}

/// How far ahead of our clock a certificate may begin: the CA's clock may differ.
pub const MAX_AHEAD: Duration = Duration::from_secs(300);

/// Compares a certificate with what was asked for. Success carries warnings for people; failure names everything
/// that is wrong.
pub fn check_issued(chain: &Chain, expected: &Expectation<'_>) -> Result<Vec<String>, Vec<Mismatch>> {
    let facts = chain.leaf_facts();
    let mut wrong = Vec::new();
    wrong.extend(key(facts, expected));
    wrong.extend(common_name(facts, expected));
    wrong.extend(names(chain, expected));
    wrong.extend(usage(facts, expected));
    wrong.extend(validity(facts, expected));
    wrong.extend(path(chain, expected));
    if wrong.is_empty() { Ok(warnings(chain, expected)) } else { Err(wrong) }
}

fn key(facts: &LeafFacts, expected: &Expectation<'_>) -> Vec<Mismatch> {
    let mut wrong = Vec::new();
    if facts.public_key != expected.public_key {
        wrong.push(Mismatch::Key);
    }
    if facts.key_type != Some(expected.key_type) {
        let found = facts.key_type.map_or_else(|| "of an unknown kind".to_owned(), |found| found.to_string());
        wrong.push(Mismatch::KeyType { found, wanted: expected.key_type });
    }
    wrong
}

fn common_name(facts: &LeafFacts, expected: &Expectation<'_>) -> Option<Mismatch> {
    let wanted = expected.common_name;
    // Most CNs are DNS names, which a CA may write in lower case.
    if facts.common_name.as_ref().is_some_and(|found| found.eq_ignore_ascii_case(wanted)) {
        return None;
    }
    let found = facts.common_name.as_ref().map_or_else(|| "missing".to_owned(), |found| format!("{found:?}"));
    Some(Mismatch::CommonName { found, wanted: wanted.to_owned() })
}

fn names(chain: &Chain, expected: &Expectation<'_>) -> Vec<Mismatch> {
    let wanted: BTreeSet<San> = expected.sans.iter().map(San::comparable).collect();
    let found: BTreeSet<San> = chain.leaf_facts().sans.iter().map(San::comparable).collect();
    let missing = list(wanted.difference(&found));
    let extra =
        list(found.difference(&wanted).map(ToString::to_string).chain(chain.other_names().iter().cloned()));
    let mut wrong = Vec::new();
    wrong.extend(missing.map(Mismatch::MissingNames));
    wrong.extend(extra.map(Mismatch::ExtraNames));
    wrong
}

/// Names in quotes with commas; none when there are none.
fn list<T: Display>(names: impl IntoIterator<Item = T>) -> Option<String> {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

fn usage(facts: &LeafFacts, expected: &Expectation<'_>) -> Vec<Mismatch> {
    let (server, client) = match expected.usage {
        Usage::Server => (true, false),
        Usage::Client => (false, true),
        Usage::Peer => (true, true),
    };
    let mut wrong = Vec::new();
    for (wanted, found, name) in
        [(server, facts.server_auth, "serverAuth"), (client, facts.client_auth, "clientAuth")]
    {
        if wanted && !found {
            wrong.push(Mismatch::MissingUsage(name));
        } else if expected.strict_eku && found && !wanted {
            wrong.push(Mismatch::ExtraUsage(format!("the extended key usage {name}")));
        }
    }
    if expected.strict_eku && facts.other_eku {
        let unrestricted = facts.server_auth && facts.client_auth;
        let what = if unrestricted {
            "no restriction, or further extended key usages"
        } else {
            "further extended key usages"
        };
        wrong.push(Mismatch::ExtraUsage(what.to_owned()));
    }
    wrong
}

fn validity(facts: &LeafFacts, expected: &Expectation<'_>) -> Option<Mismatch> {
    if facts.not_after <= expected.now {
        Some(Mismatch::Expired(facts.not_after))
    } else if facts.not_before > expected.now.plus(MAX_AHEAD) {
        Some(Mismatch::NotYetValid(facts.not_before))
    } else {
        None
    }
}

/// The path is judged at the moment of the leaf's validity that is nearest to the present: whether the leaf itself
/// is valid now is the matter of [`validity`].
fn path(chain: &Chain, expected: &Expectation<'_>) -> Option<Mismatch> {
    let facts = chain.leaf_facts();
    let at = expected.now.max(facts.not_before).min(facts.not_after);
    match expected.roots.trusts_as_far_as_it_goes(chain, expected.usage, at) {
        Ok(()) => None,
        Err(X509Error::Untrusted(why)) => Some(Mismatch::Chain(why)),
        Err(other) => Some(Mismatch::Chain(other.to_string())),
    }
}

fn warnings(chain: &Chain, expected: &Expectation<'_>) -> Vec<String> {
    let facts = chain.leaf_facts();
    let mut warnings = Vec::new();
    if let Some(wanted) = expected.validity.filter(|wanted| falls_short(facts.lifetime(), *wanted)) {
        warnings.push(format!(
            "the certificate lives {} s instead of the {} s asked for: the CA's limits are lower",
            facts.lifetime().as_secs(),
            wanted.as_secs()
        ));
    }
    if let Some(first) = chain.intermediate_facts().map(|one| one.not_after).min()
        && first < facts.not_after
    {
        warnings.push(format!(
            "an intermediate of the chain expires at {first}, before the certificate itself ({})",
            facts.not_after
        ));
    }
    warnings
}

/// Shorter than asked for by more than rounding (1 %, and a second).
fn falls_short(lifetime: Duration, wanted: Duration) -> bool {
    lifetime + wanted / 100 + Duration::from_secs(1) < wanted
}
