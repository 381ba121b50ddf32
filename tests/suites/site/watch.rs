//! What servers show and what the daemon says of its entries, all the time, and what of it must not be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use phoenix_testkit::daemon::Daemon;
use phoenix_testkit::patience::until_or;
use phoenix_tests::is_done;
use phoenix_tests::site::ask::{Shown, shown};

/// Longest time, beyond that of the watch, that renewals are waited for.
const PATIENCE: Duration = Duration::from_secs(600);

/// Pause between two rounds of looks: there is but one machine for everything.
const PAUSE: Duration = Duration::from_millis(200);

/// How often each certificate is to be renewed at least.
const RENEWALS: usize = 2;

/// Somebody who shows a certificate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Server {
    /// The entry that it is of.
    pub(crate) entry: &'static str,
    /// Where it listens.
    pub(crate) address: &'static str,
    /// The name that it is asked for, if any.
    pub(crate) name: Option<&'static str>,
    /// A new certificate is another process: for a moment nobody listens.
    pub(crate) replaced: bool,
}

/// What was seen of a server.
#[derive(Clone, Debug, Default)]
struct Looks {
    serials: BTreeSet<String>,
    made: usize,
    /// Times without any certificate; those one after the other are one time.
    silences: usize,
    silent: bool,
}

/// What was seen of everybody.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    servers: Vec<Looks>,
    /// Serial numbers by entry, as the daemon told them.
    entries: BTreeMap<String, BTreeSet<String>>,
    expired: Vec<String>,
}

impl Seen {
    /// How many certificates this entry has had.
    pub(crate) fn certificates(&self, entry: &str) -> usize {
        self.entries.get(entry).map(BTreeSet::len).unwrap_or_default()
    }

    fn note(&mut self, index: usize, server: &Server, shown: Option<Shown>, before: i64) {
        let Some(looks) = self.servers.get_mut(index) else { return };
        looks.made += 1;
        let Some(shown) = shown else {
            looks.silences += usize::from(!looks.silent);
            looks.silent = true;
            return;
        };
        looks.silent = false;
        if shown.not_after < before {
            self.expired.push(format!("{} showed {shown:?}", server.address));
        }
        looks.serials.insert(shown.serial);
    }

    /// How many times the one that was renewed least has been renewed.
    fn renewals(&self) -> usize {
        let shown = self.servers.iter().map(|looks| looks.serials.len());
        let told = self.entries.values().map(BTreeSet::len);
        shown.chain(told).min().unwrap_or_default().saturating_sub(1)
    }

    fn check(&self, servers: &[Server]) -> Result<()> {
        ensure!(self.expired.is_empty(), "in use after its end: {:?}", self.expired);
        for (server, looks) in servers.iter().zip(&self.servers) {
            let known = self.entries.get(server.entry).context("the entry is gone")?;
            let strange: Vec<_> = looks.serials.difference(known).collect();
            ensure!(strange.is_empty(), "{server:?} showed what is none of the entry's: {strange:?}");
            let excused = if server.replaced { looks.serials.len() } else { 0 };
            ensure!(looks.silences <= excused, "{server:?} showed nothing {} times", looks.silences);
        }
        Ok(())
    }
}

/// Looks for this long, and until each certificate was renewed several times; then every entry is in order.
pub(crate) fn watch(servers: &[Server], daemon: &Daemon, time: Duration) -> Result<Seen> {
    let seen = Mutex::new(Seen { servers: vec![Looks::default(); servers.len()], ..Seen::default() });
    let over = AtomicBool::new(false);
    let lock = || seen.lock().unwrap_or_else(PoisonError::into_inner);
    let (reached, told) = thread::scope(|scope| {
        let worker = scope.spawn(|| -> Result<()> {
            while !over.load(Ordering::Relaxed) {
                for (index, server) in servers.iter().enumerate() {
                    // Before the handshake: a certificate that ends during it was good when it was shown.
                    let before = now();
                    let shown = shown(server.address, server.name);
                    lock().note(index, server, shown, before);
                }
                ask(daemon, &lock)?;
                thread::sleep(PAUSE);
            }
            Ok(())
        });
        let end = Instant::now() + time;
        let enough = || (lock().renewals() >= RENEWALS && Instant::now() >= end).then_some(());
        let reached = until_or(PATIENCE + time, || worker.is_finished().then_some(()).or_else(enough));
        over.store(true, Ordering::Relaxed);
        (reached, worker.join())
    });
    told.map_err(|_| anyhow::anyhow!("the watcher panicked"))??;
    let seen = lock().clone();
    eprintln!("certificates by entry: {:?}", counts(&seen));
    seen.check(servers)?;
    reached.with_context(|| format!("not renewed often enough: {:?}", counts(&seen)))?;
    for name in seen.entries.keys() {
        daemon.wait_entry(name, "is in order at the end", is_done)?;
    }
    Ok(seen)
}

/// Notes what the daemon says of each entry. Nobody shows the certificates of clients: these are seen here alone.
fn ask<'a>(daemon: &Daemon, lock: &impl Fn() -> std::sync::MutexGuard<'a, Seen>) -> Result<()> {
    let before = now();
    for entry in daemon.status()?.certificates {
        let mut seen = lock();
        if entry.not_after.is_some_and(|end| end.unix() < before) {
            seen.expired.push(format!("{}: {:?}", entry.name, entry.not_after));
        }
        let serial = entry.serial.with_context(|| format!("{} has no certificate", entry.name))?;
        seen.entries.entry(entry.name).or_default().insert(serial.trim_start_matches('0').to_owned());
    }
    Ok(())
}

fn counts(seen: &Seen) -> BTreeMap<&str, usize> {
    seen.entries.iter().map(|(name, serials)| (name.as_str(), serials.len())).collect()
}

/// Seconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since.as_secs().cast_signed()
}
