//! Ordered chains of named rules. The first finding wins.
//!
//! A rule is a pure function of the gathered facts. Chains are data, so that `explain` can show every rule
//! with its verdict and tests can look at a chain as a whole.

mod access;

use std::collections::BTreeSet;

use crate::facts::{FileFact, LeafFacts, Ledger, LivePair, Observation};
use crate::manifest::{Entry, San, Usage};
use crate::reason::Reason;
use crate::time::Timestamp;
pub use access::{access_drift, access_fact, live_baseline};

/// What the rules about one pair look at.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// What the manifest wants.
    pub entry: &'a Entry,
    /// The leaf, if the pair has a readable one.
    pub leaf: Option<&'a LeafFacts>,
    /// Both files are there.
    pub present: bool,
    /// Something that cannot be read lies on one of the paths.
    pub unreadable: Option<&'a str>,
    /// Key and certificate belong together.
    pub matches: bool,
    /// Leads to a root of the entry's issuers; none while no root is known.
    pub trusted: Option<bool>,
    /// We revoked it.
    pub revoked: bool,
    /// Taken over from before our time: small differences wait for the normal renewal.
    pub adopted: bool,
    /// When it is renewed.
    pub renew_at: Option<Timestamp>,
    /// The time.
    pub now: Timestamp,
}

impl<'a> Pair<'a> {
    /// The pair on the live paths, judged as one that may be taken over.
    pub fn live(entry: &'a Entry, live: &'a LivePair, renew_at: Option<Timestamp>, now: Timestamp) -> Self {
        let unreadable = [&live.cert, &live.key].into_iter().find_map(|file| match file {
            FileFact::Unreadable { why } => Some(why.as_str()),
            FileFact::Missing | FileFact::Present { .. } => None,
        });
        Self {
            entry,
            leaf: live.leaf.as_ref(),
            present: live.cert.is_present() && live.key.is_present(),
            unreadable,
            matches: live.matches(),
            trusted: live.trusted,
            revoked: false,
            adopted: true,
            renew_at,
            now,
        }
    }

    /// The executor's own copy.
    pub fn own(
        entry: &'a Entry,
        seen: &'a Observation,
        renew_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Option<Self> {
        seen.own.as_ref().map(|own| Self {
            entry,
            leaf: Some(&own.leaf),
            present: true,
            unreadable: None,
            matches: true,
            trusted: own.trusted,
            revoked: seen.ledger.revoked.contains(&own.leaf.serial),
            adopted: own.adopted,
            renew_at,
            now,
        })
    }
}

impl Pair<'_> {
    /// The same pair in the light of what we revoked.
    #[must_use]
    pub fn given(mut self, ledger: &Ledger) -> Self {
        self.revoked = self.leaf.is_some_and(|leaf| ledger.revoked.contains(&leaf.serial));
        self
    }
}

/// Why a rule fired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Stable code.
    pub reason: Reason,
    /// A sentence.
    pub message: String,
}

/// A named rule about a pair.
pub struct Rule {
    /// Its reason code, which is also its name.
    pub reason: Reason,
    /// What has to be so.
    pub about: &'static str,
    /// What it looks at, as it is.
    pub fact: fn(&Pair<'_>) -> String,
    /// A sentence when it fires.
    pub test: fn(&Pair<'_>) -> Option<String>,
}

/// What makes a pair unusable: no deadline, no wish, only whether it can serve.
pub const USABLE: &[Rule] = &[
    Rule { reason: Reason::Missing, about: "both files are there", fact: files_fact, test: missing },
    Rule { reason: Reason::Unreadable, about: "both files can be read", fact: files_fact, test: unreadable },
    Rule {
        reason: Reason::KeyMismatch,
        about: "key and certificate belong together",
        fact: key_fact,
        test: mismatch,
    },
    Rule { reason: Reason::Expired, about: "notAfter lies ahead", fact: validity_fact, test: expired },
    Rule {
        reason: Reason::NotYetValid,
        about: "notBefore lies behind",
        fact: validity_fact,
        test: not_yet_valid,
    },
    Rule {
        reason: Reason::Issuer,
        about: "the chain leads to a pinned root",
        fact: issuer_fact,
        test: untrusted,
    },
    Rule { reason: Reason::Revoked, about: "we have not revoked it", fact: revoked_fact, test: revoked },
];

/// What makes a usable pair differ from the manifest.
pub const FITTING: &[Rule] = &[
    Rule {
        reason: Reason::NamesDiffer,
        about: "CN and SANs are those of the manifest",
        fact: names_fact,
        test: names_differ,
    },
    Rule { reason: Reason::KeyType, about: "the key is of the wanted type", fact: type_fact, test: key_type },
    Rule {
        reason: Reason::Eku,
        about: "the extended key usage is the wanted one",
        fact: eku_fact,
        test: eku,
    },
];

/// What makes a fitting pair due.
pub const TIMELY: &[Rule] =
    &[Rule { reason: Reason::Due, about: "the renewal time lies ahead", fact: due_fact, test: due }];

/// The chain that decides whether a new certificate is wanted.
pub const RENEW: &[&[Rule]] = &[USABLE, FITTING, TIMELY];

/// The first finding of `chains`.
pub fn first(chains: &[&[Rule]], pair: &Pair<'_>) -> Option<Finding> {
    chains
        .iter()
        .flat_map(|chain| chain.iter())
        .find_map(|rule| (rule.test)(pair).map(|message| Finding { reason: rule.reason, message }))
}

fn of_leaf(pair: &Pair<'_>, tell: impl Fn(&LeafFacts) -> String) -> String {
    pair.leaf.map_or_else(|| "there is no certificate to look at".to_owned(), tell)
}

fn files_fact(pair: &Pair<'_>) -> String {
    let entry = pair.entry;
    match (pair.present, pair.unreadable) {
        (_, Some(why)) => why.to_owned(),
        (true, None) => format!("{} and {} are there", entry.cert_path, entry.key_path),
        (false, None) => format!("not both of {} and {} are there", entry.cert_path, entry.key_path),
    }
}

fn key_fact(pair: &Pair<'_>) -> String {
    let belongs = if pair.matches { "belongs" } else { "does not belong" };
    format!("the key in {} {belongs} to the certificate", pair.entry.key_path)
}

fn validity_fact(pair: &Pair<'_>) -> String {
    of_leaf(pair, |leaf| format!("valid from {} until {}", leaf.not_before, leaf.not_after))
}

fn issuer_fact(pair: &Pair<'_>) -> String {
    let chain = match pair.trusted {
        Some(true) => "its chain leads to a pinned root",
        Some(false) => "its chain leads to no pinned root",
        None => "no root is pinned to judge it by",
    };
    of_leaf(pair, |leaf| format!("issued by {}; {chain}", leaf.issuer))
}

fn revoked_fact(pair: &Pair<'_>) -> String {
    let known = if pair.revoked { "we revoked it" } else { "we know of no revocation" };
    of_leaf(pair, |leaf| format!("serial {}; {known}", leaf.serial))
}

fn names_fact(pair: &Pair<'_>) -> String {
    of_leaf(pair, |leaf| {
        let sans: Vec<String> = leaf.sans.iter().map(ToString::to_string).collect();
        format!("CN {}, SANs {}", leaf.common_name.as_deref().unwrap_or("absent"), sans.join(", "))
    })
}

fn type_fact(pair: &Pair<'_>) -> String {
    of_leaf(pair, |leaf| {
        let found = leaf.key_type.map_or("of another kind", |kind| kind.as_str());
        format!("it is {found}, wanted is {}", pair.entry.key_type)
    })
}

fn eku_fact(pair: &Pair<'_>) -> String {
    of_leaf(pair, |leaf| {
        let usages =
            [("serverAuth", leaf.server_auth), ("clientAuth", leaf.client_auth), ("others", leaf.other_eku)];
        let held: Vec<&str> = usages.into_iter().filter(|(_, held)| *held).map(|(name, _)| name).collect();
        if held.is_empty() { "none".to_owned() } else { held.join(", ") }
    })
}

/// When the pair is renewed, in words.
pub fn due_fact(pair: &Pair<'_>) -> String {
    pair.renew_at.map_or_else(|| "there is no renewal time".to_owned(), |at| format!("it is renewed at {at}"))
}

fn missing(pair: &Pair<'_>) -> Option<String> {
    (!pair.present && pair.unreadable.is_none())
        .then(|| format!("{} or {} does not exist", pair.entry.cert_path, pair.entry.key_path))
}

fn unreadable(pair: &Pair<'_>) -> Option<String> {
    match pair.unreadable {
        Some(why) => Some(why.to_owned()),
        None if pair.leaf.is_none() => {
            Some(format!("{} holds no certificate that can be read", pair.entry.cert_path))
        }
        None => None,
    }
}

fn mismatch(pair: &Pair<'_>) -> Option<String> {
    (!pair.matches)
        .then(|| format!("the key in {} does not belong to {}", pair.entry.key_path, pair.entry.cert_path))
}

fn expired(pair: &Pair<'_>) -> Option<String> {
    let leaf = pair.leaf?;
    (pair.now >= leaf.not_after).then(|| format!("the certificate expired at {}", leaf.not_after))
}

/// Clocks differ by seconds; a certificate that starts a few minutes ahead is still a usable one.
const START_TOLERANCE: std::time::Duration = std::time::Duration::from_secs(300);

fn not_yet_valid(pair: &Pair<'_>) -> Option<String> {
    let leaf = pair.leaf?;
    (leaf.not_before > pair.now.plus(START_TOLERANCE))
        .then(|| format!("the certificate is not valid before {}", leaf.not_before))
}

fn untrusted(pair: &Pair<'_>) -> Option<String> {
    let leaf = pair.leaf?;
    (pair.trusted == Some(false)).then(|| {
        format!("the chain of the certificate (issued by {}) does not lead to a pinned root", leaf.issuer)
    })
}

fn revoked(pair: &Pair<'_>) -> Option<String> {
    let leaf = pair.leaf.filter(|_| pair.revoked)?;
    Some(format!("the certificate with serial {} was revoked", leaf.serial))
}

fn names_differ(pair: &Pair<'_>) -> Option<String> {
    let leaf = pair.leaf?;
    if leaf.sans == pair.entry.sans && leaf.common_name.as_ref() == Some(&pair.entry.common_name) {
        // As asked for, to the letter: nearly always so.
        return None;
    }
    let wanted: BTreeSet<San> = pair.entry.sans.iter().map(San::comparable).collect();
    let found: BTreeSet<San> = leaf.sans.iter().map(San::comparable).collect();
    let is_cn = |san: &San| san.to_string().eq_ignore_ascii_case(&pair.entry.common_name);
    let lacking: Vec<String> = wanted
        .difference(&found)
        .filter(|san| !(pair.adopted && is_cn(san)))
        .map(ToString::to_string)
        .collect();
    let surplus: Vec<String> = found.difference(&wanted).map(ToString::to_string).collect();
    // As an issued certificate is judged before it is installed: a CA may write names in lower case.
    let same_cn =
        leaf.common_name.as_ref().is_some_and(|found| found.eq_ignore_ascii_case(&pair.entry.common_name));
    let mut differences = Vec::new();
    if !same_cn {
        differences.push(format!(
            "its CN is {}, wanted is {}",
            leaf.common_name.as_deref().unwrap_or("absent"),
            pair.entry.common_name
        ));
    }
    if !lacking.is_empty() {
        differences.push(format!("it lacks {}", lacking.join(", ")));
    }
    if !surplus.is_empty() {
        differences.push(format!("it has {} too", surplus.join(", ")));
    }
    (!differences.is_empty()).then(|| format!("the certificate's names differ: {}", differences.join("; ")))
}

fn key_type(pair: &Pair<'_>) -> Option<String> {
    let leaf = pair.leaf?;
    (leaf.key_type != Some(pair.entry.key_type)).then(|| {
        let found = leaf.key_type.map_or("another kind", |kind| kind.as_str());
        format!("the key is {found}, wanted is {}", pair.entry.key_type)
    })
}

fn eku(pair: &Pair<'_>) -> Option<String> {
    let leaf = pair.leaf?;
    let (server, client) = match pair.entry.usage {
        Usage::Server => (true, false),
        Usage::Client => (false, true),
        Usage::Peer => (true, true),
    };
    if server && !leaf.server_auth {
        return Some("the certificate lacks the extended key usage serverAuth".into());
    }
    if client && !leaf.client_auth {
        return Some("the certificate lacks the extended key usage clientAuth".into());
    }
    let surplus = leaf.other_eku || (leaf.server_auth && !server) || (leaf.client_auth && !client);
    (pair.entry.strict_eku && surplus && !pair.adopted)
        .then(|| "the certificate has further extended key usages, and strict_eku is set".into())
}

fn due(pair: &Pair<'_>) -> Option<String> {
    let at = pair.renew_at?;
    (pair.now >= at).then(|| format!("the renewal time {at} has come"))
}

#[cfg(test)]
mod tests;
