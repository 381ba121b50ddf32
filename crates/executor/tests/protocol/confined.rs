//! Commands that attack what they should not reach, run by the executor's own binary, under each profile.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;

use phoenix_core::reason::Reason;
use phoenix_protocol::executor::{Operation, ProgramFacts, Response};
use serde_json::json;

use crate::ca::Leaf;
use crate::process::{command, spawn};
use crate::rig::{Link, Place};

const ATTACKER: &str = include_str!("attacker.py");

/// What one attack after the other could do, by its name.
type Outcome = BTreeMap<String, bool>;

/// A bed in which `web` has the attacker for its command, under this name, and `web2` has a key that it is after.
fn place(program: &str, pid: u32, address: &str) -> Place {
    let place = Place::new(&json!([]));
    place.program(program, ATTACKER);
    let at = |name: &str| place.text(name);
    let words = [
        at(&format!("bin/{program}")),
        pid.to_string(),
        address.to_owned(),
        at("target/web2/key.pem"),
        at("state/entries"),
        at("password"),
        at("target/web2/cert.pem"),
    ];
    let mut other = place.web(&json!({"name": "web2"}));
    other["cert_path"] = at("target/web2/cert.pem").into();
    other["key_path"] = at("target/web2/key.pem").into();
    place.manifest(&json!([place.web(&json!({"post_renewal_command": words})), other]));
    place
}

fn activate(link: &mut Link) -> Response {
    let entries = vec![link.entry("web")];
    link.send(Operation::Activate { entries });
    link.receive()
}

/// Lets the attacker loose, below an executor that is a process of its own.
fn attack(program: &str) -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // Its place is known before its process id is: the command is put into the manifest afterwards.
    let first = place(program, 0, &address);
    let (mut child, mut link) = spawn(command(&first));
    let text = std::fs::read_to_string(first.path("manifest.json")).unwrap();
    let manifest = text.replacen("\"0\"", &format!("\"{}\"", child.id()), 1);
    first.manifest(&serde_json::from_str(&manifest).unwrap());
    for name in ["web", "web2"] {
        link.issue(&first.ca, name, &Leaf::good());
    }
    let response = activate(&mut link);
    response.result.unwrap();
    let [run] = &response.runs[..] else { panic!("{:?}", response.runs) };
    assert_eq!(run.exit_code, Some(0), "{run:?}");
    link.end();
    assert!(child.wait().unwrap().success());
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run:?}"))
}

fn succeeded(outcome: &Outcome) -> Vec<&str> {
    outcome.iter().filter(|(_, could)| **could).map(|(name, _)| name.as_str()).collect()
}

#[test]
fn without_a_profile_a_command_can_do_what_root_can() {
    let outcome = attack("free");
    assert_eq!(succeeded(&outcome).len(), outcome.len(), "{outcome:?}");
}

#[test]
fn a_strictly_confined_command_reads_its_own_key_and_that_is_all() {
    assert_eq!(succeeded(&attack("strict")), ["own-key"]);
}

#[test]
fn what_is_opened_for_a_program_opens_no_secrets() {
    // The whole scratch directory may be read and written, and with it what lies beside the secrets.
    assert_eq!(succeeded(&attack("hook")), ["own-key", "write-target"]);
}

/// Who may enter a guest may look at any process of the host, and through it at what that process sees: from `pct`
/// and `qm` themselves nothing can be hidden for good.
#[test]
fn a_command_that_enters_guests_finds_no_secrets_where_they_lie() {
    let outcome = attack("qm");
    assert_eq!(succeeded(&outcome), ["environment", "own-key", "signal", "state-elsewhere"]);
}

#[test]
fn every_program_that_was_run_is_told_also_when_it_fails() {
    let place = Place::new(&json!([]));
    let key = "-----BEGIN PRIVATE KEY-----\\nSECRET\\n-----END PRIVATE KEY-----";
    place.program("fail", &format!("#!/bin/sh\nprintf 'one\\n{key}\\ntwo\\n'\necho three >&2\nexit 3\n"));
    let words = [place.text("bin/fail"), "an argument".to_owned()];
    place.manifest(&json!([place.web(&json!({"post_renewal_command": words}))]));
    let mut link = place.start();
    link.issue(&place.ca, "web", &Leaf::good());
    let response = activate(&mut link);
    assert_eq!(response.result.unwrap_err().reason, Reason::CommandFailed);
    let [run] = &response.runs[..] else { panic!("{:?}", response.runs) };
    assert_eq!((run.ended.as_str(), run.exit_code), ("exit code 3", Some(3)));
    assert_eq!(run.argv, words);
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("one\n[PEM block left out]\ntwo", "three"));
    assert!(run.profile.starts_with("strict: no-new-privileges, capabilities"), "{run:?}");
}

#[test]
fn a_hook_that_its_profile_has_stopped_is_told_what_to_open() {
    let place = Place::new(&json!([]));
    place.program("fail", "#!/bin/sh\necho x >/etc/phoenix-test\n");
    place.manifest(&json!([place.web(&json!({"post_renewal_command": [place.text("bin/fail")]}))]));
    let mut link = place.start();
    link.issue(&place.ca, "web", &Leaf::good());
    let trouble = activate(&mut link).result.unwrap_err();
    assert_eq!(trouble.reason, Reason::CommandFailed);
    assert!(
        trouble.message.contains("[[executor.program]]") && trouble.message.contains("`writes`"),
        "{trouble}"
    );
}

#[test]
fn a_snapshot_tells_how_each_program_is_confined() {
    let place = Place::new(&json!([]));
    place.program("strict", "#!/bin/sh\n");
    let mut link = place.start();
    let programs = link.snapshot().programs;
    let of = |name: &str| -> ProgramFacts {
        programs.iter().find(|one| one.path.ends_with(&format!("bin/{name}"))).unwrap().clone()
    };
    for (name, profile, measures) in [
        ("strict", "strict", &["file-rules", "private-network", "hidden-paths", "system-calls"][..]),
        ("pct", "guest", &["capabilities", "hidden-paths", "read-only-system"]),
        ("free", "plain", &["no-new-privileges"]),
    ] {
        let facts = of(name);
        assert_eq!(facts.profile, profile);
        for measure in measures {
            assert!(facts.in_force.iter().any(|one| one == measure), "{measure}: {facts:?}");
        }
    }
    assert_eq!(of("strict").refused, None);
    let refused = of("free").refused.unwrap();
    assert!(refused.contains("bin/free"), "{refused}");
}

#[test]
fn what_a_user_without_rights_cannot_have_is_told() {
    let place = Place::new(&json!([]));
    std::fs::create_dir(place.path("state")).unwrap();
    crate::process::give(place.dir.path(), 65_534);
    let mut as_nobody = command(&place);
    as_nobody.uid(65_534).gid(65_534);
    let (mut child, mut link) = spawn(as_nobody);
    let programs = link.snapshot().programs;
    let of = |name: &str| programs.iter().find(|one| one.path.ends_with(name)).unwrap();
    for measure in ["system-calls", "file-rules", "resource-limits"] {
        assert!(of("bin/strict").in_force.iter().any(|one| one == measure), "{:?}", of("bin/strict"));
    }
    for missing in ["read-only-system: needs root", "hidden-paths: needs root"] {
        assert!(of("bin/pct").missing.iter().any(|one| one == missing), "{:?}", of("bin/pct"));
    }
    link.end();
    assert!(child.wait().unwrap().success());
}
