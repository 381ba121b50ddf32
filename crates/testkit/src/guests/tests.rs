//! The stand-ins, called as the executor will call them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};

use super::*;
use crate::process::Group;

struct Bed {
    guests: Guests,
    scratch: Scratch,
}

fn bed() -> Bed {
    let scratch = Scratch::new().unwrap();
    let guests = Guests::new(&scratch).unwrap();
    guests.add(102, Kind::Lxc).unwrap();
    guests.add(1001, Kind::Vm).unwrap();
    Bed { guests, scratch }
}

fn call(bed: &Bed, line: &str, stdin: &str) -> Output {
    let mut words = line.split(' ');
    let program = bed.guests.program(words.next().unwrap());
    let input = bed.scratch.file("input", stdin, 0o600).unwrap();
    let mut command = Command::new(program);
    command.args(words).env_clear().env("PHOENIX_NAME", "web").stdin(fs::File::open(input).unwrap());
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_command_runs_in_the_container_and_its_exit_code_comes_back() {
    let bed = bed();
    let out = call(&bed, "pct exec 102 -- cat /etc/passwd /etc/group", "");
    assert!(out.status.success() && text(&out.stdout).contains("www-data"), "{out:?}");
    assert_eq!(call(&bed, "pct exec 102 -- sh /no/script", "").status.code(), Some(2));
    assert!(call(&bed, "pct exec 102 -- systemctl restart traefik", "").status.success());
    let last = bed.guests.calls().pop().unwrap();
    assert_eq!(last.line(), "pct exec 102 -- systemctl restart traefik");
    assert_eq!(last.env.get("PHOENIX_NAME").map(String::as_str), Some("web"));
    assert_eq!(last.succeeded, Some(true));
}

#[test]
fn push_sets_mode_and_owner_and_is_seen_to_carry_a_key() {
    let bed = bed();
    let key = bed.scratch.file("key", "-----BEGIN PRIVATE KEY-----\n", 0o600).unwrap();
    let line = format!("pct push 102 {} /tmp/key.pem --perms 0640 --group www-data", key.display());
    let out = call(&bed, &line, "");
    assert!(out.status.success(), "{out:?}");
    let arrived = fs::metadata(bed.guests.root(102).unwrap().join("tmp/key.pem")).unwrap();
    assert_eq!(arrived.permissions().mode() & 0o777, 0o640);
    assert!(bed.guests.calls()[0].carries_key);
}

#[test]
fn the_vm_reports_its_command_as_json_and_exits_zero() {
    let bed = bed();
    let out = call(&bed, "qm guest exec 1001 --timeout 20 -- ls /no/such", "");
    assert_eq!(out.status.code(), Some(0));
    let said: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!((said["exitcode"].as_i64(), said["exited"].as_i64()), (Some(2), Some(1)));
    assert!(text(&out.stdout).starts_with("{\n   \"err-data\" : \""), "{out:?}");
    let out = call(&bed, "qm guest exec 1001 --pass-stdin 1 -- cat", "through\nthe agent");
    let said: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(said["out-data"], "through\nthe agent");
    let out = call(&bed, "qm guest exec 1001 -- no-such-program", "");
    assert!(text(&out.stderr).starts_with("Agent error: Failed to execute child process"), "{out:?}");
}

#[test]
fn faults_look_like_the_real_ones() {
    let bed = bed();
    let cases = [
        ("pct exec 103 -- true", 102, None, 2, "Configuration file 'nodes/pve/lxc/103.conf' does not exist"),
        ("pct exec 102 -- true", 102, Some(Fault::Off), 255, "container '102' not running!"),
        (
            "pct push 102 /etc/passwd /tmp/x",
            102,
            Some(Fault::Off),
            255,
            "can only push files to a running CT",
        ),
        ("pct status 102 --verbose", 102, Some(Fault::Locked), 0, "lock: backup\nstatus: stopped"),
        ("qm guest exec 1001 -- true", 1001, Some(Fault::Locked), 255, "the agent is in frozen state"),
        ("pct exec 102 -- true", 102, Some(Fault::Exit(7)), 7, ""),
        ("qm guest exec 1001 -- true", 1001, Some(Fault::Off), 255, "VM 1001 is not running"),
        ("qm guest exec 1001 -- true", 1001, Some(Fault::NoAgent), 255, "QEMU guest agent is not running"),
        ("qm guest exec 1001 -- true", 1001, Some(Fault::Exit(7)), 0, "\"exitcode\" : 7"),
        ("qm guest exec 1001 -- true", 1001, Some(Fault::Signal(9)), 0, "\"signal\" : 9"),
        ("qm guest exec 1001 -- true", 1001, Some(Fault::PidOnly), 0, "timeout reached, returning pid"),
        ("qm status 1001", 1001, Some(Fault::Off), 0, "status: stopped"),
    ];
    for (line, id, fault, exit, words) in cases {
        bed.guests.mend(id);
        if let Some(fault) = fault {
            bed.guests.spoil(id, fault, "");
        }
        let out = call(&bed, line, "");
        assert_eq!(out.status.code(), Some(exit), "{line}: {out:?}");
        let said = format!("{}{}", text(&out.stdout), text(&out.stderr));
        assert!(said.contains(words), "{line}: {said}");
    }
    bed.guests.spoil(102, Fault::Exit(1), "systemctl");
    assert!(call(&bed, "pct exec 102 -- true", "").status.success());
}

#[test]
fn a_hanging_command_ends_with_its_caller() {
    let bed = bed();
    let mut command = Command::new(bed.guests.program("pct"));
    command.args(["exec", "102", "--", "sleep", "1234.5"]).stdin(Stdio::null());
    let mut caller = Group::spawn(&mut command).unwrap();
    let inside = || crate::process::naming(&bed.guests.root(102).unwrap()).into_iter().next();
    let sleeper = || {
        crate::process::all()
            .into_iter()
            .find(|seen| seen.cmdline == b"sleep\x001234.5\x00" && seen.state != 'Z')
    };
    patience::until(|| sleeper().or_else(inside)).unwrap();
    caller.kill();
    patience::until(|| (inside().is_none() && sleeper().is_none()).then_some(())).unwrap();
}
