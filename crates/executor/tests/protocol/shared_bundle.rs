//! Entries of different issuers that share a roots bundle do not fight over it.

use std::fs;

use serde_json::json;

use crate::ca::{Ca, Leaf};
use crate::rig::Place;

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
    fs::remove_file(place.path("state/issuers/phoenix/roots.pem")).unwrap();
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
