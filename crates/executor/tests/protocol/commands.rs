//! Commands and what is remembered of them.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use phoenix_core::reason::Reason;
use phoenix_protocol::executor::{Operation, Request};
use phoenix_protocol::frame::{self, MAX_REQUEST};
use serde_json::json;

use crate::ca::Leaf;
use crate::rig::{Place, chmod};

fn place(command: &[&str]) -> Place {
    let place = Place::new(&json!([]));
    let argv: Vec<String> = command.iter().map(|word| word.replace("DIR/", &place.text(""))).collect();
    place.manifest(&json!([place.web(&json!({"post_renewal_command": argv}))]));
    place
}

#[test]
fn a_command_learns_what_it_is_for_and_is_remembered() {
    let place = place(&["DIR/bin/hook", "DIR/log"]);
    let mut link = place.start();
    let installed = link.issue(&place.ca, "web", &Leaf::good());
    assert_eq!(installed.ledger.activated, None);
    let seen = link.activate(&["web"]).unwrap().remove(0);
    let deed = seen.ledger.activated.unwrap();
    let leaf = seen.live.leaf.unwrap();
    assert_eq!((Some(deed.of), deed.fingerprint), (seen.command_digest, leaf.fingerprint.clone()));
    let mut log: Vec<String> =
        fs::read_to_string(place.path("log")).unwrap().lines().map(str::to_owned).collect();
    log.sort();
    assert_eq!(
        log,
        [
            format!("PHOENIX_CERT_PATH={}", place.text("target/web/cert.pem")),
            format!("PHOENIX_FINGERPRINT={}", leaf.fingerprint),
            format!("PHOENIX_KEY_PATH={}", place.text("target/web/key.pem")),
            "PHOENIX_NAME=web".to_owned(),
            format!("PHOENIX_NOT_AFTER={}", leaf.not_after),
            format!("PHOENIX_SERIAL={}", leaf.serial),
        ]
    );
}

#[test]
fn a_command_that_fails_is_not_remembered_as_done() {
    let place = place(&["DIR/bin/fail", "3"]);
    place.program("fail", "#!/bin/sh\necho 'job failed: see the journal' >&2\nexit $1\n");
    let mut link = place.start();
    link.issue(&place.ca, "web", &Leaf::good());
    let trouble = link.activate(&["web"]).unwrap_err();
    assert_eq!(trouble.reason, Reason::CommandFailed);
    for part in ["code 3", "job failed: see the journal"] {
        assert!(trouble.message.contains(part), "{trouble}");
    }
    assert_eq!(link.observe("web").ledger.activated, None);
}

#[test]
fn keys_that_a_command_prints_do_not_get_into_messages() {
    let place = place(&["DIR/bin/fail", "DIR/target/web/key.pem"]);
    place.program("fail", "#!/bin/sh\ncat $1 >&2\nprintf '\\377\\033[2J' >&2\nexit 1\n");
    let mut link = place.start();
    link.issue(&place.ca, "web", &Leaf::good());
    let message = link.activate(&["web"]).unwrap_err().message;
    let key = fs::read_to_string(place.path("target/web/key.pem")).unwrap();
    for line in key.lines() {
        assert!(!message.contains(line), "{message}");
    }
    assert!(!message.contains('\x1b'), "{message}");
}

/// `web` and `web2` with the same command.
fn two_with_one_command() -> Place {
    let place = Place::new(&json!([]));
    let command = [place.text("bin/hook"), place.text("log")];
    let mut other = place.web(&json!({"post_renewal_command": command, "name": "web2"}));
    other["cert_path"] = place.text("target/web2/cert.pem").into();
    other["key_path"] = place.text("target/web2/key.pem").into();
    place.manifest(&json!([place.web(&json!({"post_renewal_command": command})), other]));
    place
}

#[test]
fn equal_commands_run_once_for_all_their_entries() {
    let place = two_with_one_command();
    let mut link = place.start();
    for name in ["web", "web2"] {
        link.issue(&place.ca, name, &Leaf::good());
    }
    let seen = link.activate(&["web", "web2"]).unwrap();
    assert!(seen.iter().all(|one| one.ledger.activated.is_some()));
    assert_eq!(fs::read_to_string(place.path("log")).unwrap(), "PHOENIX_NAMES=web web2\n");
}

#[test]
fn a_command_is_remembered_for_the_others_when_one_record_cannot_be_written() {
    let place = two_with_one_command();
    let mut link = place.start();
    let records = || fs::read_dir(place.path("state/entries")).unwrap();
    link.issue(&place.ca, "web", &Leaf::good());
    let of_web = records().next().unwrap().unwrap().path();
    link.issue(&place.ca, "web2", &Leaf::good());
    fs::create_dir(of_web.join("ledger.json")).unwrap();
    link.activate(&["web", "web2"]).unwrap_err();
    assert!(link.observe("web2").ledger.activated.is_some());
}

#[test]
fn entries_with_different_commands_none_or_the_same_twice_are_not_activated_together() {
    let place = Place::new(&json!([]));
    let mut other = place.web(&json!({"name": "web2"}));
    other["cert_path"] = place.text("target/web2/cert.pem").into();
    other["key_path"] = place.text("target/web2/key.pem").into();
    place.manifest(&json!([
        place.web(&json!({"post_renewal_command": [place.text("bin/hook"), place.text("log")]})),
        other
    ]));
    let mut link = place.start();
    for name in ["web", "web2"] {
        link.issue(&place.ca, name, &Leaf::good());
    }
    for names in [&["web", "web2"][..], &["web", "web"], &["web2"], &[]] {
        assert_eq!(link.activate(names).unwrap_err().reason, Reason::BadRequest, "{names:?}");
    }
    assert!(!place.path("log").exists());
}

#[test]
fn owner_and_mode_after_a_command_are_how_they_are_meant() {
    let place = place(&["DIR/bin/hook", "DIR/target/web/key.pem"]);
    place.program("hook", "#!/bin/sh\nchmod 640 $1\n");
    let mut link = place.start();
    link.issue(&place.ca, "web", &Leaf::good());
    let seen = link.activate(&["web"]).unwrap().remove(0);
    assert_eq!(seen.ledger.baseline.unwrap().key.2, 0o640);
    // A command that rewrites the content gives no new baseline.
    place.program("hook", "#!/bin/sh\necho changed >$1; chmod 644 $1\n");
    let seen = link.activate(&["web"]).unwrap().remove(0);
    assert_eq!(seen.ledger.baseline.unwrap().key.2, 0o640);
    let mode = fs::metadata(place.path("target/web/key.pem")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
}

#[test]
fn a_program_that_others_can_write_is_not_run() {
    let place = place(&["DIR/bin/hook", "DIR/log"]);
    let mut link = place.start();
    link.issue(&place.ca, "web", &Leaf::good());
    chmod(&place.path("bin"), 0o777);
    let trouble = link.activate(&["web"]).unwrap_err();
    assert_eq!(trouble.reason, Reason::CommandRefused);
    chmod(&place.path("bin"), 0o755);
    link.activate(&["web"]).unwrap();
}

#[test]
fn nothing_runs_before_something_is_installed() {
    let place = place(&["DIR/bin/hook", "DIR/log"]);
    let mut link = place.start();
    assert_eq!(link.activate(&["web"]).unwrap_err().reason, Reason::Missing);
    assert!(!place.path("log").exists());
}

#[test]
fn a_slow_command_holds_up_nothing_else_and_ends_with_the_daemon() {
    let place = place(&["DIR/bin/hook", "DIR/fifo", "DIR/done"]);
    // Blocks until somebody opens the pipe for writing.
    place.program("hook", "#!/bin/sh\nread line <$1\ntouch $2\n");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        place.path("fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from(0o600),
        0,
    )
    .unwrap();
    let mut link = place.start();
    link.issue(&place.ca, "web", &Leaf::good());
    let entry = link.entry("web");
    let request = Request { id: 1000, operation: Operation::Activate { entries: vec![entry] } };
    frame::write(link.stream(), &request, MAX_REQUEST).unwrap();
    for _ in 0..20 {
        link.observe("web");
    }
    link.end();
    assert!(!place.path("done").exists());
    let mut link = place.start();
    assert_eq!(link.observe("web").ledger.activated, None);
}

#[test]
fn a_daemon_that_keeps_running_a_command_is_held_to_its_restart_budget() {
    let place = Place::new(&json!([]));
    let argv = [place.text("bin/hook"), place.text("log")];
    let entry = |command| place.web(&json!({"post_renewal_command": argv, "command": command}));
    place.manifest(&json!([entry(json!({"min_interval": "1d"}))]));
    let mut link = place.start();
    link.issue(&place.ca, "web", &Leaf::good());
    let ran = || fs::read_to_string(place.path("log")).unwrap().matches("PHOENIX_NAME=").count();
    let trouble = (0..100).find_map(|_| link.activate(&["web"]).err()).unwrap();
    assert_eq!(trouble.reason, Reason::RestartBudget, "{trouble}");
    let so_often = ran();
    assert!(so_often < 20, "{so_often}");
    assert!(link.activate(&["web"]).is_err());
    assert_eq!(ran(), so_often);
    // Without a budget nothing is counted.
    place.manifest(&json!([entry(json!({}))]));
    link.activate(&["web"]).unwrap();
}
