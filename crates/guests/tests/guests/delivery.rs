//! Deliveries through the stand-ins of `pct` and `qm` into guests.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use phoenix_core::manifest::{Guest, GuestKind, Mode};
use phoenix_core::reason::{Reason, Trouble};
use phoenix_guests::{Delivery, GuestFile, Hypervisor, LEGACY_CERT, LEGACY_KEY, Programs, delivery};
use phoenix_sandbox::{Cancel, Ended};
use phoenix_testkit::guests::Fault;

use crate::reach::{Bed, LXC, VM};
use crate::runners::{Plain, Scripted, finished};

const KEY: &str = "-----BEGIN PRIVATE KEY-----\nbm90IGEga2V5\n-----END PRIVATE KEY-----\n";

fn pair(guest: Guest, directory: &str, exclusive: bool) -> Delivery {
    let file = |name: &str, content: &str, mode| GuestFile {
        path: format!("{directory}/{name}").parse().unwrap(),
        content: content.as_bytes().to_vec().into(),
        owner: None,
        mode: Mode(mode),
        exclusive,
    };
    Delivery { guest, files: vec![file("key.pem", KEY, 0o600), file("cert.pem", "CERTIFICATE", 0o644)] }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn a_pair_arrives_in_both_kinds_of_guests_and_the_key_is_on_no_command_line() {
    let bed = Bed::new();
    for guest in [LXC, VM] {
        let root = bed.guests.root(guest.id).unwrap();
        pair(guest, "/etc/traefik/certs", false).deliver(&bed.hypervisor()).unwrap();
        let (key, cert) = (root.join("etc/traefik/certs/key.pem"), root.join("etc/traefik/certs/cert.pem"));
        assert_eq!((fs::read_to_string(&key).unwrap().as_str(), mode(&key)), (KEY, 0o600));
        assert_eq!((fs::read_to_string(&cert).unwrap().as_str(), mode(&cert)), ("CERTIFICATE", 0o644));
    }
    let calls = bed.guests.calls();
    assert_eq!(calls.len(), 2);
    for call in calls {
        assert!(call.carries_key, "the key came through standard input");
        assert!(!call.line().contains("bm90IGEga2V5") && !format!("{:?}", call.env).contains("bm90IGEga2V5"));
    }
}

#[test]
fn legacy_copies_are_made_and_removed() {
    let bed = Bed::new();
    for guest in [LXC, VM] {
        let root = bed.guests.root(guest.id).unwrap();
        pair(guest, "/tmp", true).deliver(&bed.hypervisor()).unwrap();
        pair(guest, "/tmp", true).deliver(&bed.hypervisor()).unwrap();
        assert_eq!(fs::read_to_string(root.join(&LEGACY_KEY[1..])).unwrap(), KEY);
        delivery::remove(&bed.hypervisor(), guest, &[LEGACY_CERT, LEGACY_KEY]).unwrap();
        assert_eq!(fs::read_dir(root.join("tmp")).unwrap().count(), 0);
        delivery::remove(&bed.hypervisor(), guest, &[LEGACY_CERT, LEGACY_KEY]).unwrap();
    }
}

#[test]
fn a_guest_that_cannot_be_reached_is_told_with_its_reason() {
    let bed = Bed::new();
    let attempt = |guest| -> Trouble { pair(guest, "/tmp", true).deliver(&bed.hypervisor()).unwrap_err() };
    bed.guests.spoil(LXC.id, Fault::Off, "");
    bed.guests.spoil(VM.id, Fault::NoAgent, "");
    assert_eq!(attempt(LXC).reason, Reason::GuestOff);
    assert_eq!(attempt(VM).reason, Reason::AgentMissing);
    bed.guests.spoil(VM.id, Fault::Off, "");
    assert_eq!(attempt(VM).reason, Reason::GuestOff);
    let absent = attempt(Guest { kind: GuestKind::Lxc, id: 999 });
    assert_eq!(absent.reason, Reason::GuestAbsent);
    assert!(absent.message.starts_with("copying the files (LXC 999) failed"), "{absent}");
    assert_eq!(attempt(Guest { kind: GuestKind::Vm, id: 102 }).reason, Reason::GuestAbsent);
    bed.guests.mend(LXC.id);
    bed.guests.spoil(LXC.id, Fault::Exit(1), "");
    assert_eq!(attempt(LXC).reason, Reason::NotDelivered);
}

#[test]
fn a_program_that_only_claims_success_is_not_believed() {
    let programs = Programs { pct: "/bin/true".into(), qm: "/bin/true".into() };
    let cancel = Cancel::never();
    let hypervisor = Hypervisor::new(&Plain, &programs, &cancel);
    let lie = pair(LXC, "/tmp", true).deliver(&hypervisor).unwrap_err();
    assert_eq!(lie.reason, Reason::DeliveryDiffers, "{lie}");
    assert!(lie.message.contains("/tmp/key.pem, /tmp/cert.pem"), "{lie}");
    assert!(pair(VM, "/tmp", true).deliver(&hypervisor).unwrap_err().message.contains("answered nothing"));
}

#[test]
fn an_answer_that_lies_about_what_arrived_is_not_believed() {
    let line = |content: &str| {
        let sum = sha256(content);
        format!("{sum} -rw------- 0 0")
    };
    let (key, cert) = (line(KEY), line("CERTIFICATE"));
    let truth = format!("{key}\n{cert}\n");
    let lies = [
        String::new(),
        key.clone(),
        format!("{cert}\n{key}\n"),
        format!("{truth}{truth}"),
        format!("{truth}\n"),
        format!("{}{}", truth.to_uppercase(), ""),
        "missing\nmissing\n".to_owned(),
        truth.replace("-rw", "drw"),
        truth[..truth.len() - 3].to_owned(),
    ];
    let ask = |out: &str| {
        let answer = serde_json::json!({"exitcode": 0, "exited": 1, "out-data": out}).to_string();
        let runner = Scripted::new([finished(Ended::Exited(0), answer.as_bytes(), b"")]);
        let (programs, cancel) = (Programs::default(), Cancel::never());
        pair(VM, "/etc", false).deliver(&Hypervisor::new(&runner, &programs, &cancel))
    };
    assert!(ask(&truth).is_ok());
    for lie in lies {
        assert_eq!(ask(&lie).unwrap_err().reason, Reason::DeliveryDiffers, "{lie}");
    }
}

fn sha256(content: &str) -> String {
    use aws_lc_rs::digest::{SHA256, digest};
    let sum = digest(&SHA256, content.as_bytes());
    sum.as_ref().iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}
