//! A caller or a supervisor that dies on the way.

use std::process::{Command, Stdio};

use phoenix_sandbox::{Cancel, CommandSpec, Runner, SandboxError, Supervised};

use crate::lab::{Witness, shell};

crate::tests![
    a_caller_that_is_killed_takes_its_command_along,
    a_supervisor_that_is_killed_takes_its_command_along,
    a_supervisor_that_is_none_is_an_error,
];

const CALLER_ROLE: &str = "--call-a-long-command";

/// In the role of a caller that is to be killed: runs a command that holds the witness and does not end.
pub(crate) fn caller_main_if_asked() {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() != Some(CALLER_ROLE) {
        return;
    }
    let witness = arguments.next().unwrap();
    let script = "exec 3>$WITNESS; echo running >&3; (setsid sleep 300 &); sleep 300";
    Supervised::current().run(&shell(script).env("WITNESS", witness), &Cancel::never()).unwrap();
}

fn a_caller_that_is_killed_takes_its_command_along() {
    let mut witness = Witness::new();
    let mut caller = Command::new("/proc/self/exe")
        .arg(CALLER_ROLE)
        .arg(witness.path())
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    assert_eq!(witness.line(), "running");
    caller.kill().unwrap();
    caller.wait().unwrap();
    witness.wait_until_alone();
}

fn a_supervisor_that_is_killed_takes_its_command_along() {
    let witness = Witness::new();
    let spec = witness.shell("exec 3>$WITNESS; kill -9 $PPID; exec sleep 300");
    let lost = Supervised::current().run(&spec, &Cancel::never()).unwrap_err();
    assert!(matches!(&lost, SandboxError::Lost { status, .. } if status.contains("signal: 9")), "{lost}");
    witness.wait_until_alone();
}

fn a_supervisor_that_is_none_is_an_error() {
    let spec = CommandSpec::new(["/bin/echo"]).stdin(vec![0; 300_000]);
    let run = |executable| Supervised::new(executable).run(&spec, &Cancel::never()).unwrap_err();
    assert!(matches!(run("/nowhere"), SandboxError::Supervisor { .. }));
    let lost = run("/bin/false");
    assert!(matches!(&lost, SandboxError::Lost { status, .. } if status.contains('1')), "{lost}");
}
