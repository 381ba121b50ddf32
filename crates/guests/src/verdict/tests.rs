//! Answers as the programs give them, and as they should never give them.

use std::time::Duration;

use phoenix_sandbox::Output;

use super::*;

fn judge(line: &str, ended: Ended, stdout: &str, stderr: &str) -> Result<(), Trouble> {
    let argv: Vec<String> = line.split(' ').map(str::to_owned).collect();
    let finished = Finished {
        ended,
        stdout: Output::whole(stdout),
        stderr: Output::whole(stderr),
        duration: Duration::from_millis(1500),
        survivors_killed: 0,
        survivors_left: 0,
        confinement: phoenix_sandbox::Confinement::default(),
    };
    understand(&argv, &finished)
}

#[test]
fn an_ordinary_program_is_believed_by_its_exit_status() {
    let line = "/usr/sbin/nginx -s reload";
    assert_eq!(judge(line, Ended::Exited(0), "", "warning: container '1' not running!"), Ok(()));
    let cases = [
        (Ended::Exited(127), Reason::CommandFailed, "exited with code 127: oops"),
        (Ended::Signaled(9), Reason::CommandKilled, "killed by signal 9 (SIGKILL)"),
        (Ended::TimedOut { killed: true }, Reason::CommandTimeout, "ended with SIGKILL after 1.5 s"),
        (Ended::Cancelled { killed: false }, Reason::CommandKilled, "the service stops"),
        (
            Ended::NotStarted { errno: 2, text: "No such file".into() },
            Reason::CommandNotStarted,
            "No such file",
        ),
    ];
    for (ended, reason, part) in cases {
        let trouble = judge(line, ended, "", "oops").unwrap_err();
        assert_eq!(trouble.reason, reason);
        assert!(trouble.message.starts_with("`/usr/sbin/nginx -s reload` "), "{trouble}");
        assert!(trouble.message.contains(part), "{trouble}");
    }
}

#[test]
fn the_exit_status_zero_of_qm_is_never_believed() {
    let line = "qm guest exec 1001 -- systemctl restart docker";
    let good = "{\n   \"exitcode\" : 0,\n   \"exited\" : 1\n}\n";
    assert_eq!(judge(line, Ended::Exited(0), good, ""), Ok(()));
    let cases = [
        (
            r#"{"err-data" : "Unit not found.\n", "exitcode" : 5, "exited" : 1}"#,
            Reason::CommandFailed,
            "exited with code 5: Unit not found.",
        ),
        (r#"{"exited" : 1, "signal" : 9}"#, Reason::CommandKilled, "SIGKILL"),
        (r#"{"pid" : 77}"#, Reason::CommandTimeout, "runs on in the guest"),
        ("", Reason::CommandFailed, "it answered nothing"),
        ("OK", Reason::CommandFailed, "not a JSON object"),
        (r#"{"exited" : 1}"#, Reason::CommandFailed, "neither an exit code"),
    ];
    for (stdout, reason, part) in cases {
        let trouble = judge(line, Ended::Exited(0), stdout, "").unwrap_err();
        assert_eq!(trouble.reason, reason, "{stdout}");
        assert!(trouble.message.contains(part) && trouble.message.contains("(VM 1001)"), "{trouble}");
    }
    assert_eq!(
        judge(line, Ended::TimedOut { killed: false }, good, "").unwrap_err().reason,
        Reason::CommandTimeout
    );
    assert_eq!(judge(line, Ended::Exited(1), good, "").unwrap_err().reason, Reason::CommandFailed);
}

#[test]
fn failures_of_qm_itself_have_reasons_of_their_own() {
    let cases = [
        (255, "VM 1001 is not running\n", Reason::GuestOff, "`qm start 1001`"),
        (
            2,
            "Configuration file 'nodes/pve/qemu-server/1001.conf' does not exist\n",
            Reason::GuestAbsent,
            "node",
        ),
        (255, "QEMU guest agent is not running\n", Reason::AgentMissing, "qemu-guest-agent"),
        (
            255,
            "Agent error: Command guest-exec has been disabled\n",
            Reason::AgentBlocked,
            "allow guest-exec",
        ),
        (
            255,
            "Agent error: Failed to execute child process “x” (No such file or directory)\n",
            Reason::CommandNotStarted,
            "No such file",
        ),
        (25, "something new\n", Reason::CommandFailed, "exited with code 25: something new"),
    ];
    for (code, stderr, reason, part) in cases {
        let trouble = judge("/x/qm guest exec 1001 -- x", Ended::Exited(code), "", stderr).unwrap_err();
        assert_eq!(trouble.reason, reason, "{stderr}");
        assert!(trouble.message.contains(part), "{trouble}");
    }
}

#[test]
fn pct_exec_is_understood_by_code_and_words() {
    let line = "pct exec 102 -- /bin/bash -c 'x'";
    assert_eq!(judge(line, Ended::Exited(0), "", "lxc-attach: 102: a warning"), Ok(()));
    let gone =
        "lxc-attach: 102: attach.c: get_attach_context: 405 Connection refused - Failed to get init pid\n";
    let missing = "lxc-attach: 102: attach.c: run: 1841 No such file or directory - Failed to exec \"x\"\n";
    let cases = [
        (1, "Job failed", Reason::CommandFailed),
        (1, gone, Reason::GuestOff),
        (126, "", Reason::CommandNotStarted),
        (127, "", Reason::CommandNotStarted),
        (127, missing, Reason::CommandNotStarted),
        (137, "", Reason::CommandKilled),
        (143, "", Reason::CommandKilled),
        (255, "container '102' not running!\n", Reason::GuestOff),
        (255, "container '999' not running!\n", Reason::CommandFailed),
        (255, "CT is locked (backup)\n", Reason::GuestLocked),
        (2, "Configuration file 'nodes/pve/lxc/102.conf' does not exist\n", Reason::GuestAbsent),
        (2, "", Reason::CommandFailed),
    ];
    for (code, stderr, reason) in cases {
        let trouble = judge(line, Ended::Exited(code), "", stderr).unwrap_err();
        assert_eq!(trouble.reason, reason, "{code} {stderr}");
        assert!(trouble.message.contains("(LXC 102)"), "{trouble}");
    }
}

#[test]
fn a_push_that_exits_with_zero_may_have_failed() {
    let line = "pct push 102 /a /b";
    assert_eq!(judge(line, Ended::Exited(0), "", ""), Ok(()));
    let failed = judge(line, Ended::Exited(0), "", "failed to create file: /b: No space left\n").unwrap_err();
    assert_eq!(failed.reason, Reason::CommandFailed);
    assert!(failed.message.contains("No space left"), "{failed}");
}

#[test]
fn a_message_is_short_and_shows_no_key() {
    let line = format!("/bin/sh -c {}", "x".repeat(9000));
    let key = "-----BEGIN PRIVATE KEY-----\nSECRET\n-----END PRIVATE KEY-----\n";
    let trouble = judge(&line, Ended::Exited(1), key, "").unwrap_err();
    assert!(trouble.message.len() < 1000, "{}", trouble.message.len());
    assert!(!trouble.message.contains("SECRET"), "{trouble}");
}
