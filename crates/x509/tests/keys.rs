//! Keys and signing requests.

#![expect(clippy::unwrap_used, reason = "a broken fixture should fail the test")]

use aws_lc_rs::digest;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P521_SHA512_ASN1, ED25519,
    RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use phoenix_core::manifest::{KeyType, San};
use phoenix_x509::{Csr, KeyPair, X509Error};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;

fn algorithm(kind: Option<KeyType>) -> &'static dyn VerificationAlgorithm {
    match kind {
        Some(KeyType::EcP256) => &ECDSA_P256_SHA256_ASN1,
        Some(KeyType::EcP384) => &ECDSA_P384_SHA384_ASN1,
        Some(KeyType::Ed25519) => &ED25519,
        Some(KeyType::Rsa2048 | KeyType::Rsa3072 | KeyType::Rsa4096) => &RSA_PKCS1_2048_8192_SHA256,
        None => &ECDSA_P521_SHA512_ASN1,
    }
}

/// The request as another library reads it, after its signature was checked.
fn parsed(csr: &Csr, kind: Option<KeyType>) -> X509CertificationRequest<'_> {
    let (rest, request) = X509CertificationRequest::from_der(&csr.der).unwrap();
    assert!(rest.is_empty());
    let info = &request.certification_request_info;
    UnparsedPublicKey::new(algorithm(kind), &info.subject_pki.subject_public_key.data)
        .verify(info.raw, &request.signature_value.data)
        .unwrap();
    request
}

#[test]
fn keys_of_every_type_are_made_kept_and_used() {
    let kinds = [
        KeyType::EcP256,
        KeyType::EcP384,
        KeyType::Ed25519,
        KeyType::Rsa2048,
        KeyType::Rsa3072,
        KeyType::Rsa4096,
    ];
    for kind in kinds {
        let key = KeyPair::generate(kind).unwrap();
        assert_eq!(key.key_type(), Some(kind));
        let again = KeyPair::from_pem(key.pem().as_bytes()).unwrap();
        assert_eq!((again.public_key_sha256(), again.pem()), (key.public_key_sha256(), key.pem()));
        let csr = key.csr("a.test", &[]).unwrap();
        let request = parsed(&csr, Some(kind));
        let spki = digest::digest(&digest::SHA256, request.certification_request_info.subject_pki.raw);
        let hex = spki.as_ref().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
        assert_eq!(hex, key.public_key_sha256(), "{kind}");
    }
}

#[test]
fn an_existing_key_of_another_curve_signs_too() {
    let key = KeyPair::from_pem(include_bytes!("data/p521-key.pem")).unwrap();
    parsed(&key.csr("a.test", &[]).unwrap(), None);
}

#[test]
fn no_two_keys_are_alike() {
    let one = KeyPair::generate(KeyType::EcP256).unwrap();
    assert_ne!(one.public_key_sha256(), KeyPair::generate(KeyType::EcP256).unwrap().public_key_sha256());
}

#[test]
fn a_request_carries_names_of_every_kind() {
    let key = KeyPair::generate(KeyType::EcP256).unwrap();
    let sans = [
        San::Dns("*.a.test".into()),
        San::Ip("10.0.0.111".parse().unwrap()),
        San::Ip("fd00::1".parse().unwrap()),
        San::Email("a@a.test".into()),
        San::Uri("spiffe://a.test/b".into()),
    ];
    let csr = key.csr("Müller's gateway", &sans).unwrap();
    let request = parsed(&csr, Some(KeyType::EcP256));
    let subject = &request.certification_request_info.subject;
    assert_eq!(subject.iter_common_name().next().unwrap().as_str().unwrap(), "Müller's gateway");
    let names: Vec<_> = request
        .requested_extensions()
        .unwrap()
        .filter_map(|extension| match extension {
            ParsedExtension::SubjectAlternativeName(names) => Some(names.general_names.clone()),
            _ => None,
        })
        .flatten()
        .collect();
    let v6 = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let expected = [
        GeneralName::DNSName("*.a.test"),
        GeneralName::IPAddress(&[10, 0, 0, 111]),
        GeneralName::IPAddress(&v6),
        GeneralName::RFC822Name("a@a.test"),
        GeneralName::URI("spiffe://a.test/b"),
    ];
    assert_eq!(names, expected);
    let hash: [u8; 32] = digest::digest(&digest::SHA256, &csr.der).as_ref().try_into().unwrap();
    assert_eq!(csr.sha256, hash);
    assert!(csr.pem.starts_with("-----BEGIN CERTIFICATE REQUEST-----\n"));
}

#[test]
fn a_request_may_have_no_names_at_all() {
    let key = KeyPair::generate(KeyType::EcP256).unwrap();
    let csr = key.csr("", &[]).unwrap();
    let request = parsed(&csr, Some(KeyType::EcP256));
    assert_eq!(request.certification_request_info.subject.iter().count(), 0);
    assert!(request.requested_extensions().is_none());
}

#[test]
fn names_outside_ascii_are_refused_with_advice() {
    let key = KeyPair::generate(KeyType::EcP256).unwrap();
    let error = key.csr("a", &[San::Dns("größe.test".into())]).unwrap_err();
    assert!(
        matches!(&error, X509Error::Csr(why) if why.contains("größe.test") && why.contains("xn--")),
        "{error}"
    );
}

#[test]
fn keys_are_not_printed() {
    let key = KeyPair::generate(KeyType::EcP256).unwrap();
    let shown = format!("{key:?}");
    assert_eq!(shown, format!("KeyPair {{ public_key: \"{}\", .. }}", key.public_key_sha256()));
}
