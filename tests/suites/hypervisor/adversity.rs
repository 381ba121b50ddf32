//! Guests in trouble, and guests that make trouble.

use anyhow::{Context, Result, ensure};
use phoenix_core::reason::Reason;
use phoenix_protocol::control::{CertificateState, CertificateStatus, StageState};
use phoenix_testkit::hypervisor::Guest::{self, Machine, Privileged, Unprivileged};
use phoenix_testkit::patience;
use serde_json::{Value, json};

use crate::bed::{Bed, Password};
use crate::{DATA, DELIVERED, delivered, link};

fn entries() -> Vec<Value> {
    DELIVERED.iter().map(|(name, _, id, kind)| delivered(name, *id, kind)).collect()
}

/// An entry whose command is all that happens in a guest.
fn command(name: &str, line: &str, timeout: &str) -> Value {
    json!({
        "common_name": format!("{name}.internal.thinkheads.ai"),
        "cert_path": format!("{DATA}/plain/{name}/cert.pem"),
        "key_path": format!("{DATA}/plain/{name}/key.pem"),
        "post_renewal_command": line,
        "command": {"timeout": timeout},
    })
}

fn failed_for(entry: &CertificateStatus, reason: Reason) -> bool {
    entry.reason.as_deref() == Some(reason.code())
}

/// It waits for its guest, and that costs no attempts.
fn waits_for(entry: &CertificateStatus, reason: Reason) -> bool {
    entry.state == CertificateState::Waiting && failed_for(entry, reason) && entry.attempts == 0
}

#[test]
fn an_old_certificate_that_a_restored_guest_brings_back_is_noticed_and_replaced() -> Result<()> {
    let bed = Bed::with(&entries(), Password::File)?;
    bed.wait_all_done(DELIVERED.len())?;
    for (_, guest, ..) in DELIVERED {
        bed.hypervisor.in_guest(guest, "cp -a /etc/app/tls /root/backup")?;
    }
    bed.certctl(["renew", "--all"])?;
    for (name, guest, ..) in DELIVERED {
        let before = link::recheck(&bed, name)??.ledger;
        ensure!(before.delivered.is_some() && before.activated.is_some(), "{name}: {before:?}");
        bed.hypervisor.in_guest(guest, "cp -a /root/backup/. /etc/app/tls/")?;
        let after = link::recheck(&bed, name)??.ledger;
        ensure!(after.delivered.is_none() && after.activated.is_none(), "{name}: {after:?}");
    }
    bed.certctl(["sync"])?;
    check_is_current(&bed)?;
    // And by itself: with the next sweep.
    bed.sh("sed -i 's|^sweep .*|sweep = \"*/5 * * * * *\"|' /etc/phoenix-certd/certd.toml
         systemctl restart phoenix-certd")?;
    for (_, guest, ..) in DELIVERED {
        bed.hypervisor.in_guest(guest, "cp -a /root/backup/. /etc/app/tls/")?;
    }
    let mut last = None;
    patience::until(|| check_is_current(&bed).map_err(|error| last = Some(error)).ok())
        .with_context(|| format!("no sweep has noticed: {last:?}"))
}

/// Every guest has the present key, and its command has run for it.
fn check_is_current(bed: &Bed) -> Result<()> {
    for (name, guest, ..) in DELIVERED {
        let seen = bed.guest_file(guest, "/etc/app/tls/key.pem")?;
        let key = bed.hash(&format!("{DATA}/plain/{name}/key.pem"))?;
        ensure!(seen == format!("www-data:adm 640 {key}"), "{name} has {seen}, not {key}");
        // The command notes the hashes of all files, in the order of their names.
        let served = bed.hypervisor.in_guest(guest, "tail -n 1 /run/seen")?;
        ensure!(served.contains(&key), "{name}: the command did not run again: {served}");
    }
    Ok(())
}

#[test]
fn a_target_that_cannot_be_written_costs_nothing_and_leaves_nothing_in_the_guest() -> Result<()> {
    let bed = Bed::with(&entries(), Password::File)?;
    bed.wait_all_done(DELIVERED.len())?;
    let names = DELIVERED.map(|(name, ..)| name);
    let spoil = |options: &str| -> Result<()> {
        for (_, guest, ..) in DELIVERED {
            let mount = format!("mount -t tmpfs -o {options} tmpfs /etc/app/tls");
            bed.hypervisor.in_guest(guest, &mount)?;
        }
        Ok(())
    };
    for (options, reason) in [("ro", Reason::ReadOnly), ("size=4k", Reason::DiskFull)] {
        spoil(options)?;
        bed.certctl(["renew", "--all", "--no-wait"])?;
        for name in names {
            bed.wait_entry(name, &format!("fails with {reason}"), |entry| {
                failed_for(entry, reason) && entry.deployment.delivered == StageState::Failed
            })?;
            let error = bed.entry(name)?.last_error.context("a failure has words")?.message;
            ensure!(error.contains("/etc/app/tls"), "{name}: {error}");
        }
        for (name, guest, ..) in DELIVERED {
            let left = bed
                .hypervisor
                .in_guest(guest, "find /etc/app/tls -name '.phoenix-*' | wc -l; umount /etc/app/tls")?;
            ensure!(left.trim() == "0", "{name} left {left}");
        }
        bed.certctl(["sync"])?;
        bed.wait_all_done(DELIVERED.len())?;
    }
    for (name, guest, ..) in DELIVERED {
        let seen = bed.guest_file(guest, "/etc/app/tls/cert.pem")?;
        let wanted = bed.hash(&format!("{DATA}/plain/{name}/cert.pem"))?;
        ensure!(seen.ends_with(&wanted), "{name} has {seen}, not {wanted}");
    }
    Ok(())
}

#[test]
fn floods_and_garbage_from_a_guest_are_failures_with_words_and_cost_no_memory() -> Result<()> {
    let flood = "head -c 2000000000 /dev/zero; echo the end >&2; exit 3";
    let flood_of_the_agent = "head -c 40000000 /dev/zero; echo the end >&2; exit 3";
    let garbage = r"printf '\''\377\376\303 bad \033[2J'\'' >&2; exit 3";
    let bed = Bed::with(
        &[
            command("flood", &format!("pct exec 101 -- sh -c '{flood}'"), "120s"),
            command("garbage", &format!("pct exec 102 -- sh -c '{garbage}'"), "60s"),
            command("agent-flood", &format!("qm guest exec 1001 -- sh -c '{flood_of_the_agent}'"), "120s"),
            command("agent-garbage", &format!("qm guest exec 1001 -- sh -c '{garbage}'"), "60s"),
        ],
        Password::File,
    )?;
    for (name, words) in
        [("flood", "the end"), ("garbage", "bad"), ("agent-flood", "the end"), ("agent-garbage", "bad")]
    {
        bed.wait_entry(name, "has failed", |entry| failed_for(entry, Reason::CommandFailed))?;
        let error = bed.entry(name)?.last_error.context("a failure has words")?.message;
        ensure!(error.contains("code 3") && error.contains(words), "{name}: {error}");
        ensure!(error.len() < 2000 && !error.contains('\u{1b}'), "{name}: {error}");
    }
    let peak =
        bed.sh("awk '/VmHWM/ { print $2 }' /proc/$(systemctl show -P MainPID phoenix-executor)/status")?;
    ensure!(peak.trim().parse::<u32>()? < 64 * 1024, "the executor took {peak} KiB");
    Ok(())
}

const KINDS: [(&str, Guest, &str); 3] = [
    ("plain", Unprivileged, "pct exec 101"),
    ("privileged", Privileged, "pct exec 102"),
    ("machine", Machine, "qm guest exec 1001"),
];

#[test]
fn a_guest_that_dies_under_a_command_is_waited_for_and_served_when_it_is_back() -> Result<()> {
    let script = "touch /run/started; while [ ! -e /root/quick ]; do sleep 0.1; done";
    let entries = KINDS.map(|(name, _, exec)| command(name, &format!("{exec} -- sh -c '{script}'"), "100s"));
    let bed = Bed::with(&entries, Password::File)?;
    for (name, guest, _) in KINDS {
        let started = patience::until(|| bed.hypervisor.in_guest(guest, "test -e /run/started").ok());
        started.with_context(|| format!("the command of {name} never began"))?;
    }
    for (name, guest, _) in KINDS {
        bed.hypervisor.halt(guest)?;
        // A guest that is going down may still be `running` when its processes are gone already: the command that died
        // with them is one failure then, and none is added while the guest is waited for.
        bed.wait_entry(name, "waits for its guest", |entry| {
            entry.state == CertificateState::Waiting
                && failed_for(entry, Reason::GuestOff)
                && entry.attempts <= 1
        })?;
        bed.hypervisor.start_guest(guest)?;
        bed.hypervisor.in_guest(guest, "touch /root/quick")?;
        bed.certctl(["sync", name])?;
    }
    bed.wait_all_done(KINDS.len())
}

#[test]
fn a_container_that_a_backup_has_frozen_is_waited_for() -> Result<()> {
    let entries = [
        command("plain", "pct exec 101 -- systemctl is-system-running", "3s"),
        command("privileged", "pct exec 102 -- systemctl is-system-running", "3s"),
    ];
    let bed = Bed::with(&entries, Password::File)?;
    bed.wait_all_done(entries.len())?;
    for (name, id) in [("plain", 101), ("privileged", 102)] {
        let config = format!("/etc/pve/lxc/{id}.conf");
        bed.sh(&format!("lxc-freeze --name {id}; echo 'lock: backup' >>{config}"))?;
        bed.certctl(["renew", name, "--no-wait"])?;
        bed.wait_entry(name, "waits for the backup", |entry| waits_for(entry, Reason::GuestLocked))?;
        bed.sh(&format!("lxc-unfreeze --name {id}; sed -i '/^lock:/d' {config}"))?;
        bed.certctl(["sync", name])?;
    }
    bed.wait_all_done(entries.len())
}
