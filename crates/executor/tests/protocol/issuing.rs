//! From nothing to an installed pair, and what stops a wrong one.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use phoenix_core::facts::FileFact;
use phoenix_core::reason::Reason;
use phoenix_protocol::executor::{Answer, Operation};
use rcgen::ExtendedKeyUsagePurpose;
use serde_json::json;
use time::{Duration, OffsetDateTime};

use crate::ca::{Ca, Leaf};
use crate::rig::{Place, observed};

#[test]
fn a_certificate_is_prepared_authorised_and_installed() {
    let place = Place::new(&json!([]));
    place.manifest(&json!([place.web(&json!({"ca_path": place.text("target/web/ca.pem")}))]));
    let mut link = place.start();

    let before = link.observe("web");
    assert_eq!((before.live.cert, before.own, before.target_trouble), (FileFact::Missing, None, None));

    let (stage, csr) = link.prepare("web");
    let token = link.token(&place, &stage).unwrap();
    let header = phoenix_jose::read_header(&token).unwrap();
    assert_eq!(header.kid.as_deref(), Some("kid-1"));
    let claims = phoenix_jose::verify(&token, place.provisioner.public_jwk()).unwrap();
    assert_eq!(claims.sub.as_deref(), Some("web.internal.example"));
    assert_eq!(claims.sans, ["web.internal.example", "10.0.0.7"]);

    let chain = place.ca.sign(&csr, &Leaf::good());
    let Answer::Installed { observation, .. } = link.install("web", &stage, &chain).unwrap() else {
        panic!()
    };
    assert!(observation.live.matches());
    assert_eq!(observation.live.trusted, Some(true));
    assert_eq!(observation.live.leaf.as_ref().unwrap().serial, "1267");
    assert_eq!(observation.own.unwrap().leaf, observation.live.leaf.unwrap());
    assert!(!observation.live.companions_differ);
    assert_eq!(fs::read_to_string(place.path("target/web/cert.pem")).unwrap(), chain);
    let key = fs::metadata(place.path("target/web/key.pem")).unwrap();
    assert_eq!(key.permissions().mode() & 0o7777, 0o600);
    let roots = fs::read_to_string(place.path("target/web/ca.pem")).unwrap();
    assert_eq!(roots.matches("BEGIN CERTIFICATE").count(), 1);

    // A stage is good for one installation.
    assert_eq!(link.install("web", &stage, &chain).unwrap_err().reason, Reason::Stale);
}

#[test]
fn whatever_is_wrong_with_an_answer_nothing_on_disk_changes() {
    let place = Place::new(&json!([]));
    place.manifest(&json!([place.web(&json!({"strict_eku": true, "cert_type": "peer"}))]));
    let mut link = place.start();
    link.issue(&place.ca, "web", &Leaf::good());
    let before = fs::read(place.path("target/web/cert.pem")).unwrap();
    let (stage, csr) = link.prepare("web");
    let (_, other_csr) = {
        let key = rcgen::KeyPair::generate().unwrap();
        let csr = rcgen::CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
        (key, csr)
    };
    let now = OffsetDateTime::now_utc();
    let with = |change: fn(&mut Leaf)| {
        let mut leaf = Leaf::good();
        change(&mut leaf);
        place.ca.sign(&csr, &leaf)
    };
    let mut late = Leaf::good();
    (late.not_before, late.not_after) = (now + Duration::hours(1), now + Duration::hours(2));
    let mut past = Leaf::good();
    (past.not_before, past.not_after) = (now - Duration::hours(2), now - Duration::hours(1));
    let cases = [
        ("another key", place.ca.sign(&other_csr, &Leaf::good()), "another key"),
        ("another CA", Ca::new().sign(&csr, &Leaf::good()), "chain"),
        ("another CN", with(|leaf| leaf.common_name = "evil".into()), "common name"),
        ("a name too few", with(|leaf| leaf.names.truncate(1)), "10.0.0.7"),
        ("a name too many", with(|leaf| leaf.names.push("evil.example".into())), "evil.example"),
        ("no client usage", with(|leaf| leaf.usages.truncate(1)), "clientAuth"),
        (
            "a usage too many",
            with(|leaf| leaf.usages.push(ExtendedKeyUsagePurpose::EmailProtection)),
            "strict_eku",
        ),
        (
            "a usage too many for the wrong names",
            with(|leaf| {
                leaf.usages.push(ExtendedKeyUsagePurpose::EmailProtection);
                leaf.names.truncate(1);
            }),
            "strict_eku",
        ),
        ("in an hour", place.ca.sign(&csr, &late), "is valid from"),
        ("expired", place.ca.sign(&csr, &past), "is valid from"),
        ("garbage", "garbage".to_owned(), "certificate"),
        ("nothing", String::new(), "certificate"),
    ];
    for (what, chain, part) in cases {
        let trouble = link.install("web", &stage, &chain).unwrap_err();
        let reason = match what {
            "in an hour" | "expired" => Reason::ClockDiffers,
            "a usage too many" => Reason::EkuRefused,
            _ => Reason::WrongAnswer,
        };
        assert_eq!(trouble.reason, reason, "{what}: {trouble}");
        assert!(trouble.message.contains(part), "{what}: {trouble}");
        assert_eq!(fs::read(place.path("target/web/cert.pem")).unwrap(), before, "{what}");
    }
    // The stage is still good for the right answer.
    link.install("web", &stage, &place.ca.sign(&csr, &Leaf::good())).unwrap();
}

#[test]
fn all_that_is_wrong_is_named_at_once() {
    let place = Place::new(&json!([]));
    place.manifest(&json!([place.web(&json!({}))]));
    let mut link = place.start();
    let (stage, csr) = link.prepare("web");
    let leaf = Leaf { common_name: "evil".into(), names: vec!["evil.example".into()], ..Leaf::good() };
    let message = link.install("web", &stage, &Ca::new().sign(&csr, &leaf)).unwrap_err().message;
    for part in ["common name", "10.0.0.7", "evil.example", "chain", "Nothing on disk was changed"] {
        assert!(message.contains(part), "{part}: {message}");
    }
}

#[test]
fn keys_rotate_or_stay_as_the_manifest_says() {
    let place = Place::new(&json!([]));
    for (policy, same) in [("rotate", false), ("reuse", true)] {
        place.manifest(&json!([place.web(&json!({"key_policy": policy}))]));
        let mut link = place.start();
        let first = link.issue(&place.ca, "web", &Leaf::good()).live.key_public;
        let second = link.issue(&place.ca, "web", &Leaf::good()).live.key_public;
        assert_eq!(first == second, same, "{policy}");
        link.end();
    }
    place.manifest(&json!([place.web(&json!({"key_policy": "reuse", "key_type": "ec-p384"}))]));
    let mut link = place.start();
    let before = link.observe("web").live.key_public;
    let after = link.issue(&place.ca, "web", &Leaf::good()).live.key_public;
    assert_ne!(before, after, "a key of another type cannot be kept");
}

#[test]
fn a_target_that_cannot_be_written_costs_no_key() {
    let place = Place::new(&json!([]));
    place.manifest(&json!([place.web(&json!({}))]));
    std::os::unix::fs::symlink("/etc", place.path("target/web")).unwrap();
    let mut link = place.start();
    let entry = link.entry("web");
    let trouble = link.ask(Operation::Prepare { entry }).unwrap_err();
    assert_eq!(trouble.reason, Reason::Symlink, "{trouble}");
    let seen = link.observe("web");
    assert_eq!(seen.target_trouble.unwrap().reason, Reason::Symlink);
    assert!(matches!(seen.live.cert, FileFact::Unreadable { .. }));
}

#[test]
fn a_pair_that_is_there_is_adopted_without_being_touched() {
    let place = Place::new(&json!([]));
    place.manifest(&json!([place.web(&json!({}))]));
    fs::create_dir(place.path("target/web")).unwrap();
    // The clock of a CA may be ahead of ours by as much as an issued certificate may begin ahead.
    let not_before = OffsetDateTime::now_utc() + Duration::minutes(4);
    let (chain, key) = place.ca.pair(&Leaf { not_before, ..Leaf::good() });
    let chain = format!("a comment\n{chain}\n");
    place.write("target/web/cert.pem", &chain, 0o640);
    place.write("target/web/key.pem", &key, 0o640);
    let mut link = place.start();
    let entry = link.entry("web");
    let seen = observed(link.ask(Operation::Adopt { entry }));
    let own = seen.own.unwrap();
    assert!(own.adopted);
    let FileFact::Present { sha256, mode, .. } = seen.live.cert else { panic!() };
    assert_eq!((sha256, mode), (own.cert_sha256, 0o640));
    assert_eq!(seen.ledger.baseline.unwrap().key.2, 0o640);
    assert_eq!(fs::read_to_string(place.path("target/web/cert.pem")).unwrap(), chain);
}

#[test]
fn a_combined_file_is_adopted_and_put_back_byte_for_byte() {
    let place = Place::new(&json!([]));
    let path = place.text("target/web/both.pem");
    place.manifest(&json!([place.web(&json!({"cert_path": path, "key_path": path}))]));
    fs::create_dir(place.path("target/web")).unwrap();
    let (chain, key) = place.ca.pair(&Leaf::good());
    let both = format!("{chain}\n# the key\n{key}");
    place.write("target/web/both.pem", &both, 0o600);
    let mut link = place.start();
    let entry = link.entry("web");
    let seen = observed(link.ask(Operation::Adopt { entry: entry.clone() }));
    let FileFact::Present { sha256, .. } = seen.live.cert else { panic!() };
    assert_eq!(sha256, seen.own.unwrap().cert_sha256);
    fs::remove_file(place.path("target/web/both.pem")).unwrap();
    observed(link.ask(Operation::Restore { entry }));
    assert_eq!(fs::read_to_string(place.path("target/web/both.pem")).unwrap(), both);
}

#[test]
fn what_is_no_good_pair_is_not_adopted() {
    let place = Place::new(&json!([]));
    place.manifest(&json!([place.web(&json!({}))]));
    fs::create_dir(place.path("target/web")).unwrap();
    let mut link = place.start();
    let now = OffsetDateTime::now_utc();
    let (good, key) = place.ca.pair(&Leaf::good());
    let (_, other_key) = place.ca.pair(&Leaf::good());
    let (foreign, foreign_key) = Ca::new().pair(&Leaf::good());
    let (expired, expired_key) =
        place.ca.pair(&Leaf { not_after: now - Duration::seconds(1), ..Leaf::good() });
    let (early, early_key) = place.ca.pair(&Leaf { not_before: now + Duration::minutes(10), ..Leaf::good() });
    for (cert, key, reason) in [
        (good.as_str(), other_key.as_str(), Reason::KeyMismatch),
        (&early, &early_key, Reason::NotYetValid),
        (&foreign, &foreign_key, Reason::Issuer),
        (&expired, &expired_key, Reason::Expired),
        ("garbage", &key, Reason::Unreadable),
        (&good, "garbage", Reason::Unreadable),
        (&good, "", Reason::Unreadable),
    ] {
        place.write("target/web/cert.pem", cert, 0o644);
        place.write("target/web/key.pem", key, 0o600);
        let entry = link.entry("web");
        assert_eq!(link.ask(Operation::Adopt { entry }).unwrap_err().reason, reason);
        assert_eq!(link.observe("web").own, None);
    }
}

#[test]
fn garbage_on_the_live_paths_is_a_fact() {
    let place = Place::new(&json!([]));
    place.manifest(&json!([place.web(&json!({}))]));
    fs::create_dir(place.path("target/web")).unwrap();
    let mut link = place.start();
    let block = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for content in
        [vec![], vec![0xff; 70_000], vec![b'-'; 300_000], block.into(), block.repeat(500).into_bytes()]
    {
        fs::write(place.path("target/web/cert.pem"), &content).unwrap();
        fs::write(place.path("target/web/key.pem"), &content).unwrap();
        let seen = link.observe("web");
        assert!(matches!(seen.live.cert, FileFact::Unreadable { .. }), "{seen:?}");
        assert!(matches!(seen.live.key, FileFact::Unreadable { .. }), "{seen:?}");
    }
}

#[test]
fn our_own_copy_is_put_back_and_foreign_writes_are_counted() {
    let place = Place::new(&json!([]));
    place.manifest(&json!([place.web(&json!({}))]));
    let mut link = place.start();
    let installed = link.issue(&place.ca, "web", &Leaf::good());
    let (foreign, key) = Ca::new().pair(&Leaf::good());
    for count in 1..=2 {
        place.write("target/web/cert.pem", &foreign, 0o644);
        place.write("target/web/key.pem", &key, 0o600);
        assert_eq!(link.observe("web").live.trusted, Some(false));
        let entry = link.entry("web");
        let seen = observed(link.ask(Operation::Restore { entry }));
        assert_eq!(seen.live, installed.live);
        assert_eq!(seen.ledger.foreign_writes, count);
    }
    fs::remove_file(place.path("target/web/key.pem")).unwrap();
    let entry = link.entry("web");
    let seen = observed(link.ask(Operation::Restore { entry }));
    assert_eq!((seen.live, seen.ledger.foreign_writes), (installed.live, 2));
    let seen = link.issue(&place.ca, "web", &Leaf::good());
    assert_eq!(seen.ledger.foreign_writes, 0);
}
