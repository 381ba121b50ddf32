//! A service that holds its certificate itself, as secrets: its task has to be replaced, and requests wait for that.

use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use phoenix_testkit::{network, patience};
use phoenix_tests::site::ask::{Answer, Ask, shown};
use phoenix_tests::site::pki::Use;
use phoenix_tests::site::probing::{Probing, Tally};
use phoenix_tests::site::{put, swarm, until_sh};

use crate::traefik::Bed;

const APP: &str = "10.0.0.111:8443";

#[test]
fn requests_wait_while_a_task_is_replaced_and_without_the_hold_they_are_lost() -> Result<()> {
    network::inside(|| {
        let bed = Bed::new()?;
        give(&bed, "first")?;
        swarm::deploy_app(&bed.docker)?;
        wait_for_router(&bed, "grep -q app-hold")?;

        for (client, tally) in rotated(&bed, &["second", "third"])? {
            eprintln!("held, {client}: {} requests, {:.1?} without", tally.asked, tally.gap);
            ensure!(tally.asked > 0 && tally.failed.is_empty(), "{client}: {tally:?}");
        }
        requests_that_take_long_hold_nobody_else_up_for_too_long(&bed)?;
        let label = "traefik.http.routers.app.middlewares";
        bed.docker.sh(&format!("docker service update --quiet --label-rm {label} {}", swarm::APP))?;
        wait_for_router(&bed, "(! grep -q app-hold)")?;
        let lost: usize = rotated(&bed, &["fourth"])?
            .into_iter()
            .inspect(|(client, tally)| {
                eprintln!("not held, {client}: {} of {} lost", tally.failed.len(), tally.asked);
            })
            .map(|(_, tally)| tally.failed.len())
            .sum();
        ensure!(lost > 0, "nothing is lost without the hold: it is not needed, tell docs/consumers.md");
        a_second_task_beside_the_first_has_no_place(&bed)
    })
}

/// Puts a pair for the service into the machine; its serial number.
fn give(bed: &Bed, title: &str) -> Result<String> {
    let pair = bed.pki.pair(title, "app", Use::Server)?;
    put(&bed.docker, "/etc/app/tls", ["cert.pem", "key.pem"], &pair)?;
    pair.serial()
}

fn wait_for_router(bed: &Bed, test: &str) -> Result<()> {
    let look = format!(
        "curl -s http://127.0.0.1:8080/api/http/routers/app@swarm >/tmp/router
         grep -q enabled /tmp/router && {test} </tmp/router"
    );
    until_sh(&bed.traefik, "a router for the service", &look).map(drop)
}

/// Several clients at once, and what each of them saw while these pairs came one after the other.
fn rotated(bed: &Bed, pairs: &[&str]) -> Result<Vec<(&'static str, Tally)>> {
    let reading = bed.ask("app", "/api/system/status").with(&bed.client);
    let writing = reading.clone().sending("a body");
    let probes = [("reads", &reading), ("reads, too", &reading), ("writes", &writing)]
        .map(|(client, ask)| (client, Probing::begin(Ask::clone(ask), 200)));
    for title in pairs {
        let wanted = give(bed, title)?;
        bed.docker.sh(&format!("{} {} {}", swarm::ROTATE, swarm::APP, swarm::secrets()))?;
        let seen = shown(APP, None).context("nothing is served")?.serial;
        ensure!(seen == wanted, "{seen} is served, not {wanted}");
    }
    Ok(probes.into_iter().map(|(client, probing)| (client, probing.take())).collect())
}

/// The old task ends what it has begun, and nobody listens meanwhile: everybody else waits for that, and loses nothing.
/// What takes longer than its grace is cut off, so that the wait has an end.
fn requests_that_take_long_hold_nobody_else_up_for_too_long(bed: &Bed) -> Result<()> {
    let slow = Probing::begin(bed.ask("app", "/slow").with(&bed.client), 200);
    let endless = bed.ask("app", "/endless").with(&bed.client);
    let cut = thread::spawn(move || endless.answer());
    let connections = "ss --no-header --tcp --numeric state established '( dport = :8443 )' | wc -l";
    until_sh(&bed.traefik, "asking for what takes long", &format!("[ \"$({connections})\" -ge 2 ]"))?;
    for (client, tally) in rotated(bed, &["while-busy"])? {
        eprintln!("held while busy, {client}: {} requests, {:.1?} without", tally.asked, tally.gap);
        ensure!(tally.asked > 0 && tally.failed.is_empty(), "{client}: {tally:?}");
    }
    let answered = patience::until(|| Some(slow.take()).filter(|tally| tally.asked > 0));
    let tally = answered.context("what takes seconds is never answered")?;
    ensure!(tally.failed.is_empty(), "what takes less than the grace: {tally:?}");
    let cut = cut.join().map_err(|_| anyhow!("the client panicked"))??;
    // Neither answered, nor given up by curl.
    let by_the_task = matches!(&cut, Answer::None(why) if !why.contains("timed out"));
    ensure!(by_the_task, "the old task was not busy for its whole grace: {cut:?}");
    Ok(())
}

/// Why the order is stop-first: there is one port on the node.
fn a_second_task_beside_the_first_has_no_place(bed: &Bed) -> Result<()> {
    let service = swarm::APP;
    bed.docker.sh(&format!("docker service update --detach --force --update-order start-first {service}"))?;
    let told = format!("docker service ps --no-trunc {service} | grep -q 'host-mode port already in use'");
    until_sh(&bed.docker, "told that there is no place", &told).map(drop)
}
