//! `phoenix-certctl` and the control socket: exit codes, documents, who may do what.

use std::fs;
use std::process::{Command, Output};

use anyhow::{Result, ensure};
use phoenix_protocol::control::{ErrorDocument, StageState, StatusDocument};
use phoenix_testkit::control::request;
use phoenix_testkit::daemon::Setup;
use phoenix_testkit::manifest;
use phoenix_testkit::peers::{self, StepCaVersion};
use phoenix_testkit::process;
use phoenix_testkit::scratch::Scratch;
use phoenix_testkit::stepca::{Options, StepCa};
use phoenix_testkit::{control, openssl};
use phoenix_tests::{Bed, is_done};
use serde_json::Value;

fn bed() -> Result<Bed> {
    let bed = Bed::with(StepCaVersion::V0_30_2, manifest::plan()?)?;
    bed.daemon.wait_all_ok(2)?;
    Ok(bed)
}

fn ends_with(out: &Output, code: i32) -> Result<()> {
    ensure!(out.status.code() == Some(code), "not exit code {code}: {out:?}");
    Ok(())
}

#[test]
fn renew_waits_for_the_command_and_reports_the_new_certificate() -> Result<()> {
    let bed = bed()?;
    for name in ["docker-daemon", "docker-daemon.internal.thinkheads.ai"] {
        let before = openssl::serial(&bed.places[0].cert)?;
        let out = bed.daemon.certctl(["--json", "renew", "--name", name])?;
        ends_with(&out, 0)?;
        let document: Value = serde_json::from_slice(&out.stdout)?;
        let result = &document["results"][0];
        ensure!(document["schema"] == 1 && result["name"] == "docker-daemon", "{document}");
        ensure!(result["result"] == "unverified" && result["error"].is_null(), "{document}");
        let serial = openssl::serial(&bed.places[0].cert)?;
        let told = result["serial"].as_str().map(|serial| serial.trim_start_matches('0'));
        ensure!(serial != before && told == Some(&serial), "{document}");
        ensure!(bed.ran_for_present(&bed.places[0])?, "renew returned before the command had succeeded");
    }
    bed.check_pairs()
}

#[test]
fn generate_only_holds_the_command_until_the_next_sync() -> Result<()> {
    let bed = bed()?;
    ends_with(&bed.daemon.certctl(["renew", "--name", "docker-daemon", "--generate-only"])?, 0)?;
    let held = bed.daemon.entry("docker-daemon")?;
    ensure!(held.deployment.written == StageState::Done, "{held:?}");
    ensure!(
        held.deployment.activated == StageState::Pending && held.reason.as_deref() == Some("held"),
        "{held:?}"
    );
    ensure!(!bed.ran_for_present(&bed.places[0])?, "the command ran");
    ends_with(&bed.daemon.certctl(["sync"])?, 0)?;
    ensure!(is_done(&bed.daemon.entry("docker-daemon")?), "sync did not run the command");
    ensure!(bed.ran_for_present(&bed.places[0])?, "the command did not run");
    Ok(())
}

#[test]
fn an_unknown_name_starts_nothing() -> Result<()> {
    let bed = bed()?;
    let issued = bed.ca.issued();
    for command in [
        ["renew", "--name", "docker-demon"].as_slice(),
        &["sync", "docker-demon"],
        &["status", "docker-demon"],
    ] {
        let out = bed.daemon.certctl(command.iter().copied())?;
        ends_with(&out, 4)?;
        ensure!(String::from_utf8_lossy(&out.stderr).contains("docker-demon"), "{out:?}");
    }
    // One good name beside an unknown one is not renewed either.
    ends_with(&bed.daemon.certctl(["renew", "--name", "traefik-client", "docker-demon"])?, 4)?;
    ensure!(bed.ca.issued() == issued, "something was issued");
    ends_with(&bed.daemon.certctl(["renew"])?, 2)?;
    ends_with(&bed.daemon.certctl(["no-such-command"])?, 2)
}

#[test]
fn status_works_without_the_daemon_and_commands_say_that_it_is_away() -> Result<()> {
    let mut bed = bed()?;
    let before = bed.daemon.status()?;
    ensure!(bed.daemon.stop()?, "it did not end well:\n{}", bed.daemon.log());
    let out = bed.daemon.certctl(["--json", "status"])?;
    ends_with(&out, 0)?;
    let offline: StatusDocument = serde_json::from_slice(&out.stdout)?;
    ensure!(!offline.daemon.running, "{offline:?}");
    for (now, then) in offline.certificates.iter().zip(&before.certificates) {
        ensure!(
            (&now.name, &now.serial, now.not_after) == (&then.name, &then.serial, then.not_after),
            "{now:?}"
        );
    }
    ensure!(offline.certificates.len() == before.certificates.len(), "{offline:?}");
    ends_with(&bed.daemon.certctl(["renew", "--all"])?, 3)?;
    ends_with(&bed.daemon.certctl(["sync"])?, 3)
}

#[test]
fn strangers_are_told_which_group_to_join() -> Result<()> {
    let bed = bed()?;
    let program = bed.scratch.join("bin/phoenix-certctl");
    fs::copy(process::bin("phoenix-certctl")?, &program)?;
    let issued = bed.ca.issued();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program);
    let out = command.arg("--config").arg(&bed.daemon.config).args(["renew", "--all"]).output()?;
    ends_with(&out, 3)?;
    ensure!(String::from_utf8_lossy(&out.stderr).contains("phoenix-certd"), "{out:?}");
    ensure!(bed.ca.issued() == issued, "a stranger had certificates issued");
    Ok(())
}

#[test]
fn bad_requests_get_an_answer_and_harm_nothing() -> Result<()> {
    let bed = bed()?;
    let cases = [
        ("GET", "/no/such/route", None, 404),
        ("POST", "/v1/renew", Some("{\"names\": 7}"), 400),
        ("POST", "/v1/renew", Some("not json"), 400),
        ("POST", "/v1/renew", Some("{\"names\": [\"nobody\"]}"), 404),
    ];
    for (method, route, body, status) in cases {
        let answer = request(&bed.daemon.socket, method, route, body)?;
        ensure!(answer.status == status, "{method} {route}: {answer:?}");
        let document: ErrorDocument = serde_json::from_slice(&answer.body)?;
        ensure!(!document.code.is_empty() && !document.message.is_empty(), "{method} {route}: {document:?}");
    }
    // A body over every limit: the server may close before it has read it, and must go on serving.
    let long = format!("{{\"names\": [\"{}\"]}}", "x".repeat(30_000_000));
    let refused = request(&bed.daemon.socket, "POST", "/v1/sync", Some(&long));
    ensure!(refused.as_ref().map_or(true, |answer| answer.status >= 400), "{refused:?}");
    control::status(&bed.daemon.socket)?;
    bed.check_pairs()
}

#[test]
fn every_example_of_a_manifest_is_valid() -> Result<()> {
    let scratch = Scratch::new()?;
    let ca = StepCa::prepare(&scratch.join("ca"), StepCaVersion::V0_30_2, &Options::default())?;
    let programs = ["pct", "qm"].map(|name| scratch.join("bin").join(name));
    for program in &programs {
        scratch.file(program.strip_prefix(scratch.path())?, "#!/bin/sh\n", 0o755)?;
    }
    let setup = Setup::new(&scratch)?.step_ca(&ca).programs(programs).target_root("/mnt/pve/quickOS".into());
    let config = scratch.file("etc/certd.toml", setup.text()?, 0o644)?;
    let validate = |file: &std::path::Path| -> Result<Output> {
        let mut command = Command::new(process::bin("phoenix-certctl")?);
        Ok(command.arg("--config").arg(&config).arg("validate").arg(file).output()?)
    };
    let mut examples = 0;
    for entry in fs::read_dir(peers::tree().join("config"))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_manifest = name.starts_with("certificate-manifest") && !name.contains(".schema.");
        if is_manifest && path.extension().is_some_and(|kind| kind == "json") {
            ends_with(&validate(&path)?, 0)?;
            examples += 1;
        }
    }
    ensure!(examples > 0, "config/ holds no example");
    let broken =
        scratch.file("broken.json", "[\n  {\"common_name\": 7, \"cert_path\": \"x\"}\n]\n", 0o644)?;
    let out = validate(&broken)?;
    ends_with(&out, 1)?;
    let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    ensure!(said.contains("broken.json:2:") && said.contains("common_name"), "{said}");
    ensure!(said.contains("cert_path") && said.contains("key_path"), "not every problem is told: {said}");
    Ok(())
}
