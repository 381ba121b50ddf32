//! Renewal by itself: in time, through outages of the CA and failures of commands, and never in a hurry.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use phoenix_core::reason::Reason;
use phoenix_core::time::Timestamp;
use phoenix_devca::Fault;
use phoenix_protocol::control::{CertificateState, CertificateStatus, StageState, StatusDocument};
use phoenix_testkit::daemon::{Daemon, Setup};
use phoenix_testkit::embedded::EmbeddedCa;
use phoenix_testkit::manifest::{self, Place};
use phoenix_testkit::process::{self, run};
use phoenix_testkit::scratch::Scratch;
use phoenix_tests::{is_done, tells};
use rustix::process::Signal;
use serde_json::{Value, json};

/// Short enough to see several lifetimes, long enough for a slow machine to renew in a third of it.
const LIFETIME: Duration = Duration::from_secs(16);

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix(since.as_secs() as i64)
}

/// A program that notes each run and fails while it is told to.
struct Hook {
    program: PathBuf,
    runs: PathBuf,
    fails: PathBuf,
}

impl Hook {
    fn new(scratch: &Scratch) -> Result<Self> {
        let [runs, fails] = ["hook/runs", "hook/fails"].map(|name| scratch.join(name));
        let script = format!(
            "#!/bin/sh\necho \"$PHOENIX_SERIAL\" >> {}\n[ ! -e {} ] || exit 3\n",
            runs.display(),
            fails.display()
        );
        Ok(Self { program: scratch.file("hook/hook", script, 0o755)?, runs, fails })
    }

    fn fail(&self) -> Result<()> {
        fs::write(&self.fails, "").context("cannot spoil the hook")
    }

    fn mend(&self) -> Result<()> {
        fs::remove_file(&self.fails).context("cannot mend the hook")
    }

    /// Serial numbers of the certificates that it was run for, in order.
    fn runs(&self) -> Vec<String> {
        fs::read_to_string(&self.runs).unwrap_or_default().lines().map(str::to_owned).collect()
    }
}

/// When a certificate that was seen on disk begins and ends, by OpenSSL.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Life {
    begins: Timestamp,
    ends: Timestamp,
}

impl Life {
    fn of(cert: &Path) -> Result<Self> {
        let path = cert.display().to_string();
        let dates = ["-noout", "-startdate", "-enddate", "-dateopt", "iso_8601"];
        let output = run("openssl", ["x509", "-in", &path].into_iter().chain(dates))?.stdout;
        let text = String::from_utf8(output)?;
        let date = |name: &str| -> Result<Timestamp> {
            let line =
                text.lines().find_map(|line| line.strip_prefix(name)).context("openssl shows no date")?;
            Ok(line.replace(' ', "T").parse()?)
        };
        Ok(Self { begins: date("notBefore=")?, ends: date("notAfter=")? })
    }

    /// The earliest and the latest moment at which it may be renewed: with a third of its life left, or up to a
    /// twentieth earlier. Moments are whole seconds.
    fn window(&self) -> (Timestamp, Timestamp) {
        let second = Duration::from_secs(1);
        let life = self.ends.since(self.begins);
        let latest = self.ends.minus(life / 3);
        (latest.minus(life / 20).minus(second), latest.plus(second))
    }
}

/// What was seen in one file: its last content, and every certificate in order.
#[derive(Debug, Default)]
struct Seen {
    last: Vec<u8>,
    lives: Vec<Life>,
}

/// Looks at certificate files again and again and keeps every one that it saw.
struct Sampler {
    places: Vec<Place>,
    seen: RefCell<BTreeMap<PathBuf, Seen>>,
}

impl Sampler {
    fn new(places: Vec<Place>) -> Self {
        Self { places, seen: RefCell::default() }
    }

    /// Every file holds a certificate that has not expired.
    fn sample(&self) -> Result<()> {
        let mut seen = self.seen.borrow_mut();
        for Place { cert, .. } in &self.places {
            let content = fs::read(cert).with_context(|| format!("{} is gone", cert.display()))?;
            let Seen { last, lives } = seen.entry(cert.clone()).or_default();
            if *last != content {
                lives.push(Life::of(cert)?);
                *last = content;
            }
            let ends = lives.last().context("a life was noted")?.ends;
            ensure!(now() <= ends, "{} expired at {ends} and lies there still", cert.display());
        }
        Ok(())
    }

    fn lives(&self, place: &Place) -> Vec<Life> {
        self.seen.borrow().get(&place.cert).map(|seen| seen.lives.clone()).unwrap_or_default()
    }

    /// Every certificate took the place of the one before within that one's window, and not earlier.
    fn check_order(&self) -> Result<()> {
        for place in &self.places {
            for pair in self.lives(place).windows(2) {
                let (earliest, _) = pair[0].window();
                ensure!(pair[1].begins >= earliest, "{} was renewed too early: {pair:?}", place.common_name);
                ensure!(
                    pair[1].begins <= pair[0].ends,
                    "{} was renewed too late: {pair:?}",
                    place.common_name
                );
            }
        }
        Ok(())
    }
}

/// The status announces the renewal within the contract's window.
fn announces_in_time(entry: &CertificateStatus) -> Result<()> {
    let (Some(begins), Some(ends)) = (entry.not_before, entry.not_after) else { return Ok(()) };
    let (earliest, latest) = Life { begins, ends }.window();
    let renewal = entry.renew_at.context("no renewal is announced")?;
    ensure!(earliest <= renewal && renewal <= latest, "{earliest} {latest}: {entry:?}");
    Ok(())
}

/// Waits until `wanted`, and lets `always` look at every status on the way.
fn wait_while(
    daemon: &Daemon,
    what: &str,
    always: impl Fn(&StatusDocument) -> Result<()>,
    wanted: impl Fn(&StatusDocument) -> bool,
) -> Result<StatusDocument> {
    let failure = RefCell::new(None);
    let status = daemon.wait_until(what, |status| match always(status) {
        Ok(()) => wanted(status),
        Err(error) => {
            failure.replace(Some(error));
            true
        }
    })?;
    failure.into_inner().map_or(Ok(status), Err)
}

#[test]
fn certificates_that_live_seconds_are_renewed_in_time_and_never_in_a_hurry() -> Result<()> {
    const RENEWALS: usize = 5;
    let scratch = Scratch::new()?;
    let embedded = EmbeddedCa::short_lived(&scratch, "phoenix", LIFETIME)?;
    let hook = Hook::new(&scratch)?;
    let mut entries = ["plain", "other", "hooked", "long"].map(|name| manifest::entry(&scratch, name));
    entries[2]["post_renewal_command"] = json!([hook.program]);
    entries[3]["validity"] = json!("10h");
    let daemon =
        Setup::new(&scratch)?.issuer(&embedded.issuer()).programs([hook.program.clone()]).start(&entries)?;
    daemon.wait_all_ok(entries.len())?;

    let short = Sampler::new(manifest::places(&entries[..3])?);
    let long = Sampler::new(manifest::places(&entries[3..])?);
    let always = |status: &StatusDocument| {
        short.sample()?;
        long.sample()?;
        status.certificates.iter().try_for_each(announces_in_time)
    };
    let renewed = |_: &StatusDocument| short.places.iter().all(|place| short.lives(place).len() > RENEWALS);
    wait_while(&daemon, "renewed five times", always, renewed)?;
    short.check_order()?;
    ensure!(long.lives(&long.places[0]).len() == 1, "a certificate of ten hours was renewed");

    // One request for each certificate, one certificate for each life; the next ones may be under way.
    let mut lives = 1;
    for place in &short.places {
        let count = short.lives(place).len() as u64;
        let issued = embedded.ca.issued_for(&place.common_name);
        ensure!(issued <= count + 1, "{} has {issued} certificates in {count} lives", place.common_name);
        lives += count;
    }
    let asked = embedded.ca.counters().sign_requests;
    ensure!(asked <= lives + 3, "{asked} requests for {lives} certificates");
    let mut runs = hook.runs();
    let all = runs.len();
    runs.dedup();
    ensure!(
        runs.len() == all && all >= RENEWALS,
        "the command ran {all} times for {} certificates",
        runs.len()
    );
    Ok(())
}

/// The spacing between the last failed attempt and the next one.
fn spacing(entry: &CertificateStatus) -> Result<Duration> {
    let failed = entry.last_error.as_ref().context("no failure is told")?.at;
    Ok(entry.next_attempt_at.context("no next attempt is told")?.since(failed))
}

fn failed_often(attempts: u32) -> impl Fn(&CertificateStatus) -> bool {
    move |entry| {
        entry.attempts >= attempts
            && entry.state == CertificateState::Retrying
            && entry.deployment.activated == StageState::Failed
            && tells(entry, Reason::CommandFailed, &["3"])
    }
}

#[test]
fn a_failing_command_is_remembered_when_both_processes_are_killed_and_succeeds_at_last() -> Result<()> {
    let scratch = Scratch::new()?;
    let embedded = EmbeddedCa::start(&scratch, "phoenix")?;
    let hook = Hook::new(&scratch)?;
    hook.fail()?;
    let mut entries = ["hooked", "plain"].map(|name| manifest::entry(&scratch, name));
    entries[0]["post_renewal_command"] = json!([hook.program]);
    let mut daemon =
        Setup::new(&scratch)?.issuer(&embedded.issuer()).programs([hook.program.clone()]).start(&entries)?;
    let first = daemon.wait_entry("hooked", "fails", failed_often(1))?;
    let before = daemon.wait_entry("hooked", "fails again", failed_often(2))?;
    ensure!(spacing(&before)? > spacing(&first)?, "the spacing does not grow: {first:?} {before:?}");

    let executor = daemon.executor_pid()?;
    // It may end by itself when the daemon is gone: dead is what is wanted.
    let _ = process::signal(executor, Signal::KILL);
    daemon.kill9();
    daemon.start()?;

    let after = daemon.wait_entry("hooked", "is known to have failed", failed_often(2))?;
    ensure!(after.serial == before.serial, "a new certificate was made for a failed command: {after:?}");
    ensure!(after.attempts <= before.attempts + 1, "there was an attempt too many: {after:?}");
    let third = daemon.wait_entry("hooked", "fails a third time", failed_often(3))?;
    ensure!(spacing(&third)? > spacing(&before)?, "the spacing does not grow: {before:?} {third:?}");
    ensure!(third.next_attempt_at > before.next_attempt_at, "{before:?} {third:?}");
    ensure!(hook.runs().len() == third.attempts as usize, "{} runs: {third:?}", hook.runs().len());

    hook.mend()?;
    let done = daemon.wait_entry("hooked", "is ok", is_done)?;
    ensure!(done.serial == before.serial && done.attempts == 0 && done.last_error.is_none(), "{done:?}");
    let runs = hook.runs();
    ensure!(runs.len() == third.attempts as usize + 1, "{} runs: {third:?}", runs.len());
    ensure!(runs.iter().all(|serial| Some(serial) == done.serial.as_ref()), "{runs:?}: {done:?}");

    let asked = daemon.certctl(["sync"])?;
    ensure!(asked.status.success(), "{asked:?}");
    ensure!(hook.runs() == runs, "a command that had succeeded was run again");
    ensure!(embedded.ca.counters().issued == 2, "{:?}", embedded.ca.counters());
    Ok(())
}

/// Stands where the CA was: takes every connection, counts it and closes it.
struct Deaf {
    connections: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Deaf {
    fn at(port: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        listener.set_nonblocking(true)?;
        let (connections, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, stopped) = (Arc::clone(&connections), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok(_) => drop(counted.fetch_add(1, Ordering::Relaxed)),
                    Err(_) => thread::sleep(Duration::from_millis(5)),
                }
            }
        });
        Ok(Self { connections, stop, thread: Some(thread) })
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Deaf {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[test]
fn a_dead_ca_is_looked_at_every_ten_seconds_and_what_waited_goes_on_by_itself() -> Result<()> {
    const ENTRIES: usize = 8;
    let scratch = Scratch::new()?;
    let embedded = EmbeddedCa::short_lived(&scratch, "phoenix", LIFETIME)?;
    let names: Vec<String> = (0..ENTRIES).map(|number| format!("entry-{number}")).collect();
    let entries: Vec<Value> = names.iter().map(|name| manifest::entry(&scratch, name)).collect();
    let daemon = Setup::new(&scratch)?.issuer(&embedded.issuer()).start(&entries)?;
    daemon.wait_all_ok(ENTRIES)?;

    embedded.stop();
    let deaf = Deaf::at(embedded.ca.port())?;
    let down = |status: &StatusDocument| {
        let told = |entry: &CertificateStatus| tells(entry, Reason::CaUnreachable, &["phoenix", "127.0.0.1"]);
        status.certificates.iter().all(told) && status.daemon.issuers.iter().all(|issuer| !issuer.ready)
    };
    let begin = daemon.wait_until("all tell that the CA is down", down)?.generated_at;
    let before = deaf.connections();
    let soon = |status: &StatusDocument| {
        for entry in &status.certificates {
            let next = entry.next_attempt_at.context("no next attempt is told")?;
            ensure!(next.since(status.generated_at) <= Duration::from_secs(10), "{entry:?}");
        }
        Ok(())
    };
    let later = |status: &StatusDocument| {
        let expired = |entry: &CertificateStatus| entry.state == CertificateState::Expired;
        status.generated_at >= begin.plus(Duration::from_secs(30)) && status.certificates.iter().all(expired)
    };
    let status = wait_while(&daemon, "expired during the outage", soon, later)?;
    ensure!(down(&status), "{status:?}");
    let looks = deaf.connections() - before;
    // After 2, 4, 8, then every 10 seconds, however many entries wait.
    let most = 4 + status.generated_at.since(begin).as_secs() as usize / 10;
    ensure!(looks >= 1 && looks <= most, "{looks} looks at the CA, {most} at most: {status:?}");

    drop(deaf);
    embedded.restart()?;
    let status = daemon.wait_all_ok(ENTRIES)?;
    ensure!(status.daemon.issuers.iter().all(|issuer| issuer.ready), "{status:?}");
    for place in manifest::places(&entries)? {
        embedded.check_pair(&place.cert, &place.key)?;
    }
    Ok(())
}

#[test]
fn a_ca_that_answers_with_errors_is_asked_less_and_less() -> Result<()> {
    const ENTRIES: usize = 6;
    let scratch = Scratch::new()?;
    let embedded = EmbeddedCa::start(&scratch, "phoenix")?;
    let names: Vec<String> = (0..ENTRIES).map(|number| format!("entry-{number}")).collect();
    let entries: Vec<Value> = names.iter().map(|name| manifest::entry(&scratch, name)).collect();
    let daemon = Setup::new(&scratch)?.issuer(&embedded.issuer()).start(&entries)?;
    let known = daemon.wait_all_ok(ENTRIES)?;

    embedded.ca.fail_everywhere(Fault::Status(503));
    let before = embedded.ca.counters();
    let asked = daemon.certctl(["renew", "--all"])?;
    ensure!(asked.status.code() == Some(1), "{asked:?}");
    let told = |entry: &CertificateStatus| tells(entry, Reason::CaError, &["503"]) && entry.attempts >= 3;
    let status =
        daemon.wait_until("all have failed three times", |status| status.certificates.iter().all(told))?;
    let attempts: u32 = status.certificates.iter().map(|entry| entry.attempts).sum();
    ensure!(attempts <= 4 * ENTRIES as u32, "{status:?}");
    // Each attempt asks for a certificate once, and may have to ask for the provisioners before; the next
    // attempts may be under way.
    let asked = embedded.ca.counters().requests - before.requests;
    let most = 2 * u64::from(attempts) + 2 * ENTRIES as u64;
    ensure!(asked <= most, "{asked} requests in {attempts} attempts");

    embedded.ca.heal();
    let status = daemon.wait_all_ok(ENTRIES)?;
    for (entry, known) in status.certificates.iter().zip(&known.certificates) {
        ensure!(entry.serial != known.serial, "{} has no new certificate", entry.name);
    }
    Ok(())
}
