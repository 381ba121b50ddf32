//! Machines that offer less: this executable forbids itself a system call, in a role of its own, and confines
//! commands then.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::process::{Command, exit};

use phoenix_sandbox::{Confinement, Ended, Measure, Profile, Strict};
use rustix::process::geteuid;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

use crate::attacks::{closed, fails, stopped, succeeds};
use crate::lab::{run, shell};

crate::tests![
    without_rules_about_files_root_runs_nothing_strict,
    without_rules_about_files_a_normal_user_is_told,
    without_name_spaces_rules_about_files_are_still_in_force,
];

const IMPAIRED_ROLE: &str = "--impaired";
const NOBODY: u32 = 65534;

/// In the role of somebody on a lesser machine: does one of the examinations below, and panics if it fails.
pub(crate) fn impaired_main_if_asked() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [role, examination] = &arguments[..] else { return };
    if role != IMPAIRED_ROLE {
        return;
    }
    match examination.as_str() {
        "landlock" => {
            forbid(libc::SYS_landlock_create_ruleset);
            without_landlock();
        }
        "unshare" => {
            forbid(libc::SYS_unshare);
            without_name_spaces();
        }
        "mount" => {
            forbid(libc::SYS_mount);
            without_name_spaces();
        }
        _ => panic!("unknown examination {examination}"),
    }
    exit(0);
}

fn forbid(call: i64) {
    let rules = BTreeMap::from([(call, Vec::new())]);
    let arch = std::env::consts::ARCH.try_into().unwrap();
    let answer = SeccompAction::Errno(libc::EOPNOTSUPP as u32);
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, answer, arch).unwrap();
    apply_filter(&BpfProgram::try_from(filter).unwrap()).unwrap();
}

fn examine(examination: &str, user: Option<u32>) {
    let mut own = Command::new("/proc/self/exe");
    own.args([IMPAIRED_ROLE, examination]).current_dir("/");
    if let Some(user) = user {
        own.uid(user).gid(user);
    }
    let output = own.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn lacks(confinement: &Confinement, measures: &[Measure]) {
    for measure in measures {
        assert!(confinement.missing.iter().any(|missing| missing.measure == *measure), "{confinement}");
        assert!(!confinement.has(*measure), "{confinement}");
    }
}

fn without_landlock() {
    let finished = run(&shell("true").profile(closed()));
    if geteuid().is_root() {
        let Ended::NotStarted { text, .. } = finished.ended else { panic!("{:?}", finished.ended) };
        assert!(text.contains("Landlock"), "{text}");
        return;
    }
    assert_eq!(finished.ended, Ended::Exited(0));
    lacks(&finished.confinement, &[Measure::FileRules, Measure::TcpRules, Measure::Signals]);
    // What does not depend on it is still there.
    stopped(&shell("unshare --user true"), closed());
}

fn without_name_spaces() {
    let dir = tempfile::tempdir().unwrap();
    let (own, other) = (dir.path().join("own"), dir.path().join("other"));
    std::fs::write(&own, "x").unwrap();
    std::fs::write(&other, "x").unwrap();
    let profile = Profile::Strict(Strict::default().read(&own));
    let finished = succeeds(&shell(&format!("cat {}", own.display())), profile.clone());
    lacks(&finished.confinement, &[Measure::ReadOnlySystem, Measure::PrivateTmp, Measure::PrivateNetwork]);
    stopped(&shell(&format!("cat {}", other.display())), profile.clone());
    stopped(&shell(&format!("echo x > {}/new", dir.path().display())), profile.clone());
    fails(&shell("perl -e 'use Socket; socket(my $s, AF_INET, SOCK_STREAM, 0) or exit 1'"), profile);
}

fn without_rules_about_files_root_runs_nothing_strict() {
    if geteuid().is_root() {
        examine("landlock", None);
    }
}

fn without_rules_about_files_a_normal_user_is_told() {
    examine("landlock", geteuid().is_root().then_some(NOBODY));
}

fn without_name_spaces_rules_about_files_are_still_in_force() {
    for call in ["unshare", "mount"] {
        examine(call, None);
        if geteuid().is_root() {
            examine(call, Some(NOBODY));
        }
    }
}
