//! `recheck`: guests that no longer have what was delivered to them.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use phoenix_core::facts::Observation;
use phoenix_core::reason::{Reason, RetryClass, Trouble};
use phoenix_protocol::executor::{Answer, Operation};
use phoenix_testkit::guests::{Fault, Guests, Kind};
use serde_json::{Value, json};

use crate::ca::Leaf;
use crate::rig::{Link, Place};

struct Bed {
    place: Place,
    guests: Guests,
    link: Link,
    root: PathBuf,
}

impl Bed {
    /// An entry whose certificate has been delivered into its guest, and whose command has run.
    fn new(kind: Kind, command: &str) -> Self {
        let (id, word, exec) = match kind {
            Kind::Lxc => (102, "lxc", "pct exec 102"),
            Kind::Vm => (1001, "vm", "qm guest exec 1001"),
        };
        let mut bed = Self::with(
            id,
            kind,
            &json!({
                "guest_id": id, "guest_type": word, "include_ca": true,
                "deliver": {"cert": "/etc/web/cert.pem", "key": "/etc/web/key.pem", "ca": "/etc/web/ca.pem"},
                "post_renewal_command": format!("{exec} -- /bin/sh -c '{command}'"),
            }),
        );
        bed.deliver();
        bed.link.activate(&["web"]).unwrap();
        bed
    }

    fn with(id: u32, kind: Kind, more: &Value) -> Self {
        let place = Place::new(&json!([]));
        let guests = Guests::new(&place.dir).unwrap();
        place.manifest(&json!([place.web(more)]));
        let root = guests.add(id, kind).unwrap();
        let mut link = place.start();
        link.issue(&place.ca, "web", &Leaf::good());
        Self { place, guests, link, root }
    }

    fn deliver(&mut self) {
        let entry = self.link.entry("web");
        self.link.ask(Operation::Deliver { entry }).unwrap();
    }

    fn recheck(&mut self) -> Result<Observation, Trouble> {
        let entry = self.link.entry("web");
        match self.link.ask(Operation::Recheck { entry })? {
            Answer::Observed(observation) => Ok(*observation),
            other => panic!("{other:?}"),
        }
    }

    /// What the ledger says after a recheck: delivered, activated.
    fn rechecked(&mut self) -> (bool, bool) {
        let ledger = self.recheck().unwrap().ledger;
        (ledger.delivered.is_some(), ledger.activated.is_some())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.root.join("etc/web").join(name)
    }
}

const ALL: (bool, bool) = (true, true);
const NOTHING: (bool, bool) = (false, false);

#[test]
fn an_old_certificate_that_a_restored_guest_brings_back_is_noticed_and_replaced() {
    for kind in [Kind::Lxc, Kind::Vm] {
        let mut bed = Bed::new(kind, "true");
        assert_eq!(bed.rechecked(), ALL);
        let backup = fs::read(bed.file("cert.pem")).unwrap();
        bed.link.issue(&bed.place.ca, "web", &Leaf::good());
        bed.deliver();
        bed.link.activate(&["web"]).unwrap();
        assert_eq!(bed.rechecked(), ALL);
        fs::write(bed.file("cert.pem"), &backup).unwrap();
        assert_eq!(bed.rechecked(), NOTHING, "the command has to run again for what is delivered again");
        assert_eq!(bed.rechecked(), NOTHING);
        bed.deliver();
        assert_ne!(fs::read(bed.file("cert.pem")).unwrap(), backup);
        assert_eq!(bed.rechecked(), (true, false));
    }
}

#[test]
fn whatever_took_the_place_of_a_file_is_not_what_was_delivered() {
    let mut bed = Bed::new(Kind::Lxc, "true");
    let key = bed.file("key.pem");
    let remove = |path: &Path| fs::remove_file(path).unwrap();
    let deeds: [&dyn Fn(); 6] = [
        &|| remove(&key),
        &|| fs::write(&key, "").unwrap(),
        &|| {
            fs::rename(&key, key.with_extension("old")).unwrap();
            symlink("key.old", &key).unwrap();
        },
        &|| {
            remove(&key);
            assert!(Command::new("mkfifo").arg(&key).status().unwrap().success());
        },
        // Larger than anything that is read.
        &|| fs::File::create(&key).unwrap().set_len(1 << 40).unwrap(),
        &|| fs::File::options().append(true).open(&key).unwrap().set_len(4).unwrap(),
    ];
    for deed in deeds {
        bed.link.issue(&bed.place.ca, "web", &Leaf::good());
        bed.deliver();
        deed();
        assert_eq!(bed.rechecked(), NOTHING);
        bed.deliver();
        assert_eq!(bed.rechecked(), (true, false));
    }
}

#[test]
fn another_owner_or_mode_is_noticed_and_the_command_runs_again_too() {
    let mut bed = Bed::new(Kind::Lxc, "true");
    assert_eq!(bed.rechecked(), ALL);
    fs::set_permissions(bed.file("key.pem"), fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(bed.rechecked(), NOTHING);
    bed.deliver();
    bed.link.activate(&["web"]).unwrap();
    assert_eq!(bed.rechecked(), ALL);
    chown(bed.file("key.pem"), Some(33), Some(33)).unwrap();
    assert_eq!(bed.rechecked(), NOTHING);
}

#[test]
fn owners_and_modes_that_a_command_changes_after_it_returned_are_how_they_are_meant_to_be() {
    let mut bed = Bed::new(Kind::Lxc, "true");
    chown(bed.file("key.pem"), Some(33), Some(33)).unwrap();
    assert_eq!((bed.rechecked(), bed.rechecked()), (ALL, ALL));
    fs::set_permissions(bed.file("key.pem"), fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(bed.rechecked(), NOTHING, "not at any later time");
}

#[test]
fn a_guest_that_cannot_be_asked_after_its_command_is_believed_when_it_still_has_what_is_ours() {
    let mut bed = Bed::new(Kind::Vm, "ln -sf /bin/false /opt/bin/sha256sum");
    assert_eq!(bed.link.observe("web").ledger.settled, None);
    fs::remove_file(bed.root.join("opt/bin/sha256sum")).unwrap();
    assert_eq!((bed.rechecked(), bed.rechecked()), (ALL, ALL));
    assert!(bed.link.observe("web").ledger.settled.is_some());
}

#[test]
fn a_guest_that_shows_other_files_again_and_again_is_left_alone_until_the_next_certificate() {
    let mut bed = Bed::new(Kind::Lxc, "echo ran >>/etc/web/runs");
    for _ in 0..3 {
        fs::write(bed.file("cert.pem"), "other").unwrap();
        assert_eq!(bed.rechecked(), NOTHING);
        bed.deliver();
        bed.link.activate(&["web"]).unwrap();
        assert_eq!(bed.rechecked(), ALL);
    }
    fs::write(bed.file("cert.pem"), "other").unwrap();
    for _ in 0..3 {
        let trouble = bed.recheck().unwrap_err();
        assert_eq!((trouble.reason, trouble.reason.class()), (Reason::ForeignWriter, RetryClass::Blocked));
        assert!(trouble.message.contains("LXC 102") && trouble.message.contains("3 times"), "{trouble}");
    }
    assert_eq!(fs::read_to_string(bed.file("runs")).unwrap().lines().count(), 4);
    bed.link.issue(&bed.place.ca, "web", &Leaf::good());
    bed.deliver();
    bed.link.activate(&["web"]).unwrap();
    fs::write(bed.file("cert.pem"), "other").unwrap();
    assert_eq!(bed.rechecked(), NOTHING, "a new certificate is a new beginning");
}

#[test]
fn what_the_command_made_of_the_files_is_how_they_are_meant_to_be() {
    let command =
        "chown 33:33 /etc/web/key.pem; chmod 640 /etc/web/key.pem; mv /etc/web/ca.pem /etc/web/roots.pem";
    let mut bed = Bed::new(Kind::Vm, command);
    assert_eq!(bed.rechecked(), ALL);
    fs::set_permissions(bed.file("key.pem"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(bed.rechecked(), NOTHING);
}

#[test]
fn a_guest_that_cannot_be_asked_is_waited_for_and_nothing_is_forgotten() {
    let mut bed = Bed::new(Kind::Vm, "true");
    fs::remove_file(bed.file("cert.pem")).unwrap();
    for (fault, reason) in [(Fault::Off, Reason::GuestOff), (Fault::Locked, Reason::GuestLocked)] {
        bed.guests.spoil(1001, fault, "");
        let trouble = bed.recheck().unwrap_err();
        assert_eq!((trouble.reason, trouble.reason.class()), (reason, RetryClass::Waiting), "{trouble}");
        assert!(bed.link.observe("web").ledger.delivered.is_some());
    }
    bed.guests.mend(1001);
    assert_eq!(bed.rechecked(), NOTHING);
}

#[test]
fn an_answer_that_makes_no_sense_changes_nothing() {
    let mut bed = Bed::new(Kind::Lxc, "true");
    fs::write(bed.root.join("opt/bin/sha256sum"), "#!/bin/sh\necho all is well\n").unwrap();
    fs::set_permissions(bed.root.join("opt/bin/sha256sum"), fs::Permissions::from_mode(0o755)).unwrap();
    let trouble = bed.recheck().unwrap_err();
    assert_eq!(trouble.reason, Reason::CommandFailed, "{trouble}");
    assert!(trouble.message.contains("cannot be understood"), "{trouble}");
    assert!(bed.link.observe("web").ledger.delivered.is_some());
}

#[test]
fn copies_in_tmp_and_what_was_not_delivered_are_not_looked_at() {
    let explicit = json!({"cert": "/etc/web/cert.pem", "key": "/etc/web/key.pem"});
    let mut bed =
        Bed::with(102, Kind::Lxc, &json!({"guest_id": 102, "guest_type": "lxc", "deliver": explicit}));
    assert_eq!(bed.rechecked(), NOTHING);
    assert!(bed.guests.calls().is_empty());
    let command = "pct exec 102 -- sh -c 'rm /tmp/*'";
    let legacy = json!({"guest_id": 102, "guest_type": "lxc", "post_renewal_command": command});
    let mut bed = Bed::with(102, Kind::Lxc, &legacy);
    bed.link.activate(&["web"]).unwrap();
    let before = bed.guests.calls().len();
    assert_eq!(bed.rechecked(), ALL);
    assert_eq!(bed.guests.calls().len(), before);
}
