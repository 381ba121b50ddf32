//! How a command ends is told as it was.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use phoenix_sandbox::{Cancel, CommandSpec, Ended, Runner, SandboxError, Supervised};

use crate::lab::{LONG, Witness, output_of, run, shell};

crate::tests![
    an_exit_code_is_told_as_it_is,
    a_signal_is_not_an_exit_code,
    what_cannot_be_started_is_told_with_its_error,
    what_cannot_be_run_at_all_is_refused,
    the_time_limit_ends_a_command,
    a_stopped_command_is_ended_too,
    a_command_may_end_in_peace_after_sigterm,
    a_command_that_ignores_sigterm_is_killed,
    a_cancelled_command_is_not_started,
    commands_side_by_side_do_not_disturb_each_other,
    an_endless_time_limit_is_none,
];

fn an_exit_code_is_told_as_it_is() {
    for code in [0, 1, 7, 126, 127, 137, 255] {
        let finished = run(&shell(&format!("exit {code}")));
        assert_eq!(finished.ended, Ended::Exited(code));
        assert_eq!(finished.succeeded(), code == 0);
        assert_eq!((finished.survivors_killed, finished.survivors_left), (0, 0));
    }
}

fn a_signal_is_not_an_exit_code() {
    for signal in [9, 15, 1, 13] {
        assert_eq!(run(&shell(&format!("kill -{signal} $$"))).ended, Ended::Signaled(signal));
    }
}

fn what_cannot_be_started_is_told_with_its_error() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, mode, content: &str| {
        let path = dir.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let cases = [
        ("/nowhere/to/be/found".to_owned(), 2, "No such file"),
        (file("plain", 0o644, "#!/bin/sh\n"), 13, "Permission denied"),
        (file("orphan", 0o755, "#!/nowhere/interpreter\n"), 2, "No such file"),
        ("/etc".to_owned(), 13, "Permission denied"),
        ("/etc/passwd/x".to_owned(), 20, "Not a directory"),
    ];
    for (program, expected, words) in cases {
        let Ended::NotStarted { errno, text } = run(&CommandSpec::new([program.as_str()])).ended else {
            panic!("{program} was started");
        };
        assert_eq!(errno, expected, "{program}: {text}");
        assert!(text.contains(words), "{program}: {text}");
    }
    let long = CommandSpec::new(["/bin/true".to_owned(), "x".repeat(200_000)]);
    assert!(matches!(run(&long).ended, Ended::NotStarted { errno: 7, .. }));
}

fn what_cannot_be_run_at_all_is_refused() {
    let refused = Supervised::current().run(&CommandSpec::new(["true"]), &Cancel::never());
    assert!(matches!(refused, Err(SandboxError::Defective(text)) if text.contains("absolute path")));
}

fn the_time_limit_ends_a_command() {
    let finished = run(&CommandSpec::new(["/bin/sleep", "300"]).timeout(Duration::from_millis(50)));
    assert_eq!(finished.ended, Ended::TimedOut { killed: false });
    assert!(finished.duration >= Duration::from_millis(50));
}

fn a_stopped_command_is_ended_too() {
    let finished = run(&shell("kill -STOP $$").timeout(Duration::from_millis(200)));
    assert_eq!(finished.ended, Ended::TimedOut { killed: false });
}

fn a_command_may_end_in_peace_after_sigterm() {
    let mut witness = Witness::new();
    let script = "trap 'echo bye; exit 0' TERM; echo ready > $WITNESS; while :; do sleep 0.02; done";
    let cancel = Cancel::new().unwrap();
    let finished = std::thread::scope(|scope| {
        let spec = witness.shell(script).grace(LONG);
        let switch = cancel.clone();
        let command = scope.spawn(move || Supervised::current().run(&spec, &switch).unwrap());
        assert_eq!(witness.line(), "ready");
        cancel.cancel();
        command.join().unwrap()
    });
    assert_eq!(finished.ended, Ended::Cancelled { killed: false });
    assert_eq!(finished.stdout.text(), "bye\n");
}

fn a_command_that_ignores_sigterm_is_killed() {
    let mut witness = Witness::new();
    let script = "trap '' TERM; exec 3>$WITNESS; echo ready >&3; sleep 300; sleep 300";
    let cancel = Cancel::new().unwrap();
    let finished = std::thread::scope(|scope| {
        let spec = witness.shell(script).grace(Duration::from_millis(50));
        let switch = cancel.clone();
        let command = scope.spawn(move || Supervised::current().run(&spec, &switch).unwrap());
        assert_eq!(witness.line(), "ready");
        cancel.cancel();
        command.join().unwrap()
    });
    assert_eq!(finished.ended, Ended::Cancelled { killed: true });
    witness.assert_alone();
}

fn a_cancelled_command_is_not_started() {
    let dir = tempfile::tempdir().unwrap();
    let mark = dir.path().join("mark");
    let cancel = Cancel::new().unwrap();
    cancel.cancel();
    let spec = CommandSpec::new(["/usr/bin/touch", mark.to_str().unwrap()]);
    let finished = Supervised::current().run(&spec, &cancel).unwrap();
    assert_eq!(finished.ended, Ended::Cancelled { killed: false });
    assert!(!mark.exists());
    assert_eq!(run(&spec).ended, Ended::Exited(0));
    assert!(mark.exists());
}

fn commands_side_by_side_do_not_disturb_each_other() {
    std::thread::scope(|scope| {
        for number in 1..=12 {
            scope.spawn(move || {
                let input = vec![b'x'; 100_000 + number];
                let finished = run(&shell(&format!("wc -c; exit {number}")).stdin(input));
                assert_eq!(finished.ended, Ended::Exited(number as i32));
                assert_eq!(finished.stdout.text().trim(), (100_000 + number).to_string());
            });
        }
    });
}

fn an_endless_time_limit_is_none() {
    let endless = CommandSpec::new(["/bin/echo", "here"]).timeout(Duration::MAX).grace(Duration::MAX);
    assert_eq!(output_of(&endless), "here\n");
}
