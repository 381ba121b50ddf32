//! Signing the handshake of a TLS 1.3 client.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ED25519, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, UnparsedPublicKey, VerificationAlgorithm,
};
use phoenix_core::manifest::KeyType;
use phoenix_core::scheme::SignatureScheme;
use phoenix_x509::{ClientVerify, KeyPair, X509Error};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

fn message(hash: usize) -> Vec<u8> {
    [&[b' '; 64][..], b"TLS 1.3, client CertificateVerify\0", &vec![7; hash]].concat()
}

fn algorithm(scheme: SignatureScheme) -> &'static dyn VerificationAlgorithm {
    match scheme {
        SignatureScheme::EcdsaP256 => &ECDSA_P256_SHA256_ASN1,
        SignatureScheme::EcdsaP384 => &ECDSA_P384_SHA384_ASN1,
        SignatureScheme::Ed25519 => &ED25519,
        SignatureScheme::RsaPss256 => &RSA_PSS_2048_8192_SHA256,
        SignatureScheme::RsaPss384 => &RSA_PSS_2048_8192_SHA384,
        SignatureScheme::RsaPss512 => &RSA_PSS_2048_8192_SHA512,
    }
}

#[test]
fn every_key_signs_with_the_schemes_that_fit_it_and_with_no_other() {
    for kind in [KeyType::EcP256, KeyType::EcP384, KeyType::Ed25519, KeyType::Rsa2048] {
        let key = KeyPair::generate(kind).unwrap();
        let csr = key.csr("a.test", &[]).unwrap();
        let (_, request) = X509CertificationRequest::from_der(&csr.der).unwrap();
        let public = &request.certification_request_info.subject_pki.subject_public_key.data;
        for (message, scheme) in [32, 48]
            .into_iter()
            .flat_map(|hash| SignatureScheme::ALL.iter().map(move |one| (message(hash), *one)))
        {
            let signed = key.sign_handshake(scheme, ClientVerify::parse(&message).unwrap());
            if SignatureScheme::of(kind).contains(&scheme) {
                let public = UnparsedPublicKey::new(algorithm(scheme), public);
                public.verify(&message, &signed.unwrap()).unwrap();
            } else {
                assert_eq!(signed, Err(X509Error::Scheme(scheme)), "{kind}");
            }
        }
    }
}

#[test]
fn whatever_is_not_a_client_handshake_is_not_signed() {
    let server = [&[b' '; 64][..], b"TLS 1.3, server CertificateVerify\0", &[7; 32]].concat();
    let (good, longer) = (message(32), message(33));
    let mut tab = good.clone();
    tab[3] = b'\t';
    let mut unended = good.clone();
    unended[64 + 33] = 1;
    for (what, wrong) in [
        ("nothing", &b""[..]),
        ("the server's", &server),
        ("one byte more", &longer),
        ("one byte less", &good[..good.len() - 1]),
        ("no hash", &message(0)),
        ("SHA-512", &message(64)),
        ("SHA-1", &message(20)),
        ("a space less", &good[1..]),
        ("a space more", &[b" ", &good[..]].concat()),
        ("a tab", &tab),
        ("no zero", &unended),
        ("a token", b"eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJldmlsIn0"),
        ("more after it", &[&good[..], b"x"].concat()),
    ] {
        assert_eq!(ClientVerify::parse(wrong), Err(X509Error::NoHandshake), "{what}");
    }
    ClientVerify::parse(&good).unwrap();
}
