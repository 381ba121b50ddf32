//! The units in a real systemd, commands and deliveries into real guests: an unprivileged and a privileged LXC
//! container through `pct exec`, and a machine through a real QEMU guest agent and `qm guest exec`.

mod adversity;
mod bed;
mod hooks;
mod hygiene;
mod link;

use anyhow::{Result, ensure};
use bed::{Bed, MEMBER, Password, STRANGER, UNITS};
use hygiene::Sightings;
use phoenix_core::reason::Reason;
use phoenix_protocol::control::{CertificateState, StageState};
use phoenix_testkit::hypervisor::Guest::{self, Machine, Privileged, Unprivileged};
use phoenix_testkit::{manifest, patience};
use serde_json::{Value, json};

const DATA: &str = "/mnt/pve/quickOS";
const ROOT: &str = "/var/lib/step-ca/certs/root_ca.crt";

/// A file in a guest: where, owner and mode there, and the file of the box that it is a copy of.
type Copy = (Guest, &'static str, &'static str, &'static str);

/// What the operator's commands make of what was delivered with mode 0600.
const OPERATORS_COPIES: [Copy; 9] = [
    (
        Unprivileged,
        "/etc/nginx/ssl/nginx.internal.thinkheads.ai.crt",
        "root:www-data 600",
        "lxc-persistent-data/101/ssl/nginx.internal.thinkheads.ai.crt",
    ),
    (
        Unprivileged,
        "/etc/nginx/ssl/nginx.internal.thinkheads.ai.key",
        "root:www-data 640",
        "lxc-persistent-data/101/ssl/nginx.internal.thinkheads.ai.key",
    ),
    (Unprivileged, "/etc/nginx/ssl/phoenix_ca.crt", "root:root 600", ROOT),
    (
        Unprivileged,
        "/etc/nginx/ssl/mesh-client.key",
        "root:root 600",
        "lxc-persistent-data/101/ssl/nginx-mesh-client.key",
    ),
    (
        Privileged,
        "/etc/traefik/certs/mesh-key.pem",
        "root:root 600",
        "lxc-persistent-data/102/traefik/certs/mesh-key.pem",
    ),
    (Privileged, "/etc/traefik/certs/ca.pem", "root:root 600", ROOT),
    (
        Machine,
        "/var/lib/portainer/certs/portainer.crt",
        "root:root 600",
        "vm-persistent-data/1001/portainer/certs/portainer.crt",
    ),
    (
        Machine,
        "/var/lib/portainer/certs/portainer.key",
        "root:root 600",
        "vm-persistent-data/1001/portainer/certs/portainer.key",
    ),
    (Machine, "/var/lib/portainer/certs/ca.pem", "root:root 600", ROOT),
];

/// The services of the guests, where they note what they have read, and what that must be.
const SERVED: [(Guest, &str, &str); 6] = [
    (Unprivileged, "/run/served", "lxc-persistent-data/101/ssl/nginx.internal.thinkheads.ai.crt"),
    (Unprivileged, "/run/served", "lxc-persistent-data/101/ssl/nginx-mesh-client.key"),
    (Privileged, "/run/served", "lxc-persistent-data/102/traefik/certs/client-cert.pem"),
    (Privileged, "/run/served", "lxc-persistent-data/102/traefik/certs/mesh-cert.pem"),
    (Machine, "/run/served", "vm-persistent-data/1001/docker/certs/server-cert.pem"),
    (Machine, "/run/docker.calls", "vm-persistent-data/1001/portainer/certs/portainer.crt"),
];

fn in_data(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("{DATA}/{path}") }
}

fn check_copies(bed: &Bed, copies: &[Copy]) -> Result<()> {
    for (guest, path, facts, original) in copies {
        let seen = bed.guest_file(*guest, path)?;
        let wanted = format!("{facts} {}", bed.hash(&in_data(original))?);
        ensure!(seen == wanted, "{guest:?} has {path} as `{seen}` and not as `{wanted}`");
    }
    Ok(())
}

fn check_served(bed: &Bed) -> Result<()> {
    for (guest, notes, original) in SERVED {
        let hash = bed.hash(&in_data(original))?;
        let noted = bed.hypervisor.in_guest(guest, &format!("cat {notes}"))?;
        ensure!(noted.contains(&hash), "{guest:?} does not use {original} ({hash}):\n{noted}");
    }
    let left = "ls /tmp/cert.pem /tmp/key.pem /tmp/ca.pem 2>/dev/null || true";
    for guest in Guest::ALL {
        ensure!(bed.hypervisor.in_guest(guest, left)?.is_empty(), "{guest:?} still has copies in /tmp");
    }
    Ok(())
}

/// Both units run, have not been restarted, and have nothing to complain about.
fn check_units(bed: &Bed) -> Result<()> {
    for unit in UNITS {
        let facts = bed.sh(&format!("systemctl show -p ActiveState,NRestarts --value {unit}"))?;
        ensure!(facts.split_whitespace().eq(["0", "active"]), "{unit}: {facts}\n{}", bed.journal()?);
    }
    let units = "-u phoenix-certd -u phoenix-executor -u phoenix-executor.socket";
    let warned = bed.sh(&format!("journalctl --no-pager -q -p warning -o cat {units}"))?;
    ensure!(warned.is_empty(), "the journal holds warnings:\n{warned}");
    let status = bed.sh("cat /proc/$(systemctl show -p MainPID --value phoenix-executor)/status")?;
    let locked = status.lines().find_map(|line| line.strip_prefix("VmLck:"));
    ensure!(
        locked.is_some_and(|size| size.trim() != "0 kB"),
        "the executor's memory is not locked:\n{status}"
    );
    Ok(())
}

/// Root and members of the group see every entry as `ok`; others are told which group to join.
fn check_status(bed: &Bed, entries: usize) -> Result<()> {
    for user in ["root", MEMBER] {
        let output = bed.certctl_as(user, &["--json", "status"])?;
        let document: Value = serde_json::from_slice(&output.stdout)?;
        let states = document["certificates"]
            .as_array()
            .map(|list| list.iter().filter(|entry| entry["state"] == "ok").count());
        ensure!(output.status.success() && states == Some(entries), "as {user}: {output:?}");
        ensure!(document["daemon"]["running"] == true, "{user} did not reach the daemon: {document:#}");
    }
    let refused = bed.certctl_as(STRANGER, &["renew", "--all"])?;
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(refused.status.code() == Some(3) && words.contains("phoenix-certd"), "{refused:?}");
    let member = bed.certctl_as(MEMBER, &["renew", "--all"])?;
    ensure!(member.status.code() == Some(1), "a member of the group may command: {member:?}");
    Ok(())
}

#[test]
fn the_operators_file_is_served_by_every_guest_and_no_key_shows_anywhere() -> Result<()> {
    let entries = manifest::operators()?;
    let bed = Bed::with(&entries, Password::File)?;
    let sightings = Sightings::of(&bed.hypervisor);
    bed.wait_all_done(entries.len())?;
    check_copies(&bed, &OPERATORS_COPIES)?;
    check_served(&bed)?;
    check_status(&bed, entries.len())?;
    let first = bed.status()?;

    // Files that commands have moved and given to others are no drift: nothing is left to do.
    let before = bed.commands_run()?;
    bed.certctl(["sync"])?;
    ensure!(bed.commands_run()? == before, "commands ran again without need:\n{}", bed.journal()?);

    bed.certctl(["renew", "--all"])?;
    let second = bed.status()?;
    for (old, new) in first.certificates.iter().zip(&second.certificates) {
        ensure!(old.name == new.name && old.fingerprint_sha256 != new.fingerprint_sha256, "{new:?}");
    }
    bed.check_pairs(&entries)?;
    check_copies(&bed, &OPERATORS_COPIES)?;
    check_served(&bed)?;
    check_units(&bed)?;
    let entries = hygiene::add_gossips(&bed, &entries)?;
    hygiene::check(&bed, &entries, sightings)
}

/// An entry with explicit destinations in a guest, and a command that notes what it finds there.
fn delivered(name: &str, guest: u32, kind: &str) -> Value {
    let exec = if kind == "vm" { "qm guest exec" } else { "pct exec" };
    json!({
        "common_name": format!("{name}.internal.thinkheads.ai"),
        "cert_path": format!("{DATA}/plain/{name}/cert.pem"),
        "key_path": format!("{DATA}/plain/{name}/key.pem"),
        "guest_id": guest,
        "guest_type": kind,
        "include_ca": true,
        "deliver": {
            "cert": "/etc/app/tls/cert.pem", "key": "/etc/app/tls/key.pem", "ca": "/etc/app/tls/ca.pem",
            "owner": "www-data:adm", "permissions": "0640",
        },
        "post_renewal_command": format!("{exec} {guest} -- /bin/sh -c 'sha256sum /etc/app/tls/*.pem >>/run/seen'"),
    })
}

const DELIVERED: [(&str, Guest, u32, &str); 3] =
    [("a", Unprivileged, 101, "lxc"), ("b", Privileged, 102, "lxc"), ("c", Machine, 1001, "vm")];

#[test]
fn explicit_destinations_are_written_in_every_kind_of_guest() -> Result<()> {
    let entries: Vec<Value> =
        DELIVERED.iter().map(|(name, _, id, kind)| delivered(name, *id, kind)).collect();
    let bed = Bed::with(&entries, Password::Credential)?;
    bed.wait_all_done(entries.len())?;
    let check = || -> Result<()> {
        for (name, guest, ..) in DELIVERED {
            for (file, facts, original) in [
                ("cert", "www-data:adm 644", format!("{DATA}/plain/{name}/cert.pem")),
                ("key", "www-data:adm 640", format!("{DATA}/plain/{name}/key.pem")),
                ("ca", "www-data:adm 644", ROOT.to_owned()),
            ] {
                let seen = bed.guest_file(guest, &format!("/etc/app/tls/{file}.pem"))?;
                let wanted = format!("{facts} {}", bed.hash(&original)?);
                ensure!(seen == wanted, "{guest:?}: {file}.pem is `{seen}` and not `{wanted}`");
            }
            let noted = bed.hypervisor.in_guest(guest, "cat /run/seen; ls -A /etc/app/tls | wc -l")?;
            let hash = bed.hash(&format!("{DATA}/plain/{name}/key.pem"))?;
            ensure!(noted.contains(&hash), "the command of {name} ran before its key was there:\n{noted}");
            ensure!(noted.trim_end().ends_with("\n3"), "more than three files: {noted}");
        }
        Ok(())
    };
    check()?;
    bed.certctl(["renew", "--all"])?;
    check()?;
    check_units(&bed)?;
    check_who_reaches_the_executor(&bed)
}

/// The files and directories where systemd keeps the credentials of the executor, and who may read them.
const LOADED: &str = "stat -c '%U %a %n' /run/credentials/phoenix-executor.service \
                      /run/credentials/phoenix-executor.service/ca-password";

#[test]
fn the_password_may_be_a_credential_of_a_name_of_the_operators_which_only_the_executor_is_given() -> Result<()>
{
    let entries = [json!({
        "common_name": "plain.internal.thinkheads.ai",
        "cert_path": format!("{DATA}/plain/cert.pem"),
        "key_path": format!("{DATA}/plain/key.pem"),
    })];
    let bed = Bed::with(&entries, Password::DropIn)?;
    bed.wait_all_done(entries.len())?;
    bed.check_pairs(&entries)?;
    bed.certctl(["renew", "--all"])?;
    bed.check_pairs(&entries)?;
    check_units(&bed)?;

    let configuration = bed.sh("cat /etc/phoenix-certd/certd.toml")?;
    ensure!(!configuration.contains("\npassword_file"), "{configuration}");
    let loaded = bed.sh(LOADED)?;
    ensure!(loaded.lines().all(|line| line.starts_with("root ")) && loaded.contains("root 400"), "{loaded}");
    let environment =
        bed.sh("tr '\\0' '\\n' </proc/$(systemctl show -p MainPID --value phoenix-certd)/environ")?;
    ensure!(!environment.contains("CREDENTIALS_DIRECTORY"), "the daemon has credentials:\n{environment}");
    let read =
        bed.run_as("phoenix-certd", &["cat", "/run/credentials/phoenix-executor.service/ca-password"])?;
    ensure!(!read.status.success(), "the daemon's user reads the password: {read:?}");
    Ok(())
}

/// Says hello to the executor and prints how long its answer is.
const HELLO: &str = r#"
import json, socket
executor = socket.socket(socket.AF_UNIX)
executor.connect("/run/phoenix-executor/executor.sock")
hello = json.dumps({"id": 1, "op": "hello", "version": 1}).encode()
try:
    executor.sendall(len(hello).to_bytes(4, "big") + hello)
    print(len(executor.recv(1000)))
except ConnectionError:
    print(0)
"#;

/// The group may connect, for the daemon is in it; but only the daemon and root are answered, which is logged.
fn check_who_reaches_the_executor(bed: &Bed) -> Result<()> {
    bed.hypervisor.write("/usr/local/bin/hello.py", HELLO, 0o755)?;
    let hello = |user: &str| bed.run_as(user, &["python3", "/usr/local/bin/hello.py"]);
    let answer = |output: &std::process::Output| String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let (root, member, stranger) = (hello("root")?, hello(MEMBER)?, hello(STRANGER)?);
    ensure!(answer(&root).parse::<u32>()? > 0, "root is not answered: {root:?}");
    ensure!(answer(&member) == "0", "a member of the group is answered: {member:?}");
    let words = String::from_utf8_lossy(&stranger.stderr).into_owned();
    ensure!(words.contains("PermissionError"), "a stranger reaches the executor: {stranger:?}");
    let warned = bed.sh("journalctl --no-pager -q -p warning -o cat -u phoenix-executor")?;
    ensure!(warned.contains("a connection was refused"), "the refusal is not in the journal: {warned}");
    Ok(())
}

#[test]
fn a_killed_or_restarted_unit_heals() -> Result<()> {
    let entries = manifest::operators()?;
    let bed = Bed::with(&entries, Password::File)?;
    bed.wait_all_done(entries.len())?;
    for blow in [
        "systemctl kill -s KILL phoenix-executor",
        "systemctl kill -s KILL phoenix-certd",
        "systemctl kill -s KILL phoenix-executor phoenix-certd",
        "systemctl restart phoenix-executor",
        "systemctl restart phoenix-certd",
    ] {
        let before = bed.status()?;
        bed.certctl(["renew", "--all", "--no-wait"])?;
        bed.sh(blow)?;
        bed.wait(&format!("new certificates after `{blow}`"), |status| {
            status.certificates.iter().zip(&before.certificates).all(|(new, old)| {
                phoenix_tests::is_done(new) && new.fingerprint_sha256 != old.fingerprint_sha256
            })
        })?;
        bed.check_pairs(&entries)?;
    }
    check_copies(&bed, &OPERATORS_COPIES)?;
    check_served(&bed)?;
    bed.sh("systemctl is-active phoenix-certd phoenix-executor phoenix-executor.socket").map(drop)
}

#[test]
fn a_guest_that_is_off_is_waited_for_and_served_when_it_is_back() -> Result<()> {
    let entries = manifest::operators()?;
    let bed = Bed::with(&entries, Password::File)?;
    bed.wait_all_done(entries.len())?;
    for (guest, names) in [
        (Privileged, ["traefik-client", "traefik"]),
        (Machine, ["docker-daemon", "portainer"]),
        (Unprivileged, ["nginx", "nginx-mesh-client"]),
    ] {
        bed.hypervisor.halt(guest)?;
        bed.certctl(["renew", "--no-wait"].into_iter().chain(names))?;
        for name in names {
            bed.wait_entry(name, "waits for its guest", |entry| {
                entry.state == CertificateState::Waiting
                    && entry.reason.as_deref() == Some(Reason::GuestOff.code())
                    && entry.deployment.written == StageState::Done
            })?;
            let entry = bed.entry(name)?;
            ensure!(entry.attempts == 0, "waiting counts as an attempt: {entry:?}");
        }
        bed.hypervisor.start_guest(guest)?;
        // Asked once, so that the suite need not wait for the next look of its own accord.
        bed.certctl(["sync"].into_iter().chain(names))?;
    }
    bed.wait_all_done(entries.len())?;
    check_copies(&bed, &OPERATORS_COPIES)?;
    check_served(&bed)
}

/// Processes of a guest whose command line holds a word, without the one that asks.
fn processes(bed: &Bed, guest: Guest, word: &str) -> Result<String> {
    bed.hypervisor.in_guest(guest, &format!("pgrep -af 'sleep {word}' | grep -v pgrep || true"))
}

#[test]
fn a_command_that_hangs_is_ended_and_leaves_nothing_in_its_guest() -> Result<()> {
    let hanging = |name: &str, command: &str| {
        json!({
            "common_name": format!("{name}.internal.thinkheads.ai"),
            "cert_path": format!("{DATA}/plain/{name}/cert.pem"),
            "key_path": format!("{DATA}/plain/{name}/key.pem"),
            "post_renewal_command": command,
            "command": {"timeout": "2s"},
        })
    };
    let entries = [
        hanging("plain", "pct exec 101 -- sleep 98761"),
        hanging("children", "pct exec 102 -- sh -c 'sleep 98762 & sleep 98762'"),
        hanging("escaped", "pct exec 101 -- sh -c 'setsid sleep 98763 >/dev/null 2>&1 & sleep 98763'"),
        hanging("machine", "qm guest exec 1001 -- sh -c 'sleep 98764 & sleep 98764'"),
    ];
    let bed = Bed::with(&entries, Password::File)?;
    for name in ["plain", "children", "escaped", "machine"] {
        bed.wait_entry(name, "is ended at its time limit", |entry| {
            entry.reason.as_deref() == Some(Reason::CommandTimeout.code())
                && entry.deployment.activated == StageState::Failed
        })?;
    }
    // From now on nothing is started any more, so that what is left is left by an earlier run.
    bed.sh("systemctl stop phoenix-certd")?;
    for (guest, word) in
        [(Unprivileged, "98761"), (Privileged, "98762"), (Unprivileged, "98763"), (Machine, "98764")]
    {
        let mut left = String::new();
        let gone = patience::until_or(std::time::Duration::from_secs(20), || {
            left = processes(&bed, guest, word).unwrap_or_else(|error| error.to_string());
            left.trim().is_empty().then_some(())
        });
        ensure!(gone.is_some(), "{guest:?} still runs:\n{left}\n{}", bed.journal()?);
    }
    Ok(())
}
