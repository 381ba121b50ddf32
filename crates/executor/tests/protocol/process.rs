//! The executor as a process of its own.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::chown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use phoenix_core::reason::Reason;
use phoenix_executor::Source;
use phoenix_protocol::executor::{Operation, Request, Response, VERSION};
use phoenix_protocol::frame::{self, MAX_REQUEST, MAX_RESPONSE};
use phoenix_testkit::patience;
use serde_json::json;

use crate::ca::Leaf;
use crate::rig::{Link, Place};

const PROGRAM: &str = env!("CARGO_BIN_EXE_phoenix-executor");

pub(crate) fn command(place: &Place) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["--stdin-socket", "--config", &place.text("certd.toml")]);
    command
}

/// Starts the executor with one end of a socket pair.
pub(crate) fn spawn(mut command: Command) -> (Child, Link) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let child = command.stdin(Stdio::from(OwnedFd::from(theirs))).spawn().unwrap();
    // The command holds the descriptor that it gave to the child.
    drop(command);
    let mut link = Link::alone(ours);
    link.ask(Operation::Hello { version: VERSION }).unwrap();
    (child, link)
}

fn line_of(file: &str, start: &str) -> String {
    let text = fs::read_to_string(file).unwrap();
    text.lines().find(|line| line.starts_with(start)).unwrap().to_owned()
}

#[test]
fn the_process_is_hardened_and_ends_with_its_daemon() {
    let place = Place::new(&json!([]));
    let (mut child, link) = spawn(command(&place));
    let at = |name: &str| format!("/proc/{}/{name}", child.id());
    assert!(line_of(&at("status"), "Umask:").ends_with("0077"));
    let core = line_of(&at("limits"), "Max core file size");
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    let locked = line_of(&at("status"), "VmLck:");
    let kilobytes = locked.split_whitespace().nth(1).and_then(|word| word.parse::<u64>().ok());
    assert!(kilobytes > Some(1000), "keys could be swapped out: {locked}");
    let stat = fs::read_to_string(at("stat")).unwrap();
    let session = stat.rsplit(") ").next().unwrap().split(' ').nth(3);
    assert_eq!(session, Some(child.id().to_string().as_str()), "Ctrl-C is not for the executor");
    link.end();
    assert!(child.wait().unwrap().success());
}

#[test]
fn any_user_can_run_it_on_files_of_its_own() {
    let place = Place::new(&json!([]));
    place.manifest(&json!([
        place.web(&json!({"post_renewal_command": [place.text("bin/hook"), place.text("target/log")]}))
    ]));
    let nobody = 65_534;
    fs::create_dir(place.path("state")).unwrap();
    give(place.dir.path(), nobody);
    // Too little to lock the memory of a process: it says so and works on.
    let mut limited = Command::new("/usr/bin/prlimit");
    limited.arg("--memlock=65536:65536").arg(PROGRAM).args(command(&place).get_args());
    limited.uid(nobody).gid(nobody).stderr(Stdio::piped());
    let (child, mut link) = spawn(limited);
    link.issue(&place.ca, "web", &Leaf::good());
    link.activate(&["web"]).unwrap();
    assert!(fs::read_to_string(place.path("target/log")).unwrap().contains("PHOENIX_NAME=web\n"));
    // Nobody else of the same user can look into its memory.
    let spied = Command::new("/bin/cat")
        .arg(format!("/proc/{}/environ", child.id()))
        .uid(nobody)
        .gid(nobody)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(!spied.success());
    link.end();
    let ended = child.wait_with_output().unwrap();
    let log = String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.success() && log.contains("LimitMEMLOCK=infinity"), "{log}");
}

pub(crate) fn give(path: &Path, user: u32) {
    chown(path, Some(user), Some(user)).unwrap();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path(), user);
        }
    }
}

#[test]
fn a_socket_of_systemd_serves_one_daemon_after_another() {
    let place = Place::new(&json!([]));
    place.manifest(&json!([place.web(&json!({}))]));
    // As descriptor 3, and as standard input.
    for redirection in ["exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$", ""] {
        let path = place.path("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let script = format!("{redirection} exec \"$0\" --config \"$1\"");
        let mut child = Command::new("/bin/sh")
            .args(["-c", &script, PROGRAM, &place.text("certd.toml")])
            .stdin(Stdio::from(OwnedFd::from(listener)))
            .spawn()
            .unwrap();
        for _ in 0..6 {
            let mut link = Link::alone(UnixStream::connect(&path).unwrap());
            link.ask(Operation::Hello { version: VERSION }).unwrap();
            let mut second = Link::alone(UnixStream::connect(&path).unwrap());
            second.ask(Operation::Hello { version: VERSION }).unwrap();
            second.observe("web");
            link.observe("web");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_fifth_connection_is_refused_until_another_ends() {
    let place = Place::new(&json!([]));
    let path = place.path("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let options = place.options();
    let runner = std::sync::Arc::new(phoenix_sandbox::Supervised::new(PROGRAM));
    // Serves for ever, so it ends with the test's process.
    std::thread::spawn(move || phoenix_executor::serve(&options, Source::Listener(listener), runner));
    let connect = || Link::alone(UnixStream::connect(&path).unwrap());
    let greets = |link: &mut Link| {
        let id = link.send(Operation::Hello { version: VERSION });
        let answer: Result<Response, _> = frame::read(link.stream(), MAX_RESPONSE);
        answer.is_ok_and(|response| response.id == id)
    };
    let mut open: Vec<Link> = (0..4).map(|_| connect()).collect();
    assert!(open.iter_mut().all(greets));
    let mut fifth = connect();
    let request = Request { id: 1, operation: Operation::Hello { version: VERSION } };
    let refused = frame::write(fifth.stream(), &request, MAX_REQUEST).is_err()
        || frame::read::<Response>(fifth.stream(), MAX_RESPONSE).is_err();
    assert!(refused);
    open.pop();
    patience::until(|| {
        let mut again = connect();
        let sent = frame::write(again.stream(), &request, MAX_REQUEST);
        (sent.is_ok() && frame::read::<Response>(again.stream(), MAX_RESPONSE).is_ok()).then_some(())
    })
    .unwrap();
}

#[test]
fn without_a_socket_it_says_how_it_is_started() {
    let place = Place::new(&json!([]));
    for (arguments, part) in [(&[][..], "phoenix-executor.socket"), (&["--stdin-socket"], "--stdin-socket")] {
        let output = Command::new(PROGRAM)
            .args(["--config", &place.text("certd.toml")])
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(!output.status.success());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn a_crash_in_the_middle_of_commands_runs_them_again() {
    let place = Place::new(&json!([]));
    let command_line = [place.text("bin/hook"), place.text("log")];
    place.manifest(&json!([place.web(&json!({"post_renewal_command": command_line}))]));
    // Says that it began, then waits for a file that never comes.
    place.program("hook", "#!/bin/sh\necho begun >>\"$1\"\nwhile [ ! -e \"$1.go\" ]; do sleep 0.01; done\n");
    let (mut child, mut link) = spawn(command(&place));
    link.issue(&place.ca, "web", &Leaf::good());
    let entry = link.entry("web");
    link.send(Operation::Activate { entries: vec![entry] });
    while !place.path("log").exists() {
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    drop(link);
    place.write("log.go", "", 0o644);
    let (mut child, mut link) = spawn(command(&place));
    assert_eq!(link.observe("web").ledger.activated, None);
    assert!(link.activate(&["web"]).unwrap()[0].ledger.activated.is_some());
    link.end();
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_request_to_end_ends_commands_and_is_a_success() {
    let place = Place::new(&json!([]));
    let command_line = [place.text("bin/hook"), place.text("log")];
    place.manifest(&json!([place.web(&json!({"post_renewal_command": command_line}))]));
    place.program("hook", "#!/bin/sh\necho $$ >\"$1.new\"; mv \"$1.new\" \"$1\"\nexec sleep 1000\n");
    let (mut child, mut link) = spawn(command(&place));
    link.issue(&place.ca, "web", &Leaf::good());
    let entry = link.entry("web");
    let id = link.send(Operation::Activate { entries: vec![entry] });
    patience::until(|| place.path("log").exists().then_some(())).unwrap();
    let hook = fs::read_to_string(place.path("log")).unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let answer = link.receive();
    assert_eq!((answer.id, answer.result.unwrap_err().reason), (id, Reason::CommandKilled));
    assert!(child.wait().unwrap().success());
    assert!(!Path::new("/proc").join(hook.trim()).exists());
}
