//! Looks at consumers that take long: they hold up no renewal, neither their own entry's nor another's.

use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use phoenix_core::reason::Reason;
use phoenix_protocol::control::{CertificateState, CertificateStatus, StageState};
use phoenix_testkit::daemon::{Daemon, Setup};
use phoenix_testkit::embedded::EmbeddedCa;
use phoenix_testkit::manifest;
use phoenix_testkit::scratch::Scratch;
use phoenix_tests::tells;
use serde_json::{Value, json};

/// As many as the daemon looks at at the same time.
const TURNS: usize = 16;
/// Renewal is due after two thirds of it.
const LIFETIME: Duration = Duration::from_secs(24);

/// An entry whose consumer takes connections and never says a word.
fn silent(scratch: &Scratch, name: &str, consumer: &TcpListener) -> Result<Value> {
    let mut entry = manifest::entry(scratch, name);
    entry["verify"] = json!({"tls": consumer.local_addr()?.to_string(), "deadline": "5m"});
    Ok(entry)
}

fn start(scratch: &Scratch, ca: &EmbeddedCa, entries: &[Value]) -> Result<Daemon> {
    Setup::new(scratch)?.issuer(&ca.issuer()).start(entries)
}

/// The next certificate is there before the present one has expired.
fn is_renewed_in_time(daemon: &Daemon, name: &str) -> Result<CertificateStatus> {
    let written = |entry: &CertificateStatus| entry.deployment.written == StageState::Done;
    let first = daemon.wait_entry(name, "has a certificate", written)?;
    let other = |entry: &CertificateStatus| entry.serial.is_some() && entry.serial != first.serial;
    let second = daemon.wait_entry(name, "is renewed", other)?;
    let (ended, began) = (first.not_after.context("no end")?, second.not_before.context("no beginning")?);
    ensure!(began < ended, "{name} was without a valid certificate: {first:?}, then {second:?}");
    Ok(second)
}

#[test]
fn a_look_with_a_long_deadline_gives_way_to_the_renewal_of_its_entry() -> Result<()> {
    let scratch = Scratch::new()?;
    let ca = EmbeddedCa::short_lived(&scratch, "phoenix", LIFETIME)?;
    let consumer = TcpListener::bind("127.0.0.1:0")?;
    let daemon = start(&scratch, &ca, &[silent(&scratch, "own", &consumer)?])?;
    is_renewed_in_time(&daemon, "own").map(drop)
}

#[test]
fn looks_that_take_every_turn_hold_up_no_renewal_and_are_told() -> Result<()> {
    let scratch = Scratch::new()?;
    let ca = EmbeddedCa::short_lived(&scratch, "phoenix", LIFETIME)?;
    let consumer = TcpListener::bind("127.0.0.1:0")?;
    let mut entries = Vec::new();
    for number in 0..TURNS {
        let mut entry = silent(&scratch, &format!("slow{number}"), &consumer)?;
        entry["validity"] = json!("12h");
        entries.push(entry);
    }
    let daemon = start(&scratch, &ca, &entries)?;
    daemon.wait_until("are all being looked at", |status| {
        let looked = |entry: &CertificateStatus| entry.state == CertificateState::Deploying;
        status.certificates.len() == TURNS && status.certificates.iter().all(looked)
    })?;
    entries.push(silent(&scratch, "last", &consumer)?);
    daemon.replace_manifest(&entries)?;
    let told = |entry: &_| tells(entry, Reason::LookPutOff, &["every turn"]);
    daemon.wait_entry("last", "tells that it has no turn", told)?;
    is_renewed_in_time(&daemon, "last").map(drop)
}

#[test]
fn where_no_certificate_can_be_had_a_look_is_answered_with_the_reason_and_not_waited_for() -> Result<()> {
    let scratch = Scratch::new()?;
    let ca = EmbeddedCa::start(&scratch, "phoenix")?;
    ca.stop();
    let consumer = TcpListener::bind("127.0.0.1:0")?;
    let entry = silent(&scratch, "web", &consumer)?;
    let daemon = start(&scratch, &ca, &[entry])?;
    daemon.wait_entry("web", "waits for its issuer", |entry| {
        tells(entry, Reason::IssuerNotReady, &["phoenix"])
    })?;
    let asked = daemon.certctl(["verify", "web", "--timeout", "30s", "--json"])?;
    let told: Value = serde_json::from_slice(&asked.stdout).with_context(|| format!("{asked:?}"))?;
    ensure!(told["results"][0]["result"] == "waiting", "{told}");
    ensure!(told["results"][0]["reason"] == "issuer-not-ready", "{told}");
    Ok(())
}
