//! Certificates of minutes: renewals all the time, under requests all the time.
//!
//! The ordinary run has certificates of two minutes and watches them for four, which is longer than two of them live.
//! `PHOENIX_SHORT_LIVES` makes it longer: `5m 20` is certificates of five minutes for twenty minutes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use phoenix_testkit::network;
use phoenix_testkit::patience::until_or;
use phoenix_testkit::stepca::Options;
use phoenix_tests::site::ask::{Shown, shown};
use phoenix_tests::site::plan::{Plan, SERVED};

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
}

#[test]
fn certificates_of_minutes_are_renewed_without_a_lost_request_and_none_is_served_expired() -> Result<()> {
    let length = Length::from_environment()?;
    network::inside(|| {
        let options = Options { min: "1m".into(), default: length.lifetime.clone(), ..Options::default() };
        let plan = Plan::with(&options)?;
        let probes = plan.probes();
        let watch = Watch::begin();
        let end = Instant::now() + Duration::from_secs(60 * length.minutes);
        let patience = PATIENCE + Duration::from_secs(60 * length.minutes);
        let enough = || (watch.rounds() >= 2 && Instant::now() >= end).then_some(());
        let reached = until_or(patience, enough);
        let seen = watch.finish();
        eprintln!("certificates served one after the other: {:?}", seen.counts());
        ensure!(seen.expired.is_empty(), "served after its end: {:?}", seen.expired);
        for (path, probing) in probes {
            let tally = probing.take();
            eprintln!(
                "{path}: {} requests, {} lost, at most {:.1?} without",
                tally.asked, tally.excused, tally.gap
            );
            ensure!(tally.failed.is_empty(), "{path}: {tally:?}");
        }
        reached.with_context(|| format!("not renewed often enough: {:?}", seen.counts()))
    })
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

/// Looks at every server all the time.
struct Watch {
    seen: Arc<Mutex<Seen>>,
    over: Arc<AtomicBool>,
    worker: thread::JoinHandle<()>,
}

impl Watch {
    fn begin() -> Self {
        let (seen, over) = (Arc::<Mutex<Seen>>::default(), Arc::new(AtomicBool::new(false)));
        let (notes, end) = (Arc::clone(&seen), Arc::clone(&over));
        let worker = thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                for (name, address) in SERVED {
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
        Self { seen, over, worker }
    }

    /// How many times the server that was renewed least has been renewed.
    fn rounds(&self) -> usize {
        let counts = self.seen.lock().unwrap_or_else(PoisonError::into_inner).counts();
        let least = SERVED.iter().map(|(name, _)| counts.get(name).copied().unwrap_or_default()).min();
        least.unwrap_or_default().saturating_sub(1)
    }

    fn finish(self) -> Seen {
        self.over.store(true, Ordering::Relaxed);
        let _ = self.worker.join();
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
