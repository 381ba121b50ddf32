//! Commands on the host, below the executor's own unit: what they can do there under each profile, and that a hook
//! that asks systemd for something works.

use std::fmt::Write;

use anyhow::{Context, Result, ensure};
use phoenix_testkit::hypervisor::Guest;
use serde_json::{Value, json};

use crate::DATA;
use crate::bed::{Bed, Password};

const PROBE: &str = include_str!("probe.sh");
/// The same program under three names, and the profile of each.
const PROBES: [(&str, &str); 3] = [("guest", "guest"), ("plain", "plain"), ("strict", "strict")];

/// A service of the host that a hook restarts.
const SERVICE: &str =
    "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c 'echo restarted >>/run/restarted'\n";

fn entry(name: &str, command: &str) -> Value {
    json!({
        "common_name": format!("{name}.internal.thinkheads.ai"),
        "cert_path": format!("{DATA}/plain/{name}/cert.pem"),
        "key_path": format!("{DATA}/plain/{name}/key.pem"),
        "post_renewal_command": command,
    })
}

/// The configuration with these programs as well.
fn configure(bed: &Bed) -> Result<()> {
    let file = "/etc/phoenix-certd/certd.toml";
    let mut programs = vec!["/usr/sbin/pct".to_owned(), "/usr/bin/systemctl".to_owned()];
    let mut tables = String::new();
    for (name, profile) in PROBES {
        let path = format!("/usr/local/bin/{name}-probe");
        writeln!(tables, "[[executor.program]]\npath = {path:?}\nprofile = {profile:?}\n")?;
        bed.hypervisor.write(&path, PROBE, 0o755)?;
        programs.push(path);
    }
    let text = bed.sh(&format!("cat {file}"))?;
    let commands = text.lines().find(|line| line.starts_with("commands ")).context("no commands")?;
    let text = text.replacen(commands, &format!("commands = {programs:?}\n\n{tables}"), 1);
    bed.hypervisor.write(file, text, 0o644)
}

/// What the probe of this name printed in its last run.
fn said(bed: &Bed, name: &str) -> Result<String> {
    let journal = bed.sh("journalctl --no-pager --all --output=cat -u phoenix-executor")?;
    let told = |line: &&str| line.contains("command ended") && line.contains(&format!("{name}-probe"));
    let line = journal.lines().rev().find(told).with_context(|| format!("{name} was not run:\n{journal}"))?;
    ensure!(line.contains(&format!("confinement={name}: no-new-privileges")), "{line}");
    let words = line.split_once("stdout=\"").and_then(|(_, rest)| rest.split_once('"'));
    Ok(words.context("no output")?.0.to_owned())
}

#[test]
fn hooks_on_the_host_are_confined_and_still_can_ask_systemd() -> Result<()> {
    let bed = Bed::with(&[], Password::File)?;
    bed.hypervisor.write("/etc/systemd/system/served.service", SERVICE, 0o644)?;
    configure(&bed)?;
    bed.sh("systemctl daemon-reload; systemctl restart phoenix-executor || { journalctl --no-pager -u phoenix-executor -n 30 >&2; exit 1; }")?;
    let state = "/var/lib/phoenix-executor/entries";
    let arguments = format!("{DATA}/plain/reload/key.pem {state}");
    let mut entries =
        vec![entry("reload", "systemctl restart served"), entry("inside", "pct exec 101 -- true")];
    bed.replace_manifest(&entries)?;
    bed.wait_all_done(entries.len())?;
    ensure!(bed.sh("cat /run/restarted")?.trim() == "restarted", "the hook did not restart the service");
    entries.extend(PROBES.map(|(name, _)| entry(name, &format!("{name}-probe {arguments}"))));
    bed.replace_manifest(&entries)?;
    bed.wait_all_done(entries.len())?;
    for (name, could) in [
        // The unit itself keeps the system read-only and has no network.
        ("plain", "own other state password socket data run signal leave"),
        ("guest", "own run signal"),
        ("strict", "own"),
    ] {
        ensure!(said(&bed, name)? == could, "{name} could: {}", said(&bed, name)?);
    }
    // The box has no controllers, but groups.
    let full = "missing: process-limit (no control group with this limit can be made), memory-limit";
    let journal = bed.sh("journalctl --no-pager --all --output=cat -u phoenix-executor")?;
    for line in journal
        .lines()
        .filter(|line| line.contains("confinement=guest") || line.contains("confinement=strict"))
    {
        ensure!(line.matches("missing").count() <= 1 && line.contains(full), "more is missing: {line}");
        ensure!(line.contains("control-group"), "the command had no control group: {line}");
    }
    ensure!(bed.hypervisor.in_guest(Guest::Unprivileged, "true").is_ok(), "the guest is gone");
    bed.sh("systemctl is-active phoenix-certd phoenix-executor phoenix-executor.socket").map(drop)
}
