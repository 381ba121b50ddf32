//! Certificates and keys made by openssl (`data/make.sh`), read as openssl reads them.

#![expect(clippy::unwrap_used, reason = "a broken fixture should fail the test")]

use std::fs;
use std::path::PathBuf;

use phoenix_core::facts::LeafFacts;
use phoenix_core::manifest::{KeyType, San, Usage};
use phoenix_core::time::Timestamp;
use phoenix_x509::{Chain, Expectation, KeyPair, Mismatch, Roots, X509Error, check_issued};

fn data(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    fs::read(path).unwrap()
}

/// A leaf with the intermediate behind it.
fn chain(name: &str) -> Chain {
    Chain::from_pem([data(&format!("{name}.pem")), data("intermediate.pem")].concat()).unwrap()
}

fn facts(name: &str) -> LeafFacts {
    chain(name).leaf_facts().clone()
}

/// Name, serial, fingerprint, hash of the public key, start and end.
fn expected() -> Vec<[String; 6]> {
    let text = String::from_utf8(data("expected.tsv")).unwrap();
    text.lines()
        .map(|line| line.split('\t').map(str::to_owned).collect::<Vec<_>>().try_into().unwrap())
        .collect()
}

#[test]
fn every_leaf_is_read_as_openssl_reads_it() {
    let expected = expected();
    assert_eq!(expected.len(), 11);
    for [name, serial, fingerprint, public_key, start, end] in expected {
        let facts = facts(&name);
        assert_eq!(facts.serial, serial, "{name}");
        assert_eq!(facts.fingerprint, fingerprint, "{name}");
        assert_eq!(facts.public_key, public_key, "{name}");
        assert_eq!(facts.not_before.unix().to_string(), start, "{name}");
        assert_eq!(facts.not_after.unix().to_string(), end, "{name}");
        assert_eq!(facts.issuer, "O=Phoenix Test, CN=Phoenix Test Intermediate", "{name}");
    }
}

#[test]
fn every_leaf_is_trusted_through_its_intermediate_alone() {
    let roots = Roots::from_pem(data("root.pem")).unwrap();
    for [name, ..] in expected() {
        let chain = chain(&name);
        let at = chain.leaf_facts().not_before;
        assert_eq!(roots.trusts(&chain, at), Ok(()), "{name}");
        let alone = Chain::from_pem(chain.leaf_pem()).unwrap();
        assert!(matches!(roots.trusts(&alone, at), Err(X509Error::Untrusted(_))), "{name}");
        let intermediate = Roots::from_pem(chain.intermediates_pem()).unwrap();
        assert_eq!(intermediate.trusts(&alone, at), Ok(()), "{name}");
    }
}

#[test]
fn names_of_every_kind_are_read() {
    let facts = facts("names");
    assert_eq!(facts.common_name.as_deref(), Some("Names.Test"));
    let expected = [
        San::Dns("names.test".into()),
        San::Dns("*.names.test".into()),
        San::Ip("10.0.0.111".parse().unwrap()),
        San::Ip("fd00::1".parse().unwrap()),
        San::Email("Admin@Names.Test".into()),
        San::Uri("spiffe://names.test/a".into()),
    ];
    assert_eq!(facts.sans, expected);
    assert_eq!((self::facts("bare").common_name, self::facts("bare").sans), (None, Vec::new()));
}

#[test]
fn extended_key_usages_are_told_apart() {
    let usages = |name: &str| {
        let facts = facts(name);
        (facts.server_auth, facts.client_auth, facts.other_eku)
    };
    assert_eq!(usages("p256"), (true, true, false));
    assert_eq!(usages("names"), (true, false, false));
    assert_eq!(usages("other-names"), (false, true, true));
    assert_eq!(usages("bare"), (true, true, true));
    assert_eq!(usages("code"), (false, false, true));
    assert_eq!(usages("any"), (false, false, true));
}

#[test]
fn names_that_no_manifest_can_ask_for_are_not_overlooked() {
    let chain = chain("other-names");
    let key = KeyPair::from_pem(&data("p256-key.pem")).unwrap();
    let expectation = Expectation {
        public_key: &key.public_key_sha256(),
        key_type: KeyType::EcP256,
        common_name: "other.test",
        sans: &[San::Dns("other.test".into())],
        usage: Usage::Client,
        strict_eku: false,
        roots: &Roots::from_pem(data("root.pem")).unwrap(),
        now: chain.leaf_facts().not_before,
        validity: None,
    };
    let wrong = check_issued(&chain, &expectation).unwrap_err();
    assert!(matches!(&wrong[..], [Mismatch::ExtraNames(names)] if names.contains("1.2.3")), "{wrong:?}");
}

#[test]
fn keys_of_every_form_match_their_certificates() {
    let cases = [
        ("p256-key", "p256", Some(KeyType::EcP256)),
        ("p256-sec1-key", "p256", Some(KeyType::EcP256)),
        ("p384-key", "p384", Some(KeyType::EcP384)),
        ("p521-key", "p521", None),
        ("rsa2048-key", "rsa2048", Some(KeyType::Rsa2048)),
        ("rsa2048-pkcs1-key", "rsa2048", Some(KeyType::Rsa2048)),
        ("rsa3072-key", "rsa3072", Some(KeyType::Rsa3072)),
        ("ed25519-key", "ed25519", Some(KeyType::Ed25519)),
    ];
    for (file, leaf, kind) in cases {
        let key = KeyPair::from_pem(&data(&format!("{file}.pem"))).expect(file);
        let facts = facts(leaf);
        assert_eq!(key.public_key_sha256(), facts.public_key, "{file}");
        assert_eq!((key.key_type(), facts.key_type), (kind, kind), "{file}");
        let again = KeyPair::from_pem(key.pem().as_bytes()).expect(file);
        assert_eq!(again.public_key_sha256(), facts.public_key, "{file}");
    }
    // openssl writes the curve's parameters in a section of their own before such a key.
    assert_eq!(KeyPair::from_pem(&data("p384-sec1-key.pem")).unwrap().key_type(), Some(KeyType::EcP384));
}

#[test]
fn pkcs8_is_written_as_openssl_writes_it() {
    for file in ["p256-key", "p384-key", "p521-key", "rsa2048-key", "rsa3072-key", "ed25519-key"] {
        let pem = data(&format!("{file}.pem"));
        assert_eq!(KeyPair::from_pem(&pem).unwrap().pem().as_bytes(), pem, "{file}");
    }
}

#[test]
fn keys_that_cannot_be_used_are_refused_in_words() {
    let refusal = |pem: &[u8]| KeyPair::from_pem(pem).unwrap_err();
    assert_eq!(refusal(&data("encrypted-key.pem")), X509Error::EncryptedKey);
    assert_eq!(refusal(&data("encrypted-sec1-key.pem")), X509Error::EncryptedKey);
    assert_eq!(refusal(&data("p256.pem")), X509Error::NoKey);
    assert_eq!(refusal(b""), X509Error::NoKey);
    assert!(matches!(refusal(&data("rsa1024-key.pem")), X509Error::Key(_)));
    assert!(matches!(refusal(&vec![b' '; 65537]), X509Error::TooLarge { size: 65537, .. }));
    let cut = data("p256-key.pem");
    assert!(matches!(refusal(&cut[..cut.len() - 30]), X509Error::Pem { .. }));
}

#[test]
fn a_combined_file_is_read_as_chain_and_as_key() {
    let combined = [data("p256.pem"), data("intermediate.pem"), data("p256-key.pem")].concat();
    let chain = Chain::from_pem(&combined).unwrap();
    assert_eq!(chain.certificates().len(), 2);
    assert_eq!(KeyPair::from_pem(&combined).unwrap().public_key_sha256(), chain.leaf_facts().public_key);
}

#[test]
fn chains_are_written_as_they_were_read() {
    let (leaf, intermediate) = (data("p256.pem"), data("intermediate.pem"));
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let chain = Chain::from_pem([&leaf[..], b"some words\n", &intermediate[..]].concat()).unwrap();
    assert_eq!(chain.leaf_pem(), text(&leaf));
    assert_eq!(chain.intermediates_pem(), text(&intermediate));
    assert_eq!(chain.pem(), text(&leaf) + &text(&intermediate));
    let with_root = Chain::from_pem([&leaf[..], &intermediate[..], &data("root.pem")].concat()).unwrap();
    assert_eq!(with_root.intermediate_facts().count(), 2);
    assert_eq!(with_root.without_roots(), chain);
    let alone = Chain::from_pem(&leaf).unwrap();
    assert_eq!((alone.intermediates_pem(), alone.clone().without_roots()), (String::new(), alone));
}

#[test]
fn chains_are_bounded() {
    let leaf = data("p256.pem");
    assert_eq!(Chain::from_pem(b"nothing"), Err(X509Error::NoCertificate("certificate chain")));
    assert_eq!(Chain::from_der(Vec::new()), Err(X509Error::NoCertificate("certificate chain")));
    assert_eq!(Chain::from_pem(leaf.repeat(10)).unwrap().certificates().len(), 10);
    assert!(matches!(Chain::from_pem(leaf.repeat(11)), Err(X509Error::TooMany { limit: 10, .. })));
    assert!(matches!(Chain::from_pem(leaf.repeat(100)), Err(X509Error::TooLarge { limit: 65536, .. })));
    assert!(matches!(
        Roots::from_pem(data("root.pem").repeat(65)),
        Err(X509Error::TooMany { limit: 64, .. })
    ));
}

#[test]
fn damaged_certificates_name_their_place() {
    let leaf = data("p256.pem");
    let key_as_certificate =
        String::from_utf8(data("p256-key.pem")).unwrap().replace("PRIVATE KEY", "CERTIFICATE");
    let error = Chain::from_pem([leaf.as_slice(), key_as_certificate.as_bytes()].concat()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "certificate 2 of the certificate chain cannot be read: it is cut off, damaged or no certificate"
    );
    let cut = Chain::from_pem(&leaf[..leaf.len() - 20]).unwrap_err();
    assert_eq!(
        cut.to_string(),
        "the certificate chain is not PEM: a section has no END line; the file may be cut off"
    );
    let mut der = Chain::from_pem(&leaf).unwrap().certificates()[0].to_vec();
    der.push(0);
    let long = Chain::from_der(vec![der.into()]).unwrap_err();
    assert!(long.to_string().ends_with("there are bytes behind its end"), "{long}");
}

#[test]
fn only_authorities_are_taken_as_roots() {
    let error = Roots::from_pem([data("root.pem"), data("p256.pem")].concat()).unwrap_err();
    assert_eq!(error, X509Error::NotAnAuthority("CN=p256.test".into()));
    let both = Roots::from_pem([data("intermediate.pem"), data("root.pem")].concat()).unwrap();
    assert_eq!(both.fingerprints().len(), 2);
    assert_eq!(both.fingerprints()[1], Chain::from_pem(data("root.pem")).unwrap().leaf_facts().fingerprint);
    assert_eq!(both.pem().into_bytes(), [data("intermediate.pem"), data("root.pem")].concat());
    assert_eq!(both.certificates().len(), 2);
}

#[test]
fn a_root_of_version_1_is_taken() {
    let roots = Roots::from_pem(data("root-v1.pem")).unwrap();
    let chain = chain("p256");
    assert_eq!(roots.trusts(&chain, chain.leaf_facts().not_before), Ok(()));
    let as_leaf = Chain::from_pem(data("root-v1.pem")).unwrap();
    assert!(roots.trusts(&as_leaf, as_leaf.leaf_facts().not_before).is_err());
}

#[test]
fn a_leaf_that_is_not_yet_or_no_longer_valid_is_judged_at_a_time_when_it_was() {
    let roots = Roots::from_pem(data("root.pem")).unwrap();
    let chain = chain("p256");
    let far = Timestamp::from_unix(chain.leaf_facts().not_after.unix() + 1);
    assert!(matches!(roots.trusts(&chain, far), Err(X509Error::Untrusted(_))));
    assert!(matches!(roots.trusts(&chain, Timestamp::from_unix(0)), Err(X509Error::Untrusted(_))));
    assert!(matches!(roots.trusts(&chain, Timestamp::from_unix(-5)), Err(X509Error::Untrusted(_))));
    assert_eq!(roots.trusts(&chain, chain.leaf_facts().not_after), Ok(()));
}
