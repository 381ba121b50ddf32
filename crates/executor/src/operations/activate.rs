//! `activate`: the command of one or several entries.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use phoenix_core::explanation::reproduce;
use phoenix_core::facts::Deed;
use phoenix_core::manifest::Entry;
use phoenix_core::reason::{Reason, RetryClass, Trouble};
use phoenix_guests::call::Call;
use phoenix_protocol::executor::{Answer, EntryRef};
use phoenix_sandbox::CommandSpec;
use phoenix_store::{EntryStore, Generation, LiveFile};

use super::budget::Spending;
use super::observe::require_own;
use super::{Executor, Trail, deliver};
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
    pub(super) fn activate(&self, wanted: &[EntryRef], trail: &Trail) -> Result<Answer, Trouble> {
        let wave = wanted.iter().map(|one| self.member(one)).collect::<Result<Vec<_>, _>>()?;
        let mut spec = CommandSpec::new(common_command(&wave)?).timeout(time_limit(&wave));
        spec.env = environment(&wave);
        let spending = spending(&wave)?;
        spending.as_ref().map_or(Ok(()), |spending| self.budgets.check(spending))?;
        let done = match &wave[..] {
            [member] if deliver::is_legacy(member.entry()) => self.copy_and_run(member, &spec, trail),
            _ => {
                let entries: Vec<_> = wave.iter().map(Member::entry).collect();
                self.run_command(&spec, &entries, trail).map(drop)
            }
        };
        // Waiting for a guest that is off uses nothing up.
        if let Some(spending) = spending.filter(|_| may_have_arrived(&done)) {
            self.budgets.ran(&spending);
        }
        done?;
        // One whose record cannot be written does not make the others run the command again.
        let recorded = wave.iter().map(|member| {
            record_activation(member).and_then(|()| self.settle(member.entry(), &member.store, trail))
        });
        recorded.collect::<Vec<_>>().into_iter().collect::<Result<(), _>>()?;
        let observations =
            wave.iter().map(|member| self.observe(member.entry())).collect::<Result<Vec<_>, _>>()?;
        Ok(Answer::Done { observations })
    }

    /// Copies in `/tmp` and the command that picks them up, as one: nothing else enters the guest in between, and
    /// nothing stays behind.
    fn copy_and_run(&self, member: &Member, spec: &CommandSpec, trail: &Trail) -> Result<(), Trouble> {
        let entry = member.entry();
        let copied = self.copy_into_guest(entry, &member.own, trail);
        let done = copied.and_then(|_| self.run_command(spec, &[entry], trail)).map(drop);
        if let Some(guest) = entry.guest.filter(|_| may_have_arrived(&done)) {
            self.remove_copies(entry, guest, trail);
        }
        if done.is_err() {
            member.store.update_ledger(|ledger| ledger.delivered = None)?;
        }
        done
    }

    fn member(&self, wanted: &EntryRef) -> Result<Member, Trouble> {
        let known = self.known(wanted)?;
        let store = self.store_of(&known.entry);
        let own = require_own(&store, &known.entry)?;
        Ok(Member { known, store, own })
    }
}

/// What a run of the wave's command takes from its restart budget: the longest `min_interval` that a member names.
fn spending(wave: &[Member]) -> Result<Option<Spending>, Trouble> {
    let commands = wave.iter().filter_map(|member| member.entry().command.as_ref());
    let Some(interval) = commands.filter_map(|command| command.min_interval).max() else { return Ok(None) };
    let Some(digest) = wave.first().and_then(|member| command_digest(member.entry())) else {
        return Ok(None);
    };
    let mut recorded = None;
    for member in wave {
        let activated = member.store.ledger()?.activated.filter(|deed| deed.of == digest);
        recorded = recorded.max(activated.map(|deed| deed.at));
    }
    Ok(Some(Spending { digest, interval, recorded, now: clock::now() }))
}

/// Recorded after the command succeeded: a crash before this makes the command run again, never not at all.
fn record_activation(member: &Member) -> Result<(), Trouble> {
    let own = member.own.own_copy(None);
    // A command may have moved or chowned the files. The same content with another owner or mode is how they
    // are meant to be from now on.
    let settled =
        member.store.read_live().ok().filter(|live| {
            has_content(&live.cert, &own.cert_sha256) && has_content(&live.key, &own.key_sha256)
        });
    let baseline = settled.and_then(|live| live.baseline());
    let deed = |of| Deed { fingerprint: own.leaf.fingerprint.clone(), of, at: clock::now() };
    let activated = command_digest(member.entry()).map(deed);
    let delivered = deliver::deed(member.entry(), &member.own).filter(|_| deliver::is_legacy(member.entry()));
    member.store.update_ledger_for(&member.own, |ledger| {
        ledger.activated = activated;
        if delivered.is_some() {
            ledger.delivered = delivered;
        }
        if baseline.is_some() {
            ledger.baseline = baseline;
        }
    })?;
    Ok(())
}

fn has_content(file: &LiveFile, sha256: &str) -> bool {
    matches!(file, LiveFile::Present(found) if found.sha256 == sha256)
}

/// A guest that is absent or off got no copies.
fn may_have_arrived(done: &Result<(), Trouble>) -> bool {
    !matches!(done, Err(trouble) if trouble.reason.class() == RetryClass::Waiting)
}

/// Guests that a delivery or command of this entry enters, so that no two do at the same time. Containers and
/// virtual machines share their numbers.
pub(super) fn targets(entry: &Entry) -> BTreeSet<String> {
    let called = entry.command.as_ref().and_then(|command| Call::of(&command.argv).guest());
    entry.guest.into_iter().chain(called).map(|guest| guest.id.to_string()).collect()
}

/// Digest of the delivery as configured.
pub(super) fn delivery_digest(entry: &Entry) -> Option<String> {
    entry.delivery.as_ref().map(|delivery| digest_of(&(entry.guest, delivery)))
}

/// Digest of the command as configured. Its limits are not part of it: another time limit is no new deed.
pub(super) fn command_digest(entry: &Entry) -> Option<String> {
    entry.command.as_ref().map(|command| digest_of(&command.argv))
}

/// The command line that all entries of the wave have.
fn common_command(wave: &[Member]) -> Result<Vec<String>, Trouble> {
    let refuse = |why: &str| Trouble::new(Reason::BadRequest, why.to_owned());
    let mut commands = wave.iter().map(|member| member.entry().command.as_ref().map(|command| &command.argv));
    let first = commands.next().flatten().ok_or_else(|| refuse("There is no command to run."))?;
    if commands.any(|other| other != Some(first)) {
        return Err(refuse("Only entries with the same command are activated together."));
    }
    if wave.len() > 1 && wave.iter().any(|member| deliver::is_legacy(member.entry())) {
        return Err(refuse("Entries whose copies go to /tmp are activated one by one."));
    }
    Ok(first.clone())
}

fn time_limit(wave: &[Member]) -> Duration {
    let limits =
        wave.iter().filter_map(|member| member.entry().command.as_ref()).map(|command| command.timeout);
    limits.max().unwrap_or(CommandSpec::TIMEOUT)
}

/// What a command is told. Paths and facts only where one entry is meant.
fn environment(wave: &[Member]) -> Vec<(String, String)> {
    if let [member] = wave {
        return reproduce::environment(member.entry(), member.own.leaf());
    }
    let names: Vec<_> = wave.iter().map(|member| member.entry().name.as_str()).collect();
    vec![("PHOENIX_NAMES".to_owned(), names.join(" "))]
}
