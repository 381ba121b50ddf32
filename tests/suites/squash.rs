//! A server that refuses to change owners (NFS root squash), played by an executor without CAP_CHOWN.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use phoenix_core::reason::Reason;
use phoenix_testkit::daemon::{Setup, issuer_of};
use phoenix_testkit::patience::until;
use phoenix_testkit::peers::StepCaVersion;
use phoenix_testkit::process::{Group, bin};
use phoenix_testkit::scratch::Scratch;
use phoenix_testkit::stepca::{Options, StepCa};
use phoenix_testkit::{control, manifest};
use phoenix_tests::tells;
use serde_json::json;

#[test]
fn a_refused_owner_is_told_with_the_export_option_and_costs_no_certificate() -> Result<()> {
    let scratch = Scratch::new()?;
    let ca = StepCa::start_in(&scratch.join("ca"), StepCaVersion::V0_30_2, &Options::default())?;
    let config =
        scratch.file("etc/certd.toml", Setup::new(&scratch)?.issuer(&issuer_of(&ca)).text()?, 0o644)?;
    let mut entry = manifest::entry(&scratch, "one");
    entry["owner"] = json!("33:33");
    scratch.file("etc/certificate-manifest.json", serde_json::to_vec(&[entry])?, 0o644)?;
    scratch.directory("run/executor")?;
    let socket = scratch.join("run/control.sock");
    let log = fs::File::create(scratch.join("certd.log"))?;
    let mut daemon = Group::spawn(
        Command::new("setpriv")
            .args(["--bounding-set", "-chown", "--inh-caps", "-chown"])
            .arg(bin("phoenix-certd")?)
            .args(["--standalone", "--allow-root", "--log", "text", "--config"])
            .arg(config)
            .stdout(log.try_clone()?)
            .stderr(log),
    )?;
    let told = || {
        let document = control::status(&socket).ok()?;
        let entry = document.certificates.first()?;
        tells(entry, Reason::RootSquash, &["no_root_squash"]).then(|| entry.clone())
    };
    until(told).with_context(|| {
        let last = control::status(&socket).map(|document| document.certificates);
        let log = fs::read_to_string(scratch.join("certd.log")).unwrap_or_default();
        format!("root squash is not told; last status {last:#?}; log:\n{log}")
    })?;
    ensure!(ca.issued() == 0, "a certificate was issued that could not be written");
    ensure!(daemon.terminate()?, "the daemon ended badly");
    Ok(())
}
