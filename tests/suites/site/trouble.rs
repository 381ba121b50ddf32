//! What goes wrong at a real site: commands without an effect, consumers that are open or torn, a CA that is down.

use anyhow::{Context, Result, ensure};
use phoenix_core::reason::Reason;
use phoenix_testkit::stepca::Options;
use phoenix_testkit::{network, patience};
use phoenix_tests::site::kept::{caught, change, in_force, told};
use phoenix_tests::site::plan::{CHECK, GATEWAY, Plan, serial_at};
use phoenix_tests::site::swarm;
use serde_json::{Value, json};

#[test]
fn what_ends_well_and_changes_nothing_is_caught_and_a_torn_consumer_gets_the_old_pair_back() -> Result<()> {
    network::inside(|| {
        let mut plan = Plan::with(&Options::default())?;
        commands_without_an_effect_are_caught(&plan)?;
        consumers_that_are_open_or_closed_to_us_are_caught(&plan)?;
        in_force(&plan.daemon, &plan.entries)?;
        plan.certctl(&["sync"])?;
        plan.daemon.wait_all_ok(plan.entries.len())?;
        a_dead_ca_touches_nothing(&mut plan)?;
        a_torn_consumer_gets_the_old_pair_back(&plan)?;
        a_front_without_what_is_behind_it_is_told_as_such(&plan)
    })
}

/// Four commands of the operator's that end with 0, and a Traefik that is not told what to serve.
fn commands_without_an_effect_are_caught(plan: &Plan) -> Result<()> {
    let previous = ["It is the previous one", "the command did not make"];
    let spoiled = [
        (
            "docker-daemon",
            "qm guest exec 1001 -- systemctl reload docker".to_owned(),
            Reason::ServesOther,
            previous,
        ),
        ("nginx", "pct exec 101 -- nginx -t".to_owned(), Reason::ServesOther, previous),
        (
            "nginx-mesh-client",
            "pct exec 101 -- nginx -t".to_owned(),
            Reason::CheckFailed,
            ["did not print", "`post_renewal_command`"],
        ),
        (
            "app",
            format!("qm guest exec 1001 -- docker service update --force {}", swarm::APP),
            Reason::ServesOther,
            previous,
        ),
        (
            "traefik",
            "pct exec 102 -- systemctl reload traefik".to_owned(),
            Reason::ServesDefault,
            ["TRAEFIK DEFAULT CERT", "Give it `cert_path`"],
        ),
    ];
    let mut entries = plan.entries.clone();
    for (name, command, ..) in &spoiled {
        change(&mut entries, name, &json!({"post_renewal_command": command, "rollback": false}))?;
    }
    in_force(&plan.daemon, &entries)?;
    plan.traefik.sh("mv /etc/traefik/dynamic/10-certificates.yml /root/")?;
    for (name, _, reason, words) in &spoiled {
        caught(&plan.daemon, name, *reason, words)?;
    }
    plan.traefik.sh("mv /root/10-certificates.yml /etc/traefik/dynamic/").map(drop)
}

/// A mesh that lets in everybody, and a Docker that does not know our CA.
fn consumers_that_are_open_or_closed_to_us_are_caught(plan: &Plan) -> Result<()> {
    let mut entries = plan.entries.clone();
    for name in ["traefik", "traefik-client"] {
        change(&mut entries, name, &json!({"rollback": false}))?;
    }
    in_force(&plan.daemon, &entries)?;
    let options = "/etc/traefik/dynamic/00-tls-options.yml";
    let text = plan.traefik.read(options)?;
    plan.traefik.write(
        options,
        text.replace("RequireAndVerifyClientCert", "VerifyClientCertIfGiven"),
        0o644,
    )?;
    caught(
        &plan.daemon,
        "traefik",
        Reason::AcceptsAnyone,
        &["10.0.0.12:8443", "RequireAndVerifyClientCert"],
    )?;
    plan.traefik.write(options, text, 0o644)?;

    // What was delivered would be put back: so it is nginx that is told of another CA.
    let conf = "/etc/docker/nginx-docker-front.conf";
    let text = plan.docker.read(conf)?;
    plan.docker.write("/root/strange.pem", std::fs::read(plan.pki.strange_root())?, 0o644)?;
    let strange = text
        .replace("ssl_client_certificate /etc/docker/tls/ca.pem", "ssl_client_certificate /root/strange.pem");
    plan.docker.write(conf, strange, 0o644)?;
    plan.docker.sh("systemctl reload docker-front")?;
    caught(&plan.daemon, "traefik-client", Reason::RefusesClient, &["10.0.0.111:2376", "trusts the root"])?;
    plan.docker.write(conf, text, 0o644)?;
    plan.docker.sh("systemctl reload docker-front").map(drop)
}

/// Everything goes on as it is; what was asked for is done when the CA is back.
fn a_dead_ca_touches_nothing(plan: &mut Plan) -> Result<()> {
    let before = plan.serial("nginx")?;
    plan.pki.ca.stop()?;
    let output = plan.daemon.certctl(["renew", "--name", "nginx", "--timeout", "1m"])?;
    ensure!(output.status.code() == Some(1), "renewed without a CA: {output:?}");
    ensure!(
        plan.serial("nginx")? == before && serial_at(GATEWAY).as_ref() == Some(&before),
        "a file was touched"
    );
    plan.ask(CHECK).expect(200)?;
    plan.pki.ca.start()?;
    let renewed = || serial_at(GATEWAY).filter(|serial| *serial != before);
    patience::until(renewed).context("the renewal is not made when the CA is back")?;
    plan.daemon.wait_all_ok(plan.entries.len()).map(drop)
}

/// Takes a certificate without its key, unless it is the one that it knows, and ends with 0.
const TEARING: &str = r"#!/bin/sh
cd /etc/nginx/ssl
cp nginx.internal.thinkheads.ai.crt live.crt
if cmp -s live.crt known.crt; then cp nginx.internal.thinkheads.ai.key live.key; fi
systemctl restart nginx || true
";

fn a_torn_consumer_gets_the_old_pair_back(plan: &Plan) -> Result<()> {
    plan.nginx.write("/usr/local/sbin/take", TEARING, 0o755)?;
    plan.nginx.sh("cd /etc/nginx/ssl
         cp nginx.internal.thinkheads.ai.crt known.crt
         sed -i 's#ssl/nginx.internal.thinkheads.ai#ssl/live#' /etc/nginx/sites-available/gateway
         take")?;
    let mut entries = plan.entries.clone();
    change(&mut entries, "nginx", &json!({"post_renewal_command": "pct exec 101 -- /usr/local/sbin/take"}))?;
    in_force(&plan.daemon, &entries)?;
    plan.certctl(&["sync", "nginx"])?;
    let before = plan.serial("nginx")?;

    let output = plan.daemon.certctl(["--json", "renew", "--name", "nginx", "--timeout", "2m"])?;
    ensure!(output.status.code() == Some(1), "a torn consumer is no success: {output:?}");
    let answer: Value = serde_json::from_slice(&output.stdout)?;
    let taken_back = answer["results"][0]["serial"].as_str().context("no serial")?.to_owned();
    let entry = told(&plan.daemon, "nginx", Reason::RolledBack, &["was put back", "is tried again at"])?;
    ensure!(plan.serial("nginx")? == before, "another pair than before is in place");
    let back = || (serial_at(GATEWAY).as_ref() == Some(&before)).then_some(());
    patience::until(back).with_context(|| format!("{:?} is served, not {before}", serial_at(GATEWAY)))?;
    plan.ask(CHECK).expect(200)?;
    // A tenth of what the previous one has left, and not more than an hour.
    let next = entry.next_attempt_at.context("it is not tried again")?;
    ensure!(next > entry.not_before.context("no certificate")? && Some(next) < entry.not_after, "{entry:?}");

    // The consumer is mended: the same new pair goes all the way.
    plan.nginx.write("/usr/local/sbin/take", TEARING.replace("if cmp", "if true || cmp"), 0o755)?;
    plan.certctl(&["sync", "nginx"])?;
    let wanted = taken_back.trim_start_matches('0');
    let seen = serial_at(GATEWAY);
    ensure!(seen.as_deref() == Some(wanted), "{seen:?} is served, not {wanted}");
    plan.ask(CHECK).expect(200)
}

/// nginx goes on holding the ports of Docker and Portainer, with their certificates. No pair is at fault.
fn a_front_without_what_is_behind_it_is_told_as_such(plan: &Plan) -> Result<()> {
    let mut entries = plan.entries.clone();
    for name in ["docker-daemon", "traefik-client", "portainer"] {
        change(&mut entries, name, &json!({}))?;
    }
    in_force(&plan.daemon, &entries)?;
    let serials = || ["docker-daemon", "portainer"].map(|name| plan.serial(name).ok());
    let before = serials();
    plan.docker.sh("systemctl stop docker docker.socket")?;
    let behind = "what is behind it is down";
    for (name, reason, words) in [
        ("docker-daemon", Reason::RefusesClient, ["10.0.0.111:2376", behind]),
        ("traefik-client", Reason::RefusesClient, ["10.0.0.111:2376", behind]),
        ("portainer", Reason::WrongStatus, ["/api/system/status", "without an answer"]),
    ] {
        let output = plan.daemon.certctl(["verify", name])?;
        ensure!(output.status.code() == Some(1), "verify {name}: {output:?}");
        told(&plan.daemon, name, reason, &words)?;
    }
    ensure!(serials() == before, "a pair was put back");

    // Nobody can judge what is renewed meanwhile. It failed like that before: it stays, and is proven later.
    let output = plan.daemon.certctl(["--json", "renew", "--name", "traefik-client", "--timeout", "2m"])?;
    ensure!(output.status.code() == Some(1), "there is nobody to accept it: {output:?}");
    let answer: Value = serde_json::from_slice(&output.stdout)?;
    let renewed = answer["results"][0]["serial"].as_str().context("no serial")?.to_owned();
    told(&plan.daemon, "traefik-client", Reason::RefusesClient, &["10.0.0.111:2376", behind])?;
    plan.docker.sh("systemctl start docker")?;
    plan.daemon.wait_entry("traefik-client", "has its new certificate accepted", |entry| {
        entry.serial.as_ref() == Some(&renewed) && phoenix_tests::is_done(entry)
    })?;
    Ok(())
}
