//! A daemon that was taken over.

use std::fs;
use std::io::{Read, Write};

use phoenix_core::reason::Reason;
use phoenix_protocol::executor::{EntryRef, Operation, Request, TokenPurpose, VERSION};
use phoenix_protocol::frame::{self, MAX_REQUEST};
use serde_json::json;

use crate::ca::Leaf;
use crate::rig::{Link, Place};

fn place() -> Place {
    let place = Place::new(&json!([]));
    let mut second = place.web(&json!({"name": "second"}));
    second["cert_path"] = place.text("target/second/cert.pem").into();
    second["key_path"] = place.text("target/second/key.pem").into();
    place.manifest(&json!([place.web(&json!({"issuer": "phoenix"})), second]));
    place
}

fn assert_ended(link: &mut Link) {
    let mut rest = Vec::new();
    let end = link.stream().read_to_end(&mut rest);
    assert!(end.is_err() || rest.is_empty(), "{rest:?}");
}

#[test]
fn names_and_digests_that_the_manifest_does_not_have_are_refused() {
    let place = place();
    let mut link = place.start();
    let good = link.entry("web");
    let unknown = EntryRef { name: "shadow".parse().unwrap(), digest: good.digest.clone() };
    let stale = EntryRef { digest: "0".repeat(64), ..good.clone() };
    let empty = EntryRef { digest: String::new(), ..good };
    for (entry, reason) in [(unknown, Reason::UnknownEntry), (stale, Reason::Stale), (empty, Reason::Stale)] {
        for operation in [
            Operation::Observe { entry: entry.clone() },
            Operation::Prepare { entry: entry.clone() },
            Operation::Adopt { entry: entry.clone() },
            Operation::Restore { entry: entry.clone() },
            Operation::Deliver { entry: entry.clone() },
            Operation::Activate { entries: vec![entry.clone()] },
            Operation::Install {
                entry: entry.clone(),
                stage: "0".repeat(32),
                issuer: "phoenix".parse().unwrap(),
                chain: String::new(),
            },
            Operation::Token {
                entry: entry.clone(),
                issuer: "phoenix".parse().unwrap(),
                purpose: TokenPurpose::Sign {
                    stage: "0".repeat(32),
                    kid: "k".into(),
                    encrypted_key: place.encrypted_key.clone(),
                },
                ca_time: None,
            },
        ] {
            assert_eq!(link.ask(operation).unwrap_err().reason, reason);
        }
    }
}

#[test]
fn paths_in_the_place_of_names_do_not_even_parse() {
    let place = place();
    for name in ["../web", "/etc/shadow", "", "WEB", "web\u{0}"] {
        let mut link = place.start();
        let body = json!({"id": 9, "op": "observe", "entry": {"name": name, "digest": ""}});
        frame::write(link.stream(), &body, MAX_REQUEST).unwrap();
        assert_ended(&mut link);
    }
}

#[test]
fn stages_are_neither_paths_nor_those_of_another_entry() {
    let place = place();
    let mut link = place.start();
    let (stage, csr) = link.prepare("second");
    let chain = place.ca.sign(&csr, &Leaf::good());
    assert_eq!(link.install("web", &stage, &chain).unwrap_err().reason, Reason::Stale);
    assert_eq!(link.token(&place, &stage).unwrap_err().reason, Reason::Stale);
    let traversal = format!("../../{stage}");
    for bad in ["", "..", "../../../../etc/passwd", &traversal, &"g".repeat(32), &"0".repeat(10_000)] {
        assert_eq!(link.install("web", bad, &chain).unwrap_err().reason, Reason::BadRequest, "{bad}");
        assert_eq!(link.token(&place, bad).unwrap_err().reason, Reason::BadRequest, "{bad}");
    }
    assert!(!place.path("target/web/cert.pem").exists());
}

#[test]
fn an_issuer_that_the_entry_does_not_name_gets_no_token_and_serves_no_chain() {
    let place = place();
    let mut link = place.start();
    let (stage, csr) = link.prepare("web");
    for issuer in ["other", "nobody"] {
        let trouble = link.token_with(&stage, issuer, place.encrypted_key.clone()).unwrap_err();
        assert_eq!(trouble.reason, Reason::BadRequest, "{issuer}");
        let entry = link.entry("web");
        let trouble = link
            .ask(Operation::Install {
                entry,
                stage: stage.clone(),
                issuer: issuer.parse().unwrap(),
                chain: place.ca.sign(&csr, &Leaf::good()),
            })
            .unwrap_err();
        assert_eq!(trouble.reason, Reason::BadRequest, "{issuer}");
    }
}

#[test]
fn the_chain_of_an_earlier_key_does_not_fit_a_later_one() {
    let place = place();
    let mut link = place.start();
    let (_, first) = link.prepare("web");
    let (stage, _) = link.prepare("web");
    let trouble = link.install("web", &stage, &place.ca.sign(&first, &Leaf::good())).unwrap_err();
    assert!(trouble.message.contains("another key"), "{trouble}");
}

#[test]
fn a_token_says_what_the_manifest_says() {
    let place = place();
    let mut link = place.start();
    let (stage, csr) = link.prepare("web");
    let entry = link.entry("web");
    // Fields that the protocol does not have change nothing.
    let body = json!({
        "id": 77, "op": "token", "entry": entry, "issuer": "phoenix", "purpose": "sign", "stage": stage,
        "kid": "k", "encrypted_key": place.encrypted_key, "ca_time": "2999-01-01T00:00:00Z",
        "sans": ["evil.example"], "audience": "https://evil.example", "sub": "evil",
    });
    frame::write(link.stream(), &body, MAX_REQUEST).unwrap();
    let answer = serde_json::to_value(link.receive().result.unwrap()).unwrap();
    let claims =
        phoenix_jose::verify(answer["token"]["token"].as_str().unwrap(), place.provisioner.public_jwk())
            .unwrap();
    assert_eq!(claims.aud, ["https://ca.internal.example:9000/1.0/sign"]);
    assert_eq!(claims.sub.as_deref(), Some("web.internal.example"));
    assert_eq!(claims.sans, ["web.internal.example", "10.0.0.7"]);
    assert_eq!((claims.iat, claims.nbf), (None, None));
    let a_day_and_a_bit = time::OffsetDateTime::now_utc().unix_timestamp() + 86_400 + 700;
    assert!(claims.exp.unwrap() <= a_day_and_a_bit);
    let bound = claims.cnf.unwrap().csr_sha256.unwrap();
    assert_eq!(bound, csr_digest(&csr));
}

/// What `cnf` holds for a request.
fn csr_digest(pem: &str) -> String {
    use base64::Engine;
    let engine = base64::engine::general_purpose::STANDARD;
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = engine.decode(body).unwrap();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &der);
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(digest)
}

#[test]
fn keys_and_passwords_are_in_no_answer() {
    let place = place();
    let mut link = place.start();
    link.issue(&place.ca, "web", &Leaf::good());
    let (stage, _) = link.prepare("web");
    let entry = link.entry("web");
    let key = fs::read_to_string(place.path("target/web/key.pem")).unwrap();
    let secret = key.lines().nth(1).unwrap();
    place.write("target/web/cert.pem", &key, 0o644);
    let mut said = String::new();
    for operation in [
        Operation::Snapshot { refresh: true, offset: 0 },
        Operation::Observe { entry: entry.clone() },
        Operation::Adopt { entry: entry.clone() },
        Operation::Install {
            entry: entry.clone(),
            stage: stage.clone(),
            issuer: "phoenix".parse().unwrap(),
            chain: key.clone(),
        },
        Operation::Trust { issuer: "phoenix".parse().unwrap(), root: key.clone() },
    ] {
        said += &serde_json::to_string(&link.ask(operation)).unwrap();
    }
    said += &serde_json::to_string(&link.token_with(&stage, "phoenix", key.clone())).unwrap();
    assert!(!said.contains(secret) && !said.contains(crate::rig::PASSWORD), "{said}");
}

#[test]
fn what_is_no_frame_ends_the_connection_and_nothing_else() {
    let place = place();
    let too_long = [(MAX_REQUEST as u32 + 1).to_be_bytes().to_vec(), vec![b' '; 100]].concat();
    let frame = |body: &[u8]| [(body.len() as u32).to_be_bytes().to_vec(), body.to_vec()].concat();
    for bytes in [
        too_long,
        u32::MAX.to_be_bytes().to_vec(),
        frame(b""),
        frame(b"{}"),
        frame(b"\xff\xfe"),
        frame(b"[1,2"),
        frame(br#"{"id": 1, "op": "read_key"}"#),
        frame(br#"{"id": -1, "op": "snapshot", "refresh": false, "offset": 0}"#),
        frame(br#"{"id": 1, "op": "snapshot", "refresh": false, "offset": -1}"#),
        frame(&b"[".repeat(100_000)),
    ] {
        let mut link = place.start();
        link.stream().write_all(&bytes).unwrap();
        assert_ended(&mut link);
        link.end();
    }
}

#[test]
fn the_greeting_comes_first_and_has_the_right_version() {
    let place = place();
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let (options, runner) = (
        place.options(),
        std::sync::Arc::new(phoenix_sandbox::Supervised::new(env!("CARGO_BIN_EXE_phoenix-executor"))),
    );
    let thread = std::thread::spawn(move || {
        phoenix_executor::serve(&options, phoenix_executor::Source::Pair(theirs), runner)
    });
    let mut link = Link::over(ours, thread);
    let snapshot = || Operation::Snapshot { refresh: false, offset: 0 };
    assert_eq!(link.ask(snapshot()).unwrap_err().reason, Reason::BadRequest);
    let trouble = link.ask(Operation::Hello { version: VERSION + 1 }).unwrap_err();
    assert!(trouble.message.contains("Restart both"), "{trouble}");
    assert_eq!(link.ask(snapshot()).unwrap_err().reason, Reason::BadRequest);
    link.ask(Operation::Hello { version: VERSION }).unwrap();
    link.ask(snapshot()).unwrap();
}

#[test]
fn a_flood_is_answered_in_full() {
    let place = place();
    let mut link = place.start();
    let entry = link.entry("web");
    let mut writer = link.stream().try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        for id in 10_000..13_000 {
            let operation = Operation::Observe { entry: entry.clone() };
            frame::write(&mut writer, &Request { id, operation }, MAX_REQUEST).unwrap();
        }
    });
    let mut ids: Vec<u64> = (0..3_000).map(|_| link.receive().id).collect();
    sender.join().unwrap();
    ids.sort_unstable();
    assert_eq!(ids, (10_000..13_000).collect::<Vec<_>>());
}

#[test]
fn offsets_beyond_the_end_give_an_empty_page() {
    let place = place();
    let mut link = place.start();
    let answer = link.ask(Operation::Snapshot { refresh: false, offset: usize::MAX }).unwrap();
    let answer = serde_json::to_value(answer).unwrap();
    let page = &answer["snapshot"];
    assert_eq!((page["total"].as_u64(), page["entries"].as_array().unwrap().len()), (Some(2), 0));
}

#[test]
fn an_answer_that_nobody_reads_is_given_up_without_harm() {
    let place = place();
    let mut link = place.start();
    let entry = link.entry("web");
    for id in 100..200 {
        let operation = Operation::Observe { entry: entry.clone() };
        frame::write(link.stream(), &Request { id, operation }, MAX_REQUEST).unwrap();
    }
    link.end();
    place.start().observe("web");
}
