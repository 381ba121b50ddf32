//! Nothing outlives a command.

use std::time::Duration;

use phoenix_sandbox::Ended;

use crate::lab::{Witness, run};

crate::tests![
    a_background_child_that_holds_the_output_does_not_hold_us,
    a_background_child_in_a_session_of_its_own_is_killed,
    escapees_are_killed_at_the_time_limit,
    an_orphan_that_ignores_every_signal_is_killed,
    a_chain_of_processes_that_fork_and_exit_is_ended,
    orphans_that_end_are_buried_while_the_command_runs,
];

fn a_background_child_that_holds_the_output_does_not_hold_us() {
    let mut witness = Witness::new();
    let finished = run(&witness.shell("exec 3>$WITNESS; sleep 300 & echo said; exit 4"));
    assert_eq!(finished.ended, Ended::Exited(4));
    assert_eq!(finished.stdout.text(), "said\n");
    assert_eq!((finished.survivors_killed, finished.survivors_left), (1, 0));
    witness.assert_alone();
}

/// Waits in the shell until the escapee, in its own session and no child of the shell, has announced itself.
const ESCAPE: &str = r#"
    exec 3>$WITNESS
    dir=$(dirname $WITNESS)
    (setsid sh -c 'trap "" HUP TERM; echo $$ > "$0/pid.new"; mv "$0/pid.new" "$0/pid"; sleep 300; sleep 300' "$dir" &)
    until [ -e $dir/pid ]; do sleep 0.01; done
"#;

fn a_background_child_in_a_session_of_its_own_is_killed() {
    let mut witness = Witness::new();
    let finished = run(&witness.shell(&format!("{ESCAPE} exit 3")));
    assert_eq!(finished.ended, Ended::Exited(3));
    assert!(finished.survivors_killed >= 1);
    assert_eq!(finished.survivors_left, 0);
    witness.assert_alone();
}

fn escapees_are_killed_at_the_time_limit() {
    let mut witness = Witness::new();
    let spec = witness.shell(&format!("{ESCAPE} sleep 300")).timeout(Duration::from_millis(300));
    assert_eq!(run(&spec).ended, Ended::TimedOut { killed: false });
    witness.assert_alone();
}

fn an_orphan_that_ignores_every_signal_is_killed() {
    let mut witness = Witness::new();
    let script = "exec 3>$WITNESS; trap '' HUP INT QUIT USR1 USR2 PIPE ALRM TERM; (sleep 300 &); exit 0";
    let finished = run(&witness.shell(script));
    assert_eq!((finished.ended, finished.survivors_killed), (Ended::Exited(0), 1));
    witness.assert_alone();
}

fn a_chain_of_processes_that_fork_and_exit_is_ended() {
    let mut witness = Witness::new();
    let script = r#"exec 3>$WITNESS; export LINK='setsid sh -c "$LINK" &'; eval "$LINK""#;
    let finished = run(&witness.shell(script));
    assert_eq!((finished.ended, finished.survivors_left), (Ended::Exited(0), 0));
    witness.assert_alone();
}

fn orphans_that_end_are_buried_while_the_command_runs() {
    let script = r#"
        for orphan in 1 2 3 4 5; do (true &); done
        until [ "$(cat /proc/$PPID/task/$PPID/children)" = "$$ " ]; do sleep 0.01; done
    "#;
    let finished = run(&Witness::new().shell(script));
    assert_eq!((finished.ended, finished.survivors_killed), (Ended::Exited(0), 0));
}
