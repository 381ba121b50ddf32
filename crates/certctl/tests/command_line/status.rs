//! `status` from the daemon's report.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::daemon::{Asked, FakeDaemon, Reply};
use super::{Ended, Scene, public_binary};

/// A report with two entries, and a field that this version does not know.
pub(super) fn report() -> Value {
    json!({
        "schema": 1,
        "generated_at": "2026-11-21T20:00:00Z",
        "daemon": {
            "running": true, "version": "9.9.9", "news": {"from": "the future"},
            "manifest": {"path": "/etc/m.json", "loaded_at": "2026-11-21T19:00:00Z", "state": "loaded", "error": null},
        },
        "certificates": [
            {
                "name": "docker-daemon", "common_name": "docker-daemon.internal.thinkheads.ai",
                "sans": ["docker-daemon.internal.thinkheads.ai", "10.0.0.111"],
                "cert_path": "/c.pem", "key_path": "/k.pem", "issuer": "phoenix", "state": "retrying",
                "serial": "0a", "fingerprint_sha256": "ff", "not_before": "2026-11-21T19:00:00Z",
                "not_after": "2026-11-22T19:12:00Z", "renew_at": "2026-11-22T11:00:00Z",
                "deployment": {"written": "done", "delivered": "none", "activated": "failed", "verified": "none"},
                "served": null, "reason": "command-failed", "warnings": [], "attempts": 1,
                "next_attempt_at": "2026-11-21T20:00:30Z",
                "last_error": {"stage": "activate", "message": "it ended with exit code 5", "at": "2026-11-21T19:59:00Z"},
                "news": [1, 2],
            },
            {
                "name": "traefik-client", "common_name": "traefik-client.internal.thinkheads.ai", "sans": [],
                "cert_path": "/c2.pem", "key_path": "/k2.pem", "issuer": "phoenix", "state": "ok",
                "serial": "0b", "fingerprint_sha256": "fe", "not_before": "2026-11-21T19:00:00Z",
                "not_after": "2026-11-21T20:00:59Z", "renew_at": "2026-11-21T20:00:40Z",
                "deployment": {"written": "done", "delivered": "none", "activated": "done", "verified": "none"},
                "served": null, "reason": null, "warnings": [], "attempts": 0, "next_attempt_at": null,
                "last_error": null,
            },
        ],
    })
}

fn status(arguments: &[&str], asked: &[&str], reply: impl Fn() -> Reply) -> Ended {
    let scene = Scene::new();
    let daemon = FakeDaemon::start(&scene.socket(), asked.iter().map(|_| reply()).collect());
    let ended = scene.run(&[&["status"], arguments].concat());
    let expected: Vec<_> = asked
        .iter()
        .map(|query| Asked { line: format!("GET /v1/status{query} HTTP/1.1"), body: Value::Null })
        .collect();
    assert_eq!(daemon.asked(), expected);
    ended
}

fn good(arguments: &[&str], asked: &[&str]) -> Ended {
    status(arguments, asked, || Reply::json("200 OK", &report()))
}

#[test]
fn the_table_shows_every_entry_and_explains_what_is_not_in_order() {
    let ended = good(&[], &["?brief=1"]);
    assert_eq!(
        ended.stdout,
        "\
NAME            STATE     EXPIRES IN   RENEWS AT             DEPLOYMENT                  PROBLEM
docker-daemon   retrying  23 h 12 min  2026-11-22T11:00:00Z  written, activation failed  command-failed
traefik-client  ok        59 s         2026-11-21T20:00:40Z  activated, unverified

docker-daemon failed and is tried again (command-failed)
  last error, activate, 1 min ago: it ended with exit code 5
  next attempt: in 30 s, 2026-11-21T20:00:30Z, after 1 failure
"
    );
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}

#[test]
fn json_is_the_daemons_document_with_all_that_a_newer_one_adds() {
    let ended = good(&["--json"], &[""]);
    assert_eq!(ended.json(), report());
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}

#[test]
fn names_and_common_names_select_entries_in_the_order_of_the_manifest() {
    let names = |arguments: &[&str]| {
        let named = |name: &&str| format!("name={}", name.replace('-', "%2D").replace('.', "%2E"));
        let query = arguments.iter().map(named).collect::<Vec<_>>().join("&");
        let json = good(&[&["--json"], arguments].concat(), &[&format!("?{query}")]).json();
        let entries = json["certificates"].as_array().unwrap();
        entries.iter().map(|entry| entry["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&["traefik-client"]), ["traefik-client"]);
    assert_eq!(names(&["docker-daemon.internal.thinkheads.ai"]), ["docker-daemon"]);
    assert_eq!(names(&["traefik-client", "docker-daemon"]), ["docker-daemon", "traefik-client"]);
}

#[test]
fn an_unknown_name_ends_with_4_and_a_suggestion() {
    let ended = good(&["docker-deamon", "--json"], &["?name=docker%2Ddeamon", ""]);
    assert_eq!(ended.code, Some(4));
    assert_eq!(ended.stdout, "");
    assert_eq!(
        ended.stderr,
        "phoenix-certctl: no entry is called `docker-deamon`: did you mean `docker-daemon`?\n"
    );
}

#[test]
fn a_report_of_another_age_is_an_error_but_its_json_is_passed_on() {
    let strange = json!({"schema": 2, "certificates": [{"name": "a", "state": "dancing"}]});
    let ended = status(&[], &["?brief=1"], || Reply::json("200 OK", &strange));
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("is phoenix-certctl older than the daemon?"), "{}", ended.stderr);
    assert_eq!(status(&["--json"], &[""], || Reply::json("200 OK", &strange)).json(), strange);
    let ended =
        status(&["--json"], &[""], || Reply::raw(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"));
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
}

#[test]
fn without_a_daemon_and_without_a_configuration_there_is_nothing_to_report() {
    let scene = Scene::new();
    let ended = scene.run(&["status"]);
    assert_eq!(ended.code, Some(3));
    assert_eq!(ended.stdout, "");
    let (config, socket) = (scene.path("certd.toml"), scene.socket());
    assert_eq!(
        ended.stderr,
        format!(
            "phoenix-certctl: cannot read the configuration {}: No such file or directory (os error 2); name it \
             with --config\n\
             phoenix-certctl: the daemon is not running: there is no socket {}; start it (systemctl start \
             phoenix-certd) or name its socket with --socket\n",
            config.display(),
            socket.display()
        )
    );
}

#[test]
fn watching_without_a_terminal_gives_one_line_of_json_for_each_look() {
    let scene = Scene::new();
    let replies = [(), ()].map(|()| Reply::json("200 OK", &report()));
    let daemon = FakeDaemon::start(&scene.socket(), replies.into());
    let mut child =
        scene.command(&["status", "--watch", "traefik-client"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..2 {
        let document: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(document["certificates"][0]["name"], "traefik-client");
    }
    daemon.asked();
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn watching_on_a_terminal_draws_the_coloured_table_again_and_again() {
    let scene = Scene::new();
    let replies = [(), ()].map(|()| Reply::json("200 OK", &report()));
    let daemon = FakeDaemon::start(&scene.socket(), replies.into());
    // script(1) runs the command on a terminal of its own.
    let line = format!(
        "{} --socket {} status --watch",
        env!("CARGO_BIN_EXE_phoenix-certctl"),
        scene.socket().display()
    );
    let mut script = Command::new("script");
    script.args(["-q", "-e", "-c", &line, "/dev/null"]).env("TERM", "xterm").env_remove("NO_COLOR");
    let mut child = script.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut seen = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    while seen.matches("after 1 failure").count() < 2 {
        assert_ne!(output.read_line(&mut seen).unwrap(), 0, "{seen}");
    }
    assert_eq!(seen.matches("\u{1b}[H\u{1b}[2J").count(), 2);
    assert!(seen.contains("\u{1b}[31mretrying\u{1b}[0m"), "{seen}");
    daemon.asked();
    child.kill().unwrap();
    child.wait().unwrap();
}

/// A standard output that nobody reads.
fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

#[test]
fn a_reader_that_went_away_is_no_failure_and_ends_a_watch() {
    for arguments in [&["status"][..], &["status", "--json"], &["status", "--watch"]] {
        let scene = Scene::new();
        let daemon = FakeDaemon::start(&scene.socket(), vec![Reply::json("200 OK", &report())]);
        let ended = Ended::of(scene.command(arguments).stdout(closed()).output().unwrap());
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{arguments:?}");
        daemon.asked();
    }
}

#[test]
fn an_output_that_cannot_be_written_is_a_failure() {
    let scene = Scene::new();
    let daemon = FakeDaemon::start(&scene.socket(), vec![Reply::json("200 OK", &report())]);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let ended = Ended::of(scene.command(&["status"]).stdout(full).output().unwrap());
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.starts_with("phoenix-certctl: cannot write to standard output: "),
        "{}",
        ended.stderr
    );
    daemon.asked();
}

#[test]
fn a_socket_for_others_ends_with_3_and_names_the_group_to_join() {
    const NOBODY: u32 = 65_534;
    let scene = Scene::new();
    let binary = public_binary(scene.dir.path());
    let _daemon = std::os::unix::net::UnixListener::bind(scene.socket()).unwrap();
    for arguments in [&["renew", "--all"][..], &["sync"], &["status"]] {
        let mut command = Command::new(&binary);
        command.arg("--config").arg(scene.path("absent.toml")).arg("--socket").arg(scene.socket());
        let ended = Ended::of(command.args(arguments).uid(NOBODY).gid(NOBODY).output().unwrap());
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(3), ""), "{arguments:?}");
        let said =
            format!("permission denied on {}: join the group `phoenix-certd`", scene.socket().display());
        assert!(ended.stderr.contains(&said), "{}", ended.stderr);
    }
}
