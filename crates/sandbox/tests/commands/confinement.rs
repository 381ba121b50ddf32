//! What a command finds around it, and what it does not find.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::process::Command;

use phoenix_sandbox::CommandSpec;
use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};

use crate::lab::{output_of, shell};

crate::tests![
    an_inherited_descriptor_is_not_visible,
    the_environment_is_the_given_one_alone,
    arguments_arrive_byte_by_byte,
    it_leads_a_session_of_its_own_without_a_terminal,
    directory_and_mask_are_the_usual_ones,
    no_signal_is_ignored_or_blocked,
    a_caller_that_holds_signals_back_does_not_pass_that_on,
    it_cannot_gain_privileges,
];

fn an_inherited_descriptor_is_not_visible() {
    let file = File::open("/etc/passwd").unwrap();
    let leak = fcntl_dupfd_cloexec(&file, 77).unwrap();
    fcntl_setfd(&leak, FdFlags::empty()).unwrap();
    let script = format!("[ -e /proc/$$/fd/{} ] && echo visible || echo hidden", leak.as_raw_fd());
    let bare = Command::new("/bin/sh").args(["-c", &script]).output().unwrap();
    assert_eq!(bare.stdout, b"visible\n");
    assert_eq!(output_of(&shell(&script)), "hidden\n");
    let own = output_of(&CommandSpec::new(["/bin/ls", "/proc/self/fd"]));
    assert_eq!(own.split_whitespace().collect::<Vec<_>>(), ["0", "1", "2", "3"], "3 is the folder itself");
}

fn the_environment_is_the_given_one_alone() {
    let spec = CommandSpec::new(["/usr/bin/env", "-0"]);
    assert_eq!(output_of(&spec), "PATH=/usr/sbin:/usr/bin:/sbin:/bin\0");
    let spec = spec.env("PHOENIX_NAME", "a b\nc=d").env("PATH", "/bin").env("EMPTY", "");
    let mut found: Vec<String> = output_of(&spec).split_terminator('\0').map(str::to_owned).collect();
    found.sort();
    assert_eq!(found, ["EMPTY=", "PATH=/bin", "PHOENIX_NAME=a b\nc=d"]);
}

fn arguments_arrive_byte_by_byte() {
    let odd = ["", " ", "a\nb", "\u{1}\u{7f}", "'\"$(id)`id`\\", "ünï", "-n", "*", &"x".repeat(100_000)];
    let argv = ["/usr/bin/printf", "%s\\0"].into_iter().chain(odd);
    let output = output_of(&CommandSpec::new(argv).output_limit(1 << 20));
    assert_eq!(output.split_terminator('\0').collect::<Vec<_>>(), odd);
}

fn it_leads_a_session_of_its_own_without_a_terminal() {
    let stat = output_of(&shell("cat /proc/$$/stat"));
    let pid = stat.split_whitespace().next().unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split_whitespace().collect();
    assert_eq!((fields[2], fields[3], fields[4]), (pid, pid, "0"), "group, session, terminal");
}

fn directory_and_mask_are_the_usual_ones() {
    assert_eq!(output_of(&shell("pwd; umask")), "/\n0022\n");
}

/// Our own process ignores SIGPIPE, as every Rust program, and the supervisor ignores more.
fn no_signal_is_ignored_or_blocked() {
    let status = output_of(&CommandSpec::new(["/bin/grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"]));
    assert_eq!(status, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

/// The executor takes the requests to end it in one thread, so all of its threads block them.
fn a_caller_that_holds_signals_back_does_not_pass_that_on() {
    let status = std::process::Command::new("/usr/bin/env")
        .arg("--block-signal=TERM,INT,HUP")
        .arg(std::env::current_exe().unwrap())
        .arg("no_signal_is_ignored_or_blocked")
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
}

fn it_cannot_gain_privileges() {
    let status = output_of(&CommandSpec::new(["/bin/grep", "NoNewPrivs", "/proc/self/status"]));
    assert_eq!(status, "NoNewPrivs:\t1\n");
}
