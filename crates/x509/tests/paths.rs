//! Paths from a leaf to a root.

#![expect(clippy::unwrap_used, reason = "a broken fixture should fail the test")]

mod authority;

use authority::{Authority, DAY, NOW, lasts, leaf};
use phoenix_core::manifest::{KeyType, Usage};
use phoenix_core::time::Timestamp;
use phoenix_x509::{Chain, KeyPair, X509Error};
use rcgen::{BasicConstraints, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, NameConstraints};

fn key() -> KeyPair {
    KeyPair::generate(KeyType::EcP256).unwrap()
}

fn refusal(result: Result<(), X509Error>) -> String {
    match result {
        Err(X509Error::Untrusted(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn leaves_of_every_purpose_and_name_are_trusted() {
    let root = Authority::root("root");
    let issuer = root.intermediate("intermediate", |_| ());
    let purposes = [
        vec![],
        vec![ExtendedKeyUsagePurpose::ServerAuth],
        vec![ExtendedKeyUsagePurpose::ClientAuth],
        vec![ExtendedKeyUsagePurpose::CodeSigning],
        vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth],
    ];
    for purpose in purposes {
        for sans in [&[][..], &["10.0.0.111"], &["*.test"], &["a.test", "fd00::1"]] {
            let mut params = leaf("a", sans);
            params.extended_key_usages.clone_from(&purpose);
            let chain = issuer.issue(&key(), &params);
            assert_eq!(root.roots().trusts(&chain, NOW), Ok(()), "{purpose:?} {sans:?}");
        }
    }
}

#[test]
fn a_usage_needs_all_of_its_purposes() {
    let root = Authority::root("root");
    let table = [
        (vec![], [true, true, true]),
        (vec![ExtendedKeyUsagePurpose::ServerAuth], [true, false, false]),
        (vec![ExtendedKeyUsagePurpose::ClientAuth], [false, true, false]),
        (vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth], [true, true, true]),
        (vec![ExtendedKeyUsagePurpose::CodeSigning], [false, false, false]),
    ];
    for (purposes, expected) in table {
        let mut params = leaf("a", &[]);
        params.extended_key_usages.clone_from(&purposes);
        let chain = root.issue(&key(), &params);
        let found = [Usage::Server, Usage::Client, Usage::Peer]
            .map(|usage| root.roots().trusts_for(&chain, usage, NOW).is_ok());
        assert_eq!(found, expected, "{purposes:?}");
    }
}

#[test]
fn an_intermediate_restricts_purposes_below_it() {
    let root = Authority::root("root");
    let servers = root.intermediate("servers", |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    let both = servers.issue(&key(), &leaf("a", &[]));
    assert_eq!(root.roots().trusts(&both, NOW), Ok(()));
    assert_eq!(root.roots().trusts_for(&both, Usage::Server, NOW), Ok(()));
    assert!(refusal(root.roots().trusts_for(&both, Usage::Peer, NOW)).contains("not meant for this use"));
    let mut params = leaf("a", &[]);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    assert!(root.roots().trusts(&servers.issue(&key(), &params), NOW).is_err());
}

#[test]
fn any_root_of_a_bundle_will_do() {
    let (one, other) = (Authority::root("one"), Authority::root("other"));
    let bundle = phoenix_x509::Roots::from_pem(one.pem() + &other.pem()).unwrap();
    for root in [&one, &other] {
        assert_eq!(bundle.trusts(&root.issue(&key(), &leaf("a", &[])), NOW), Ok(()));
    }
    let chain = one.issue(&key(), &leaf("a", &[]));
    assert!(refusal(other.roots().trusts(&chain, NOW)).contains("another CA issued it"));
}

#[test]
fn a_root_of_the_same_name_with_another_key_is_not_trusted() {
    let (real, fake) = (Authority::root("root"), Authority::root("root"));
    let chain = fake.issue(&key(), &leaf("a", &[]));
    assert_eq!(refusal(real.roots().trusts(&chain, NOW)), "a signature in its chain is wrong");
}

#[test]
fn intermediates_may_come_in_any_order_and_in_excess() {
    let root = Authority::root("root");
    let (upper, other) = (root.intermediate("upper", |_| ()), root.intermediate("other", |_| ()));
    let lower = upper.intermediate("lower", |_| ());
    let leaf_pem = lower.issue(&key(), &leaf("a", &[])).leaf_pem();
    let ordered = [&leaf_pem, &lower.pem(), &upper.pem()].map(String::as_str).concat();
    let mixed =
        [&leaf_pem, &root.pem(), &upper.pem(), &other.pem(), &lower.pem()].map(String::as_str).concat();
    for pem in [&ordered, &mixed] {
        assert_eq!(root.roots().trusts(&Chain::from_pem(pem).unwrap(), NOW), Ok(()));
    }
    let gap = [&leaf_pem, &upper.pem()].map(String::as_str).concat();
    assert!(
        refusal(root.roots().trusts(&Chain::from_pem(gap).unwrap(), NOW))
            .contains("an intermediate is missing")
    );
    let reversed = [&lower.pem(), &leaf_pem].map(String::as_str).concat();
    let why = refusal(upper.roots().trusts(&Chain::from_pem(reversed).unwrap(), NOW));
    assert_eq!(why, "its first certificate is that of a CA; the leaf must come first");
}

#[test]
fn the_validity_of_leaf_and_intermediates_counts_at_the_given_time() {
    let root = Authority::root("root");
    let short = root.intermediate("short", |params| lasts(params, -DAY, DAY / 2));
    let chain = short.issue(&key(), &leaf("a", &[]));
    let at = |offset| root.roots().trusts(&chain, Timestamp::from_unix(NOW.unix() + offset));
    assert_eq!(at(0), Ok(()));
    assert_eq!(at(DAY / 2), Ok(()));
    assert_eq!(refusal(at(DAY / 2 + 1)), "a certificate of its chain expired at 2027-01-15T20:00:00Z");
    assert!(refusal(at(-61)).contains("is not valid before"));
    assert!(refusal(at(-2 * DAY)).contains("is not valid before"));
}

#[test]
fn constraints_of_authorities_count() {
    let root = Authority::root("root");
    let no_ca = root.intermediate("no CA", |params| params.is_ca = IsCa::ExplicitNoCa);
    let chain = no_ca.issue(&key(), &leaf("a", &[]));
    assert_eq!(refusal(root.roots().trusts(&chain, NOW)), "a certificate of its chain may not sign others");

    let last = root.intermediate("last", |params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)));
    assert_eq!(root.roots().trusts(&last.issue(&key(), &leaf("a", &[])), NOW), Ok(()));
    let below = last.intermediate("below", |_| ()).issue(&key(), &leaf("a", &[]));
    assert_eq!(refusal(root.roots().trusts(&below, NOW)), "its chain is longer than a CA in it allows");

    let named = root.intermediate("named", |params| {
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName("good.test".into())],
            excluded_subtrees: Vec::new(),
        });
    });
    let issue = |san| root.roots().trusts(&named.issue(&key(), &leaf("a", &[san])), NOW);
    assert_eq!(issue("a.good.test"), Ok(()));
    assert!(refusal(issue("a.bad.test")).contains("name constraints"));
}

#[test]
fn a_root_does_not_vouch_for_itself_as_a_leaf() {
    let root = Authority::root("root");
    assert!(root.roots().trusts(&Chain::from_pem(root.pem()).unwrap(), NOW).is_err());
}
