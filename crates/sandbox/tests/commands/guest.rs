//! What is left to a command that enters guests, and what is not.

use std::fs;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use phoenix_sandbox::{Ended, Guest, Measure, Profile};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::process::geteuid;

use crate::attacks::{attack, fails, stopped, succeeds};
use crate::lab::{output_of, run, shell};

crate::tests![
    what_is_in_force_is_told,
    keys_and_state_are_hidden,
    what_is_named_stays_visible_in_hidden_directories,
    hidden_storage_that_hangs_holds_nothing_up,
    the_system_is_read_only_but_for_what_guests_need,
    devices_are_harmless,
    no_network_socket_is_made,
    only_the_powers_for_entering_guests_are_left,
    name_spaces_may_be_made_and_entered_but_nothing_is_mounted,
    no_process_is_traced,
    processes_and_sockets_of_the_host_are_there,
    a_memory_file_can_be_executed,
    a_fork_bomb_leaves_nothing,
    escapees_are_killed,
];

fn open() -> Profile {
    Profile::Guest(Guest::default())
}

fn hiding(path: &Path) -> Profile {
    Profile::Guest(Guest { hidden: vec![path.to_owned()], ..Guest::default() })
}

fn what_is_in_force_is_told() {
    let profile = hiding(Path::new("/var/lib"));
    let confinement = succeeds(&shell("true"), profile.clone()).confinement;
    let mut all = confinement.in_force.clone();
    all.extend(confinement.missing.iter().map(|missing| missing.measure));
    all.sort_unstable();
    assert_eq!((confinement.profile.as_str(), all), ("guest", profile.measures()));
    assert!(confinement.has(Measure::SystemCalls) && confinement.has(Measure::ResourceLimits));
    let root = geteuid().is_root();
    for measure in [Measure::HiddenPaths, Measure::ReadOnlySystem, Measure::Capabilities] {
        assert_eq!(confinement.has(measure), root, "{confinement}");
    }
}

fn keys_and_state_are_hidden() {
    if !geteuid().is_root() {
        return;
    }
    // One below a directory that stays as it is, one elsewhere.
    for place in ["/run", "/var/lib"] {
        let dir = tempfile::tempdir_in(place).unwrap();
        let key = dir.path().join("key");
        fs::write(&key, "hush").unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        let read = shell(&format!("grep -q hush {}", key.display()));
        stopped(&read, hiding(dir.path()));
        stopped(&read, hiding(&key));
        succeeds(&read, open());
        fails(&shell(&format!("umount {}", dir.path().display())), hiding(dir.path()));
        fails(&shell(&format!("touch {}/x", dir.path().display())), hiding(dir.path()));
    }
    let elsewhere = tempfile::tempdir_in("/root").unwrap();
    stopped(&shell(&format!("ls {}", elsewhere.path().display())), open());
}

fn what_is_named_stays_visible_in_hidden_directories() {
    if !geteuid().is_root() {
        return;
    }
    // One below a directory of which a command has its own, one elsewhere.
    for place in ["/tmp", "/var/lib"] {
        let dir = tempfile::tempdir_in(place).unwrap();
        fs::create_dir(dir.path().join("deep")).unwrap();
        for name in ["deep/own", "deep/other"] {
            fs::write(dir.path().join(name), "hush").unwrap();
        }
        let profile = Profile::Guest(Guest {
            hidden: vec![dir.path().to_owned()],
            reads: vec![dir.path().join("deep/own")],
            ..Guest::default()
        });
        let listed = shell(&format!("cd {}/deep && ls && cat own", dir.path().display()));
        assert_eq!(output_of(&listed.profile(profile.clone())), "own\nhush");
        stopped(&shell(&format!("echo x > {}/deep/own", dir.path().display())), profile);
    }
}

/// A file system whose server never answers: everybody who looks at it waits.
fn hidden_storage_that_hangs_holds_nothing_up() {
    if !geteuid().is_root() {
        return;
    }
    let dir = tempfile::tempdir_in("/var/lib").unwrap();
    let server = fs::File::options().read(true).write(true).open("/dev/fuse").unwrap();
    let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", server.as_raw_fd());
    let options = std::ffi::CString::new(options).unwrap();
    mount("none", dir.path(), "fuse", MountFlags::empty(), &*options).unwrap();
    let finished = run(&shell("true").timeout(Duration::from_secs(20)).profile(hiding(dir.path())));
    // Without its server it fails at once.
    drop(server);
    unmount(dir.path(), UnmountFlags::DETACH).unwrap();
    assert_eq!(finished.ended, Ended::Exited(0));
    assert!(finished.confinement.has(Measure::HiddenPaths));
}

fn the_system_is_read_only_but_for_what_guests_need() {
    if !geteuid().is_root() {
        return;
    }
    let dir = tempfile::tempdir_in("/var/lib").unwrap();
    stopped(&shell(&format!("touch {}/x", dir.path().display())), open());
    let writable = Guest { writes: vec![dir.path().to_owned()], ..Guest::default() };
    succeeds(&shell(&format!("touch {}/y", dir.path().display())), Profile::Guest(writable));
    assert!(dir.path().join("y").exists());
    stopped(&shell("test -w /proc/sys/kernel/hostname"), open());
    fails(&shell("touch /usr/phoenix-test"), open());
    let run = tempfile::tempdir_in("/run").unwrap();
    succeeds(&shell(&format!("touch {}/x", run.path().display())), open());
    assert!(run.path().join("x").exists());
    let tmp = tempfile::tempdir().unwrap();
    stopped(&shell(&format!("test -d {}", tmp.path().display())), open());
    succeeds(&shell("echo x > /tmp/x && cat /tmp/x /proc/self/attr/current; true"), open());
}

fn devices_are_harmless() {
    if !geteuid().is_root() {
        return;
    }
    stopped(&shell(": < /dev/kmsg"), open());
    assert_eq!(
        output_of(&shell("cat /dev/null; echo x > /dev/stdout; head -c 1 /dev/zero | wc -c").profile(open())),
        "x\n1\n"
    );
    stopped(&shell("mknod /dev/shm/phoenix-null c 1 3 && rm /dev/shm/phoenix-null"), open());
}

fn no_network_socket_is_made() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    stopped(&attack("tcp", &tcp.local_addr().unwrap().to_string()), open());
    if geteuid().is_root() {
        stopped(&attack("packet", ""), open());
    }
}

/// Bits as in capabilities(7): CHOWN, DAC_OVERRIDE, FOWNER, KILL, SETGID, SETUID, SETPCAP, SYS_CHROOT,
/// SYS_PTRACE, SYS_ADMIN, SETFCAP.
fn only_the_powers_for_entering_guests_are_left() {
    if !geteuid().is_root() {
        return;
    }
    let expected: u64 = [0, 1, 3, 5, 6, 7, 8, 18, 19, 21, 31].iter().map(|bit| 1 << bit).sum();
    let status = output_of(&shell("grep -E '^Cap(Inh|Prm|Eff|Bnd|Amb)' /proc/self/status").profile(open()));
    let sets: Vec<u64> = status
        .lines()
        .map(|line| u64::from_str_radix(line.rsplit('\t').next().unwrap(), 16).unwrap())
        .collect();
    assert_eq!(sets, [0, expected, expected, expected, 0], "{status}");
}

fn name_spaces_may_be_made_and_entered_but_nothing_is_mounted() {
    if !geteuid().is_root() {
        return;
    }
    succeeds(&shell("unshare --ipc true"), open());
    succeeds(&shell(&format!("nsenter --target {} --mount true", std::process::id())), open());
    let mounting = "unshare --mount mount -t tmpfs none /mnt";
    assert!(std::process::Command::new("/bin/sh").args(["-c", mounting]).status().unwrap().success());
    fails(&shell(mounting), open());
}

fn no_process_is_traced() {
    let mut bystander = std::process::Command::new("/bin/sleep").arg("300").spawn().unwrap();
    let trace = attack("ptrace", &bystander.id().to_string());
    let (with, without) = (run(&trace.clone().profile(open())), run(&trace));
    bystander.kill().unwrap();
    bystander.wait().unwrap();
    assert_eq!((without.ended, with.ended), (Ended::Exited(0), Ended::Exited(1)));
}

fn processes_and_sockets_of_the_host_are_there() {
    let own = std::process::id();
    succeeds(&shell(&format!("readlink /proc/{own}/ns/mnt && cat /proc/net/unix")), open());
}

/// `lxc-attach` executes itself from one.
fn a_memory_file_can_be_executed() {
    let script = "use strict; my $fd = syscall(319, my $name = 'copy', 0); open(my $file, '>&=', $fd) or die; \
                  open(my $true, '<', '/bin/true') or die; local $/; print {$file} <$true>; $file->flush; \
                  exec \"/proc/self/fd/$fd\" or die \"$!\"";
    if cfg!(target_arch = "x86_64") {
        succeeds(&phoenix_sandbox::CommandSpec::new(["/usr/bin/perl", "-MIO::Handle", "-e", script]), open());
    }
}

fn a_fork_bomb_leaves_nothing() {
    let finished = run(&shell("for i in $(seq 300); do sleep 300 & done; exit 0").profile(open()));
    if finished.confinement.has(Measure::ProcessLimit) {
        assert!(matches!(finished.ended, Ended::Exited(1..)), "{:?}", finished.ended);
    }
    assert!(finished.survivors_killed > 50 && finished.survivors_left == 0);
}

fn escapees_are_killed() {
    let escape = r#"
        ready=/tmp/phoenix-ready.$$
        (setsid sh -c 'trap "" HUP TERM; : > $0; sleep 300; sleep 300' $ready &)
        until [ -e $ready ]; do sleep 0.01; done
        rm $ready
        exit 3
    "#;
    let finished = run(&shell(escape).profile(open()));
    assert_eq!((finished.ended, finished.survivors_left), (Ended::Exited(3), 0));
    assert!(finished.survivors_killed >= 1);
}
