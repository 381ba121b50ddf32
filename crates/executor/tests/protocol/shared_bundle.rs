//! Entries of different issuers that share a roots bundle do not fight over it.

use std::fs;

use phoenix_protocol::executor::Operation;
use serde_json::json;

use crate::ca::{Ca, Leaf};
use crate::rig::{Link, Place, observed};

#[test]
fn a_shared_bundle_holds_the_roots_of_all_and_suits_each() {
    let place = Place::new(&json!([]));
    let bundle = place.text("target/ca.pem");
    let (both, new) = (place.ca.root_pem() + &Ca::new().root_pem(), Ca::new().root_pem());
    let entry = |name: &str| {
        place.web(&json!({
            "name": name, "ca_path": bundle,
            "cert_path": place.text(&format!("target/{name}/cert.pem")),
            "key_path": place.text(&format!("target/{name}/key.pem")),
        }))
    };
    place.manifest(&json!([entry("one"), entry("two")]));
    let mut link = place.start();
    link.issue(&place.ca, "one", &Leaf::good());
    link.issue(&place.ca, "two", &Leaf::good());
    let count = || fs::read_to_string(&bundle).unwrap().matches("BEGIN CERTIFICATE").count();
    assert_eq!(count(), 1);

    // The CA's next root stands beside the present one, and only one of the two has been renewed since.
    link.end();
    place.write("root.pem", &both, 0o644);
    fs::remove_dir_all(place.path("state/issuers/phoenix")).unwrap();
    let mut link = place.start();
    link.issue(&place.ca, "one", &Leaf::good());
    assert_eq!(count(), 2);
    for name in ["one", "two"] {
        assert!(!link.observe(name).live.companions_differ, "{name} would write its own");
    }

    // What belongs to none of them does not stay.
    fs::write(&bundle, both.clone() + &new).unwrap();
    assert!(link.observe("two").live.companions_differ);
    // Nor is it enough that something of the sort lies there.
    fs::write(&bundle, new).unwrap();
    assert!(link.observe("two").live.companions_differ);
    fs::remove_file(&bundle).unwrap();
    assert!(link.observe("two").live.companions_differ);
    link.end();
}

/// Two pairs of two CAs, each with an issuer of its own, that were there before us.
struct Two {
    place: Place,
    other: Ca,
}

impl Two {
    fn new() -> Self {
        let (place, other) = (Place::new(&json!([])), Ca::new());
        let configuration = fs::read_to_string(place.path("certd.toml")).unwrap();
        let (before, after) = configuration.split_once("name = \"other\"").unwrap();
        let after = after.replace(&place.text("root.pem"), &place.text("other.pem"));
        place.write("certd.toml", &format!("{before}name = \"other\"{after}"), 0o644);
        place.write("other.pem", &other.root_pem(), 0o644);
        for (name, ca) in [("one", &place.ca), ("two", &other)] {
            fs::create_dir(place.path(&format!("target/{name}"))).unwrap();
            let (chain, key) = ca.pair(&Leaf::good());
            place.write(&format!("target/{name}/cert.pem"), &chain, 0o644);
            place.write(&format!("target/{name}/key.pem"), &key, 0o600);
        }
        Self { place, other }
    }

    /// Both entries, with their roots bundles there.
    fn manifest(&self, bundles: [&str; 2]) {
        let entry = |name: &str, issuer: &str, bundle: &str| {
            self.place.web(&json!({
                "name": name, "issuer": issuer, "ca_path": self.place.text(bundle),
                "cert_path": self.place.text(&format!("target/{name}/cert.pem")),
                "key_path": self.place.text(&format!("target/{name}/key.pem")),
            }))
        };
        self.place
            .manifest(&json!([entry("one", "phoenix", bundles[0]), entry("two", "other", bundles[1]),]));
    }

    fn adopt(link: &mut Link) {
        for name in ["one", "two"] {
            let entry = link.entry(name);
            observed(link.ask(Operation::Adopt { entry }));
        }
    }

    /// Puts the copies of those back that find the bundle wrong, until nobody does; how often that was.
    fn writes(link: &mut Link) -> usize {
        let mut writes = 0;
        for name in ["one", "two"].into_iter().cycle().take(8) {
            if link.observe(name).live.companions_differ {
                writes += 1;
                let entry = link.entry(name);
                observed(link.ask(Operation::Restore { entry }));
            }
        }
        writes
    }

    fn roots_in(&self, bundle: &str) -> Vec<bool> {
        let text = fs::read_to_string(self.place.path(bundle)).unwrap();
        [&self.place.ca, &self.other].map(|ca| text.contains(ca.root_pem().trim())).to_vec()
    }
}

#[test]
fn pairs_that_were_taken_over_complete_a_shared_bundle_once() {
    let two = Two::new();
    two.manifest(["target/ca.pem", "target/ca.pem"]);
    two.place.write("target/ca.pem", &two.place.ca.root_pem(), 0o644);
    let mut link = two.place.start();
    Two::adopt(&mut link);
    assert_eq!(Two::writes(&mut link), 1);
    assert_eq!(two.roots_in("target/ca.pem"), [true, true]);
    link.end();
}

#[test]
fn pairs_whose_own_copies_are_from_before_they_shared_a_bundle_complete_it_once() {
    let two = Two::new();
    two.manifest(["target/one/ca.pem", "target/two/ca.pem"]);
    let mut link = two.place.start();
    Two::adopt(&mut link);
    Two::writes(&mut link);
    assert_eq!(two.roots_in("target/one/ca.pem"), [true, false]);
    assert_eq!(two.roots_in("target/two/ca.pem"), [false, true]);
    two.manifest(["target/ca.pem", "target/ca.pem"]);
    assert_eq!(Two::writes(&mut link), 1);
    assert_eq!(two.roots_in("target/ca.pem"), [true, true]);
    link.end();
}

#[test]
fn what_a_shared_bundle_lacks_while_an_issuer_has_no_root_is_told() {
    let two = Two::new();
    two.manifest(["target/ca.pem", "target/ca.pem"]);
    fs::remove_file(two.place.path("other.pem")).unwrap();
    let mut link = two.place.start();
    let told = |link: &mut Link, issuer: &str| {
        let facts = link.snapshot().issuers;
        let facts = facts.iter().find(|facts| facts.name.as_str() == issuer).unwrap();
        facts.warnings.iter().any(|warning| {
            warning.contains(&two.place.text("target/ca.pem")) && warning.contains("no root of issuer other")
        })
    };
    assert!(told(&mut link, "other"));
    assert!(!told(&mut link, "phoenix"), "it has one");
    two.manifest(["target/one/ca.pem", "target/two/ca.pem"]);
    assert!(!told(&mut link, "other"), "nobody shares what it would be lacking in");
    two.manifest(["target/ca.pem", "target/ca.pem"]);
    two.place.write("other.pem", &two.other.root_pem(), 0o644);
    assert!(!told(&mut link, "other"), "it is there");
    link.end();
}
