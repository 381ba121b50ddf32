//! One renewal, and how long it takes until its consumer uses it.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use phoenix_testkit::daemon::Daemon;
use phoenix_testkit::{patience, process};

/// How long a rotation took.
#[derive(Clone, Copy, Debug)]
pub struct Rotation {
    /// From the call until the consumer used the new certificate.
    pub served: Duration,
    /// From the call until it returned.
    pub done: Duration,
}

/// Serial number of the entry's certificate, by the status, without leading zeros.
pub fn serial(daemon: &Daemon, name: &str) -> Result<String> {
    let serial = daemon.entry(name)?.serial;
    let serial = serial.with_context(|| format!("{name} has no certificate"))?;
    Ok(serial.trim_start_matches('0').to_owned())
}

/// Renews an entry and returns how long it took from the call until `consumer` told the new serial number, and until
/// the call returned.
pub fn rotate(daemon: &Daemon, name: &str, consumer: impl Fn() -> Option<String>) -> Result<Rotation> {
    let before = serial(daemon, name)?;
    let start = Instant::now();
    let mut call = renew(daemon, name)?;
    let new = patience::until(|| consumer().filter(|serial| *serial != before));
    let served = start.elapsed();
    let status = call.wait()?;
    ensure!(status.success(), "renew --name {name} ended with {status}");
    let wanted = serial(daemon, name)?;
    let in_use = || format!("{name}: {:?} is in use, not {wanted}", consumer());
    ensure!(wanted != before && new.as_deref() == Some(&wanted), in_use());
    Ok(Rotation { served, done: start.elapsed() })
}

fn renew(daemon: &Daemon, name: &str) -> Result<Child> {
    let mut command = Command::new(process::bin("phoenix-certctl")?);
    command.arg("--config").arg(&daemon.config).args(["renew", "--name", name]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().context("cannot start phoenix-certctl")
}
