//! Renewed means served: what the consumer really uses is seen, and what follows when it is something else.

mod back;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use phoenix_core::reason::Reason;
use phoenix_protocol::control::{CertificateState, CertificateStatus, StageState};
use phoenix_testkit::consumer::{Consumer, Temper};
use phoenix_testkit::daemon::{Daemon, Setup};
use phoenix_testkit::embedded::EmbeddedCa;
use phoenix_testkit::manifest::{self, Place};
use phoenix_testkit::openssl;
use phoenix_testkit::scratch::Scratch;
use phoenix_tests::{is_done, tells};
use serde_json::{Value, json};

/// One entry whose consumer is a real TLS server.
struct Bed {
    daemon: Daemon,
    consumer: Consumer,
    place: Place,
    _ca: EmbeddedCa,
    scratch: Scratch,
}

impl Bed {
    fn new(shape: impl FnOnce(&mut Value)) -> Result<Self> {
        Self::with("", shape)
    }

    /// With a sweep every second.
    fn swept(shape: impl FnOnce(&mut Value)) -> Result<Self> {
        Self::with("[renewal]\nsweep = \"* * * * * *\"\n", shape)
    }

    fn with(lines: &str, shape: impl FnOnce(&mut Value)) -> Result<Self> {
        Self::made(|setup, _, entry| {
            shape(entry);
            Ok(setup.lines(lines))
        })
    }

    /// With a program that asks the consumer for its serial, as `verify`.
    fn asked_by_a_command() -> Result<Self> {
        Self::made(|setup, consumer, entry| {
            let script = format!(
                "#!/bin/sh\nopenssl s_client -connect {} < /dev/null 2> /dev/null |\n    openssl x509 -noout -serial\n",
                consumer.address
            );
            let dir = consumer.program.parent().context("the program lies nowhere")?;
            let program = dir.join("serial-web");
            fs::write(&program, script)?;
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
            entry["verify"] = json!({"command": [program], "expect": "{serial}", "deadline": "3s"});
            Ok(setup.networked(program))
        })
    }

    fn made(
        shape: impl for<'a> FnOnce(Setup<'a>, &Consumer, &mut Value) -> Result<Setup<'a>>,
    ) -> Result<Self> {
        let scratch = Scratch::new()?;
        let ca = EmbeddedCa::start(&scratch, "phoenix")?;
        let mut entry = manifest::entry(&scratch, "web");
        let place = manifest::places(std::slice::from_ref(&entry))?.remove(0);
        let consumer = Consumer::new(&scratch, "web", &place.cert, &place.key, &[])?;
        entry["post_renewal_command"] = json!([consumer.program]);
        entry["verify"] =
            json!({"tls": consumer.address, "server_name": "web.internal.thinkheads.ai", "deadline": "3s"});
        let setup = Setup::new(&scratch)?.issuer(&ca.issuer()).programs([consumer.program.clone()]);
        let daemon = shape(setup, &consumer, &mut entry)?.start(&[entry])?;
        Ok(Self { daemon, consumer, place, _ca: ca, scratch })
    }

    /// Copies of the present pair.
    fn keep(&self, name: &str) -> Result<(PathBuf, PathBuf)> {
        let copy =
            |from: &Path, file: &str| self.scratch.file(format!("{name}/{file}"), fs::read(from)?, 0o600);
        Ok((copy(&self.place.cert, "cert.pem")?, copy(&self.place.key, "key.pem")?))
    }

    fn renew(&self) -> Result<(Option<i32>, Value)> {
        let out = self.daemon.certctl(["--json", "renew", "--name", "web"])?;
        let document: Value = serde_json::from_slice(&out.stdout).with_context(|| format!("{out:?}"))?;
        Ok((out.status.code(), document["results"][0].clone()))
    }
}

#[test]
fn a_certificate_is_renewed_when_its_consumer_serves_it() -> Result<()> {
    let bed = Bed::new(|_| {})?;
    bed.daemon.wait_entry("web", "is verified", is_done)?;
    let (code, result) = bed.renew()?;
    ensure!(code == Some(0) && result["result"] == "verified", "{result}");
    let entry = bed.daemon.entry("web")?;
    ensure!(entry.deployment.verified == StageState::Done, "{entry:?}");
    let served = entry.served.context("nothing is told of what is served")?;
    ensure!(served.fingerprint_sha256 == openssl::fingerprint(&bed.place.cert)?, "{served:?}");
    ensure!(bed.consumer.told() == 2, "the command ran {} times", bed.consumer.told());
    Ok(())
}

#[test]
fn a_command_that_ends_well_without_effect_is_caught() -> Result<()> {
    let bed = Bed::new(|_| {})?;
    bed.daemon.wait_entry("web", "is verified", is_done)?;
    bed.consumer.set(Temper::Deaf);
    let (code, result) = bed.renew()?;
    ensure!(
        code == Some(1) && result["result"] == "failed" && result["reason"] == "serves-other",
        "{result}"
    );
    let told = |entry: &_| tells(entry, Reason::ServesOther, &["the previous one", "restart"]);
    let entry = bed.daemon.wait_entry("web", "is caught", told)?;
    ensure!(entry.state == CertificateState::Retrying, "{entry:?}");
    ensure!(entry.deployment.verified == StageState::Failed, "{entry:?}");
    let serial = entry.serial.clone();
    bed.consumer.set(Temper::Obedient);
    let entry = bed.daemon.wait_entry("web", "is verified", is_done)?;
    ensure!(entry.serial == serial, "a new certificate was made for a command without effect");
    ensure!(bed.consumer.told() >= 3, "the command was not run again");
    Ok(())
}

#[test]
fn a_consumer_that_uses_the_certificate_and_fails_for_another_reason_is_only_looked_at_again() -> Result<()> {
    let bed = Bed::new(|entry| {
        entry["rollback"] = json!(true);
        // The server answers with 200: what is wanted is wrong, and its certificate is right.
        entry["verify"]["http_get"] = json!("/");
        entry["verify"]["expect_status"] = json!(204);
        entry["verify"]["deadline"] = json!("1s");
    })?;
    let amiss = |entry: &_| tells(entry, Reason::WrongStatus, &["HTTP status 200", "204"]);
    let first = bed.daemon.wait_entry("web", "answers otherwise", amiss)?;
    let (code, result) = bed.renew()?;
    ensure!(code == Some(1) && result["reason"] == "wrong-status", "{result}");
    let again = |entry: &CertificateStatus| amiss(entry) && entry.attempts > 1;
    let entry = bed.daemon.wait_entry("web", "is looked at again", again)?;
    ensure!(entry.serial != first.serial, "the new pair was taken back");
    let served = entry.served.context("nothing is told of what is served")?;
    ensure!(served.fingerprint_sha256 == openssl::fingerprint(&bed.place.cert)?, "{served:?}");
    ensure!(bed.consumer.told() == 2, "the command ran {} times", bed.consumer.told());
    Ok(())
}

#[test]
fn a_command_that_asks_the_consumer_tells_the_new_certificate_from_the_old_one() -> Result<()> {
    let bed = Bed::asked_by_a_command()?;
    bed.daemon.wait_entry("web", "is verified", is_done)?;
    let (code, result) = bed.renew()?;
    ensure!(code == Some(0) && result["result"] == "verified", "{result}");
    let before = bed.daemon.entry("web")?;
    ensure!(before.deployment.verified == StageState::Done && bed.consumer.told() == 2, "{before:?}");
    bed.consumer.set(Temper::Deaf);
    let (code, result) = bed.renew()?;
    ensure!(
        code == Some(1) && result["result"] == "failed" && result["reason"] == "check-failed",
        "{result}"
    );
    let shown = format!("serial={}", before.serial.context("it has no serial")?.to_uppercase());
    let told = |entry: &_| {
        tells(entry, Reason::CheckFailed, &["did not print", "`post_renewal_command`", shown.as_str()])
    };
    let entry = bed.daemon.wait_entry("web", "is caught", told)?;
    ensure!(entry.state == CertificateState::Retrying, "{entry:?}");
    ensure!(entry.deployment.verified == StageState::Failed, "{entry:?}");
    bed.consumer.set(Temper::Obedient);
    let after = bed.daemon.wait_entry("web", "is verified", is_done)?;
    ensure!(after.serial == entry.serial, "a new certificate was made for a command without effect");
    Ok(())
}

#[test]
fn a_consumer_that_is_out_of_reach_before_and_after_proves_nothing() -> Result<()> {
    let bed = Bed::new(|entry| entry["rollback"] = json!(true))?;
    bed.daemon.wait_entry("web", "is verified", is_done)?;
    bed.consumer.stop();
    bed.consumer.set(Temper::Dies);
    let (code, result) = bed.renew()?;
    ensure!(code == Some(1) && result["result"] == "unverified", "{result}");
    ensure!(result["reason"] == "unreachable", "{result}");
    let entry = bed.daemon.entry("web")?;
    ensure!(entry.deployment.verified == StageState::Pending, "{entry:?}");
    ensure!(
        entry.fingerprint_sha256 == Some(openssl::fingerprint(&bed.place.cert)?),
        "rolled back: {entry:?}"
    );
    // It comes back by itself: nothing of ours has to run for it.
    let told = bed.consumer.told();
    bed.consumer.start()?;
    bed.daemon.wait_entry("web", "is verified", is_done)?;
    ensure!(bed.consumer.told() == told, "the command was run although nothing was proven");
    Ok(())
}

#[test]
fn a_consumer_that_does_not_come_back_gets_its_previous_pair() -> Result<()> {
    let bed = Bed::new(|entry| entry["rollback"] = json!(true))?;
    let before = bed.daemon.wait_entry("web", "is verified", is_done)?;
    bed.consumer.set(Temper::Dies);
    let (code, result) = bed.renew()?;
    ensure!(code == Some(1) && result["reason"] == "unreachable", "{result}");
    // From now on it reads what it is told to read.
    bed.consumer.set(Temper::Obedient);
    let entry = bed.daemon.wait_entry("web", "is rolled back", |entry| {
        tells(entry, Reason::RolledBack, &["was put back", "is tried again at"])
    })?;
    ensure!(entry.state == CertificateState::Retrying && entry.next_attempt_at.is_some(), "{entry:?}");
    ensure!(entry.serial == before.serial, "another pair than the previous one: {entry:?}");
    ensure!(before.fingerprint_sha256 == Some(openssl::fingerprint(&bed.place.cert)?), "{entry:?}");
    ensure!(entry.served.is_some_and(|served| Some(served.serial) == before.serial), "it does not serve it");
    // The same new pair is tried again on demand, without another certificate.
    let out = bed.daemon.certctl(["sync", "web"])?;
    ensure!(out.status.success(), "{out:?}");
    let after = bed.daemon.wait_entry("web", "is verified", is_done)?;
    ensure!(after.serial.as_deref() == result["serial"].as_str(), "{after:?}, {result}");
    Ok(())
}

#[test]
fn a_sweep_notices_a_consumer_that_was_restored_from_a_backup() -> Result<()> {
    let bed = Bed::swept(|_| {})?;
    bed.daemon.wait_entry("web", "is verified", is_done)?;
    let old = bed.keep("old")?;
    bed.renew()?;
    bed.daemon.wait_entry("web", "is verified", is_done)?;
    let told = bed.consumer.told();
    bed.consumer.set(Temper::Deaf);
    bed.consumer.start_with(&old.0, &old.1)?;
    let noticed = |entry: &_| tells(entry, Reason::ServesOther, &["serves another certificate"]);
    bed.daemon.wait_entry("web", "has fallen back", noticed)?;
    bed.consumer.set(Temper::Obedient);
    bed.daemon.wait_entry("web", "is verified", is_done)?;
    ensure!(bed.consumer.told() > told, "its command was not run again");
    Ok(())
}

#[test]
fn a_daemon_that_is_killed_while_it_looks_goes_on_looking() -> Result<()> {
    let mut bed = Bed::new(|entry| entry["verify"]["deadline"] = json!("60s"))?;
    bed.daemon.wait_entry("web", "is verified", is_done)?;
    bed.consumer.set(Temper::Deaf);
    let out = bed.daemon.certctl(["renew", "--name", "web", "--no-wait"])?;
    ensure!(out.status.success(), "{out:?}");
    let looks = |entry: &CertificateStatus| {
        entry.deployment.activated == StageState::Done && entry.deployment.verified == StageState::Pending
    };
    let entry = bed.daemon.wait_entry("web", "is being looked at", looks)?;
    bed.daemon.restart()?;
    bed.consumer.start()?;
    let after = bed.daemon.wait_entry("web", "is verified", is_done)?;
    ensure!(after.serial == entry.serial, "a new certificate was made");
    ensure!(bed.consumer.told() == 2, "a command that had ended was run again");
    Ok(())
}

#[test]
fn verify_looks_now_and_says_what_it_saw() -> Result<()> {
    let bed = Bed::new(|_| {})?;
    bed.daemon.wait_entry("web", "is verified", is_done)?;
    let out = bed.daemon.certctl(["--json", "verify", "web"])?;
    let document: Value = serde_json::from_slice(&out.stdout)?;
    ensure!(out.status.success() && document["results"][0]["result"] == "verified", "{document}");
    bed.consumer.stop();
    let out = bed.daemon.certctl(["verify", "web"])?;
    let text = String::from_utf8_lossy(&out.stderr);
    ensure!(out.status.code() == Some(1) && text.contains("cannot connect to"), "{text}");
    let out = bed.daemon.certctl(["verify", "nobody"])?;
    ensure!(out.status.code() == Some(4), "{out:?}");
    Ok(())
}

/// Two entries: a server that demands client certificates, and its client.
fn mutual(demands: bool, accepted: bool) -> Result<()> {
    let scratch = Scratch::new()?;
    let ca = EmbeddedCa::start(&scratch, "phoenix")?;
    let root = ca.root.display().to_string();
    let mut server = manifest::entry(&scratch, "docker");
    let mut client = manifest::entry(&scratch, "traefik-client");
    let place = manifest::places(std::slice::from_ref(&server))?.remove(0);
    let strict = ["-Verify", "3", "-verify_return_error", "-CAfile", &root];
    let lax = ["-verify", "3", "-CAfile", &root];
    let arguments: &[&str] = if demands { &strict } else { &lax };
    let consumer = Consumer::new(&scratch, "docker", &place.cert, &place.key, arguments)?;
    server["post_renewal_command"] = json!([consumer.program]);
    server["verify"] = json!({
        "tls": consumer.address, "server_name": "docker.internal.thinkheads.ai", "client": "traefik-client",
        "refuse_without_client": true, "http_get": "/", "expect_status": 200, "deadline": "3s",
    });
    client["cert_type"] = json!("client");
    client["verify"] = json!({
        "accepted_by": consumer.address, "server_name": "docker.internal.thinkheads.ai", "http_get": "/",
        "expect_status": 200, "deadline": "3s",
    });
    let daemon = Setup::new(&scratch)?
        .issuer(&ca.issuer())
        .programs([consumer.program.clone()])
        .start(&[client, server])?;
    daemon.wait_entry("traefik-client", "is accepted", is_done)?;
    if accepted {
        daemon.wait_entry("docker", "is verified", is_done)?;
    } else {
        let anyone = |entry: &_| tells(entry, Reason::AcceptsAnyone, &["without a certificate", "tlsverify"]);
        daemon.wait_entry("docker", "lets anybody in", anyone)?;
    }
    Ok(())
}

#[test]
fn a_client_certificate_is_shown_with_a_signature_of_the_executor_and_strangers_are_refused() -> Result<()> {
    mutual(true, true)
}

#[test]
fn a_server_that_lets_anybody_in_is_caught() -> Result<()> {
    mutual(false, false)
}
