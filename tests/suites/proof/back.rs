//! `phoenix-certctl rollback`: an operator wants the previous pair back.

use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use phoenix_core::reason::Reason;
use phoenix_protocol::control::{CertificateState, CertificateStatus, StageState};
use phoenix_testkit::consumer::Temper;
use phoenix_testkit::openssl;
use phoenix_tests::{is_done, tells};
use serde_json::{Value, json};

use super::Bed;

impl Bed {
    fn back(&self) -> Result<(Option<i32>, Value)> {
        let out = self.daemon.certctl(["--json", "rollback", "web"])?;
        let document: Value = serde_json::from_slice(&out.stdout).with_context(|| format!("{out:?}"))?;
        Ok((out.status.code(), document["results"][0].clone()))
    }

    /// In use, with a predecessor that was in use, too. Both, the older one first.
    fn with_a_past(&self) -> Result<(CertificateStatus, CertificateStatus)> {
        let older = self.daemon.wait_entry("web", "is verified", is_done)?;
        let (code, result) = self.renew()?;
        ensure!(code == Some(0), "{result}");
        Ok((older, self.daemon.entry("web")?))
    }

    fn serves(&self, wanted: &CertificateStatus) -> Result<()> {
        let entry = self.daemon.entry("web")?;
        let served = entry.served.as_ref().map(|served| &served.fingerprint_sha256);
        ensure!(served.is_some() && served == wanted.fingerprint_sha256.as_ref(), "{entry:?}");
        ensure!(wanted.fingerprint_sha256 == Some(openssl::fingerprint(&self.place.cert)?), "{entry:?}");
        Ok(())
    }
}

fn stays_back(entry: &CertificateStatus) -> bool {
    entry.state == CertificateState::Waiting
        && tells(entry, Reason::RolledBack, &["by an operator", "phoenix-certctl sync web"])
}

#[test]
fn the_previous_pair_is_put_back_and_served_until_something_else_is_asked_for() -> Result<()> {
    let mut bed = Bed::swept(|_| {})?;
    let (older, newer) = bed.with_a_past()?;
    let told = bed.consumer.told();
    let (code, result) = bed.back()?;
    ensure!(code == Some(0) && result["result"] == "verified", "{result}");
    ensure!(result["serial"].as_str() == older.serial.as_deref(), "{result}");
    ensure!(bed.consumer.told() == told + 1, "its command ran {} times", bed.consumer.told() - told);
    bed.serves(&older)?;
    let entry = bed.daemon.wait_entry("web", "stays back", stays_back)?;
    // Until the older one is renewed as ever.
    ensure!(entry.next_attempt_at == older.renew_at, "{entry:?}, {older:?}");

    // Neither sweeps nor a new start undo it.
    bed.daemon.restart()?;
    let out = bed.daemon.certctl(["verify", "web"])?;
    ensure!(out.status.success(), "{out:?}");
    bed.daemon.wait_entry("web", "stays back", stays_back)?;
    bed.serves(&older)?;

    let out = bed.daemon.certctl(["sync", "web"])?;
    ensure!(out.status.success(), "{out:?}");
    ensure!(is_done(&bed.daemon.entry("web")?), "an alarm is left");
    bed.serves(&newer)?;

    let (code, result) = bed.back()?;
    ensure!(code == Some(0), "{result}");
    let (code, result) = bed.renew()?;
    ensure!(code == Some(0) && result["result"] == "verified", "{result}");
    let third = bed.daemon.entry("web")?;
    ensure!(is_done(&third) && ![&older.serial, &newer.serial].contains(&&third.serial), "{third:?}");
    bed.serves(&third)
}

#[test]
fn without_a_previous_pair_that_serves_it_fails_and_says_why() -> Result<()> {
    let bed = Bed::new(|_| {})?;
    let first = bed.daemon.wait_entry("web", "is verified", is_done)?;
    let out = bed.daemon.certctl(["rollback", "web"])?;
    let text = String::from_utf8_lossy(&out.stderr);
    ensure!(out.status.code() == Some(1) && text.contains("no earlier pair of it is kept"), "{out:?}");
    let entry = bed.daemon.entry("web")?;
    ensure!(is_done(&entry) && entry.serial == first.serial, "{entry:?}");
    let out = bed.daemon.certctl(["rollback", "nobody"])?;
    ensure!(out.status.code() == Some(4), "{out:?}");
    let out = bed.daemon.certctl(["rollback"])?;
    ensure!(out.status.code() == Some(2), "{out:?}");
    Ok(())
}

#[test]
fn a_consumer_that_does_not_take_the_previous_pair_is_told_and_tried_again() -> Result<()> {
    let bed = Bed::new(|_| {})?;
    let (older, _) = bed.with_a_past()?;
    bed.consumer.set(Temper::Deaf);
    let (code, result) = bed.back()?;
    ensure!(
        code == Some(1) && result["result"] == "failed" && result["reason"] == "serves-other",
        "{result}"
    );
    bed.consumer.set(Temper::Obedient);
    bed.daemon.wait_entry("web", "stays back", stays_back)?;
    bed.serves(&older)
}

/// One wants the new pair in use, the other the old one: the newer order counts, and the older one is told.
#[test]
fn a_renewal_that_is_waited_for_is_overtaken() -> Result<()> {
    let bed = Bed::new(|entry| entry["verify"]["deadline"] = json!("8s"))?;
    let older = bed.daemon.wait_entry("web", "is verified", is_done)?;
    bed.consumer.set(Temper::Deaf);
    thread::scope(|scope| {
        let renewal = scope.spawn(|| bed.renew());
        bed.daemon.wait_entry("web", "is being looked at", |entry| {
            entry.serial != older.serial
                && entry.deployment.activated == StageState::Done
                && entry.deployment.verified == StageState::Pending
        })?;
        let (code, result) = bed.back()?;
        ensure!(code == Some(0) && result["serial"].as_str() == older.serial.as_deref(), "{result}");
        let (code, result) = renewal.join().map_err(|_| anyhow!("the renewal's thread panicked"))??;
        ensure!(code == Some(1) && result["result"] == "failed", "{result}");
        ensure!(
            result["error"].as_str().is_some_and(|error| error.contains("overtaken: rollback")),
            "{result}"
        );
        bed.daemon.wait_entry("web", "stays back", stays_back)?;
        bed.serves(&older)
    })
}
