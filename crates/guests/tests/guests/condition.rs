//! What a failure is taken for, by the condition of the guest in which it happened.

use phoenix_core::reason::{Reason, Trouble};
use phoenix_guests::{Hypervisor, Programs};
use phoenix_sandbox::{Cancel, CommandSpec, Ended, Finished};

use crate::runners::{Scripted, finished};

const PCT: &str = "/usr/sbin/pct exec 102 -- /bin/sh -c true";
const QM: &str = "/usr/sbin/qm guest exec 1001 -- true";

fn ended(ended: Ended, stderr: &str) -> Finished {
    finished(ended, b"", stderr.as_bytes())
}

fn exited(code: i32, stderr: &str) -> Finished {
    ended(Ended::Exited(code), stderr)
}

fn status(text: &str) -> Finished {
    finished(Ended::Exited(0), text.as_bytes(), b"")
}

const UP: &str = "status: running\n";
const DOWN: &str = "status: stopped\n";
const HELD: &str = "lock: backup\nname: web\nstatus: running\n";
const DOWN_AND_HELD: &str = "lock: migrate\nstatus: stopped\n";

fn run(line: &str, answers: impl IntoIterator<Item = Finished>) -> (Trouble, usize) {
    let runner = Scripted::new(answers);
    let (programs, cancel) = (Programs::default(), Cancel::never());
    let hypervisor = Hypervisor::new(&runner, &programs, &cancel);
    let trouble = hypervisor.run(&CommandSpec::new(line.split(' '))).unwrap_err();
    (trouble, runner.lines().len())
}

const NOT_RUNNING: &str = "container '102' not running!\n";
const ABSENT: &str = "Configuration file 'nodes/pve/lxc/102.conf' does not exist\n";
const ATTACH: &str =
    "lxc-attach: 102: attach.c: get_attach_context: 405 Connection refused - Failed to get init pid\n";

#[test]
fn a_failure_in_a_container_is_owed_to_the_container_or_to_the_command() {
    let timed_out = || ended(Ended::TimedOut { killed: true }, "");
    let cases = [
        (exited(255, NOT_RUNNING), DOWN, Reason::GuestOff),
        (exited(255, NOT_RUNNING), DOWN_AND_HELD, Reason::GuestLocked),
        // The command prints what pct would.
        (exited(255, NOT_RUNNING), UP, Reason::CommandFailed),
        (exited(1, NOT_RUNNING), UP, Reason::CommandFailed),
        (exited(2, ABSENT), UP, Reason::CommandFailed),
        (exited(255, "CT is locked (backup)\n"), UP, Reason::CommandFailed),
        (exited(255, "CT is locked (backup)\n"), HELD, Reason::GuestLocked),
        (exited(137, NOT_RUNNING), UP, Reason::CommandKilled),
        (exited(1, ATTACH), DOWN, Reason::GuestOff),
        (exited(1, ATTACH), UP, Reason::CommandNotStarted),
        (exited(1, ATTACH), HELD, Reason::GuestLocked),
        // It was switched off while the command ran.
        (exited(137, ""), DOWN, Reason::GuestOff),
        (exited(137, ""), UP, Reason::CommandKilled),
        (exited(1, "broken pipe"), DOWN, Reason::GuestOff),
        (exited(3, "no such unit"), UP, Reason::CommandFailed),
        (exited(3, "no such unit"), HELD, Reason::CommandFailed),
        (exited(127, ""), UP, Reason::CommandNotStarted),
        // It is frozen, or the command hangs.
        (timed_out(), HELD, Reason::GuestLocked),
        (timed_out(), DOWN, Reason::GuestOff),
        (timed_out(), UP, Reason::CommandTimeout),
    ];
    for (failure, condition, reason) in cases {
        let case = format!("{:?} {} {condition}", failure.ended, failure.stderr.text());
        let (trouble, asked) = run(PCT, [failure, status(condition)]);
        assert_eq!((trouble.reason, asked), (reason, 2), "{case}: {trouble}");
        assert!(trouble.message.contains("(LXC 102)"), "{trouble}");
    }
}

#[test]
fn a_container_that_has_moved_away_meanwhile_is_absent() {
    let (trouble, _) = run(PCT, [exited(255, NOT_RUNNING), exited(2, ABSENT)]);
    assert_eq!(trouble.reason, Reason::GuestAbsent, "{trouble}");
    assert!(trouble.message.contains("is not on this node"), "{trouble}");
    assert_eq!(run(PCT, [exited(2, ABSENT), exited(2, ABSENT)]).0.reason, Reason::GuestAbsent);
}

#[test]
fn a_hypervisor_that_does_not_answer_explains_nothing() {
    for answer in
        [exited(25, "cluster not ready\n"), status("nonsense"), ended(Ended::TimedOut { killed: true }, "")]
    {
        let (trouble, _) = run(PCT, [exited(255, NOT_RUNNING), answer]);
        assert_eq!(trouble.reason, Reason::GuestOff, "{trouble}");
    }
}

#[test]
fn a_machine_whose_agent_is_silent_is_off_paused_held_or_without_an_agent() {
    let silent = || exited(255, "QEMU guest agent is not running\n");
    let timeout = || exited(255, "VM 1001 qmp command 'guest-exec' failed - got timeout\n");
    let cases = [
        (silent(), UP, Reason::AgentMissing),
        (timeout(), UP, Reason::AgentMissing),
        (silent(), "lock: snapshot\nqmpstatus: running\nstatus: running\n", Reason::GuestLocked),
        (silent(), "qmpstatus: paused\nstatus: running\n", Reason::GuestOff),
        (timeout(), DOWN, Reason::GuestOff),
        (timeout(), DOWN_AND_HELD, Reason::GuestLocked),
        (ended(Ended::TimedOut { killed: true }, ""), HELD, Reason::GuestLocked),
    ];
    for (failure, condition, reason) in cases {
        let (trouble, asked) = run(QM, [failure, status(condition)]);
        assert_eq!((trouble.reason, asked), (reason, 2), "{condition}: {trouble}");
    }
}

#[test]
fn what_qm_or_the_agent_says_clearly_needs_no_second_question() {
    let json = |text: &str| finished(Ended::Exited(0), text.as_bytes(), b"");
    let cases = [
        (
            json(r#"{"exitcode" : 1, "exited" : 1, "err-data" : "VM 1001 is not running"}"#),
            Reason::CommandFailed,
        ),
        (json(r#"{"exited" : 1, "signal" : 9}"#), Reason::CommandKilled),
        (exited(255, "VM 1001 is not running\n"), Reason::GuestOff),
        (exited(255, "Agent error: Command guest-exec has been disabled\n"), Reason::AgentBlocked),
        (
            exited(255, "Agent error: Command guest-exec has been disabled: the agent is in frozen state\n"),
            Reason::GuestLocked,
        ),
    ];
    for (failure, reason) in cases {
        let (trouble, asked) = run(QM, [failure]);
        assert_eq!((trouble.reason, asked), (reason, 1), "{trouble}");
    }
}

#[test]
fn a_machine_that_ends_while_its_command_is_asked_about_is_off() {
    let pid = finished(Ended::Exited(0), b"{\"pid\" : 77}", b"timeout reached, returning pid\n");
    let (trouble, asked) = run(QM, [pid, exited(255, "something new\n"), status(DOWN)]);
    assert_eq!((trouble.reason, asked), (Reason::GuestOff, 3), "{trouble}");
    assert!(trouble.message.ends_with("the guest is stopped; start it with `qm start 1001`"), "{trouble}");
}
