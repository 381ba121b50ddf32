//! What a sweep costs that looks at a hundred consumers, each a TLS server of its own with a certificate of its own.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use phoenix_protocol::control::StageState;
use phoenix_testkit::consumer::Consumer;
use phoenix_testkit::daemon::{Daemon, Setup};
use phoenix_testkit::manifest;
use phoenix_testkit::peers::StepCaVersion;
use phoenix_testkit::scratch::Scratch;
use phoenix_testkit::stepca::{Options, StepCa};
use serde_json::{Value, json};

use super::figures::{Table, milliseconds, percentile, running_time};

/// How many entries.
const CROWD: usize = 100;
/// How often they are looked at.
const ROUNDS: usize = 5;

/// Measures.
pub(super) fn measure(table: &mut Table) -> Result<()> {
    let scratch = Scratch::in_memory()?;
    let ca = StepCa::start_in(&scratch.join("ca"), StepCaVersion::V0_30_2, &Options::default())?;
    let mut entries: Vec<Value> =
        (0..CROWD).map(|number| manifest::entry(&scratch, &format!("web-{number}"))).collect();
    let daemon = Setup::new(&scratch)?.step_ca(&ca).start(&entries)?;
    daemon.wait_all_ok(CROWD)?;
    let consumers = serve(&scratch, &entries)?;
    for (entry, consumer) in entries.iter_mut().zip(&consumers) {
        entry["verify"] = json!({"tls": consumer.address, "server_name": entry["common_name"]});
    }
    daemon.replace_manifest(&entries)?;
    daemon.wait_until("verified", |status| {
        status.certificates.iter().all(|entry| entry.deployment.verified == StageState::Done)
    })?;
    let rounds = (0..ROUNDS).map(|_| look(&daemon)).collect::<Result<Vec<_>>>()?;
    let median = |part: fn(&Cost) -> Duration| {
        milliseconds(percentile(&rounds.iter().map(part).collect::<Vec<_>>(), 50))
    };
    table.add(format!("look at {CROWD} consumers by `tls`"), median(|cost| cost.whole));
    table.add("processor time of phoenix-certd for that", median(|cost| cost.daemon));
    table.add("processor time of phoenix-executor for that", median(|cost| cost.executor));
    Ok(())
}

/// A server for each entry, with what lies there now.
fn serve(scratch: &Scratch, entries: &[Value]) -> Result<Vec<Consumer>> {
    let serve = |(number, place): (usize, manifest::Place)| -> Result<Consumer> {
        let consumer = Consumer::new(scratch, &format!("web-{number}"), &place.cert, &place.key, &[])?;
        consumer.start()?;
        Ok(consumer)
    };
    manifest::places(entries)?.into_iter().enumerate().map(serve).collect()
}

/// What one look took.
struct Cost {
    whole: Duration,
    daemon: Duration,
    executor: Duration,
}

fn look(daemon: &Daemon) -> Result<Cost> {
    let times = || -> Result<[Duration; 2]> {
        Ok([running_time(daemon.pid()?)?, running_time(daemon.executor_pid()?)?])
    };
    let (before, start) = (times()?, Instant::now());
    let output = daemon.certctl(["verify"])?;
    let (whole, after) = (start.elapsed(), times()?);
    ensure!(output.status.success(), "phoenix-certctl failed: {}", String::from_utf8_lossy(&output.stderr));
    let [daemon, executor] = [0, 1].map(|index: usize| after[index].saturating_sub(before[index]));
    Ok(Cost { whole, daemon, executor })
}
