//! Control groups of version 2 below one that is delegated to this process, as systemd delegates one to a service. This
//! executable plays the service in a role of its own, in a mount name space that has them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use phoenix_sandbox::{
    Cancel, CommandSpec, Ended, Measure, Runner, SandboxError, Supervised, make_room_for_groups,
};
use rustix::fs::{XattrFlags, setxattr};
use rustix::process::geteuid;

use crate::attacks::closed;
use crate::lab::{Witness, output_of, run, shell};

crate::tests![
    a_service_with_a_delegated_group_gives_each_command_one,
    without_a_group_who_kills_the_supervisor_leaves_somebody_behind,
];

const SERVICE_ROLE: &str = "--service";

/// Puts `"$@"` into a group of its own, which is removed with everything in it.
const BELOW: &str = r#"
    umount -Rl /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup || exit
    before=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)
    group=/sys/fs/cgroup/phoenix-test-$$
    mkdir $group && echo $$ >$group/cgroup.procs || exit
    "$@"
    status=$?
    echo $$ >$before/cgroup.procs
    echo 1 >$group/cgroup.kill
    find $group -depth -type d -exec rmdir {} +
    exit $status
"#;

/// In the role of the service: panics if something is not as it must be.
pub(crate) fn service_main_if_asked() {
    if std::env::args().nth(1).is_none_or(|role| role != SERVICE_ROLE) {
        return;
    }
    let home = own_group();
    setxattr(&home, "trusted.delegate", b"1", XattrFlags::empty()).unwrap();
    assert!(make_room_for_groups().unwrap());
    assert_eq!(own_group(), home.join("main"));
    a_command_has_a_group_of_its_own(&home);
    whoever_a_killed_supervisor_leaves_behind_is_ended(&home);
    groups_that_were_left_are_ended_with_the_next_command(&home);
    exit(0);
}

/// As this process sees it.
fn own_group() -> PathBuf {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap();
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/")).unwrap();
    Path::new("/sys/fs/cgroup").join(path)
}

fn assert_nobody_else_is_in(home: &Path) {
    let entries = fs::read_dir(home).unwrap().map(|entry| entry.unwrap());
    let groups = entries.filter(|entry| entry.file_type().unwrap().is_dir()).map(|entry| entry.file_name());
    assert_eq!(groups.collect::<Vec<_>>(), ["main"]);
}

fn a_command_has_a_group_of_its_own(home: &Path) {
    let look = shell("cat /proc/self/cgroup");
    assert!(output_of(&look).contains("/phoenix-command-"), "{}", output_of(&look));
    for profile in [phoenix_sandbox::Profile::Plain, closed()] {
        let finished = run(&shell("setsid sleep 300 & exit 3").profile(profile));
        assert_eq!((finished.ended, finished.survivors_left), (Ended::Exited(3), 0));
        assert!(finished.confinement.has(Measure::ControlGroup), "{}", finished.confinement);
        assert_nobody_else_is_in(home);
    }
}

/// Leaves a process in a session of its own, which holds the witness, and kills the supervisor.
fn murder(witness: &Witness) -> CommandSpec {
    witness.shell("exec 3>$WITNESS; (setsid sleep 300 & echo $! >&3); kill -9 $PPID; exec sleep 300")
}

fn is_lost(spec: &CommandSpec) {
    let lost = Supervised::current().run(spec, &Cancel::never()).unwrap_err();
    assert!(matches!(lost, SandboxError::Lost { .. }), "{lost}");
}

fn whoever_a_killed_supervisor_leaves_behind_is_ended(home: &Path) {
    let mut witness = Witness::new();
    is_lost(&murder(&witness));
    assert_ne!(witness.line(), "");
    witness.wait_until_alone();
    assert_nobody_else_is_in(home);
}

/// As after a caller that was killed as well.
fn groups_that_were_left_are_ended_with_the_next_command(home: &Path) {
    // No process has this id: it is above what the kernel gives out.
    let left = home.join("phoenix-command-4194305");
    fs::create_dir(&left).unwrap();
    let mut child = Command::new("/bin/sleep").arg("300").spawn().unwrap();
    fs::write(left.join("cgroup.procs"), child.id().to_string()).unwrap();
    assert_eq!(run(&shell("true")).ended, Ended::Exited(0));
    assert!(!child.wait().unwrap().success());
    assert_nobody_else_is_in(home);
}

fn a_service_with_a_delegated_group_gives_each_command_one() {
    if !geteuid().is_root() {
        return;
    }
    let own = std::env::current_exe().unwrap();
    let mut service = Command::new("unshare");
    service.args(["--mount", "--propagation", "private", "sh", "-c", BELOW, "sh"]);
    let output = service.arg(own).arg(SERVICE_ROLE).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn without_a_group_who_kills_the_supervisor_leaves_somebody_behind() {
    let mut witness = Witness::new();
    is_lost(&murder(&witness));
    let left: i32 = witness.line().parse().unwrap();
    kill(Pid::from_raw(left), Signal::SIGKILL).unwrap();
    witness.wait_until_alone();
}
