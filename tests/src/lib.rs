//! Black-box suites: they run the built programs as a user would, against real step-ca servers and guests that
//! are directories. What several suites share lies here; what knows nothing of the product lies in the testkit.

pub mod site;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use phoenix_core::reason::Reason;
use phoenix_protocol::control::{CertificateState, CertificateStatus, StageState};
use phoenix_testkit::daemon::{Daemon, Setup};
use phoenix_testkit::guests::{Guests, Kind};
use phoenix_testkit::manifest::{self, Place};
use phoenix_testkit::openssl;
use phoenix_testkit::peers::StepCaVersion;
use phoenix_testkit::scratch::Scratch;
use phoenix_testkit::stepca::{Options, StepCa};
use serde_json::Value;

/// A bed: a scratch directory with a real CA, guests, and a daemon that looks after a manifest.
///
/// Fields are dropped in this order: the daemon before what it uses, the directory last.
#[derive(Debug)]
pub struct Bed {
    /// The daemon.
    pub daemon: Daemon,
    /// Its guests: LXC 102 and VM 1001, and what else the manifest names.
    pub guests: Guests,
    /// Its CA.
    pub ca: StepCa,
    /// The entries in force, moved below the scratch directory.
    pub places: Vec<Place>,
    /// The directory of everything.
    pub scratch: Scratch,
}

impl Bed {
    /// With these entries, a CA of this version and everything in order. The daemon has been started.
    pub fn with(version: StepCaVersion, entries: Vec<Value>) -> Result<Self> {
        let scratch = Scratch::new()?;
        let ca = StepCa::start_in(&scratch.join("ca"), version, &Options::default())?;
        Self::around(scratch, ca, entries)
    }

    /// With a CA that is already there.
    pub fn around(scratch: Scratch, ca: StepCa, entries: Vec<Value>) -> Result<Self> {
        let guests = Guests::new(&scratch)?;
        for (id, kind) in guests_of(&entries) {
            guests.add(id, kind)?;
        }
        let entries = manifest::below(&scratch, entries);
        let places = manifest::places(&entries)?;
        guests.witness(places.iter().map(|place| place.cert.clone()));
        let programs = ["pct", "qm"].map(|name| guests.program(name));
        let daemon = Setup::new(&scratch)?.step_ca(&ca).programs(programs).start(&entries)?;
        Ok(Self { daemon, guests, ca, places, scratch })
    }

    /// OpenSSL finds every pair good, and no key is readable by others.
    pub fn check_pairs(&self) -> Result<()> {
        for place in &self.places {
            openssl::check_pair(&self.ca, &place.cert, &place.key)?;
            ensure!(!open_to_others(&place.key)?, "{} can be read by others", place.key.display());
        }
        Ok(())
    }

    /// The command of this entry succeeded while the certificate that is there now was there.
    pub fn ran_for_present(&self, place: &Place) -> Result<bool> {
        let Some(command) = &place.command else { return Ok(true) };
        let present = std::fs::read(&place.cert).with_context(|| format!("no {}", place.cert.display()))?;
        Ok(self.guests.calls().iter().any(|call| {
            is_command(call, command)
                && call.succeeded == Some(true)
                && call.witnessed.get(&place.cert) == Some(&present)
        }))
    }

    /// How many times the command of this entry was called.
    pub fn runs(&self, place: &Place) -> usize {
        let command = place.command.as_deref().unwrap_or_default();
        self.guests.calls().iter().filter(|call| is_command(call, command)).count()
    }
}

/// The call is this command of a manifest. Quotes are gone and `--timeout` may have been added when it is run,
/// so that the words after `--` are compared.
fn is_command(call: &phoenix_testkit::guests::Call, command: &str) -> bool {
    let tail = |line: &str| line.split_once(" -- ").map(|(_, tail)| tail.replace(['\'', '"', '\\'], ""));
    let head = |line: &str| line.split(' ').take(2).collect::<Vec<_>>().join(" ");
    head(&call.line()) == head(command) && tail(&call.line()).is_some() && tail(&call.line()) == tail(command)
}

/// Guests that commands and deliveries of these entries name.
fn guests_of(entries: &[Value]) -> Vec<(u32, Kind)> {
    let number = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok()).map(|id| id as u32);
    let mut guests = Vec::new();
    for entry in entries {
        if let Some(id) = number(&entry["guest_id"]) {
            guests.push((id, if entry["guest_type"] == "vm" { Kind::Vm } else { Kind::Lxc }));
        }
        let words: Vec<&str> =
            entry["post_renewal_command"].as_str().unwrap_or_default().split(' ').collect();
        match words.as_slice() {
            ["pct", "exec", id, ..] => guests.extend(id.parse().ok().map(|id| (id, Kind::Lxc))),
            ["qm", "guest", "exec", id, ..] => guests.extend(id.parse().ok().map(|id| (id, Kind::Vm))),
            _ => {}
        }
    }
    guests.sort_by_key(|(id, _)| *id);
    guests.dedup_by_key(|(id, _)| *id);
    guests
}

/// Users other than the owner and the group may do something with the file.
pub fn open_to_others(path: &Path) -> Result<bool> {
    let facts = std::fs::metadata(path).with_context(|| format!("no {}", path.display()))?;
    Ok(facts.permissions().mode() % 0o10 != 0)
}

/// The certificate is in force and its command has succeeded.
pub fn is_done(entry: &CertificateStatus) -> bool {
    entry.state == CertificateState::Ok
        && entry.deployment.written == StageState::Done
        && matches!(entry.deployment.activated, StageState::Done | StageState::None)
}

/// The status tells this reason and a sentence with all of these words.
pub fn tells(entry: &CertificateStatus, reason: Reason, words: &[&str]) -> bool {
    let sentence = entry.last_error.as_ref().map(|error| error.message.to_lowercase()).unwrap_or_default();
    entry.reason.as_deref() == Some(reason.code())
        && words.iter().all(|word| sentence.contains(&word.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use phoenix_core::settings::Settings;

    use super::*;

    #[test]
    fn the_configuration_of_a_bed_is_what_it_should_be() -> Result<()> {
        let scratch = Scratch::new()?;
        let ca = StepCa::prepare(&scratch.join("ca"), StepCaVersion::V0_30_2, &Options::default())?;
        let programs = ["pct", "qm"].map(|name| scratch.join("bin").join(name));
        let text = Setup::new(&scratch)?.step_ca(&ca).programs(programs).text()?;
        let settings =
            Settings::parse(&text, "certd.toml").map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
        ensure!(settings.issuers.len() == 1 && settings.executor.commands.len() == 2, "{settings:?}");
        Ok(())
    }

    #[test]
    fn guests_are_found_in_commands_and_deliveries() {
        let entries = [
            serde_json::json!({"post_renewal_command": "qm guest exec 1001 -- systemctl restart docker"}),
            serde_json::json!({"post_renewal_command": "pct exec 102 -- systemctl restart traefik"}),
            serde_json::json!({"guest_id": "101", "post_renewal_command": "pct exec 101 -- nginx -s reload"}),
            serde_json::json!({"guest_id": 1001, "guest_type": "vm"}),
        ];
        assert_eq!(guests_of(&entries), [(101, Kind::Lxc), (102, Kind::Lxc), (1001, Kind::Vm)]);
    }
}
