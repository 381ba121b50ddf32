//! The measurements, each with a real step-ca 0.30.2 on bbolt.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use phoenix_testkit::daemon::{Daemon, Setup};
use phoenix_testkit::manifest;
use phoenix_testkit::peers::StepCaVersion;
use phoenix_testkit::scratch::Scratch;
use phoenix_testkit::stepca::{Options, StepCa};
use serde_json::{Value, json};

use super::figures::{Table, memory, milliseconds, percentile, processor_time, rate};
use super::load::Load;

const COMMAND: &str = "/bin/true";
/// Requests at a time, for the daemon and for the bare client.
const CONCURRENCY: usize = 4;
const FEW: usize = 10;
const MANY: usize = 200;
const RENEWALS: usize = 20;
/// How often the bare rate is measured before and after the daemon's: the machine is not always equally fast.
const ROUNDS: usize = 2;
/// After this time without work a process counts as idle.
const SETTLE: Duration = Duration::from_secs(5);

fn start_ca(scratch: &Scratch) -> Result<StepCa> {
    StepCa::start_in(&scratch.join("ca"), StepCaVersion::V0_30_2, &Options::default())
}

fn entries(scratch: &Scratch, count: usize, command: Option<&str>) -> Vec<Value> {
    let entry = |number| {
        let mut entry = manifest::entry(scratch, &format!("entry-{number}"));
        entry["post_renewal_command"] = json!(command.map(|command| [command]));
        entry
    };
    (0..count).map(entry).collect()
}

fn start_daemon(scratch: &Scratch, ca: &StepCa, count: usize) -> Result<Daemon> {
    Setup::new(scratch)?
        .step_ca(ca)
        .programs([PathBuf::from(COMMAND)])
        .lines(&format!("\n[renewal]\nconcurrency = {CONCURRENCY}\n"))
        .start(&entries(scratch, count, Some(COMMAND)))
}

/// Runs `phoenix-certctl` and returns how long it took; it has to succeed.
fn certctl<'a>(daemon: &Daemon, arguments: impl IntoIterator<Item = &'a str>) -> Result<Duration> {
    let start = Instant::now();
    let output = daemon.certctl(arguments)?;
    let time = start.elapsed();
    ensure!(output.status.success(), "phoenix-certctl failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(time)
}

/// Memory when idle, and the time of one renewal.
pub(super) fn few_entries(table: &mut Table) -> Result<()> {
    let scratch = Scratch::new()?;
    let ca = start_ca(&scratch)?;
    let daemon = start_daemon(&scratch, &ca, FEW)?;
    daemon.wait_all_ok(FEW)?;
    idle(table, &daemon, "with 10 entries just issued")?;
    let renew = || certctl(&daemon, ["renew", "--name", "entry-0"]);
    let times = (0..RENEWALS).map(|_| renew()).collect::<Result<Vec<_>>>()?;
    let [median, p95] = [50, 95].map(|percent| milliseconds(percentile(&times, percent)));
    table.add(
        format!("`renew --name X` to exit, command {COMMAND}, {RENEWALS} runs"),
        format!("median {median}, p95 {p95}"),
    );
    idle(table, &daemon, "after 20 renewals")
}

fn idle(table: &mut Table, daemon: &Daemon, when: &str) -> Result<()> {
    thread::sleep(SETTLE);
    for (process, pid) in [("phoenix-certd", daemon.pid()?), ("phoenix-executor", daemon.executor_pid()?)] {
        table.add(format!("resident memory of {process}, idle, {when}"), memory(pid)?);
    }
    Ok(())
}

/// Many certificates from nothing and all at once again, beside what the CA gives a bare client.
pub(super) fn many_entries(table: &mut Table) -> Result<()> {
    let scratch = Scratch::new()?;
    let ca = start_ca(&scratch)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let load = Arc::new(runtime.block_on(Load::warmed_up(&ca))?);
    let bare = || runtime.block_on(load.time(MANY, CONCURRENCY));
    let rounds = || (0..ROUNDS).map(|_| bare()).collect::<Result<Vec<_>>>();

    let mut alone = rounds()?;
    let start = Instant::now();
    let daemon = start_daemon(&scratch, &ca, MANY)?;
    let answered = start.elapsed();
    sync(&daemon)?;
    let first = start.elapsed();
    daemon.wait_all_ok(MANY)?;
    let pids = [("phoenix-certd", daemon.pid()?), ("phoenix-executor and commands", daemon.executor_pid()?)];
    let used = |(_, pid): &(_, u32)| processor_time(*pid);
    let before = pids.iter().map(used).collect::<Result<Vec<_>>>()?;
    let again = renew_all(&daemon)?;
    let after = pids.iter().map(used).collect::<Result<Vec<_>>>()?;
    daemon.replace_manifest(&entries(&scratch, MANY, None))?;
    sync(&daemon)?;
    let quiet = renew_all(&daemon)?;
    drop(daemon);
    alone.extend(rounds()?);

    let bare = percentile(&alone, 50);
    let bare_rate = rate(MANY, bare);
    let show = |time: Duration| {
        let rate = rate(MANY, time);
        let share = rate * 100.0 / bare_rate;
        format!("{:.1} s, {rate:.0} per second, {share:.0} % of the bare rate", time.as_secs_f64())
    };
    table.add(
        format!("{MANY} certificates, bare client, {CONCURRENCY} at a time, median of {}", alone.len()),
        format!("{:.1} s, {bare_rate:.0} per second", bare.as_secs_f64()),
    );
    table.add(format!("first status of {MANY} entries without certificates"), milliseconds(answered));
    table.add(format!("{MANY} entries from empty until written and activated, start included"), show(first));
    table.add(format!("{MANY} entries, `renew --all` to exit, command {COMMAND}"), show(again));
    table.add(format!("{MANY} entries, `renew --all` to exit, no command"), show(quiet));
    for (((process, _), before), after) in pids.iter().zip(before).zip(after) {
        let each = after.saturating_sub(before).as_secs_f64() * 1000.0 / MANY as f64;
        table.add(format!("processor time of {process} for one renewal of many"), format!("{each:.1} ms"));
    }
    Ok(())
}

fn sync(daemon: &Daemon) -> Result<Duration> {
    certctl(daemon, ["sync", "--timeout", "120s"])
}

fn renew_all(daemon: &Daemon) -> Result<Duration> {
    certctl(daemon, ["renew", "--all", "--timeout", "120s"])
}
