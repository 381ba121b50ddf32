//! Renewed means served: what the consumer really uses is seen, and what follows when it is something else.

use anyhow::{Context, Result, ensure};
use phoenix_core::reason::Reason;
use phoenix_protocol::control::{CertificateState, StageState};
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
    _scratch: Scratch,
}

impl Bed {
    fn new(shape: impl FnOnce(&mut Value)) -> Result<Self> {
        let scratch = Scratch::new()?;
        let ca = EmbeddedCa::start(&scratch, "phoenix")?;
        let mut entry = manifest::entry(&scratch, "web");
        let place = manifest::places(std::slice::from_ref(&entry))?.remove(0);
        let consumer = Consumer::new(&scratch, "web", &place.cert, &place.key, &[])?;
        entry["post_renewal_command"] = json!([consumer.program]);
        entry["verify"] =
            json!({"tls": consumer.address, "server_name": "web.internal.thinkheads.ai", "deadline": "3s"});
        shape(&mut entry);
        let daemon = Setup::new(&scratch)?
            .issuer(&ca.issuer())
            .programs([consumer.program.clone()])
            .start(&[entry])?;
        Ok(Self { daemon, consumer, place, _ca: ca, _scratch: scratch })
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
