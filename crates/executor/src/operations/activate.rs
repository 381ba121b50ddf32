//! `deliver` and `activate`: the guest and the command of an entry.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use phoenix_core::facts::Deed;
use phoenix_core::manifest::{Entry, PostCommand};
use phoenix_core::reason::{Reason, Trouble};
use phoenix_protocol::executor::{Answer, EntryRef};
use phoenix_store::{EntryStore, Generation, LiveFile};

use super::Executor;
use super::observe::require_own;
use crate::authority::{Known, digest_of};
use crate::clock;

/// An entry and the pair that is deployed for it.
struct Member {
    known: Arc<Known>,
    store: EntryStore,
    own: Generation,
}

impl Member {
    fn entry(&self) -> &Entry {
        &self.known.entry
    }
}

impl Executor {
    /// Runs the command that these entries share, once, and records for each that it was done.
    pub(super) fn activate(&self, wanted: &[EntryRef]) -> Result<Answer, Trouble> {
        let wave = wanted.iter().map(|one| self.member(one)).collect::<Result<Vec<_>, _>>()?;
        let command = common_command(&wave)?;
        let timeout = wave
            .iter()
            .filter_map(|member| member.entry().command.as_ref())
            .map(|command| command.timeout)
            .max()
            .unwrap_or(Duration::ZERO);
        self.run_command(command, timeout, environment(&wave))?;
        for member in &wave {
            self.record_activation(member)?;
        }
        let observations =
            wave.iter().map(|member| self.observe(member.entry())).collect::<Result<Vec<_>, _>>()?;
        Ok(Answer::Done { observations })
    }

    fn member(&self, wanted: &EntryRef) -> Result<Member, Trouble> {
        let known = self.known(wanted)?;
        let store = self.store_of(&known.entry);
        let own = require_own(&store, &known.entry)?;
        Ok(Member { known, store, own })
    }

    pub(super) fn deliver(&self, entry: &Entry) -> Result<Answer, Trouble> {
        Err(Trouble::new(Reason::BadRequest, format!("There is nothing to deliver for `{}`.", entry.name)))
    }

    /// Recorded after the command succeeded: a crash before this makes the command run again, never not at all.
    fn record_activation(&self, member: &Member) -> Result<(), Trouble> {
        let own = member.own.own_copy(None);
        // A command may have moved or chowned the files. The same content with another owner or mode is how they
        // are meant to be from now on.
        let settled = member.store.read_live().ok().filter(|live| {
            has_content(&live.cert, &own.cert_sha256) && has_content(&live.key, &own.key_sha256)
        });
        let baseline = settled.and_then(|live| live.baseline());
        let deed = |of| Deed { fingerprint: own.leaf.fingerprint.clone(), of, at: clock::now() };
        let activated = command_digest(member.entry()).map(deed);
        member.store.update_ledger(|ledger| {
            ledger.activated = activated;
            if baseline.is_some() {
                ledger.baseline = baseline;
            }
        })?;
        Ok(())
    }
}

fn has_content(file: &LiveFile, sha256: &str) -> bool {
    matches!(file, LiveFile::Present(found) if found.sha256 == sha256)
}

/// What a command acts on, so that no two act on it at the same time.
pub(super) fn targets(entry: &Entry) -> BTreeSet<String> {
    entry.guest.iter().map(|guest| guest.id.to_string()).collect()
}

pub(super) fn delivery_digest(entry: &Entry) -> Option<String> {
    entry.delivery.as_ref().map(|delivery| digest_of(&(entry.guest, delivery)))
}

/// Digest of the command as configured. Its limits are not part of it: another time limit is no new deed.
pub(super) fn command_digest(entry: &Entry) -> Option<String> {
    entry.command.as_ref().map(|command| digest_of(&command.argv))
}

fn common_command(wave: &[Member]) -> Result<&PostCommand, Trouble> {
    let refuse = |why: &str| Trouble::new(Reason::BadRequest, why.to_owned());
    let mut commands = wave.iter().map(|member| member.entry().command.as_ref());
    let first = commands.next().flatten().ok_or_else(|| refuse("There is no command to run."))?;
    if commands.any(|other| other.map(|other| &other.argv) != Some(&first.argv)) {
        return Err(refuse("Only entries with the same command are activated together."));
    }
    Ok(first)
}

fn environment(wave: &[Member]) -> Vec<(String, String)> {
    if let [member] = wave {
        let (entry, leaf) = (member.entry(), member.own.leaf());
        return [
            ("PHOENIX_NAME", entry.name.to_string()),
            ("PHOENIX_CERT_PATH", entry.cert_path.to_string()),
            ("PHOENIX_KEY_PATH", entry.key_path.to_string()),
            ("PHOENIX_SERIAL", leaf.serial.clone()),
            ("PHOENIX_FINGERPRINT", leaf.fingerprint.clone()),
            ("PHOENIX_NOT_AFTER", leaf.not_after.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
    }
    let names: Vec<_> = wave.iter().map(|member| member.entry().name.as_str()).collect();
    vec![("PHOENIX_NAMES".to_owned(), names.join(" "))]
}
