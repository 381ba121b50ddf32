//! Deliveries into guests, and commands in them, through stand-ins of `pct` and `qm`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use phoenix_core::facts::Observation;
use phoenix_core::reason::{Reason, Trouble};
use phoenix_protocol::executor::{Answer, Operation};
use phoenix_testkit::guests::{Fault, Guests, Kind};
use serde_json::{Value, json};

use crate::ca::Leaf;
use crate::rig::{Link, Place};

fn place(more: &Value) -> (Place, Guests) {
    let place = Place::new(&json!([]));
    let guests = Guests::new(&place.dir).unwrap();
    place.manifest(&json!([place.web(more)]));
    (place, guests)
}

fn deliver(link: &mut Link) -> Result<Observation, Trouble> {
    let entry = link.entry("web");
    match link.ask(Operation::Deliver { entry })? {
        Answer::Done { mut observations } => Ok(observations.remove(0)),
        other => panic!("{other:?}"),
    }
}

/// A command that keeps what it finds in `/tmp`, as the operator's do.
fn pick_up(program: &str) -> String {
    format!(
        "{program} -- /bin/sh -c 'mkdir -p /etc/web && mv /tmp/cert.pem /tmp/key.pem /tmp/ca.pem /etc/web/'"
    )
}

#[test]
fn explicit_destinations_are_written_and_remembered() {
    for (id, kind, word) in [(102, Kind::Lxc, "lxc"), (1001, Kind::Vm, "vm")] {
        let (place, guests) = place(&json!({
            "guest_id": id, "guest_type": word, "include_ca": true,
            "deliver": {"cert": "/etc/web/cert.pem", "key": "/etc/web/key.pem", "ca": "/etc/web/ca.pem"},
        }));
        let root = guests.add(id, kind).unwrap();
        fs::create_dir_all(root.join("etc/web")).unwrap();
        let mut link = place.start();
        link.issue(&place.ca, "web", &Leaf::good());
        let seen = deliver(&mut link).unwrap();
        let deed = seen.ledger.delivered.unwrap();
        assert_eq!(Some(deed.of), seen.delivery_digest);
        assert_eq!(deed.fingerprint, seen.live.leaf.unwrap().fingerprint);
        for name in ["cert.pem", "key.pem"] {
            let (there, here) = (root.join("etc/web").join(name), place.path("target/web").join(name));
            assert_eq!(fs::read(there).unwrap(), fs::read(here).unwrap(), "{word} {name}");
        }
        let mode = fs::metadata(root.join("etc/web/key.pem")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(fs::read_to_string(root.join("etc/web/ca.pem")).unwrap().contains("BEGIN CERTIFICATE"));
        let key = fs::read_to_string(place.path("target/web/key.pem")).unwrap();
        let secret = key.lines().nth(1).unwrap();
        assert!(guests.lines().iter().all(|line| !line.contains(secret)));
    }
}

#[test]
fn copies_in_tmp_and_their_command_are_one() {
    for (id, kind, word, program) in
        [(102, Kind::Lxc, "lxc", "pct exec 102"), (1001, Kind::Vm, "vm", "qm guest exec 1001")]
    {
        let (place, guests) = place(&json!({
            "guest_id": id, "guest_type": word, "include_ca": true, "post_renewal_command": pick_up(program),
        }));
        let root = guests.add(id, kind).unwrap();
        let mut link = place.start();
        link.issue(&place.ca, "web", &Leaf::good());
        assert_eq!(deliver(&mut link).unwrap_err().reason, Reason::BadRequest);
        let seen = link.activate(&["web"]).unwrap().remove(0);
        assert!(seen.ledger.activated.is_some() && seen.ledger.delivered.is_some());
        let key = fs::read(root.join("etc/web/key.pem")).unwrap();
        assert_eq!(key, fs::read(place.path("target/web/key.pem")).unwrap());
        assert!(!root.join("tmp/key.pem").exists());
    }
}

#[test]
fn a_command_that_fails_leaves_no_copies_and_nothing_counts_as_delivered() {
    let (place, guests) = place(&json!({
        "guest_id": 1001, "guest_type": "vm", "include_ca": true,
        "post_renewal_command": "qm guest exec 1001 -- /bin/sh -c 'echo no such unit >&2; exit 5'",
    }));
    let root = guests.add(1001, Kind::Vm).unwrap();
    let mut link = place.start();
    link.issue(&place.ca, "web", &Leaf::good());
    let trouble = link.activate(&["web"]).unwrap_err();
    assert_eq!(trouble.reason, Reason::CommandFailed, "{trouble}");
    assert!(trouble.message.contains("no such unit"), "{trouble}");
    for name in ["cert.pem", "key.pem", "ca.pem"] {
        assert!(!root.join("tmp").join(name).exists(), "{name}");
    }
    let ledger = link.observe("web").ledger;
    assert_eq!((ledger.activated, ledger.delivered), (None, None));
}

#[test]
fn a_guest_that_is_away_is_waited_for() {
    let (place, guests) = place(&json!({
        "guest_id": 102, "guest_type": "lxc", "include_ca": true, "post_renewal_command": pick_up("pct exec 102"),
    }));
    let mut link = place.start();
    link.issue(&place.ca, "web", &Leaf::good());
    assert_eq!(link.activate(&["web"]).unwrap_err().reason, Reason::GuestAbsent);
    guests.add(102, Kind::Lxc).unwrap();
    guests.spoil(102, Fault::Off, "");
    assert_eq!(link.activate(&["web"]).unwrap_err().reason, Reason::GuestOff);
    guests.mend(102);
    link.activate(&["web"]).unwrap();
}

#[test]
fn a_guest_program_that_others_can_write_gets_no_keys() {
    let (place, guests) = place(&json!({
        "guest_id": 102, "guest_type": "lxc", "deliver": {"key": "/etc/key.pem", "cert": "/etc/cert.pem"},
    }));
    guests.add(102, Kind::Lxc).unwrap();
    let mut link = place.start();
    link.issue(&place.ca, "web", &Leaf::good());
    crate::rig::chmod(&guests.program("pct"), 0o757);
    assert_eq!(deliver(&mut link).unwrap_err().reason, Reason::CommandRefused);
    assert!(guests.calls().is_empty());
}
