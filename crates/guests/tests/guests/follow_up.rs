//! Commands in a virtual machine that outlast `qm`.

use std::time::Duration;

use phoenix_core::reason::Reason;
use phoenix_guests::{Hypervisor, Programs};
use phoenix_sandbox::{Cancel, CommandSpec, Ended};

use crate::runners::{Scripted, finished};

const RUNNING: &str = "{\n   \"exited\" : 0\n}\n";
const GOOD: &str = r#"{"exitcode" : 0, "exited" : 1, "out-data" : "restarted\n"}"#;

fn answer(stdout: &str) -> phoenix_sandbox::Finished {
    finished(Ended::Exited(0), stdout.as_bytes(), b"")
}

fn pid() -> phoenix_sandbox::Finished {
    finished(Ended::Exited(0), b"{\n   \"pid\" : 77\n}\n", b"timeout reached, returning pid\n")
}

fn failed(stderr: &str) -> phoenix_sandbox::Finished {
    finished(Ended::Exited(255), b"", stderr.as_bytes())
}

fn run(runner: &Scripted, timeout: Duration) -> Result<String, (Reason, String)> {
    let (programs, cancel) = (Programs::default(), Cancel::never());
    let hypervisor = Hypervisor::new(runner, &programs, &cancel).asking_every(Duration::ZERO);
    let argv = ["/usr/sbin/qm", "guest", "exec", "1001", "--", "systemctl", "restart", "docker"];
    let said = hypervisor.run(&CommandSpec::new(argv).timeout(timeout));
    said.map(|said| said.stdout).map_err(|trouble| (trouble.reason, trouble.message))
}

const LONG: Duration = Duration::from_secs(600);

#[test]
fn qm_gets_the_time_limit_and_some_more_time_to_tell_about_it() {
    let runner = Scripted::new([answer(GOOD)]);
    assert_eq!(run(&runner, LONG).unwrap(), "restarted\n");
    assert_eq!(runner.lines(), ["/usr/sbin/qm guest exec 1001 --timeout 600 -- systemctl restart docker"]);
    assert!(runner.asked()[0].timeout > LONG);
}

#[test]
fn a_command_that_outlasts_qm_is_asked_about_until_it_ends() {
    let runner = Scripted::new([
        pid(),
        answer(RUNNING),
        failed("VM 1001 qmp command 'guest-exec-status' failed - got timeout"),
        answer(GOOD),
    ]);
    assert_eq!(run(&runner, LONG).unwrap(), "restarted\n");
    let status = "/usr/sbin/qm guest exec-status 1001 77";
    assert_eq!(runner.lines()[1..], [status, status, status]);
}

#[test]
fn a_failure_that_comes_late_is_a_failure() {
    let late = |text| Scripted::new([pid(), answer(RUNNING), answer(text)]);
    let (reason, message) =
        run(&late(r#"{"err-data" : "no\n", "exitcode" : 3, "exited" : 1}"#), LONG).unwrap_err();
    assert_eq!(reason, Reason::CommandFailed);
    assert!(
        message.contains("`/usr/sbin/qm guest exec 1001 -- systemctl restart docker` (VM 1001)"),
        "{message}"
    );
    assert!(message.ends_with("exited with code 3: no"), "{message}");
    assert_eq!(run(&late(r#"{"exited" : 1, "signal" : 9}"#), LONG).unwrap_err().0, Reason::CommandKilled);
}

#[test]
fn a_command_is_asked_about_once_more_when_its_time_is_up() {
    let runner = Scripted::new([pid(), answer(GOOD)]);
    assert!(run(&runner, Duration::ZERO).is_ok());
    let runner = Scripted::new([pid(), answer(RUNNING)]);
    let (reason, message) = run(&runner, Duration::ZERO).unwrap_err();
    assert_eq!(reason, Reason::CommandTimeout);
    assert!(message.contains("runs on in the guest"), "{message}");
}

#[test]
fn a_command_whose_time_is_up_is_killed_in_the_machine() {
    let runner = Scripted::new([pid(), answer(RUNNING), answer(GOOD)]);
    let (reason, message) = run(&runner, Duration::ZERO).unwrap_err();
    assert_eq!(reason, Reason::CommandTimeout);
    assert!(message.ends_with("was killed in the guest: its time was up"), "{message}");
    let last = &runner.lines()[2];
    assert!(last.starts_with("/usr/sbin/qm guest exec 1001 ") && last.ends_with(" 77"), "{last}");
}

#[test]
fn an_outcome_that_was_told_before_is_lost_and_not_taken_for_success() {
    let runner = Scripted::new([pid(), failed("Agent error: Invalid parameter 'pid'\n")]);
    let (reason, message) = run(&runner, LONG).unwrap_err();
    assert_eq!(reason, Reason::CommandFailed);
    assert!(
        message.starts_with("how `/usr/sbin/qm guest exec") && message.contains("Invalid parameter"),
        "{message}"
    );
}

#[test]
fn a_guest_that_goes_away_meanwhile_is_waited_for() {
    let runner = Scripted::new([pid(), failed("VM 1001 is not running\n")]);
    assert_eq!(run(&runner, LONG).unwrap_err().0, Reason::GuestOff);
}

#[test]
fn a_service_that_stops_does_not_go_on_asking() {
    let runner = Scripted::new([pid(), answer(RUNNING)]);
    let (programs, cancel) = (Programs::default(), Cancel::new().unwrap());
    cancel.cancel();
    let hypervisor = Hypervisor::new(&runner, &programs, &cancel);
    let spec = CommandSpec::new(["/usr/sbin/qm", "guest", "exec", "1001", "--", "x"]);
    assert_eq!(hypervisor.run(&spec).unwrap_err().reason, Reason::CommandKilled);
}

#[test]
fn a_supervisor_that_is_lost_is_told_as_such() {
    let (reason, message) = run(&Scripted::default(), LONG).unwrap_err();
    assert_eq!(reason, Reason::Internal);
    assert!(message.contains("did not report"), "{message}");
}
