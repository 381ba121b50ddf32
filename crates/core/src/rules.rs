//! Ordered chains of named rules. The first finding wins.
//!
//! A rule is a pure function of the gathered facts. Chains are data, so that `explain` can show every rule
//! with its verdict and tests can look at a chain as a whole.

use std::collections::BTreeSet;

use crate::facts::{Baseline, FileFact, LeafFacts, LivePair, Observation};
use crate::manifest::{Entry, San, Usage};
use crate::reason::Reason;
use crate::time::Timestamp;

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
            adopted: own.adopted,
            renew_at,
            now,
        })
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
    /// What it looks for.
    pub about: &'static str,
    /// A sentence when it fires.
    pub test: fn(&Pair<'_>) -> Option<String>,
}

/// What makes a pair unusable: no deadline, no wish, only whether it can serve.
pub const USABLE: &[Rule] = &[
    Rule { reason: Reason::Missing, about: "both files are there", test: missing },
    Rule { reason: Reason::Unreadable, about: "both files can be read", test: unreadable },
    Rule { reason: Reason::KeyMismatch, about: "key and certificate belong together", test: mismatch },
    Rule { reason: Reason::Expired, about: "notAfter lies ahead", test: expired },
    Rule { reason: Reason::NotYetValid, about: "notBefore lies behind", test: not_yet_valid },
    Rule { reason: Reason::Issuer, about: "the chain leads to a pinned root", test: untrusted },
];

/// What makes a usable pair differ from the manifest.
pub const FITTING: &[Rule] = &[
    Rule { reason: Reason::NamesDiffer, about: "CN and SANs are those of the manifest", test: names_differ },
    Rule { reason: Reason::KeyType, about: "the key is of the wanted type", test: key_type },
    Rule { reason: Reason::Eku, about: "the extended key usage is the wanted one", test: eku },
];

/// What makes a fitting pair due.
pub const TIMELY: &[Rule] = &[Rule { reason: Reason::Due, about: "the renewal time lies ahead", test: due }];

/// The chain that decides whether a new certificate is wanted.
pub const RENEW: &[&[Rule]] = &[USABLE, FITTING, TIMELY];

/// The first finding of `chains`.
pub fn first(chains: &[&[Rule]], pair: &Pair<'_>) -> Option<Finding> {
    chains
        .iter()
        .flat_map(|chain| chain.iter())
        .find_map(|rule| (rule.test)(pair).map(|message| Finding { reason: rule.reason, message }))
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

fn names_differ(pair: &Pair<'_>) -> Option<String> {
    let leaf = pair.leaf?;
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

/// Owner and mode of the live files.
pub fn live_baseline(live: &LivePair) -> Option<Baseline> {
    let facts = |file: &FileFact| match file {
        FileFact::Present { uid, gid, mode, .. } => Some((*uid, *gid, *mode)),
        FileFact::Missing | FileFact::Unreadable { .. } => None,
    };
    Some(Baseline { cert: facts(&live.cert)?, key: facts(&live.key)? })
}

/// Owner or mode of the live files is neither what the manifest asks for nor what a command left behind.
pub fn access_drift(entry: &Entry, seen: &Observation) -> Option<Finding> {
    let live = live_baseline(&seen.live)?;
    if seen.wanted.as_ref() == Some(&live) {
        return None;
    }
    // What a command settled on holds for as long as the manifest asks for what it asked for then.
    let rewritten = seen.ledger.wanted.is_some() && seen.ledger.wanted != seen.wanted;
    let settled = !rewritten && (entry.command.is_some() || seen.own.as_ref().is_some_and(|own| own.adopted));
    if (settled || seen.wanted.is_none()) && seen.ledger.baseline.as_ref() == Some(&live) {
        return None;
    }
    let wanted = seen.wanted.as_ref().or(seen.ledger.baseline.as_ref())?;
    let owners = |facts: &Baseline| (facts.cert.0, facts.cert.1, facts.key.0, facts.key.1);
    let finding = if owners(&live) == owners(wanted) {
        Finding {
            reason: Reason::ModeDrift,
            message: format!(
                "mode of {} is {:04o} and of {} {:04o}, wanted are {:04o} and {:04o}",
                entry.cert_path, live.cert.2, entry.key_path, live.key.2, wanted.cert.2, wanted.key.2
            ),
        }
    } else {
        Finding {
            reason: Reason::OwnerDrift,
            message: format!(
                "owner of {} is {}:{} and of {} {}:{}, wanted are {}:{} and {}:{}",
                entry.cert_path,
                live.cert.0,
                live.cert.1,
                entry.key_path,
                live.key.0,
                live.key.1,
                wanted.cert.0,
                wanted.cert.1,
                wanted.key.0,
                wanted.key.1
            ),
        }
    };
    Some(finding)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::manifest::KeyType;
    use crate::samples;

    const NOW: Timestamp = Timestamp::from_unix(1_000_000);

    struct Case {
        entry: Entry,
        live: LivePair,
        adopted: bool,
    }

    fn good() -> Case {
        let entry = samples::entry("one");
        let leaf =
            samples::leaf(&entry, NOW.minus(Duration::from_secs(60)), NOW.plus(Duration::from_secs(86_400)));
        Case { entry, live: samples::live(&leaf), adopted: false }
    }

    fn verdict(case: &Case) -> Option<Reason> {
        let mut pair = Pair::live(&case.entry, &case.live, Some(NOW.plus(Duration::from_secs(9))), NOW);
        pair.adopted = case.adopted;
        first(RENEW, &pair).map(|finding| finding.reason)
    }

    fn with(change: impl FnOnce(&mut Case)) -> Option<Reason> {
        let mut case = good();
        change(&mut case);
        verdict(&case)
    }

    fn leaf(case: &mut Case) -> &mut LeafFacts {
        case.live.leaf.as_mut().unwrap()
    }

    #[test]
    fn a_good_pair_has_no_finding() {
        assert_eq!(verdict(&good()), None);
    }

    #[test]
    fn every_defect_has_its_reason() {
        use Reason as R;
        let cases: &[(&str, Option<Reason>, Reason)] = &[
            ("certificate missing", with(|c| c.live.cert = FileFact::Missing), R::Missing),
            ("key missing", with(|c| c.live.key = FileFact::Missing), R::Missing),
            (
                "a directory in place of the key",
                with(|c| c.live.key = FileFact::Unreadable { why: "a directory".into() }),
                R::Unreadable,
            ),
            ("not a certificate", with(|c| c.live.leaf = None), R::Unreadable),
            ("another key", with(|c| c.live.key_public = Some("other".into())), R::KeyMismatch),
            ("expired", with(|c| leaf(c).not_after = NOW), R::Expired),
            (
                "starts in an hour",
                with(|c| leaf(c).not_before = NOW.plus(Duration::from_secs(3600))),
                R::NotYetValid,
            ),
            ("foreign chain", with(|c| c.live.trusted = Some(false)), R::Issuer),
            ("other CN", with(|c| leaf(c).common_name = Some("x".into())), R::NamesDiffer),
            ("SAN lacking", with(|c| c.entry.sans.push(San::Dns("b.c".into()))), R::NamesDiffer),
            ("SAN too many", with(|c| leaf(c).sans.push(San::Dns("b.c".into()))), R::NamesDiffer),
            ("other key type", with(|c| leaf(c).key_type = Some(KeyType::Rsa2048)), R::KeyType),
            ("no serverAuth", with(|c| leaf(c).server_auth = false), R::Eku),
            ("clientAuth too, strict", with(|c| c.entry.strict_eku = true), R::Eku),
        ];
        for (name, found, wanted) in cases {
            assert_eq!(*found, Some(*wanted), "{name}");
        }
    }

    #[test]
    fn names_are_compared_as_sets_and_without_case() {
        assert_eq!(
            with(|case| {
                let ip = San::Ip("10.0.0.111".parse().unwrap());
                case.entry.sans.push(ip.clone());
                leaf(case).sans.insert(0, ip);
                leaf(case).sans[1] = San::Dns(case.entry.common_name.to_uppercase());
                leaf(case).common_name = Some(case.entry.common_name.to_uppercase());
                case.entry.sans.push(San::Email("Ops@Example.org".into()));
                leaf(case).sans.push(San::Email("Ops@example.org".into()));
            }),
            None
        );
        let another = with(|case| {
            case.entry.sans.push(San::Email("Ops@example.org".into()));
            leaf(case).sans.push(San::Email("ops@example.org".into()));
        });
        assert_eq!(another, Some(Reason::NamesDiffer));
    }

    #[test]
    fn a_pair_from_before_our_time_may_lack_the_cn_among_its_sans_and_have_further_ekus() {
        let changed = |adopted| {
            with(|case| {
                case.adopted = adopted;
                case.entry.strict_eku = true;
                leaf(case).sans = vec![];
            })
        };
        assert_eq!(changed(true), None);
        assert_eq!(changed(false), Some(Reason::NamesDiffer));
    }

    #[test]
    fn unknown_roots_are_no_finding() {
        assert_eq!(with(|case| case.live.trusted = None), None);
    }

    #[test]
    fn a_certificate_is_due_from_its_renewal_time_on() {
        let case = good();
        let reason = |at| first(RENEW, &Pair::live(&case.entry, &case.live, Some(at), NOW)).map(|f| f.reason);
        assert_eq!(reason(NOW), Some(Reason::Due));
        assert_eq!(reason(NOW.plus(Duration::from_secs(1))), None);
    }

    fn drift(change: impl FnOnce(&mut Observation, &mut Entry)) -> Option<Reason> {
        let case = good();
        let mut entry = case.entry;
        let mut seen = samples::installed(&entry, case.live.leaf.as_ref().unwrap(), NOW);
        change(&mut seen, &mut entry);
        access_drift(&entry, &seen).map(|finding| finding.reason)
    }

    fn set_mode(seen: &mut Observation, new: u16) {
        if let FileFact::Present { mode, .. } = &mut seen.live.key {
            *mode = new;
        }
    }

    #[test]
    fn what_a_command_left_behind_is_not_drift() {
        let moved = Baseline { cert: (0, 0, 0o644), key: (0, 33, 0o640) };
        assert_eq!(
            drift(|seen, _| {
                seen.live.key = FileFact::Present { uid: 0, gid: 33, mode: 0o640, sha256: String::new() };
                seen.ledger.baseline = Some(moved);
            }),
            None
        );
    }

    #[test]
    fn a_changed_mode_or_owner_is_drift() {
        assert_eq!(drift(|_, _| ()), None);
        assert_eq!(drift(|seen, _| set_mode(seen, 0o644)), Some(Reason::ModeDrift));
        assert_eq!(
            drift(|seen, _| seen.live.key =
                FileFact::Present { uid: 7, gid: 0, mode: 0o600, sha256: String::new() }),
            Some(Reason::OwnerDrift)
        );
    }

    #[test]
    fn a_manifest_that_asks_for_another_mode_overrules_what_a_command_settled_on() {
        let moved = Baseline { cert: (0, 0, 0o644), key: (0, 33, 0o640) };
        let drift = |asked_then: Baseline| {
            drift(|seen, _| {
                seen.live.key = FileFact::Present { uid: 0, gid: 33, mode: 0o640, sha256: String::new() };
                seen.ledger.baseline = Some(moved.clone());
                seen.ledger.wanted = Some(asked_then);
            })
        };
        assert_eq!(drift(samples::baseline()), None);
        assert_eq!(drift(Baseline { key: (0, 0, 0o440), ..samples::baseline() }), Some(Reason::OwnerDrift));
    }

    #[test]
    fn a_changed_manifest_mode_is_applied_where_no_command_settles_it() {
        let wanted = Baseline { cert: (0, 0, 0o644), key: (0, 0, 0o640) };
        assert_eq!(
            drift(|seen, entry| {
                entry.command = None;
                seen.wanted = Some(wanted);
            }),
            Some(Reason::ModeDrift)
        );
    }
}
