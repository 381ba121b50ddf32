//! `renew` and `sync`.

use serde_json::{Value, json};

use super::daemon::{Asked, FakeDaemon, Reply};
use super::status::report;
use super::{Ended, Scene};

fn stage(name: &str, message: &str) -> Value {
    json!({"event": "stage", "name": name, "message": message})
}

fn end(results: &Value) -> Value {
    json!({"event": "end", "results": results})
}

/// Runs against the replies; gives the end and what was asked.
fn run(arguments: &[&str], replies: Vec<Reply>) -> (Ended, Vec<Asked>) {
    let scene = Scene::new();
    let daemon = FakeDaemon::start(&scene.socket(), replies);
    let ended = scene.run(arguments);
    (ended, daemon.asked())
}

fn result(result: &str, error: Option<&str>, reason: Option<&str>) -> Value {
    json!([{"name": "docker-daemon", "result": result, "serial": "0a1b", "error": error, "reason": reason}])
}

fn ended(arguments: &[&str], results: &Value) -> Ended {
    run(arguments, vec![Reply::lines(&[end(results)])]).0
}

#[test]
fn progress_goes_to_standard_error_and_results_to_standard_output() {
    let lines = [
        stage("docker-daemon", "requesting a certificate from phoenix"),
        stage("docker-daemon", "running qm guest exec 1001"),
        end(&json!([
            {"name": "docker-daemon", "result": "unverified", "serial": "0a1b", "error": null},
            {"name": "nginx", "result": "verified", "serial": "ff", "error": null},
        ])),
    ];
    let (ended, asked) = run(&["renew", "docker-daemon", "--name", "nginx"], vec![Reply::lines(&lines)]);
    assert_eq!(ended.code, Some(0));
    assert_eq!(
        ended.stdout,
        "\
NAME           RESULT      SERIAL
docker-daemon  unverified  0a1b
nginx          verified    ff
"
    );
    assert_eq!(
        ended.stderr,
        "docker-daemon: requesting a certificate from phoenix\ndocker-daemon: running qm guest exec 1001\n"
    );
    let body = json!({
        "names": ["docker-daemon", "nginx"], "all": false, "no_wait": false, "until": "verified", "timeout": 300,
    });
    assert_eq!(asked, [Asked { line: "POST /v1/renew HTTP/1.1".into(), body }]);
}

#[test]
fn options_become_the_request() {
    let body = |arguments: &[&str]| {
        let (_, asked) = run(arguments, vec![Reply::lines(&[end(&json!([]))])]);
        asked.into_iter().map(|asked| asked.body).next().unwrap()
    };
    assert_eq!(
        body(&["renew", "--all", "--no-wait", "--generate-only", "--timeout", "90s"]),
        json!({"names": [], "all": true, "no_wait": true, "until": "written", "timeout": 90})
    );
    assert_eq!(
        body(&["renew", "--name", "a", "b"]),
        json!({"names": ["a", "b"], "all": false, "no_wait": false, "until": "verified", "timeout": 300})
    );
    assert_eq!(body(&["sync"]), json!({"names": [], "until": "verified", "force": false, "timeout": 300}));
    assert_eq!(
        body(&["sync", "a", "--until", "delivered", "--force", "--timeout", "1h"]),
        json!({"names": ["a"], "until": "delivered", "force": true, "timeout": 3600})
    );
    assert_eq!(
        body(&["sync", "--generate-only", "--best-effort"]),
        json!({"names": [], "until": "written", "force": false, "timeout": 300})
    );
}

#[test]
fn json_is_the_results_and_nothing_else() {
    let (ended, _) = run(
        &["sync", "--json"],
        vec![Reply::lines(&[
            stage("a", "writing"),
            end(&json!([
                {"name": "a", "result": "written", "serial": "01", "error": null, "reason": null},
                {"name": "b", "result": "waiting", "serial": null, "error": "the guest is off", "reason": "guest-off"},
            ])),
        ])],
    );
    assert_eq!(
        ended.json(),
        json!({"schema": 1, "results": [
            {"name": "a", "result": "written", "serial": "01", "error": null},
            {"name": "b", "result": "waiting", "serial": null, "error": "the guest is off", "reason": "guest-off"},
        ]})
    );
    assert_eq!(ended.code, Some(1));
    assert_eq!(ended.stderr, "a: writing\nb waits (guest-off): the guest is off\n");
}

#[test]
fn a_failure_ends_with_1_and_its_reason() {
    let failed = result("failed", Some("exit code 5; next attempt in 30 s"), Some("command-failed"));
    let ended = ended(&["renew", "--all"], &failed);
    assert_eq!(ended.code, Some(1));
    assert_eq!(ended.stderr, "docker-daemon failed (command-failed): exit code 5; next attempt in 30 s\n");
    assert_eq!(ended.stdout, "NAME           RESULT  SERIAL\ndocker-daemon  failed  0a1b\n");
}

#[test]
fn what_is_not_done_in_time_ends_with_1() {
    let ended = ended(&["sync"], &result("timeout", None, None));
    assert_eq!(ended.code, Some(1));
    assert_eq!(ended.stderr, "docker-daemon was not done in time and goes on in the background\n");
}

#[test]
fn an_accepted_request_is_enough_only_where_nobody_waits() {
    assert_eq!(ended(&["renew", "--all", "--no-wait"], &result("accepted", None, None)).code, Some(0));
    assert_eq!(ended(&["renew", "--all"], &result("accepted", None, None)).code, Some(1));
}

#[test]
fn best_effort_puts_up_with_absent_guests_and_says_so() {
    let waiting = result("waiting", Some("VM 1001 is off"), Some("guest-off"));
    let ended_with = ended(&["sync", "--best-effort"], &waiting);
    assert_eq!(ended_with.code, Some(0));
    assert_eq!(
        ended_with.stderr,
        "docker-daemon waits (guest-off): VM 1001 is off\n\
         best effort: 1 of 1 still to be done, as soon as the guest or the issuer is there\n"
    );
    assert_eq!(ended(&["sync"], &waiting).code, Some(1));
    let closed = result("waiting", None, Some("window-closed"));
    assert_eq!(ended(&["sync", "--best-effort"], &closed).code, Some(1));
}

#[test]
fn an_empty_manifest_is_in_its_desired_state() {
    let ended = ended(&["sync"], &json!([]));
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(0), "There are no certificates in the manifest.\n")
    );
}

#[test]
fn an_unknown_name_ends_with_4_and_starts_nothing() {
    let refusal = json!({"code": "no-such-name", "message": "there is no entry `docker-deamon`"});
    let replies = vec![Reply::json("404 Not Found", &refusal), Reply::json("200 OK", &report())];
    let (ended, asked) = run(&["renew", "traefik-client", "docker-deamon"], replies);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(4), ""));
    assert_eq!(
        ended.stderr,
        "phoenix-certctl: no entry is called `docker-deamon`: did you mean `docker-daemon`?\nNothing was started.\n"
    );
    assert_eq!(asked.last().unwrap().line, "GET /v1/status HTTP/1.1");
}

#[test]
fn an_unknown_name_is_told_in_the_daemons_words_when_it_tells_no_names() {
    let refusal = json!({"code": "no-such-name", "message": "there is no entry `x`"});
    let replies = vec![Reply::json("404 Not Found", &refusal), Reply::raw(b"")];
    let (ended, _) = run(&["sync", "x"], replies);
    assert_eq!(ended.code, Some(4));
    assert_eq!(ended.stderr, "phoenix-certctl: there is no entry `x`\nNothing was started.\n");
}

#[test]
fn a_refusal_ends_with_1_and_the_daemons_words() {
    let forbidden = json!({"code": "forbidden", "message": "only root may command"});
    let (ended, _) = run(&["renew", "--all"], vec![Reply::json("403 Forbidden", &forbidden)]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    assert_eq!(ended.stderr, "phoenix-certctl: the daemon refuses: only root may command\n");
    let (ended, _) =
        run(&["renew", "--all"], vec![Reply::raw(b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n")]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("HTTP status 503"), "{}", ended.stderr);
}

#[test]
fn a_daemon_that_is_not_there_ends_with_3() {
    let scene = Scene::new();
    let ended = scene.run(&["sync"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(3), ""));
    assert!(ended.stderr.starts_with("phoenix-certctl: the daemon is not running: there is no socket"));

    drop(std::os::unix::net::UnixListener::bind(scene.socket()).unwrap());
    let ended = scene.run(&["sync"]);
    assert_eq!(ended.code, Some(3));
    assert!(ended.stderr.starts_with("phoenix-certctl: the daemon is not running: nothing listens on"));
}

#[test]
fn a_connection_that_breaks_or_makes_no_sense_ends_with_3() {
    for (reply, said) in [
        (Reply::cut(&[stage("a", "writing")]), "was lost: "),
        (Reply::lines(&[stage("a", "writing")]), "its answer ended early"),
        (Reply::lines(&[json!({"event": "dance"})]), "a line of its answer makes no sense"),
        (Reply::raw(b"220 mail.example.com ESMTP\r\n"), "was lost: "),
        (Reply::raw(b""), "was lost: "),
    ] {
        let (ended, _) = run(&["renew", "a"], vec![reply]);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(3), ""), "{said}");
        assert!(ended.stderr.contains(said), "{said}: {}", ended.stderr);
    }
}

#[test]
fn escape_sequences_in_progress_and_results_do_not_reach_the_terminal() {
    let lines = [stage("a", "\u{1b}[2Jgone"), end(&result("failed", Some("\u{1b}]0;title\u{7}"), None))];
    let (ended, _) = run(&["sync"], vec![Reply::lines(&lines)]);
    assert_eq!(ended.stderr, "a: \\u{1b}[2Jgone\ndocker-daemon failed: \\u{1b}]0;title\\u{7}\n");
}
