//! `history` and `events`: what happened is told, by name and by number, over `kill -9` and restarts.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, ensure};
use phoenix_testkit::daemon::Daemon;
use phoenix_testkit::guests::Fault;
use phoenix_testkit::peers::StepCaVersion;
use phoenix_testkit::{manifest, patience, process};
use phoenix_tests::Bed;
use serde_json::{Value, json};

const VM: u32 = 1001;

fn bed() -> Result<Bed> {
    let bed = Bed::with(StepCaVersion::V0_30_2, manifest::plan()?)?;
    bed.daemon.wait_all_ok(2)?;
    Ok(bed)
}

fn records(daemon: &Daemon, arguments: &[&str]) -> Result<Vec<Value>> {
    let out = daemon.certctl([&["--json", "history", "--limit", "100000"], arguments].concat())?;
    ensure!(out.status.success(), "{out:?}");
    let document: Value = serde_json::from_slice(&out.stdout)?;
    Ok(document["records"].as_array().context("no records")?.clone())
}

fn kinds(records: &[Value]) -> Vec<String> {
    let kind = |record: &Value| {
        let detail = ["work", "stage", "order"].iter().find_map(|field| record[field].as_str());
        format!("{} {}", record["event"].as_str().unwrap_or_default(), detail.unwrap_or_default())
            .trim_end()
            .to_owned()
    };
    records.iter().map(kind).collect()
}

#[test]
fn decisions_deeds_commands_orders_failures_and_outages_are_told() -> Result<()> {
    let mut bed = bed()?;
    // What the executor ran is told by itself, a moment before or after what it was run for.
    let (ran, told): (Vec<String>, Vec<String>) =
        kinds(&records(&bed.daemon, &["docker-daemon"])?).into_iter().partition(|kind| kind == "ran");
    let steps =
        ["begun issue", "done issue", "begun install", "done install", "begun activate", "done activate"];
    ensure!(told == steps && ran.len() == 1, "{told:?} {ran:?}");
    bed.guests.spoil(VM, Fault::Exit(5), "systemctl");
    ensure!(bed.daemon.certctl(["renew", "docker-daemon"])?.status.code() == Some(1));
    let told = records(&bed.daemon, &["docker-daemon.internal.thinkheads.ai"])?;
    let order = told.iter().find(|record| record["event"] == "ordered").context("no order")?;
    ensure!(order["order"] == "renew" && order["uid"] == 0, "{order}");
    let failed = told.iter().find(|record| record["event"] == "failed").context("no failure")?;
    let status = bed.daemon.entry("docker-daemon")?.last_error.context("no error")?;
    ensure!(failed["stage"] == "activate" && failed["message"] == *status.message, "{failed}");
    let ran = told.iter().rfind(|record| record["event"] == "ran").context("no command")?;
    ensure!(ran["run"]["argv"][0].as_str().is_some_and(|program| program.ends_with("/qm")), "{ran}");
    bed.guests.mend(VM);
    ensure!(bed.daemon.certctl(["sync"])?.status.success());

    bed.ca.stop()?;
    ensure!(bed.daemon.certctl(["renew", "traefik-client"])?.status.code() == Some(1));
    let lost = |record: &Value| record["event"] == "issuer-lost" && record["issuer"] == "phoenix";
    ensure!(records(&bed.daemon, &[])?.iter().any(lost), "{:?}", kinds(&records(&bed.daemon, &[])?));
    bed.ca.start()?;
    bed.daemon.wait_all_ok(2)?;
    ensure!(kinds(&records(&bed.daemon, &[])?).contains(&"issuer-back".to_owned()));

    // For people: one line for each, with what was said below it.
    let out = bed.daemon.certctl(["history", "docker-daemon"])?;
    let text = String::from_utf8(out.stdout)?;
    ensure!(text.contains("user 0 asked for renew of 1 entry"), "{text}");
    ensure!(text.contains("activate failed (command-failed), 1 in a row, next attempt at 2"), "{text}");
    let out = bed.daemon.certctl(["history", "docker-demon"])?;
    ensure!(out.status.code() == Some(4), "{out:?}");
    Ok(())
}

#[test]
fn changes_of_the_manifest_are_told() -> Result<()> {
    let bed = bed()?;
    let mut entries = manifest::below(&bed.scratch, manifest::plan()?);
    let spare = entries.pop().context("two entries")?;
    entries[0]["renew_before"] = json!("40%");
    bed.daemon.replace_manifest(&entries)?;
    bed.daemon.wait_until("one entry", |status| status.certificates.len() == 1)?;
    entries.push(spare);
    bed.daemon.replace_manifest(&entries)?;
    bed.daemon.wait_all_ok(2)?;
    std::fs::write(&bed.daemon.manifest, "no manifest")?;
    bed.daemon.wait_until("the manifest is stale", |status| status.daemon.manifest.error.is_some())?;
    let all = records(&bed.daemon, &[])?;
    let changed = all.iter().find(|record| record["event"] == "changed").context("no change")?;
    ensure!(
        changed["names"] == json!(["docker-daemon"]) && changed["fields"] == json!(["renew_before"]),
        "{changed}"
    );
    let told = kinds(&all);
    ensure!(told.contains(&"removed".into()) && told.contains(&"added".into()), "{told:?}");
    let refused = all.iter().rfind(|record| record["event"] == "manifest").context("no manifest")?;
    ensure!(refused["state"] == "stale" && refused["error"].is_string(), "{refused}");
    Ok(())
}

#[test]
fn the_history_survives_kill_9_at_any_time_and_numbers_are_never_used_twice() -> Result<()> {
    let mut bed = bed()?;
    for _ in 0..6 {
        // Killed while records of an order are being written.
        bed.daemon.certctl(["renew", "--all", "--no-wait"])?;
        bed.daemon.restart()?;
    }
    bed.daemon.wait_all_ok(2)?;
    // A power cut tears the last line.
    ensure!(bed.daemon.stop()?, "it did not end well");
    let path = bed.daemon.state.join("certd/history.jsonl");
    let text = std::fs::read(&path)?;
    std::fs::write(&path, &text[..text.len() - 7])?;
    bed.daemon.start()?;
    let all = records(&bed.daemon, &[])?;
    let numbers: Vec<u64> = all.iter().filter_map(|record| record["seq"].as_u64()).collect();
    ensure!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
    let started = kinds(&all).iter().filter(|kind| *kind == "started").count();
    ensure!(started == 8, "{started} starts in {:?}", kinds(&all));
    Ok(())
}

/// `events --follow`, ended when it is dropped.
struct Follower {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Follower {
    fn start(daemon: &Daemon, arguments: &[&str]) -> Result<Self> {
        let mut command = Command::new(process::bin("phoenix-certctl")?);
        command.arg("--config").arg(&daemon.config).args(["events", "--follow"]).args(arguments);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let lines = BufReader::new(child.stdout.take().context("no output")?);
        Ok(Self { child, lines })
    }

    fn next_with(&mut self, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        loop {
            let mut line = String::new();
            ensure!(self.lines.read_line(&mut line)? > 0, "the events ended");
            let record: Value = serde_json::from_str(&line)?;
            if wanted(&record) {
                return Ok(record);
            }
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn events_are_followed_from_where_one_left_off() -> Result<()> {
    let bed = bed()?;
    let last =
        records(&bed.daemon, &[])?.last().and_then(|record| record["seq"].as_u64()).context("no records")?;
    let out = bed.daemon.certctl(["events", "--after", &(last - 1).to_string()])?;
    ensure!(out.status.success() && String::from_utf8_lossy(&out.stdout).lines().count() == 1, "{out:?}");
    let mut follower = Follower::start(&bed.daemon, &["--after", "0"])?;
    let first = follower.next_with(|_| true)?;
    ensure!(first["event"] == "started" && first["seq"] == 1, "{first}");
    ensure!(bed.daemon.certctl(["renew", "docker-daemon"])?.status.success());
    let order = follower.next_with(|record| record["event"] == "ordered")?;
    ensure!(order["seq"].as_u64() > Some(last), "{order}");
    follower.next_with(|record| {
        record["event"] == "done" && record["work"] == "activate" && record["seq"].as_u64() > Some(last)
    })?;
    Ok(())
}

#[test]
fn a_reader_of_events_that_does_not_read_is_dropped_and_holds_nobody_up() -> Result<()> {
    let mut bed = bed()?;
    let mut idle = UnixStream::connect(&bed.daemon.socket)?;
    idle.write_all(b"GET /v1/events?follow=1 HTTP/1.1\r\nHost: x\r\n\r\n")?;
    let mut head = [0; 12];
    idle.read_exact(&mut head)?;
    ensure!(head == *b"HTTP/1.1 200", "{head:?}");
    for _ in 0..5 {
        ensure!(bed.daemon.certctl(["renew", "--all"])?.status.success());
    }
    bed.daemon.wait_all_ok(2)?;
    // Nor does it hold up the end.
    ensure!(bed.daemon.stop()?, "it did not end well");
    let gone =
        patience::until(|| idle.read(&mut [0; 4096]).map_or(Some(()), |count| (count == 0).then_some(())));
    gone.context("the connection is still there")
}
