//! Every way in which a CA can answer with something else than was asked for.

#![expect(clippy::unwrap_used, reason = "a broken fixture should fail the test")]

mod authority;

use std::time::Duration;

use authority::{Authority, DAY, NOW, lasts, leaf};
use phoenix_core::manifest::{KeyType, San, Usage};
use phoenix_core::time::Timestamp;
use phoenix_x509::{Chain, Expectation, KeyPair, Mismatch, Roots, check_issued};
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, SanType};

/// A change of what the CA was asked for.
type Lie = Box<dyn FnOnce(&mut CertificateParams)>;

/// A CA and a key for which it issues.
struct Scene {
    root: Authority,
    issuer: Authority,
    roots: Roots,
    key: KeyPair,
    public_key: String,
    sans: Vec<San>,
}

impl Scene {
    fn new() -> Self {
        let root = Authority::root("root");
        let issuer = root.intermediate("intermediate", |_| ());
        let key = KeyPair::generate(KeyType::EcP256).unwrap();
        let public_key = key.public_key_sha256();
        let sans = vec![San::Dns("web.test".into()), San::Ip("10.0.0.111".parse().unwrap())];
        Self { roots: root.roots(), root, issuer, key, public_key, sans }
    }

    fn expectation(&self) -> Expectation<'_> {
        Expectation {
            public_key: &self.public_key,
            key_type: KeyType::EcP256,
            common_name: "web.test",
            sans: &self.sans,
            usage: Usage::Server,
            strict_eku: false,
            roots: &self.roots,
            now: NOW,
            validity: None,
        }
    }

    /// What is found wrong with an answer that `lie` has changed.
    fn wrong(&self, lie: impl FnOnce(&mut CertificateParams)) -> Vec<Mismatch> {
        let mut params = right();
        lie(&mut params);
        check_issued(&self.issuer.issue(&self.key, &params), &self.expectation()).err().unwrap_or_default()
    }
}

fn right() -> CertificateParams {
    leaf("web.test", &["web.test", "10.0.0.111"])
}

fn name(params: &mut CertificateParams, name: &str) {
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
}

#[test]
fn the_right_answer_passes_without_a_word() {
    let scene = Scene::new();
    let chain = scene.issuer.issue(&scene.key, &right());
    assert_eq!(check_issued(&chain, &scene.expectation()), Ok(Vec::new()));
    let direct = scene.root.issue(&scene.key, &right());
    assert_eq!(check_issued(&direct, &scene.expectation()), Ok(Vec::new()));
}

#[test]
fn harmless_differences_pass() {
    let scene = Scene::new();
    assert_eq!(scene.wrong(|params| name(params, "WEB.test")), []);
    assert_eq!(scene.wrong(|params| params.subject_alt_names.reverse()), []);
    assert_eq!(
        scene.wrong(|params| params.subject_alt_names.push(SanType::DnsName("Web.Test".try_into().unwrap()))),
        []
    );
    assert_eq!(scene.wrong(|params| params.extended_key_usages.clear()), []);
    assert_eq!(scene.wrong(|params| lasts(params, 300, DAY)), []);
    assert_eq!(scene.wrong(|params| lasts(params, -60, 1)), []);
}

#[test]
fn every_single_lie_is_found_and_named() {
    let scene = Scene::new();
    let at = |offset| Timestamp::from_unix(NOW.unix() + offset);
    let cases: Vec<(Lie, Mismatch)> = vec![
        (
            Box::new(|params| name(params, "evil.test")),
            Mismatch::CommonName { found: "\"evil.test\"".into(), wanted: "web.test".into() },
        ),
        (
            Box::new(|params| params.distinguished_name = DistinguishedName::new()),
            Mismatch::CommonName { found: "missing".into(), wanted: "web.test".into() },
        ),
        (
            Box::new(|params| drop(params.subject_alt_names.pop())),
            Mismatch::MissingNames("`10.0.0.111`".into()),
        ),
        (
            Box::new(|params| params.subject_alt_names.clear()),
            Mismatch::MissingNames("`web.test`, `10.0.0.111`".into()),
        ),
        (
            Box::new(|params| params.subject_alt_names.push(SanType::DnsName("*.test".try_into().unwrap()))),
            Mismatch::ExtraNames("`*.test`".into()),
        ),
        (
            Box::new(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]),
            Mismatch::MissingUsage("serverAuth"),
        ),
        (
            Box::new(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning]),
            Mismatch::MissingUsage("serverAuth"),
        ),
        (Box::new(|params| lasts(params, -DAY, 0)), Mismatch::Expired(at(0))),
        (Box::new(|params| lasts(params, -2 * DAY, -DAY)), Mismatch::Expired(at(-DAY))),
        (Box::new(|params| lasts(params, 301, DAY)), Mismatch::NotYetValid(at(301))),
    ];
    for (lie, expected) in cases {
        assert_eq!(scene.wrong(lie), [expected]);
    }
}

#[test]
fn an_address_written_as_dns_name_is_not_the_address() {
    let wrong = Scene::new().wrong(|params| {
        params.subject_alt_names.pop();
        params.subject_alt_names.push(SanType::DnsName("10.0.0.111".try_into().unwrap()));
    });
    let name = "`10.0.0.111`".to_owned();
    assert_eq!(wrong, [Mismatch::MissingNames(name.clone()), Mismatch::ExtraNames(name)]);
}

#[test]
fn another_key_is_found_of_the_same_type_or_not() {
    let scene = Scene::new();
    for (kind, count) in [(KeyType::EcP256, 1), (KeyType::EcP384, 2), (KeyType::Ed25519, 2)] {
        let other = KeyPair::generate(kind).unwrap();
        let wrong = check_issued(&scene.issuer.issue(&other, &right()), &scene.expectation()).unwrap_err();
        assert_eq!((&wrong[0], wrong.len()), (&Mismatch::Key, count), "{kind}");
    }
}

#[test]
fn a_foreign_or_incomplete_chain_is_found() {
    let scene = Scene::new();
    let expectation = scene.expectation();
    let chain = scene.issuer.issue(&scene.key, &right());
    let foreign = Authority::root("root").issue(&scene.key, &right());
    for bad in [Chain::from_pem(chain.leaf_pem()).unwrap(), foreign] {
        let wrong = check_issued(&bad, &expectation).unwrap_err();
        assert!(matches!(&wrong[..], [Mismatch::Chain(_)]), "{wrong:?}");
    }
    let clients = scene.root.intermediate("clients", |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    let wrong = check_issued(&clients.issue(&scene.key, &right()), &expectation).unwrap_err();
    assert!(
        matches!(&wrong[..], [Mismatch::Chain(why)] if why.contains("not meant for this use")),
        "{wrong:?}"
    );
}

#[test]
fn usages_are_compared_strictly_only_when_asked() {
    use ExtendedKeyUsagePurpose::{ClientAuth, CodeSigning, ServerAuth};
    let scene = Scene::new();
    // Usage, extended key usages of the answer, wrong when lenient, wrong when strict.
    let table = [
        (Usage::Server, vec![ServerAuth], 0, 0),
        (Usage::Server, vec![ServerAuth, ClientAuth], 0, 1),
        (Usage::Server, vec![ServerAuth, ClientAuth, CodeSigning], 0, 2),
        (Usage::Client, vec![ClientAuth], 0, 0),
        (Usage::Client, vec![ServerAuth], 1, 2),
        (Usage::Peer, vec![ServerAuth, ClientAuth], 0, 0),
        (Usage::Peer, vec![ServerAuth], 1, 1),
        (Usage::Peer, vec![ServerAuth, ClientAuth, CodeSigning], 0, 1),
        (Usage::Peer, vec![], 0, 1),
    ];
    for (usage, purposes, lenient, strict) in table {
        let mut params = right();
        params.extended_key_usages.clone_from(&purposes);
        let chain = scene.issuer.issue(&scene.key, &params);
        let count = |strict_eku| {
            let expectation = Expectation { usage, strict_eku, ..scene.expectation() };
            check_issued(&chain, &expectation).err().unwrap_or_default().len()
        };
        assert_eq!((count(false), count(true)), (lenient, strict), "{usage:?} {purposes:?}");
    }
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let scene = Scene::new();
    let mut params = leaf("evil.test", &["evil.test"]);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    lasts(&mut params, -2 * DAY, -DAY);
    let other = KeyPair::generate(KeyType::EcP384).unwrap();
    let chain = Authority::root("other").issue(&other, &params);
    let wrong = check_issued(&chain, &scene.expectation()).unwrap_err();
    assert_eq!(wrong.len(), 8, "{wrong:?}");
    for mismatch in &wrong {
        assert!(mismatch.to_string().starts_with("it"), "{mismatch}");
    }
}

#[test]
fn a_shorter_lifetime_is_a_warning() {
    let scene = Scene::new();
    let chain = scene.issuer.issue(&scene.key, &right());
    let warnings = |validity| {
        let expectation =
            Expectation { validity: Some(Duration::from_secs(validity)), ..scene.expectation() };
        check_issued(&chain, &expectation).unwrap()
    };
    let day = DAY.unsigned_abs();
    assert_eq!(warnings(day), Vec::<String>::new());
    assert_eq!(warnings(day + 61), Vec::<String>::new());
    assert_eq!(
        warnings(30 * day),
        ["the certificate lives 86460 s instead of the 2592000 s asked for: the CA's limits are lower"]
    );
}

#[test]
fn an_intermediate_that_expires_first_is_a_warning() {
    let scene = Scene::new();
    let short = scene.root.intermediate("short", |params| lasts(params, -DAY, DAY / 2));
    let warnings = check_issued(&short.issue(&scene.key, &right()), &scene.expectation()).unwrap();
    assert!(
        warnings[0].starts_with("an intermediate of the chain expires at 2027-01-15T20:00:00Z"),
        "{warnings:?}"
    );
}
