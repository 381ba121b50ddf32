use std::time::Duration;

use super::*;
use crate::facts::Baseline;
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
