//! Attacks that a strictly confined command could carry out if it were not.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use phoenix_sandbox::{
    Cancel, Ended, Limits, Measure, Network, Profile, Runner, SandboxError, Strict, Supervised,
};
use rustix::process::geteuid;
use tempfile::TempDir;

use crate::attacks::{attack, closed, fails, stopped, succeeds};
use crate::lab::{Witness, output_of, run, shell};

crate::tests![
    what_is_in_force_is_told,
    a_key_of_another_is_not_read_not_even_through_a_child,
    its_own_pair_is_read_and_not_written,
    secrets_of_the_system_are_not_read,
    another_users_file_is_not_read_by_root_without_its_powers,
    nothing_outside_is_written,
    what_may_be_written_is_written,
    temporary_files_are_its_own_and_vanish,
    hidden_directories_are_empty_but_for_what_is_named,
    no_connection_goes_out,
    no_socket_beyond_the_allowed_families_is_made,
    a_command_with_the_hosts_network_has_no_more_than_that,
    an_abstract_socket_is_out_of_reach,
    a_socket_below_run_is_out_of_reach_unless_it_is_named,
    no_signal_goes_out_unless_it_may,
    no_process_outside_is_traced_or_looked_into,
    no_mount_and_no_name_space_is_made,
    system_calls_that_nobody_knows_do_not_exist,
    shared_memory_of_others_is_out_of_reach,
    a_setuid_program_gives_nothing,
    a_fork_bomb_is_stopped,
    a_process_that_eats_memory_is_stopped,
    a_disk_is_not_filled,
    escapees_are_killed,
    a_supervisor_that_is_killed_takes_it_along,
    a_program_below_a_hidden_directory_runs,
    what_cannot_be_applied_is_refused,
];

pub(crate) fn secret(dir: &Path, name: &str) -> String {
    let path = dir.join(name);
    fs::write(&path, "hush").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path.to_str().unwrap().to_owned()
}

fn strict(settings: Strict) -> Profile {
    Profile::Strict(settings)
}

fn limited(limits: Limits) -> Profile {
    strict(Strict { limits, ..Strict::default() })
}

/// A directory outside `/tmp`, of which a command has its own.
fn elsewhere() -> TempDir {
    let given = std::env::var("PHOENIX_TEST_DIR");
    tempfile::tempdir_in(given.as_deref().unwrap_or(env!("CARGO_TARGET_TMPDIR"))).unwrap()
}

fn what_is_in_force_is_told() {
    let profile = strict(Strict::default().hide("/var/lib"));
    let confinement = succeeds(&shell("true"), profile.clone()).confinement;
    let mut all = confinement.in_force.clone();
    all.extend(confinement.missing.iter().map(|missing| missing.measure));
    all.sort_unstable();
    assert_eq!((confinement.profile.as_str(), all), ("strict", profile.measures()));
    for measure in [Measure::FileRules, Measure::SystemCalls, Measure::Capabilities, Measure::PrivateNetwork]
    {
        assert!(confinement.has(measure), "{confinement}");
    }
    let plain = succeeds(&shell("true"), Profile::Plain).confinement.to_string();
    assert!(plain.starts_with("plain: no-new-privileges, no-mounts"), "{plain}");
}

fn a_key_of_another_is_not_read_not_even_through_a_child() {
    let (shared, apart) = (tempfile::tempdir().unwrap(), elsewhere());
    for key in [secret(shared.path(), "key"), secret(apart.path(), "key")] {
        stopped(&shell(&format!("cat {key}")), closed());
        stopped(&shell(&format!("sh -c 'sh -c \"cat {key}\"; exit $?'; exit $?")), closed());
        stopped(&shell(&format!("setsid -w cat {key}")), closed());
        stopped(&shell(&format!("head -c 1 < {key}")), closed());
    }
}

fn its_own_pair_is_read_and_not_written() {
    let (shared, apart) = (tempfile::tempdir().unwrap(), elsewhere());
    for dir in [shared.path(), apart.path()] {
        let (own, other) = (secret(dir, "own.key"), secret(dir, "other.key"));
        let profile = strict(Strict::default().read(&own));
        succeeds(&shell(&format!("test \"$(cat {own})\" = hush")), profile.clone());
        stopped(&shell(&format!("cat {other}")), profile.clone());
        stopped(&shell(&format!("echo hush > {own}")), profile);
    }
}

pub(crate) fn secrets_of_the_system_are_not_read() {
    if geteuid().is_root() {
        stopped(&shell("cat /etc/shadow"), closed());
        stopped(&shell(": < /dev/kmsg"), closed());
    }
    succeeds(&shell("cat /etc/passwd"), closed());
}

fn another_users_file_is_not_read_by_root_without_its_powers() {
    if !geteuid().is_root() {
        return;
    }
    let dir = elsewhere();
    let foreign = secret(dir.path(), "foreign");
    chown(&foreign, Some(4711), Some(4711)).unwrap();
    let profile = strict(Strict::default().read(dir.path()));
    stopped(&shell(&format!("cat {foreign}")), profile.clone());
    chown(&foreign, Some(0), Some(0)).unwrap();
    succeeds(&shell(&format!("cat {foreign}")), profile);
}

fn nothing_outside_is_written() {
    let dir = elsewhere();
    let at = dir.path().display();
    fs::write(dir.path().join("old"), "x").unwrap();
    for attempt in [
        "echo x > {}/new",
        "mkdir {}/d",
        "echo x >> {}/old",
        "chmod 777 {}/old",
        "mv {}/old {}/b; mv {}/b {}/old",
    ] {
        stopped(&shell(&attempt.replace("{}", &at.to_string())), closed());
    }
    // Readable is not writable either.
    stopped(&shell(&format!("echo x > {at}/third")), strict(Strict::default().read(dir.path())));
}

fn what_may_be_written_is_written() {
    let (shared, apart) = (tempfile::tempdir().unwrap(), elsewhere());
    for dir in [shared.path(), apart.path()] {
        let script = format!("cd {} && mkdir d && echo x > d/new && mv d/new new && rmdir d", dir.display());
        succeeds(&shell(&script), strict(Strict::default().write(dir)));
        assert_eq!(fs::read_to_string(dir.join("new")).unwrap(), "x\n");
    }
}

fn temporary_files_are_its_own_and_vanish() {
    let dir = tempfile::tempdir().unwrap();
    let name = dir.path().file_name().unwrap().to_str().unwrap();
    stopped(&shell(&format!("ls -A /tmp | grep {name}")), closed());
    succeeds(
        &shell(&format!("echo mine > /tmp/{name}.x && echo mine > /var/tmp/x && cat /tmp/{name}.x")),
        closed(),
    );
    assert!(!Path::new(&format!("/tmp/{name}.x")).exists());
}

fn hidden_directories_are_empty_but_for_what_is_named() {
    let dir = elsewhere();
    let (own, other) = (secret(dir.path(), "own"), secret(dir.path(), "other"));
    // Where files may be read anyway, hiding alone keeps them from sight.
    let open = Strict::default().read(dir.path().parent().unwrap());
    stopped(&shell(&format!("cat {other}")), strict(open.clone().hide(dir.path()).read(&own)));
    succeeds(&shell(&format!("cat {other}")), strict(open.clone()));
    let listed = shell(&format!("ls {}", dir.path().display()));
    let listed = listed.profile(strict(open.clone().hide(dir.path()).read(&own)));
    assert_eq!(output_of(&listed), "own\n");
    assert_eq!(output_of(&shell(&format!("cat {other}")).profile(strict(open.hide(&other)))), "");
}

fn no_connection_goes_out() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    stopped(&attack("tcp", &tcp.local_addr().unwrap().to_string()), closed());
    stopped(&attack("udp", &udp.local_addr().unwrap().to_string()), closed());
    stopped(&attack("listen", "127.0.0.1:0"), closed());
}

fn no_socket_beyond_the_allowed_families_is_made() {
    let host = strict(Strict { network: Network::Host, ..Strict::default() });
    if geteuid().is_root() {
        for profile in [closed(), host] {
            stopped(&attack("packet", ""), profile);
        }
    }
}

fn a_command_with_the_hosts_network_has_no_more_than_that() {
    let host = strict(Strict { network: Network::Host, ..Strict::default() });
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let connected = succeeds(&attack("tcp", &tcp.local_addr().unwrap().to_string()), host);
    assert!(
        !connected.confinement.has(Measure::PrivateNetwork) && !connected.confinement.has(Measure::TcpRules)
    );
    assert!(connected.confinement.has(Measure::FileRules));
}

/// With the host's network the name is visible, so it is the scope alone that keeps the command from it.
fn an_abstract_socket_is_out_of_reach() {
    let name = format!("phoenix-{}", std::process::id());
    let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            use std::io::Write;
            listener.accept().unwrap().0.write_all(b"x").unwrap();
        });
        succeeds(&attack("abstract", &name), Profile::Plain);
    });
    fails(&attack("abstract", &name), closed());
    fails(&attack("abstract", &name), strict(Strict { network: Network::Host, ..Strict::default() }));
}

fn a_socket_below_run_is_out_of_reach_unless_it_is_named() {
    if !geteuid().is_root() {
        return;
    }
    let dir = tempfile::tempdir_in("/run").unwrap();
    let path = dir.path().join("s.sock");
    let _listener = UnixListener::bind(&path).unwrap();
    let connect = attack("unix", path.to_str().unwrap());
    stopped(&connect, closed());
    succeeds(&connect, strict(Strict { sockets: vec![path], ..Strict::default() }));
}

/// A process of the same user that stands aside until it is dropped.
struct Bystander(Child);

impl Bystander {
    fn new() -> Self {
        let mut command = Command::new("/bin/sleep");
        Self(command.arg("300").env("SECRET", "hush").stdin(Stdio::null()).spawn().unwrap())
    }

    fn id(&self) -> String {
        self.0.id().to_string()
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        let _: std::io::Result<()> = self.0.kill();
        let _: std::io::Result<_> = self.0.wait();
    }
}

fn no_signal_goes_out_unless_it_may() {
    let bystander = Bystander::new();
    let spec = shell(&format!("kill -CONT {}", bystander.id()));
    stopped(&spec, closed());
    succeeds(&spec, strict(Strict { signals: true, ..Strict::default() }));
    succeeds(&shell("sleep 300 & kill $!"), closed());
}

fn no_process_outside_is_traced_or_looked_into() {
    let bystander = Bystander::new();
    stopped(&attack("ptrace", &bystander.id()), closed());
    stopped(&shell(&format!("grep -q hush /proc/{}/environ", bystander.id())), closed());
    stopped(&shell(&format!("readlink /proc/{}/fd/0", bystander.id())), closed());
}

fn no_mount_and_no_name_space_is_made() {
    let spaces = if geteuid().is_root() { "--mount" } else { "--user --map-root-user --mount" };
    stopped(&shell(&format!("unshare {spaces} --propagation unchanged true")), closed());
    stopped(&shell("unshare --user true"), closed());
    // No command may mount anything, whatever its profile.
    let mounting = format!("unshare {spaces} mount -t tmpfs none /mnt");
    assert!(Command::new("/bin/sh").args(["-c", &mounting]).status().unwrap().success());
    for profile in [closed(), Profile::Plain] {
        fails(&shell(&mounting), profile);
    }
    fails(&shell("mount -t tmpfs none /tmp"), closed());
    fails(&shell("umount /tmp"), closed());
}

fn system_calls_that_nobody_knows_do_not_exist() {
    let number = |call: u64| format!("perl -e 'syscall({call}, -1, -1, -1, -1); print $! + 0'");
    let answer = |call, profile| output_of(&shell(&number(call)).profile(profile));
    let (enosys, eperm) = (libc::ENOSYS.to_string(), libc::EPERM.to_string());
    assert_eq!(answer(9999, closed()), enosys);
    for (call, confined) in [
        (libc::SYS_clone3, &enosys),
        (libc::SYS_userfaultfd, &eperm),
        (libc::SYS_io_uring_setup, &eperm),
        (libc::SYS_keyctl, &eperm),
        (libc::SYS_bpf, &eperm),
        (libc::SYS_perf_event_open, &eperm),
    ] {
        assert_ne!(answer(call as u64, Profile::Plain), enosys, "{call} is not there at all");
        assert_eq!(&answer(call as u64, closed()), confined, "{call}");
    }
    #[cfg(target_arch = "x86_64")]
    assert_eq!(answer(0x4000_0000 + libc::SYS_mount as u64, closed()), enosys);
}

fn shared_memory_of_others_is_out_of_reach() {
    let made = output_of(&shell("ipcmk -M 4096"));
    let id = made.trim().rsplit(' ').next().unwrap();
    let looked = shell(&format!("ipcs -m -i {id} | grep -q bytes"));
    let (with, without) = (run(&looked.clone().profile(closed())), run(&looked));
    output_of(&shell(&format!("ipcrm -m {id}")));
    assert_eq!((without.ended, with.ended), (Ended::Exited(0), Ended::Exited(1)));
}

/// Every command has this measure; what it is worth shows in comparison with none at all.
fn a_setuid_program_gives_nothing() {
    if !geteuid().is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = dir.path().join("id");
    fs::copy("/usr/bin/id", &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).unwrap();
    let user = |wrapper: &[&str]| {
        let words = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
        let words = words.iter().chain(wrapper).copied().chain([program.to_str().unwrap(), "-u"]);
        words.collect::<Vec<_>>().join(" ")
    };
    let bare = Command::new("/bin/sh").args(["-c", &user(&[])]).output().unwrap();
    assert_eq!(bare.stdout, b"0\n", "the file system is mounted nosuid");
    assert_eq!(output_of(&shell(&user(&[]))), "65534\n");
}

fn a_fork_bomb_is_stopped() {
    let bomb = shell("for i in $(seq 60); do sleep 300 & done; exit 0");
    let profile = limited(Limits { processes: 20, ..Limits::default() });
    stopped(&bomb, profile.clone());
    let finished = run(&bomb.profile(profile));
    assert!(finished.confinement.has(Measure::ProcessLimit), "{}", finished.confinement);
    assert!((1..=20).contains(&finished.survivors_killed), "{}", finished.survivors_killed);
}

fn a_process_that_eats_memory_is_stopped() {
    let eater = shell("head -c 200M /dev/zero | tail -n 1 > /dev/null");
    stopped(&eater, limited(Limits { memory: 100 << 20, ..Limits::default() }));
}

fn a_disk_is_not_filled() {
    let dir = elsewhere();
    let fill = |place: &Path, name: &str| format!("head -c 3M /dev/zero > {}/{name}", place.display());
    let small = Limits { file_size: 1 << 20, scratch: 8 << 20, ..Limits::default() };
    let profile = |limits| strict(Strict { limits, ..Strict::default().write(dir.path()) });
    stopped(&shell(&fill(dir.path(), "large")), profile(small));
    let many = (0..5).map(|number| fill(Path::new("/tmp"), &format!("part{number}"))).collect::<Vec<_>>();
    let many = many.join(" && ");
    succeeds(&shell(&many), profile(Limits::default()));
    fails(&shell(&many), profile(Limits { file_size: 4 << 20, ..small }));
}

fn escapees_are_killed() {
    let mut witness = Witness::new();
    let script =
        "exec 3>$WITNESS; (setsid sh -c 'trap \"\" HUP TERM; sleep 300; sleep 300' &); echo out; exit 3";
    let writable = strict(Strict::default().write(witness.path()));
    let finished = run(&witness.shell(script).profile(writable.clone()));
    assert_eq!((finished.ended, finished.stdout.text().as_ref()), (Ended::Exited(3), "out\n"));
    assert_eq!(finished.survivors_left, 0);
    assert!(finished.survivors_killed >= 1);
    witness.assert_alone();
    let endless = witness.shell("exec 3>$WITNESS; setsid sleep 300").profile(writable);
    let finished = run(&endless.timeout(Duration::from_millis(200)).grace(Duration::from_millis(100)));
    assert!(matches!(finished.ended, Ended::TimedOut { .. }));
    witness.assert_alone();
}

fn a_supervisor_that_is_killed_takes_it_along() {
    let witness = Witness::new();
    let writable = Strict { signals: true, ..Strict::default().write(witness.path()) };
    // Root's own strict commands have no power over a process that left it less than all of root's.
    let spec = witness.shell("exec 3>$WITNESS; kill -9 $PPID; exec sleep 300").profile(strict(writable));
    let lost = Supervised::current().run(&spec, &Cancel::never()).unwrap_err();
    assert!(matches!(&lost, SandboxError::Lost { status, .. } if status.contains("signal: 9")), "{lost}");
    witness.wait_until_alone();
}

fn a_program_below_a_hidden_directory_runs() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("hook");
    fs::write(&program, "#!/bin/sh\necho ran; ls \"$(dirname \"$0\")\"\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    secret(dir.path(), "key");
    let spec = phoenix_sandbox::CommandSpec::new([program.to_str().unwrap()]).profile(closed());
    let finished = run(&spec);
    assert_eq!(finished.stdout.text(), "ran\nhook\n", "{}", finished.stderr.text());
}

fn what_cannot_be_applied_is_refused() {
    let spec = shell("true").profile(strict(Strict::default().read("relative")));
    let refused = Supervised::current().run(&spec, &Cancel::never());
    assert!(matches!(refused, Err(SandboxError::Defective(text)) if text.contains("relative")));
}
