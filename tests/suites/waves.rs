//! Equal commands of several entries, maintenance windows and restart budgets.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use phoenix_core::reason::Reason;
use phoenix_core::time::Timestamp;
use phoenix_protocol::control::{CertificateState, StageState};
use phoenix_testkit::guests::{Call, Fault};
use phoenix_testkit::peers::StepCaVersion;
use phoenix_tests::{Bed, is_done};
use serde_json::{Value, json};

const COMMAND: &str = "pct exec 102 -- systemctl reload traefik";
const GUEST: u32 = 102;
const MANY: usize = 200;

fn entry(name: &str) -> Value {
    json!({
        "common_name": format!("{name}.internal.thinkheads.ai"),
        "cert_path": format!("mnt/pve/quickOS/{name}/cert.pem"),
        "key_path": format!("mnt/pve/quickOS/{name}/key.pem"),
        "post_renewal_command": COMMAND,
    })
}

fn reloads(bed: &Bed) -> Vec<Call> {
    let reload = |call: &Call| call.argv.iter().any(|word| word == "reload");
    bed.guests.calls().into_iter().filter(reload).collect()
}

/// Names that a call of the command was made for.
fn names(call: &Call) -> Vec<String> {
    let told = call.env.get("PHOENIX_NAMES").or_else(|| call.env.get("PHOENIX_NAME"));
    told.map(|names| names.split(' ').map(str::to_owned).collect()).unwrap_or_default()
}

#[test]
fn two_hundred_entries_share_a_few_runs_of_their_command() -> Result<()> {
    let entries: Vec<Value> = (0..MANY).map(|number| entry(&format!("e{number}"))).collect();
    let bed = Bed::with(StepCaVersion::V0_30_2, entries)?;
    bed.daemon.wait_until("all done", |status| {
        status.certificates.len() == MANY && status.certificates.iter().all(is_done)
    })?;
    let first = reloads(&bed).len();
    ensure!(first <= 4, "the first certificates took {first} runs");

    let asked = bed.daemon.certctl(["renew", "--all"])?;
    ensure!(asked.status.success(), "{asked:?}");
    let runs = reloads(&bed).split_off(first);
    ensure!(runs.len() <= 4, "{} runs for one renewal of {MANY}", runs.len());
    let mut served: Vec<String> = runs.iter().flat_map(names).collect();
    served.sort();
    served.dedup();
    ensure!(served.len() == MANY, "the runs were told of {} entries", served.len());
    let together = runs.iter().find(|call| names(call).len() > 1).context("no run was shared")?;
    // The mark by which a command's processes are found is no fact about a certificate.
    let is_fact = |name: &&String| name.starts_with("PHOENIX_") && *name != "PHOENIX_RUN";
    let told: Vec<&String> = together.env.keys().filter(is_fact).collect();
    ensure!(told == ["PHOENIX_NAMES"], "a shared command is told {told:?}");
    for place in &bed.places {
        ensure!(bed.ran_for_present(place)?, "{}: its certificate is not in use", place.common_name);
    }
    Ok(())
}

#[test]
fn a_command_that_fails_counts_once_and_is_tried_again_once_for_all() -> Result<()> {
    let entries: Vec<Value> = (0..20).map(|number| entry(&format!("e{number}"))).collect();
    let bed = Bed::with(StepCaVersion::V0_30_2, entries)?;
    bed.daemon.wait_all_ok(20)?;
    bed.guests.spoil(GUEST, Fault::Exit(5), "reload");
    let before = reloads(&bed).len();
    let asked = bed.daemon.certctl(["renew", "--all"])?;
    ensure!(asked.status.code() == Some(1), "{asked:?}");
    let status = bed.daemon.wait_until("every entry failed twice", |status| {
        status.certificates.iter().all(|entry| entry.attempts == 2)
    })?;
    for entry in &status.certificates {
        ensure!(entry.reason.as_deref() == Some(Reason::CommandFailed.code()), "{entry:?}");
    }
    let runs = reloads(&bed).len() - before;
    ensure!(runs <= 4, "{runs} runs for two attempts of twenty entries");
    bed.guests.mend(GUEST);
    bed.daemon.wait_all_ok(20)?;
    let runs = reloads(&bed).len() - before;
    ensure!(runs <= 7, "{runs} runs until it worked");
    Ok(())
}

/// A window that opens for a minute, about twelve hours from now.
fn far_window() -> Result<(Value, Timestamp)> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs() as i64;
    let opens = (now / 3600 + 12) * 3600;
    let hour = opens / 3600 % 24;
    let window = json!({"cron": format!("0 {hour} * * *"), "duration": "1m", "timezone": "UTC"});
    Ok((window, Timestamp::from_unix(opens)))
}

#[test]
fn a_command_waits_for_its_window_and_an_operator_need_not() -> Result<()> {
    let (window, opens) = far_window()?;
    let mut entry = entry("gateway");
    entry["window"] = window;
    let mut bed = Bed::with(StepCaVersion::V0_30_2, vec![entry])?;
    let waits = |entry: &phoenix_protocol::control::CertificateStatus| {
        entry.state == CertificateState::Waiting
            && entry.reason.as_deref() == Some(Reason::WindowClosed.code())
            && entry.deployment.written == StageState::Done
            && entry.deployment.activated == StageState::Pending
            && entry.next_attempt_at == Some(opens)
            && entry.warnings.is_empty()
    };
    bed.daemon.wait_entry("gateway", "waits for its window", waits)?;
    let asked = bed.daemon.certctl(["sync", "gateway"])?;
    ensure!(asked.status.code() == Some(1), "sync honours windows: {asked:?}");
    bed.daemon.restart()?;
    bed.daemon.wait_entry("gateway", "still waits for its window", waits)?;
    ensure!(reloads(&bed).is_empty(), "the command ran outside of its window");
    let asked = bed.daemon.certctl(["renew", "gateway"])?;
    ensure!(asked.status.success() && reloads(&bed).len() == 1, "renew does not wait: {asked:?}");
    ensure!(is_done(&bed.daemon.entry("gateway")?));
    Ok(())
}

#[test]
fn entries_that_share_a_command_share_its_restart_budget() -> Result<()> {
    let with_budget = |name| {
        let mut entry = entry(name);
        entry["command"] = json!({"min_interval": "1h"});
        entry
    };
    let mut bed = Bed::with(StepCaVersion::V0_30_2, vec![with_budget("one")])?;
    bed.daemon.wait_all_ok(1)?;
    ensure!(reloads(&bed).len() == 1);
    let both = phoenix_testkit::manifest::below(&bed.scratch, vec![with_budget("one"), with_budget("two")]);
    bed.daemon.replace_manifest(&both)?;
    let waits = |entry: &phoenix_protocol::control::CertificateStatus| {
        entry.state == CertificateState::Waiting
            && entry.reason.as_deref() == Some(Reason::RestartBudget.code())
            && entry.warnings.is_empty()
    };
    let told = bed.daemon.wait_entry("two", "waits for the restart budget", waits)?;
    bed.daemon.restart()?;
    let again = bed.daemon.wait_entry("two", "still waits for the restart budget", waits)?;
    let (first, later) =
        (told.next_attempt_at.context("no time")?, again.next_attempt_at.context("no time")?);
    ensure!(later.since(first).max(first.since(later)) <= Duration::from_secs(2), "{first} became {later}");
    ensure!(reloads(&bed).len() == 1, "the budget was exceeded");
    let asked = bed.daemon.certctl(["renew", "two"])?;
    ensure!(asked.status.success() && reloads(&bed).len() == 2, "renew does not wait: {asked:?}");
    Ok(())
}
