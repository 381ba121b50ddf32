//! One machine at its address, with a daemon that keeps the certificates of its services: what can be shown without
//! the rest of the plan.

use anyhow::{Context, Result, ensure};
use phoenix_core::reason::Reason;
use phoenix_protocol::control::{CertificateStatus, StageState};
use phoenix_testkit::daemon::{Daemon, Setup};
use phoenix_testkit::guests::{Guests, Kind};
use phoenix_testkit::machine::Machine;
use phoenix_testkit::manifest;
use phoenix_testkit::peers::StepCaVersion;
use phoenix_testkit::scratch::Scratch;
use phoenix_testkit::stepca::{Options, StepCa};
use serde_json::{Value, json};

use super::pki::Pki;
use crate::tells;

/// A guest of the plan.
#[derive(Clone, Copy, Debug)]
pub struct Guest {
    /// Its address.
    pub address: &'static str,
    /// Its number.
    pub id: u32,
    /// Its kind.
    pub kind: Kind,
}

/// A machine and who keeps its certificates. Fields are dropped in this order.
#[derive(Debug)]
pub struct Kept {
    /// The daemon.
    pub daemon: Daemon,
    /// What `pct` and `qm` reach: the machine.
    pub guests: Guests,
    /// The machine.
    pub machine: Machine,
    /// The real CA, running, and what is needed for bad certificates.
    pub pki: Pki,
    /// The entries in force.
    pub entries: Vec<Value>,
    scratch: Scratch,
}

impl Kept {
    /// The machine is prepared and nothing in it has a certificate; then the daemon is started with `entries`, and
    /// with these lines in its configuration.
    pub fn new(
        guest: Guest,
        lines: &str,
        entries: Vec<Value>,
        prepare: impl FnOnce(&Machine) -> Result<()>,
    ) -> Result<Self> {
        Self::with(guest, &Options::default(), lines, entries, prepare)
    }

    /// As [`Kept::new`], with a CA of these options.
    pub fn with(
        guest: Guest,
        options: &Options,
        lines: &str,
        entries: Vec<Value>,
        prepare: impl FnOnce(&Machine) -> Result<()>,
    ) -> Result<Self> {
        let scratch = Scratch::new()?;
        let [machine] = super::machines([guest.address])?;
        prepare(&machine)?;
        let ca = StepCa::start_in(&scratch.join("ca"), StepCaVersion::V0_30_2, options)?;
        let pki = Pki::around(&scratch, ca)?;
        let guests = Guests::new(&scratch)?;
        guests.connect(guest.id, guest.kind, &machine);
        let entries = manifest::below(&scratch, entries);
        let programs = ["pct", "qm"].map(|name| guests.program(name));
        let daemon =
            Setup::new(&scratch)?.step_ca(&pki.ca).programs(programs).lines(lines).start(&entries)?;
        Ok(Self { daemon, guests, machine, pki, entries, scratch })
    }

    /// A path on the hypervisor, which the scratch directory plays.
    pub fn host(&self, path: &str) -> std::path::PathBuf {
        self.scratch.join(path.trim_start_matches('/'))
    }
}

/// Entries of the recommended manifest, in the order of `names`.
pub fn recommended(names: &[&str]) -> Result<Vec<Value>> {
    let all = manifest::recommended()?;
    let find = |name: &&str| {
        all.iter().find(|entry| entry["name"] == **name).cloned().with_context(|| format!("no entry {name}"))
    };
    names.iter().map(find).collect()
}

/// Changes fields of an entry, null ones are removed; its verifications get a short deadline.
pub fn change(entries: &mut [Value], name: &str, fields: &Value) -> Result<()> {
    let entry = entries.iter_mut().find(|entry| entry["name"] == name).context("no such entry")?;
    let fields = fields.as_object().context("fields are an object")?;
    for (field, value) in fields {
        entry[field] = value.clone();
    }
    if entry["verify"].is_object() {
        entry["verify"]["deadline"] = json!("3s");
    }
    Ok(())
}

/// Replaces the manifest; returns when it is in force.
pub fn in_force(daemon: &Daemon, entries: &[Value]) -> Result<()> {
    let before = daemon.status()?.daemon.manifest.digest;
    daemon.replace_manifest(entries)?;
    daemon.wait_until("in force", |status| status.daemon.manifest.digest != before).map(drop)
}

/// `renew` says that it failed, status says what was seen, with `words`, and `explain` says what to do about it.
pub fn caught(daemon: &Daemon, name: &str, reason: Reason, words: &[&str]) -> Result<CertificateStatus> {
    let output = daemon.certctl(["renew", "--name", name, "--timeout", "2m"])?;
    ensure!(output.status.code() == Some(1), "renew --name {name}: {output:?}");
    told(daemon, name, reason, words)
}

/// Status says what was seen, with `words`, and `explain` says what to do about it.
pub fn told(daemon: &Daemon, name: &str, reason: Reason, words: &[&str]) -> Result<CertificateStatus> {
    let entry = daemon.wait_entry(name, &format!("caught as {reason} with {words:?}"), |entry| {
        tells(entry, reason, words)
    })?;
    // The pair that was put back is seen at its consumer, of course.
    let in_use = entry.deployment.verified == StageState::Done;
    ensure!(in_use == (reason == Reason::RolledBack), "{entry:?}");
    let advice = reason.advice().replace("NAME", name);
    for (command, wanted) in [(["status", name], reason.code()), (["explain", name], &advice)] {
        let output = daemon.certctl(command)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(text.contains(wanted), "`{wanted}` is not in {command:?}: {text}");
    }
    Ok(entry)
}
