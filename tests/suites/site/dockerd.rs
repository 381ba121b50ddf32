//! dockerd with TLS of its own, kept by the daemon: it reads certificates only when it starts, so the command is a
//! restart. What that costs, and what is told of a dockerd that does not do what it should.

use anyhow::{Context, Result, ensure};
use phoenix_core::reason::Reason;
use phoenix_testkit::guests::Kind;
use phoenix_testkit::machine::Machine;
use phoenix_testkit::stepca::Options;
use phoenix_testkit::{network, patience};
use phoenix_tests::is_done;
use phoenix_tests::site::ask::Ask;
use phoenix_tests::site::kept::{self, Guest, Kept, caught, change, in_force, told};
use phoenix_tests::site::pki::{Pair, Use};
use phoenix_tests::site::plan::{DOCKER_PORT, serial_at};
use phoenix_tests::site::probing::{Probing, Restarts};
use phoenix_tests::site::rotation::{rotate, serial};
use phoenix_tests::site::{self, DOCKER};
use serde_json::{Value, json};

const VM: Guest = Guest { address: DOCKER, id: 1001, kind: Kind::Vm };
const RESTART: &str = "qm guest exec 1001 -- systemctl restart docker";
/// The end of that, as the guest sees it.
pub(crate) const RESTARTED: &str = "restart docker";

/// The recommended entries, for a dockerd that holds the port itself. Its client has no guest here.
fn entries() -> Result<Vec<Value>> {
    let mut entries = kept::recommended(&["traefik-client", "docker-daemon"])?;
    let nowhere = json!({"guest_id": null, "guest_type": null, "deliver": null, "rollback": false});
    change(&mut entries, "traefik-client", &nowhere)?;
    change(&mut entries, "docker-daemon", &json!({"post_renewal_command": RESTART}))?;
    entries[1]["verify"]["deadline"] = json!("30s");
    Ok(entries)
}

/// VM 1001 with a dockerd that holds the port itself, kept by the daemon; everything is in order.
pub(crate) fn bed(options: &Options) -> Result<Kept> {
    let install = |machine: &Machine| site::install_dockerd(machine, &site::DOCKERD_FILES);
    let bed = Kept::with(VM, options, "", entries()?, install)?;
    bed.daemon.wait_all_ok(bed.entries.len())?;
    Ok(bed)
}

/// A request to it as this client.
pub(crate) fn ping(bed: &Kept, client: &Pair) -> Ask {
    Ask::at(DOCKER_PORT, &format!("https://{DOCKER_PORT}/_ping"), bed.pki.root()).with(client)
}

#[test]
fn dockerd_is_verified_after_its_restart_and_what_it_does_wrong_is_told_with_advice() -> Result<()> {
    network::inside(|| {
        let bed = bed(&Options::default())?;
        let client = bed.pki.pair("outsider", "outsider", Use::Client)?;
        a_rotation_costs_the_restart_and_nothing_more(&bed, &client)?;
        a_reload_is_caught(&bed)?;
        a_stopped_one_is_out_of_reach(&bed)?;
        another_ca_refuses_our_clients(&bed)?;
        one_without_verification_lets_anybody_in(&bed)?;
        another_answer_is_no_proof(&bed)
    })
}

fn a_rotation_costs_the_restart_and_nothing_more(bed: &Kept, client: &Pair) -> Result<()> {
    let probing = Probing::begin_over(Restarts::of(&bed.machine, "docker"), ping(bed, client), 200);
    for _ in 0..3 {
        probing.take();
        let took = rotate(&bed.daemon, "docker-daemon", || serial_at(DOCKER_PORT))?;
        let entry = bed.daemon.entry("docker-daemon")?;
        ensure!(is_done(&entry), "{entry:?}");
        let asked = probing.asked();
        patience::until(|| (probing.asked() > asked + 1).then_some(())).context("nobody asks any more")?;
        let tally = probing.take();
        eprintln!(
            "dockerd restarted: used after {:.1?}, done after {:.1?}; {} requests, {} lost, at most {:.1?} without an \
             answer",
            took.served, took.done, tally.asked, tally.restarting, tally.gap
        );
        ensure!(tally.failed.is_empty() && tally.outages <= 1, "{tally:?}");
    }
    Ok(())
}

/// `systemctl reload docker` says that it was done, and dockerd serves on what it has.
fn a_reload_is_caught(bed: &Kept) -> Result<()> {
    let mut entries = bed.entries.clone();
    let reload = "qm guest exec 1001 -- systemctl reload docker";
    change(&mut entries, "docker-daemon", &json!({"post_renewal_command": reload, "rollback": false}))?;
    in_force(&bed.daemon, &entries)?;
    let before = serial_at(DOCKER_PORT);
    let entry = caught(
        &bed.daemon,
        "docker-daemon",
        Reason::ServesOther,
        &["the previous one", "restart", "as dockerd"],
    )?;
    ensure!(before.is_some() && serial_at(DOCKER_PORT) == before, "a reload has become enough");
    let served = entry.served.context("nothing is told of what is served")?;
    ensure!(Some(served.serial.trim_start_matches('0')) == before.as_deref(), "{served:?}");
    let warned = bed.daemon.certctl(["validate"])?;
    let text = String::from_utf8_lossy(&warned.stdout).into_owned();
    ensure!(text.contains("systemctl reload docker"), "the manifest's check says nothing: {text}");
    mended(bed)
}

/// The command that works is in force again; what is owed is done.
fn mended(bed: &Kept) -> Result<()> {
    in_force(&bed.daemon, &bed.entries)?;
    let output = bed.daemon.certctl(["sync"])?;
    ensure!(output.status.success(), "{output:?}");
    ensure!(serial_at(DOCKER_PORT) == Some(serial(&bed.daemon, "docker-daemon")?), "another one is served");
    Ok(())
}

/// What went away by itself is not restarted by us, and is verified again when it is back.
fn a_stopped_one_is_out_of_reach(bed: &Kept) -> Result<()> {
    let runs = bed.guests.calls_with(RESTARTED).len();
    bed.machine.sh("systemctl stop docker docker.socket")?;
    looked(bed, "docker-daemon", Reason::Unreachable, &["cannot connect to 10.0.0.111:2376", "running"])?;
    looked(bed, "traefik-client", Reason::Unreachable, &["10.0.0.111:2376"])?;
    bed.machine.sh("systemctl start docker")?;
    bed.daemon.wait_all_ok(bed.entries.len())?;
    ensure!(bed.guests.calls_with(RESTARTED).len() == runs, "it was restarted by us");
    Ok(())
}

fn another_ca_refuses_our_clients(bed: &Kept) -> Result<()> {
    bed.machine.write("/root/strange.pem", std::fs::read(bed.pki.strange_root())?, 0o644)?;
    spoiled(bed, r#""/etc/docker/tls/ca.pem""#, r#""/root/strange.pem""#, || {
        let words = ["10.0.0.111:2376", "refuses the client certificate", "trusts the root"];
        looked(bed, "traefik-client", Reason::RefusesClient, &words)?;
        looked(bed, "docker-daemon", Reason::RefusesClient, &words)
    })
}

fn one_without_verification_lets_anybody_in(bed: &Kept) -> Result<()> {
    spoiled(bed, r#""tlsverify": true"#, r#""tlsverify": false"#, || {
        looked(bed, "docker-daemon", Reason::AcceptsAnyone, &["10.0.0.111:2376", "\"tlsverify\": true"])
    })
}

fn another_answer_is_no_proof(bed: &Kept) -> Result<()> {
    let mut entries = bed.entries.clone();
    entries[0]["verify"]["http_get"] = json!("/no-such-page");
    in_force(&bed.daemon, &entries)?;
    looked(bed, "traefik-client", Reason::WrongStatus, &["/no-such-page", "404", "200"])?;
    mended(bed)
}

/// dockerd runs with another word in its daemon.json while `check` looks at it; then as before.
fn spoiled(bed: &Kept, word: &str, other: &str, check: impl FnOnce() -> Result<()>) -> Result<()> {
    let path = "/etc/docker/daemon.json";
    let text = bed.machine.read(path)?;
    ensure!(text.contains(word), "{text}");
    bed.machine.write(path, text.replace(word, other), 0o644)?;
    // The commands of ours would do nothing about it, and would cost a restart each.
    let mut entries = bed.entries.clone();
    change(&mut entries, "docker-daemon", &json!({"post_renewal_command": null, "rollback": false}))?;
    in_force(&bed.daemon, &entries)?;
    bed.machine.sh("systemctl restart docker")?;
    check()?;
    bed.machine.write(path, text, 0o644)?;
    bed.machine.sh("systemctl restart docker")?;
    mended(bed)
}

/// `verify` fails, and says what was seen and what to do about it.
fn looked(bed: &Kept, name: &str, reason: Reason, words: &[&str]) -> Result<()> {
    let output = bed.daemon.certctl(["verify", name])?;
    ensure!(output.status.code() == Some(1), "verify {name}: {output:?}");
    let said = String::from_utf8_lossy(&output.stderr).to_lowercase();
    ensure!(words.iter().all(|word| said.contains(&word.to_lowercase())), "{words:?}: {said}");
    told(&bed.daemon, name, reason, words).map(drop)
}
