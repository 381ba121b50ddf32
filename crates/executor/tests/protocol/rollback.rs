//! The previous pair, and the newer one again.

use std::fs;

use phoenix_core::facts::Observation;
use phoenix_core::reason::{Reason, Trouble};
use phoenix_protocol::executor::{Answer, Operation, RollbackTo};
use serde_json::json;
use time::{Duration, OffsetDateTime};

use crate::ca::{Ca, Leaf};
use crate::rig::{Link, Place, observed};

fn rollback(link: &mut Link, to: RollbackTo) -> Result<Answer, Trouble> {
    let entry = link.entry("web");
    link.ask(Operation::Rollback { entry, to })
}

fn refused(link: &mut Link, to: RollbackTo) -> Reason {
    rollback(link, to).unwrap_err().reason
}

fn fingerprint(seen: &Observation) -> String {
    seen.live.leaf.as_ref().unwrap().fingerprint.clone()
}

/// An entry with a command, and an executor.
fn place() -> Place {
    let place = Place::new(&json!([]));
    let command = [place.text("bin/hook"), place.text("log")];
    place.manifest(&json!([place.web(&json!({"post_renewal_command": command}))]));
    place
}

#[test]
fn the_previous_pair_comes_back_and_the_newer_one_again() {
    let place = place();
    let mut link = place.start();
    let older = link.issue(&place.ca, "web", &Leaf { serial: 1, ..Leaf::good() });
    link.activate(&["web"]).unwrap();
    let files =
        || ["cert", "key"].map(|name| fs::read(place.path(&format!("target/web/{name}.pem"))).unwrap());
    let older_files = files();
    let newer = link.issue(&place.ca, "web", &Leaf { serial: 2, ..Leaf::good() });
    let newer_files = files();

    let back = observed(rollback(&mut link, RollbackTo::Previous));
    assert_eq!((fingerprint(&back), files()), (fingerprint(&older), older_files));
    assert!(back.live.matches());
    assert_eq!(back.own.unwrap().leaf.fingerprint, fingerprint(&older));
    assert_eq!(back.ledger.rolled_back, Some(fingerprint(&newer)));
    assert_eq!(back.ledger.activated, None, "the command has to run for it again");

    // It outlives the executor, and there is nothing before it.
    link.end();
    let mut link = place.start();
    assert_eq!(link.observe("web").ledger.rolled_back, Some(fingerprint(&newer)));
    assert_eq!(refused(&mut link, RollbackTo::Previous), Reason::Missing);

    let again = observed(rollback(&mut link, RollbackTo::Newer));
    assert_eq!((fingerprint(&again), files()), (fingerprint(&newer), newer_files));
    assert_eq!(again.ledger.rolled_back, None);
    let done = again.ledger.activated.map(|deed| deed.fingerprint);
    assert_ne!(done, Some(fingerprint(&newer)), "the command has to run for it, too");
    assert_eq!(refused(&mut link, RollbackTo::Newer), Reason::Missing);
    observed(rollback(&mut link, RollbackTo::Previous));
}

#[test]
fn a_new_pair_ends_the_rollback() {
    let place = place();
    let mut link = place.start();
    for serial in 1..=2 {
        link.issue(&place.ca, "web", &Leaf { serial, ..Leaf::good() });
    }
    observed(rollback(&mut link, RollbackTo::Previous));
    let third = link.issue(&place.ca, "web", &Leaf { serial: 3, ..Leaf::good() });
    assert_eq!(third.ledger.rolled_back, None);
    assert_eq!(refused(&mut link, RollbackTo::Newer), Reason::Missing);
    let back = observed(rollback(&mut link, RollbackTo::Previous));
    assert_eq!(back.live.leaf.unwrap().serial, "01", "the pair that was in place before the third");
}

#[test]
fn without_a_previous_pair_nothing_is_put_back() {
    let place = place();
    let mut link = place.start();
    assert_eq!(refused(&mut link, RollbackTo::Previous), Reason::Missing);
    link.issue(&place.ca, "web", &Leaf::good());
    for to in [RollbackTo::Previous, RollbackTo::Newer] {
        assert_eq!(refused(&mut link, to), Reason::Missing);
    }
}

#[test]
fn a_pair_that_would_not_serve_is_not_put_back() {
    let place = place();
    let now = OffsetDateTime::now_utc();
    let expired = Leaf { not_after: now - Duration::seconds(1), ..Leaf::good() };
    let foreign = Ca::new();
    let (good, other) = (place.ca.pair(&Leaf::good()), place.ca.pair(&Leaf::good()));
    let cases = [
        (place.ca.pair(&expired), Reason::Expired),
        (foreign.pair(&Leaf::good()), Reason::Issuer),
        ((good.0.clone(), other.1), Reason::KeyMismatch),
        (("garbage".to_owned(), good.1), Reason::Unreadable),
    ];
    for ((cert, key), reason) in cases {
        let mut link = place.start();
        link.issue(&place.ca, "web", &Leaf::good());
        let newer = link.issue(&place.ca, "web", &Leaf::good());
        link.end();
        replace_previous(&place, &cert, &key);
        let mut link = place.start();
        assert_eq!(refused(&mut link, RollbackTo::Previous), reason);
        assert_eq!(link.observe("web").live, newer.live, "nothing was changed");
    }
}

/// Makes the kept pair before the present one hold this certificate and key, as if they had been installed.
fn replace_previous(place: &Place, cert: &str, key: &str) {
    let home = fs::read_dir(place.path("state/entries")).unwrap().next().unwrap().unwrap().path();
    let mut kept: Vec<_> =
        fs::read_dir(home.join("generations")).unwrap().map(|file| file.unwrap().path()).collect();
    kept.sort();
    let record = fs::read_to_string(&kept[0]).unwrap();
    let (head, summed) = record.split_once('\n').unwrap();
    let (_, body) = summed.split_once('\n').unwrap();
    let mut head: serde_json::Value = serde_json::from_str(head).unwrap();
    let length = |part: &str| usize::try_from(head["lengths"][part].as_u64().unwrap()).unwrap();
    let rest = body[length("key") + length("cert")..].to_owned();
    let sum = |bytes: &str| phoenix_store::sha256_hex(bytes.as_bytes());
    head["meta"]["sums"]["key"] = sum(key).into();
    head["meta"]["sums"]["cert"] = sum(cert).into();
    head["meta"]["sums"]["pair"] = sum(&format!("{}\n{key}", cert.trim_end())).into();
    head["lengths"]["key"] = key.len().into();
    head["lengths"]["cert"] = cert.len().into();
    let head = head.to_string();
    fs::write(&kept[0], format!("{head}\n{}\n{key}{cert}{rest}", sum(&head))).unwrap();
}
