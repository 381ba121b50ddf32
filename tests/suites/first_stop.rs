//! The main job, end to end: the two entries of the operator's plan, a real CA, both processes, SIGKILL.

use anyhow::{Result, ensure};
use phoenix_protocol::control::StatusDocument;
use phoenix_testkit::peers::StepCaVersion;
use phoenix_testkit::{manifest, openssl};
use phoenix_tests::{Bed, is_done};

#[test]
fn the_plan_is_fulfilled_by_step_ca_0_30_2_and_survives_sigkill() -> Result<()> {
    the_plan_is_fulfilled(StepCaVersion::V0_30_2)
}

#[test]
fn the_plan_is_fulfilled_by_step_ca_0_19_0_and_survives_sigkill() -> Result<()> {
    the_plan_is_fulfilled(StepCaVersion::V0_19_0)
}

fn the_plan_is_fulfilled(version: StepCaVersion) -> Result<()> {
    let mut bed = Bed::with(version, manifest::plan()?)?;
    bed.daemon.wait_all_ok(2)?;
    bed.check_pairs()?;
    names_are_as_planned(&bed)?;
    everything_was_done_once(&bed)?;
    status_tells(&bed)?;

    bed.daemon.restart()?;
    bed.daemon.wait_all_ok(2)?;
    everything_was_done_once(&bed)?;

    bed.daemon.kill9_executor()?;
    bed.daemon.wait_all_ok(2)?;
    bed.daemon.executor_pid()?;
    everything_was_done_once(&bed)?;
    ensure!(bed.daemon.stop()?, "the daemon did not end well on SIGTERM:\n{}", bed.daemon.log());
    bed.check_pairs()
}

fn names_are_as_planned(bed: &Bed) -> Result<()> {
    for place in &bed.places {
        let extensions = openssl::extensions(&place.cert)?;
        ensure!(extensions.contains(&format!("DNS:{}", place.common_name)), "{extensions}");
        ensure!(extensions.contains("TLS Web"), "{extensions}");
        if place.common_name.starts_with("docker-daemon") {
            ensure!(extensions.contains("IP Address:10.0.0.111"), "{extensions}");
        }
    }
    Ok(())
}

/// One certificate for each entry, and its command ran once, when the certificate was already there.
fn everything_was_done_once(bed: &Bed) -> Result<()> {
    ensure!(bed.ca.issued() == 2, "the CA issued {} certificates", bed.ca.issued());
    for place in &bed.places {
        ensure!(bed.runs(place) == 1, "{} ran {} times", place.common_name, bed.runs(place));
        ensure!(
            bed.ran_for_present(place)?,
            "{}: its command ran before the installation",
            place.common_name
        );
    }
    Ok(())
}

/// `phoenix-certctl status --json` prints the document, and its facts are those that OpenSSL sees.
fn status_tells(bed: &Bed) -> Result<()> {
    let out = bed.daemon.certctl(["--json", "status"])?;
    ensure!(out.status.success(), "{out:?}");
    let document: StatusDocument = serde_json::from_slice(&out.stdout)?;
    ensure!(document.daemon.running, "status does not know that the daemon runs");
    let names: Vec<&str> = document.certificates.iter().map(|entry| entry.name.as_str()).collect();
    ensure!(names == ["docker-daemon", "traefik-client"], "{names:?}");
    for (entry, place) in document.certificates.iter().zip(&bed.places) {
        ensure!(is_done(entry), "{entry:?}");
        ensure!(entry.fingerprint_sha256 == Some(openssl::fingerprint(&place.cert)?), "{entry:?}");
        let serial = entry.serial.as_deref().map(|serial| serial.trim_start_matches('0'));
        ensure!(serial == Some(&openssl::serial(&place.cert)?), "{entry:?}");
        ensure!(entry.renew_at.is_some() && entry.renew_at < entry.not_after, "{entry:?}");
    }
    Ok(())
}
