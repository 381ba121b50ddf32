//! Verifications that are commands, and signatures for those that are handshakes.

use std::fs;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use phoenix_core::reason::{Reason, Trouble};
use phoenix_protocol::executor::{Answer, Operation, SignatureScheme};
use serde_json::{Value, json};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::ca::Leaf;
use crate::rig::{Link, Place};

fn check(link: &mut Link, check: usize) -> Result<(bool, String), Trouble> {
    let entry = link.entry("web");
    match link.ask(Operation::RunCheck { entry, check })? {
        Answer::Checked { passed, message } => Ok((passed, message)),
        other => panic!("{other:?}"),
    }
}

fn with_checks(checks: &[(&[&str], &str)]) -> Place {
    let place = Place::new(&json!([]));
    let verify: Vec<Value> = checks
        .iter()
        .map(|(argv, expect)| {
            let argv: Vec<String> = argv.iter().map(|word| word.replace("DIR/", &place.text(""))).collect();
            json!({"command": argv, "expect": expect, "deadline": "20s"})
        })
        .collect();
    place.manifest(&json!([place.web(&json!({"verify": verify}))]));
    place
}

#[test]
fn a_check_passes_when_the_command_succeeds_and_says_the_value() {
    let place = with_checks(&[
        (&["DIR/bin/hook", "serial"], "{serial}"),
        (&["DIR/bin/hook", "decimal"], "{serial_decimal}"),
        (&["DIR/bin/hook", "fingerprint"], "{fingerprint}"),
        (&["DIR/bin/hook", "nothing"], "{serial}"),
        (&["DIR/bin/hook", "failed"], "{serial}"),
    ]);
    place.program(
        "hook",
        "#!/bin/sh\ncase $1 in\n\
         serial) echo \"the serial is 04:F3\";;\n\
         decimal) echo 'the serial is 1267' >&2;;\n\
         fingerprint) echo \"$PHOENIX_FINGERPRINT\" | tr a-f A-F | sed 's/../&:/g';;\n\
         nothing) echo 'no certificate here';;\n\
         failed) echo 4F3; exit 3;;\nesac\n",
    );
    let mut link = place.start();
    link.issue(&place.ca, "web", &Leaf { serial: 0x4f3, ..Leaf::good() });
    for (number, passed) in [(0, true), (1, true), (2, true), (3, false), (4, false)] {
        let (told, message) = check(&mut link, number).unwrap();
        assert_eq!(told, passed, "{number}: {message}");
    }
    assert!(check(&mut link, 3).unwrap().1.contains("no certificate here"));
    assert!(check(&mut link, 4).unwrap().1.contains("code 3"));
}

#[test]
fn a_check_is_bounded_in_time_and_words() {
    let place = Place::new(&json!([]));
    let verify = json!([
        {"command": [place.text("bin/hook"), "hang"], "expect": "{serial}", "deadline": "1s"},
        {"command": [place.text("bin/hook"), "flood"], "expect": "{serial}", "deadline": "20s"},
    ]);
    place.manifest(&json!([place.web(&json!({"verify": verify}))]));
    place.program(
        "hook",
        "#!/bin/sh\ncase $1 in hang) sleep 600;; flood) head -c 50000000 /dev/zero | tr '\\0' z;; esac\n",
    );
    let mut link = place.start();
    link.issue(&place.ca, "web", &Leaf::good());
    let (passed, message) = check(&mut link, 0).unwrap();
    assert!(!passed && message.contains("time was up"), "{message}");
    let (passed, message) = check(&mut link, 1).unwrap();
    assert!(!passed && message.len() < 1000, "{}", message.len());
}

#[test]
fn only_the_manifest_says_what_a_check_runs() {
    let place = with_checks(&[(&["DIR/bin/hook"], "{serial}"), (&["DIR/bin/fail"], "{serial}")]);
    let mut link = place.start();
    assert_eq!(check(&mut link, 0).unwrap_err().reason, Reason::Missing, "nothing is installed yet");
    link.issue(&place.ca, "web", &Leaf::good());
    for number in [2, usize::MAX] {
        assert_eq!(check(&mut link, number).unwrap_err().reason, Reason::BadRequest);
    }
    // The program that it names does not exist.
    assert_eq!(check(&mut link, 1).unwrap_err().reason, Reason::CommandRefused);
}

/// Three entries: `web` presents `client` somewhere, `agent` is accepted somewhere, and `plain` is nobody's client.
fn clients() -> Place {
    let place = Place::new(&json!([]));
    let entry = |name: &str, verify: Value| {
        let mut entry = place.web(&json!({"name": name, "verify": verify}));
        for part in ["cert", "key"] {
            entry[format!("{part}_path")] = place.text(&format!("target/{name}/{part}.pem")).into();
        }
        entry
    };
    place.manifest(&json!([
        entry("web", json!([{"tls": "127.0.0.1:2376", "client": "client"}])),
        entry("client", json!([])),
        entry("agent", json!([{"accepted_by": "127.0.0.1:2376"}])),
        entry("plain", json!([{"tls": "127.0.0.1:2376"}])),
    ]));
    place
}

fn handshake() -> Vec<u8> {
    [&[b' '; 64][..], b"TLS 1.3, client CertificateVerify\0", &[9; 32]].concat()
}

fn sign(link: &mut Link, name: &str, fingerprint: &str, message: &[u8]) -> Result<Vec<u8>, Trouble> {
    let entry = link.entry(name);
    let (fingerprint, message) = (fingerprint.to_owned(), STANDARD.encode(message));
    let scheme = SignatureScheme::EcdsaP256;
    match link.ask(Operation::Sign { entry, fingerprint, scheme, message })? {
        Answer::Signed { signature } => Ok(STANDARD.decode(signature).unwrap()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn handshakes_are_signed_for_the_entries_that_are_somebodys_client() {
    let place = clients();
    let mut link = place.start();
    for (name, opened) in [("client", true), ("agent", true), ("web", false), ("plain", false)] {
        let seen = link.issue(&place.ca, name, &Leaf::good());
        let signed = sign(&mut link, name, &seen.live.leaf.unwrap().fingerprint, &handshake());
        if !opened {
            assert_eq!(signed.unwrap_err().reason, Reason::BadRequest, "{name}");
            continue;
        }
        let pem = fs::read(place.path(&format!("target/{name}/cert.pem"))).unwrap();
        let (_, pem) = x509_parser::pem::parse_x509_pem(&pem).unwrap();
        let (_, certificate) = X509Certificate::from_der(&pem.contents).unwrap();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &certificate.public_key().subject_public_key.data)
            .verify(&handshake(), &signed.unwrap())
            .unwrap();
    }
}

#[test]
fn nothing_but_a_handshake_with_the_present_key_is_signed() {
    let place = clients();
    let mut link = place.start();
    let older = link.issue(&place.ca, "client", &Leaf { serial: 1, ..Leaf::good() });
    let older = older.live.leaf.unwrap().fingerprint;
    let newer = link.issue(&place.ca, "client", &Leaf { serial: 2, ..Leaf::good() });
    let newer = newer.live.leaf.unwrap().fingerprint;
    for fingerprint in [older.as_str(), "", &newer.to_uppercase(), &"0".repeat(64)] {
        assert_eq!(sign(&mut link, "client", fingerprint, &handshake()).unwrap_err().reason, Reason::Stale);
    }
    let server = String::from_utf8(handshake()).unwrap().replace("client", "server");
    for message in [b"".to_vec(), b"eyJhbGciOiJFUzI1NiJ9.e30".to_vec(), server.into(), vec![b' '; 100_000]] {
        assert_eq!(sign(&mut link, "client", &newer, &message).unwrap_err().reason, Reason::BadRequest);
    }
    let entry = link.entry("client");
    for (scheme, message) in [
        (SignatureScheme::EcdsaP384, STANDARD.encode(handshake())),
        (SignatureScheme::RsaPss256, STANDARD.encode(handshake())),
        (SignatureScheme::EcdsaP256, "not base64!".to_owned()),
    ] {
        let (entry, fingerprint) = (entry.clone(), newer.clone());
        let trouble = link.ask(Operation::Sign { entry, fingerprint, scheme, message }).unwrap_err();
        assert_eq!(trouble.reason, Reason::BadRequest, "{trouble}");
    }
    sign(&mut link, "client", &newer, &handshake()).unwrap();
}
