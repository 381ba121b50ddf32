//! Root rotation, and records of ACME challenges.

use std::fs;

use phoenix_core::reason::{Reason, Trouble};
use phoenix_protocol::executor::{Answer, ChallengeStep, Operation};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::json;

use crate::ca::{Ca, Leaf};
use crate::rig::{Link, Place, observed};

fn install_roots(link: &mut Link) -> Result<Answer, Trouble> {
    let entry = link.entry("web");
    link.ask(Operation::InstallRoots { entry })
}

#[test]
fn a_root_that_was_accepted_gets_into_the_bundle_without_a_new_certificate() {
    let place = Place::new(&json!([]));
    let bundle = place.text("target/web/ca.pem");
    let command = [place.text("bin/hook"), place.text("log")];
    place.manifest(&json!([place.web(&json!({"ca_path": bundle, "post_renewal_command": command}))]));
    let mut link = place.start();
    assert_eq!(install_roots(&mut link).unwrap_err().reason, Reason::Missing);
    let before = link.issue(&place.ca, "web", &Leaf::good());
    link.activate(&["web"]).unwrap();
    let same = observed(install_roots(&mut link));
    assert!(same.ledger.activated.is_some(), "nothing was to be done");

    // The CA's next root stands beside the present one, and the operator has accepted both.
    let both = place.ca.root_pem() + &Ca::new().root_pem();
    link.end();
    place.write("root.pem", &both, 0o644);
    fs::remove_dir_all(place.path("state/issuers/phoenix")).unwrap();
    let mut link = place.start();
    let after = observed(install_roots(&mut link));
    let written = fs::read_to_string(&bundle).unwrap();
    assert_eq!(written.matches("BEGIN CERTIFICATE").count(), 2);
    assert_eq!((after.live.leaf, after.live.key), (before.live.leaf, before.live.key));
    assert!(!after.live.companions_differ);
    assert_eq!(after.ledger.activated, None, "whoever reads the bundle has to be told");
}

#[test]
fn a_command_that_ends_after_the_roots_have_changed_counts_for_nothing() {
    let place = Place::new(&json!([]));
    for gate in ["started", "gate"] {
        mknodat(CWD, place.path(gate), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    }
    place.program("free", "#!/bin/sh\necho >\"$1\" && read -r go <\"$2\"\n");
    let command = [place.text("bin/free"), place.text("started"), place.text("gate")];
    let bundle = place.text("target/web/ca.pem");
    place.manifest(&json!([place.web(&json!({"ca_path": bundle, "post_renewal_command": command}))]));
    let mut link = place.start();
    link.issue(&place.ca, "web", &Leaf::good());
    link.end();
    place.write("root.pem", &(place.ca.root_pem() + &Ca::new().root_pem()), 0o644);
    fs::remove_dir_all(place.path("state/issuers/phoenix")).unwrap();

    let mut link = place.start();
    let entries = vec![link.entry("web")];
    let id = link.send(Operation::Activate { entries });
    assert_eq!(fs::read_to_string(place.path("started")).unwrap(), "\n");
    observed(install_roots(&mut link));
    fs::write(place.path("gate"), "go\n").unwrap();
    let response = link.receive();
    assert_eq!((response.id, response.result.unwrap_err().reason), (id, Reason::Stale));
    assert_eq!(link.observe("web").ledger.activated, None, "it read the old roots");
}

#[test]
fn a_certificate_of_no_pinned_root_gets_no_bundle() {
    let place = Place::new(&json!([]));
    place.manifest(&json!([place.web(&json!({"ca_path": place.text("target/web/ca.pem")}))]));
    let mut link = place.start();
    link.issue(&place.ca, "web", &Leaf::good());
    link.end();
    let before = fs::read(place.path("target/web/ca.pem")).unwrap();
    place.write("root.pem", &Ca::new().root_pem(), 0o644);
    fs::remove_dir_all(place.path("state/issuers/phoenix")).unwrap();
    let mut link = place.start();
    assert_eq!(install_roots(&mut link).unwrap_err().reason, Reason::Issuer);
    assert_eq!(fs::read(place.path("target/web/ca.pem")).unwrap(), before);
}

const VALUE: &str = "-eLtYxVdXGFvKHhhNZH1pGhsyPbcGXaL0eZ1dC1oTWk";

fn with_hook() -> Place {
    let place = Place::new(&json!([]));
    let configuration = fs::read_to_string(place.path("certd.toml")).unwrap();
    let acme = format!(
        "[[issuer]]\nname = \"acme\"\ntype = \"acme\"\ndirectory = \"https://ca.internal.example/acme\"\n\
         root = \"{}\"\nchallenge = \"dns-01\"\ndns_hook = [\"{}\", \"--zone\", \"internal\"]\n",
        place.text("root.pem"),
        place.text("bin/hook"),
    );
    place.write("certd.toml", &(configuration + &acme), 0o644);
    let hook = format!(
        "#!/bin/sh\n[ $# = 5 ] && [ \"$5\" = {VALUE} ] || exit 9\necho \"$@\" >&2\n[ \"$3\" = present ]\n"
    );
    place.program("hook", &hook);
    let names = json!({"issuer": ["acme", "phoenix"], "sans": ["10.0.0.7", "*.wild.internal.example"]});
    place.manifest(&json!([place.web(&names)]));
    place
}

fn challenge(
    link: &mut Link,
    issuer: &str,
    step: ChallengeStep,
    domain: &str,
    value: &str,
) -> Result<Answer, Trouble> {
    let (entry, issuer) = (link.entry("web"), issuer.parse().unwrap());
    link.ask(Operation::Challenge { entry, issuer, step, domain: domain.into(), value: value.into() })
}

#[test]
fn the_hook_publishes_and_withdraws_records_of_the_entrys_names() {
    let place = with_hook();
    let mut link = place.start();
    for domain in ["web.internal.example", "wild.internal.example"] {
        challenge(&mut link, "acme", ChallengeStep::Present, domain, VALUE).unwrap();
    }
    // This hook fails when it is to withdraw something, and says how it was called.
    let trouble =
        challenge(&mut link, "acme", ChallengeStep::Remove, "wild.internal.example", VALUE).unwrap_err();
    assert_eq!(trouble.reason, Reason::CommandFailed);
    let called = "exited with code 1: --zone internal remove _acme-challenge.wild.internal.example";
    assert!(trouble.message.contains(called), "{trouble}");
}

#[test]
fn nothing_is_published_for_other_names_or_with_other_content() {
    let place = with_hook();
    let mut link = place.start();
    let long = "x".repeat(100_000);
    for (issuer, domain, value) in [
        ("acme", "evil.example", VALUE),
        ("acme", "internal.example", VALUE),
        ("acme", "10.0.0.7", VALUE),
        ("acme", "*.wild.internal.example", VALUE),
        ("acme", "web.internal.example; reboot", VALUE),
        ("acme", "", VALUE),
        ("acme", "web.internal.example", ""),
        ("acme", "web.internal.example", &VALUE[1..]),
        ("acme", "web.internal.example", "$(reboot)$(reboot)$(reboot)$(reboot)$(reboo"),
        ("acme", "web.internal.example", &long),
        ("phoenix", "web.internal.example", VALUE),
        ("other", "web.internal.example", VALUE),
    ] {
        let refused = challenge(&mut link, issuer, ChallengeStep::Present, domain, value).unwrap_err();
        assert_eq!(refused.reason, Reason::BadRequest, "{issuer} {domain} {refused}");
    }
}
