//! Certificates of minutes: renewals all the time, under requests all the time.
//!
//! The ordinary run has certificates of two minutes and watches them for four, which is longer than two of them live.
//! `PHOENIX_SHORT_LIVES` makes it longer: `5m 20` is certificates of five minutes for twenty minutes.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use phoenix_testkit::network;
use phoenix_testkit::stepca::Options;
use phoenix_tests::site::kept_alive::KeptAlive;
use phoenix_tests::site::pki::Use;
use phoenix_tests::site::plan::{CHECK, DOCKER_PORT, GATEWAY, MESH, Plan, SERVED};
use phoenix_tests::site::probing::{Probing, Restarts, Tally};

use crate::dockerd;
use crate::watch::{Server, watch};

/// Longest time that anybody may have to wait for an answer, whatever is renewed; the least of machines is busy.
const LONGEST: Duration = Duration::from_secs(30);

/// Requests that one restart of dockerd may cost a client that asks all the time: it takes a second or two.
const LOST_PER_RESTART: usize = 20;

/// The name that browsers and the gateway ask for.
const NAME: Option<&str> = Some("portainer.internal.thinkheads.ai");

/// How long certificates live, and for how many minutes that is watched at least.
struct Length {
    lifetime: String,
    minutes: u64,
}

impl Length {
    fn from_environment() -> Result<Self> {
        let Ok(text) = std::env::var("PHOENIX_SHORT_LIVES") else {
            return Ok(Self { lifetime: "2m".to_owned(), minutes: 4 });
        };
        let (lifetime, minutes) = text.split_once(' ').context("PHOENIX_SHORT_LIVES is LIFETIME MINUTES")?;
        Ok(Self { lifetime: lifetime.to_owned(), minutes: minutes.parse()? })
    }

    fn time(&self) -> Duration {
        Duration::from_secs(60 * self.minutes)
    }

    /// Requests of one client in that time at the least, on however busy a machine.
    fn requests(&self) -> usize {
        usize::try_from(self.minutes).unwrap_or(usize::MAX).saturating_mul(30)
    }

    /// Of a CA that gives out such certificates.
    fn options(&self) -> Options {
        Options { min: "1m".into(), default: self.lifetime.clone(), ..Options::default() }
    }
}

#[test]
fn certificates_of_minutes_are_renewed_without_a_lost_request_and_none_is_served_expired() -> Result<()> {
    let length = Length::from_environment()?;
    thread::scope(|scope| {
        let beside = scope.spawn(|| network::inside(|| restarts_lose_what_they_cost(&length)));
        let whole = network::inside(|| reloads_lose_nothing(&length));
        let beside = beside.join().map_err(|_| anyhow!("the part with dockerd itself panicked"))?;
        whole.context("the whole plan")?;
        beside.context("dockerd with TLS of its own")
    })
}

/// The whole plan, whose consumers take a new certificate without a restart or are waited for.
fn reloads_lose_nothing(length: &Length) -> Result<()> {
    let plan = Plan::with(&length.options())?;
    let keeping = KeptAlive::begin(&plan.ask(CHECK), 200)?;
    let probes = plan.probes();
    let plain = SERVED.map(|(entry, address)| {
        // The task with secrets is another one for each certificate. Requests wait for it; here its own port is seen.
        Server { entry, address, name: None, replaced: entry == "app" }
    });
    let by_name = [("traefik", MESH), ("nginx", GATEWAY)].map(|(entry, address)| Server {
        entry,
        address,
        name: NAME,
        replaced: false,
    });
    watch(&[&plain[..], &by_name[..]].concat(), &plan.daemon, length.time())?;
    for (path, probing) in probes {
        let tally = probing.take();
        tell(path, &tally, tally.failed.len());
        ensure!(tally.failed.is_empty(), "{path}: {tally:?}");
        asked_and_answered(path, &tally, length)?;
    }
    let kept = keeping.tally();
    eprintln!("over kept connections: {} requests over {} connections", kept.asked, kept.connections);
    ensure!(kept.failed.is_empty(), "over kept connections: {kept:?}");
    ensure!(
        kept.asked >= length.requests() && kept.connections * 2 < kept.asked,
        "nothing is kept: {kept:?}"
    );
    Ok(())
}

/// dockerd that holds its port itself has to be restarted: that, and nothing else, may cost a request.
fn restarts_lose_what_they_cost(length: &Length) -> Result<()> {
    let bed = dockerd::bed(&length.options())?;
    let client = bed.pki.pair("outsider", "outsider", Use::Client)?;
    let ping = dockerd::ping(&bed, &client);
    let probing = Probing::begin_over(Restarts::of(&bed.machine, "docker"), ping, 200);
    let server = Server { entry: "docker-daemon", address: DOCKER_PORT, name: None, replaced: true };
    let seen = watch(&[server], &bed.daemon, length.time())?;
    let tally = probing.take();
    let restarts = bed.guests.calls_with(dockerd::RESTARTED).len();
    tell(&format!("dockerd itself, restarted {restarts} times"), &tally, tally.restarting);
    let certificates = seen.certificates(server.entry);
    ensure!(restarts <= certificates + 1, "{restarts} restarts for {certificates} certificates");
    ensure!(tally.failed.is_empty(), "lost while dockerd was up: {tally:?}");
    ensure!(tally.outages <= restarts, "{restarts} restarts: {tally:?}");
    ensure!(tally.restarting <= restarts * LOST_PER_RESTART, "more than restarts cost: {tally:?}");
    asked_and_answered("dockerd itself", &tally, length)
}

/// Somebody did ask all the time, and nobody waited for ever.
fn asked_and_answered(path: &str, tally: &Tally, length: &Length) -> Result<()> {
    ensure!(tally.asked >= length.requests(), "{path}: hardly anybody asked: {tally:?}");
    ensure!(tally.gap <= LONGEST, "{path}: {:?} without an answer", tally.gap);
    Ok(())
}

fn tell(path: &str, tally: &Tally, lost: usize) {
    eprintln!("{path}: {} requests, {lost} lost, at most {:.1?} without", tally.asked, tally.gap);
}
