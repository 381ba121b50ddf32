//! The same for a user without any rights: this executable runs its tests again as one.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::geteuid;

crate::tests![everything_holds_for_a_normal_user_too];

const NOBODY: u32 = 65534;

fn everything_holds_for_a_normal_user_too() {
    if !geteuid().is_root() {
        return;
    }
    let dir = tempfile::tempdir_in("/var/lib").unwrap();
    chown(dir.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    let mut tests = Command::new("/proc/self/exe");
    tests
        .args(["strict::", "guest::", "reach::"])
        .uid(NOBODY)
        .gid(NOBODY)
        .current_dir("/")
        .env("PHOENIX_TEST_DIR", dir.path());
    let output = tests.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let failed: Vec<_> = text.lines().filter(|line| line.ends_with("FAILED")).collect();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{failed:#?}\n{errors}");
    assert!(text.contains("no_connection_goes_out ... ok"), "{text}");
}
