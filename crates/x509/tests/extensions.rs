//! Certificates whose extensions or texts are meant to deceive.

#![expect(clippy::unwrap_used, reason = "a broken fixture should fail the test")]

mod authority;

use authority::{Authority, DAY, NOW, lasts, leaf};
use phoenix_core::manifest::{KeyType, Usage};
use phoenix_x509::{Chain, Expectation, KeyPair, Mismatch, X509Error, check_issued};
use rcgen::{CustomExtension, DnType};

const ALTERNATIVE_NAMES: &[u64] = &[2, 5, 29, 17];
const EXTENDED_KEY_USAGE: &[u64] = &[2, 5, 29, 37];

#[test]
fn repeated_or_damaged_extensions_are_refused() {
    let root = Authority::root("root");
    let key = KeyPair::generate(KeyType::EcP256).unwrap();
    let dns = [&[0x30, 8, 0x82, 6][..], b"a.test"].concat();
    let server = vec![0x30, 10, 6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 1];
    let cases = [
        (ALTERNATIVE_NAMES, dns, "alternative names"),
        (EXTENDED_KEY_USAGE, server, "extended key usages"),
        (ALTERNATIVE_NAMES, vec![0x30, 9, 0x82], "alternative names"),
        (EXTENDED_KEY_USAGE, vec![1, 1, 0xff], "extended key usages"),
    ];
    for (oid, content, expected) in cases {
        let mut params = leaf("a.test", &["a.test"]);
        params.custom_extensions.push(CustomExtension::from_oid_content(oid, content));
        let error = Chain::from_pem(root.issue_pem(&key, &params)).unwrap_err();
        match &error {
            X509Error::Certificate { position: 1, why, .. } => assert!(why.contains(expected), "{why}"),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn control_characters_do_not_reach_the_reader() {
    let root = Authority::root("ro\u{1b}[31mot");
    let key = KeyPair::generate(KeyType::EcP256).unwrap();
    let mut params = leaf("a", &["a.te\u{1b}[2Jst"]);
    params.distinguished_name.push(DnType::CommonName, "a\u{1b}[2Jb");
    let chain = root.issue(&key, &params);
    assert_eq!(chain.leaf_facts().issuer, "CN=ro\u{fffd}[31mot");
    assert_eq!(chain.leaf_facts().sans, []);
    let expectation = Expectation {
        public_key: &key.public_key_sha256(),
        key_type: KeyType::EcP256,
        common_name: "a",
        sans: &[],
        usage: Usage::Server,
        strict_eku: false,
        roots: &root.roots(),
        now: NOW,
        validity: None,
    };
    let wrong = check_issued(&chain, &expectation).unwrap_err();
    assert!(matches!(&wrong[..], [Mismatch::CommonName { .. }, Mismatch::ExtraNames(_)]), "{wrong:?}");
    for mismatch in wrong {
        assert!(!mismatch.to_string().contains(char::is_control), "{mismatch}");
    }
}

#[test]
fn a_validity_that_ends_before_it_begins_is_refused() {
    let root = Authority::root("root");
    let key = KeyPair::generate(KeyType::EcP256).unwrap();
    let mut params = leaf("a", &[]);
    lasts(&mut params, DAY, -DAY);
    let chain = root.issue(&key, &params);
    for at in [chain.leaf_facts().not_before, NOW, chain.leaf_facts().not_after] {
        assert!(root.roots().trusts(&chain, at).is_err());
    }
}

#[test]
fn an_unknown_critical_extension_is_not_trusted() {
    let root = Authority::root("root");
    let issuer = root.intermediate("intermediate", |_| ());
    let key = KeyPair::generate(KeyType::EcP256).unwrap();
    for critical in [false, true] {
        let mut params = leaf("a", &[]);
        let mut extension =
            CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 37476, 9000, 64, 1], vec![5, 0]);
        extension.set_criticality(critical);
        params.custom_extensions.push(extension);
        let verdict = root.roots().trusts(&issuer.issue(&key, &params), NOW);
        assert_eq!(verdict.is_err(), critical, "{verdict:?}");
    }
}
