//! Certificates of minutes: renewals all the time, under requests all the time.
//!
//! The ordinary run has certificates of two minutes and watches them for four, which is longer than two of them live.
//! `PHOENIX_SHORT_LIVES` makes it longer: `5m 20` is certificates of five minutes for twenty minutes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, anyhow, ensure};
use phoenix_testkit::network;
use phoenix_testkit::patience::until_or;
use phoenix_testkit::stepca::Options;
use phoenix_tests::site::ask::{Shown, shown};
use phoenix_tests::site::pki::Use;
use phoenix_tests::site::plan::{Plan, SERVED};
use phoenix_tests::site::probing::{Probing, Restarts, Tally};

use crate::dockerd;

/// Longest time, beyond these minutes, that renewals are waited for.
const PATIENCE: Duration = Duration::from_secs(600);

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
    let probes = plan.probes();
    Watch::begin(&SERVED).for_the_whole(length)?;
    for (path, probing) in probes {
        let tally = probing.take();
        tell(path, &tally, tally.failed.len());
        ensure!(tally.failed.is_empty(), "{path}: {tally:?}");
    }
    Ok(())
}

/// dockerd that holds its port itself has to be restarted: that, and nothing else, may cost a request.
fn restarts_lose_what_they_cost(length: &Length) -> Result<()> {
    let bed = dockerd::bed(&length.options())?;
    let client = bed.pki.pair("outsider", "outsider", Use::Client)?;
    let ping = dockerd::ping(&bed, &client);
    let probing = Probing::begin_over(Restarts::of(&bed.machine, "docker"), ping, 200);
    Watch::begin(&SERVED[..1]).for_the_whole(length)?;
    let tally = probing.take();
    let restarts = bed.guests.calls_with(dockerd::RESTARTED).len();
    tell(&format!("dockerd itself, restarted {restarts} times"), &tally, tally.restarting);
    ensure!(tally.failed.is_empty(), "lost while dockerd was up: {tally:?}");
    ensure!(tally.outages <= restarts, "{restarts} restarts: {tally:?}");
    ensure!(tally.restarting <= tally.asked / 4, "more than restarts cost: {tally:?}");
    Ok(())
}

fn tell(path: &str, tally: &Tally, lost: usize) {
    eprintln!("{path}: {} requests, {lost} lost, at most {:.1?} without", tally.asked, tally.gap);
}

/// What servers showed.
#[derive(Clone, Debug, Default)]
struct Seen {
    serials: BTreeMap<&'static str, BTreeSet<String>>,
    expired: Vec<(&'static str, Shown)>,
}

impl Seen {
    fn counts(&self) -> BTreeMap<&'static str, usize> {
        self.serials.iter().map(|(name, serials)| (*name, serials.len())).collect()
    }
}

/// Looks at servers all the time.
struct Watch {
    servers: &'static [(&'static str, &'static str)],
    seen: Arc<Mutex<Seen>>,
    over: Arc<AtomicBool>,
    worker: thread::JoinHandle<()>,
}

impl Watch {
    fn begin(servers: &'static [(&'static str, &'static str)]) -> Self {
        let (seen, over) = (Arc::<Mutex<Seen>>::default(), Arc::new(AtomicBool::new(false)));
        let (notes, end) = (Arc::clone(&seen), Arc::clone(&over));
        let worker = thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                for &(name, address) in servers {
                    // Before the handshake: a certificate that ends during it was good when it was shown.
                    let now = SystemTime::now()
                        .duration_since(SystemTime::UNIX_EPOCH)
                        .unwrap_or_default()
                        .as_secs();
                    let Some(shown) = shown(address, None) else { continue };
                    let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
                    if shown.not_after < now.cast_signed() {
                        notes.expired.push((name, shown.clone()));
                    }
                    notes.serials.entry(name).or_default().insert(shown.serial);
                }
                thread::sleep(Duration::from_millis(200));
            }
        });
        Self { servers, seen, over, worker }
    }

    /// Watches for as long as is wanted, and until each server was renewed twice.
    fn for_the_whole(self, length: &Length) -> Result<()> {
        let time = Duration::from_secs(60 * length.minutes);
        let end = Instant::now() + time;
        let enough = || (self.rounds() >= 2 && Instant::now() >= end).then_some(());
        let reached = until_or(PATIENCE + time, enough);
        let seen = self.finish();
        eprintln!("certificates served one after the other: {:?}", seen.counts());
        ensure!(seen.expired.is_empty(), "served after its end: {:?}", seen.expired);
        reached.with_context(|| format!("not renewed often enough: {:?}", seen.counts()))
    }

    /// How many times the server that was renewed least has been renewed.
    fn rounds(&self) -> usize {
        let counts = self.seen.lock().unwrap_or_else(PoisonError::into_inner).counts();
        let least = self.servers.iter().map(|(name, _)| counts.get(name).copied().unwrap_or_default()).min();
        least.unwrap_or_default().saturating_sub(1)
    }

    fn finish(self) -> Seen {
        self.over.store(true, Ordering::Relaxed);
        let _ = self.worker.join();
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
