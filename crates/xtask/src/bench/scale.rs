//! Ten thousand entries: the start, the report, and what one entry that wakes up costs beside all the others.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use phoenix_protocol::control::{CertificateState, StatusDocument};
use phoenix_testkit::control;
use phoenix_testkit::daemon::{Daemon, Setup, TARGET_ROOT};
use phoenix_testkit::manifest;
use phoenix_testkit::peers::StepCaVersion;
use phoenix_testkit::scratch::Scratch;
use phoenix_testkit::stepca::{Options, StepCa};
use serde_json::{Value, json};

use super::figures::{Table, memory, milliseconds, percentile, running_time};

/// How many entries.
const CROWD: usize = 10_000;
/// How often a cheap thing is measured.
const ROUNDS: usize = 20;
/// After this time without work a process counts as idle.
const SETTLE: Duration = Duration::from_secs(5);

/// An entry like all the others, with files of its own.
fn member(scratch: &Scratch, number: usize) -> Value {
    let mut entry = manifest::entry(scratch, "member");
    let place = scratch.join(TARGET_ROOT).join(format!("crowd/{}/{number}", number / 100));
    entry["name"] = json!(format!("member-{number}"));
    entry["cert_path"] = json!(place.join("cert.pem"));
    entry["key_path"] = json!(place.join("key.pem"));
    entry
}

/// Gives all the others the pair that the first entry has got, as a backup that is brought back would.
fn spread(scratch: &Scratch) -> Result<()> {
    let place = |number: usize| scratch.join(TARGET_ROOT).join(format!("crowd/{}/{number}", number / 100));
    for number in 1..CROWD {
        fs::create_dir_all(place(number))?;
        for name in ["cert.pem", "key.pem"] {
            fs::copy(place(0).join(name), place(number).join(name))?;
        }
    }
    Ok(())
}

/// A daemon for so many entries, all of them in order.
fn crowd(scratch: &Scratch, ca: &StepCa, count: usize) -> Result<Daemon> {
    let daemon = Setup::new(scratch)?.step_ca(ca).start(&[member(scratch, 0)])?;
    daemon.wait_all_ok(1)?;
    if count > 1 {
        spread(scratch)?;
    }
    daemon.replace_manifest(&(0..count).map(|number| member(scratch, number)).collect::<Vec<_>>())?;
    daemon.wait_all_ok(count)?;
    Ok(daemon)
}

/// Measures.
pub(super) fn measure(table: &mut Table) -> Result<()> {
    let scratch = Scratch::in_memory()?;
    let ca = StepCa::start_in(&scratch.join("ca"), StepCaVersion::V0_30_2, &Options::default())?;
    let few = crowd(&scratch, &ca, 1)?;
    let alone = one_renewal(&few)?;
    drop(few);
    let start = Instant::now();
    let mut daemon = crowd(&scratch, &ca, CROWD)?;
    table.add(
        format!("{CROWD} existing pairs copied and taken over"),
        format!("{:.1} s", start.elapsed().as_secs_f64()),
    );
    first_status(table, &mut daemon)?;
    reports(table, &daemon)?;
    let among_many = one_renewal(&daemon)?;
    for (who, index) in [("phoenix-certd", 0), ("phoenix-executor", 1)] {
        table.add(
            format!("processor time of {who} for one entry's renewal, alone and among {CROWD}"),
            format!("{} and {}", milliseconds(alone[index]), milliseconds(among_many[index])),
        );
    }
    idle(table, &daemon)
}

/// The daemon starts again with everything in order.
fn first_status(table: &mut Table, daemon: &mut Daemon) -> Result<()> {
    let (mut first, mut full, mut looked_at) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..3 {
        ensure!(daemon.stop()?, "the daemon ended badly");
        let start = Instant::now();
        // Returns with the first report.
        daemon.start()?;
        first.push(start.elapsed());
        let status = daemon.status()?;
        looked_at
            .push(status.certificates.iter().filter(|entry| entry.state == CertificateState::Ok).count());
        daemon.wait_all_ok(CROWD)?;
        full.push(start.elapsed());
    }
    for (times, what) in [
        (&first, format!("the first status of {CROWD} entries, which had looked at {looked_at:?} of them")),
        (&full, format!("a status that had looked at all {CROWD} entries")),
    ] {
        table.add(format!("start until {what}"), milliseconds(percentile(times, 50)));
    }
    for (process, pid) in [("phoenix-certd", daemon.pid()?), ("phoenix-executor", daemon.executor_pid()?)] {
        table.add(format!("processor time of {process} for that start"), milliseconds(running_time(pid)?));
        table.add(format!("resident memory of {process} with {CROWD} entries"), memory(pid)?);
    }
    Ok(())
}

fn reports(table: &mut Table, daemon: &Daemon) -> Result<()> {
    let timed = |work: &dyn Fn() -> Result<()>| -> Result<Duration> {
        let times = (0..ROUNDS)
            .map(|_| {
                let start = Instant::now();
                work().map(|()| start.elapsed())
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(percentile(&times, 50))
    };
    let ask = timed(&|| control::request(&daemon.socket, "GET", "/v1/status", None).map(drop))?;
    table.add(format!("`GET /v1/status` of {CROWD} entries, whole document"), milliseconds(ask));
    let brief = timed(&|| {
        let text = control::request(&daemon.socket, "GET", "/v1/status?brief=1", None)?;
        let report: StatusDocument = serde_json::from_slice(&text.body)?;
        ensure!(report.certificates.len() == CROWD, "{} are told of", report.certificates.len());
        Ok(())
    })?;
    table.add(
        format!("what `phoenix-certctl status` does but for printing: {CROWD} entries asked for and read"),
        milliseconds(brief),
    );
    for (arguments, what) in [
        (&["status"][..], format!("`phoenix-certctl status` of {CROWD} entries, printing included")),
        (
            &["status", "--json"],
            format!("`phoenix-certctl status --json` of {CROWD} entries, printing included"),
        ),
        (&["status", "member-7"], format!("`phoenix-certctl status NAME` among {CROWD} entries")),
    ] {
        let time = timed(&|| {
            let output = daemon.certctl(arguments.iter().copied())?;
            ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            Ok(())
        })?;
        table.add(what, milliseconds(time));
    }
    Ok(())
}

/// Processor time of daemon and executor for the renewal of one entry.
fn one_renewal(daemon: &Daemon) -> Result<[Duration; 2]> {
    let used =
        || Ok::<_, anyhow::Error>([running_time(daemon.pid()?)?, running_time(daemon.executor_pid()?)?]);
    let before = used()?;
    // Fewer than the guard against loops allows without an operator; these are orders.
    for _ in 0..ROUNDS {
        let output = daemon.certctl(["renew", "--name", "member-0"])?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let after = used()?;
    let each = |index: usize| after[index].saturating_sub(before[index]) / ROUNDS as u32;
    Ok([each(0), each(1)])
}

/// What happens while nothing happens.
fn idle(table: &mut Table, daemon: &Daemon) -> Result<()> {
    thread::sleep(SETTLE);
    let pids = [("phoenix-certd", daemon.pid()?), ("phoenix-executor", daemon.executor_pid()?)];
    let look =
        || pids.iter().map(|(_, pid)| Ok((running_time(*pid)?, switches(*pid)?))).collect::<Result<Vec<_>>>();
    let before = look()?;
    // One look at the manifest file comes within this time.
    let minute = Duration::from_secs(60);
    thread::sleep(minute);
    for ((process, pid), ((used, woken), earlier)) in pids.iter().zip(look()?.into_iter().zip(before)) {
        table.add(
            format!("{process}, idle with {CROWD} entries for a minute"),
            format!(
                "{} of processor time, {} wake-ups, {}",
                milliseconds(used.saturating_sub(earlier.0)),
                woken.saturating_sub(earlier.1),
                memory(*pid)?
            ),
        );
    }
    Ok(())
}

/// How often the threads of a process have begun to run of their own will.
fn switches(pid: u32) -> Result<u64> {
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        sum += voluntary(&task?.path()).unwrap_or(0);
    }
    Ok(sum)
}

fn voluntary(task: &Path) -> Result<u64> {
    let text = fs::read_to_string(task.join("status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.and_then(|number| number.trim().parse().ok()).context("no such line")
}
