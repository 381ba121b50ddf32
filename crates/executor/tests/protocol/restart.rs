//! What outlives the executor.

use std::fs;

use serde_json::json;

use crate::ca::Leaf;
use crate::rig::Place;

#[test]
fn deeds_and_copies_outlive_the_executor() {
    let place = Place::new(&json!([]));
    let command = [place.text("bin/hook"), place.text("log")];
    place.manifest(&json!([place.web(&json!({"post_renewal_command": command}))]));
    let mut link = place.start();
    link.issue(&place.ca, "web", &Leaf::good());
    link.activate(&["web"]).unwrap();
    let before = link.observe("web");
    link.end();
    let mut link = place.start();
    let after = link.observe("web");
    assert_eq!((after.live, after.own, after.ledger), (before.live, before.own, before.ledger));
}

#[test]
fn a_staged_key_waits_for_its_certificate_over_a_restart() {
    let place = Place::new(&json!([]));
    place.manifest(&json!([place.web(&json!({}))]));
    let mut link = place.start();
    let (stage, csr) = link.prepare("web");
    link.end();
    let mut link = place.start();
    link.install("web", &stage, &place.ca.sign(&csr, &Leaf::good())).unwrap();
}

#[test]
fn a_renamed_entry_keeps_its_state() {
    let place = Place::new(&json!([]));
    place.manifest(&json!([place.web(&json!({}))]));
    let mut link = place.start();
    let before = link.issue(&place.ca, "web", &Leaf::good());
    let mut renamed = place.web(&json!({}));
    renamed["name"] = "renamed".into();
    place.manifest(&json!([renamed]));
    assert_eq!(link.observe("renamed").own, before.own);
}

#[test]
fn secrets_in_the_state_are_for_nobody_else() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new(&json!([]));
    place.manifest(&json!([place.web(&json!({}))]));
    let mut link = place.start();
    link.issue(&place.ca, "web", &Leaf::good());
    link.prepare("web");
    let mut pending = vec![place.path("state")];
    let mut files = 0;
    while let Some(path) = pending.pop() {
        let facts = fs::symlink_metadata(&path).unwrap();
        assert_eq!(facts.permissions().mode() & 0o077, 0, "{}", path.display());
        if facts.is_dir() {
            pending.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            files += 1;
        }
    }
    assert!(files >= 6, "{files}");
}
