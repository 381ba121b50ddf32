//! Carrying out what was decided: at once, or after the time that the script says it takes.

use std::collections::BTreeMap;
use std::time::Duration;

use phoenix_core::facts::{Observation, Served};
use phoenix_core::lifecycle::{
    Action, Event, Offer, Stage, Verification, delivered_by_command, verify_digest,
};
use phoenix_core::manifest::{Entry, Usage, Verify};
use phoenix_core::name::IssuerName;
use phoenix_core::reason::{Reason, Trouble};
use phoenix_core::waves::has_run;

use crate::site::Certificate;
use crate::world::World;

/// What the surroundings do when they are asked for something.
#[derive(Clone, Debug, Default)]
pub(crate) struct Moods {
    /// Troubles, by whose they are: `storage`, `guest`, `command`, `delivery`, `consumer`, `executor`.
    pub(crate) troubles: BTreeMap<String, Trouble>,
    /// How long things take, by action.
    pub(crate) takes: BTreeMap<String, Duration>,
    /// Consumers go on with what they have, whatever commands are run.
    pub(crate) stubborn: bool,
    /// Commands leave the key with this mode.
    pub(crate) command_mode: Option<u16>,
    /// What is odd about the consumer although it passes.
    pub(crate) remarks: Vec<String>,
    /// Warnings that come with an installation.
    pub(crate) warnings: Vec<String>,
    /// The next piece of work is overtaken by an edit of the manifest.
    pub(crate) stale: bool,
}

/// A piece of work under way.
#[derive(Clone, Debug)]
pub(crate) struct Deed {
    names: Vec<String>,
    action: Action,
}

fn kind(action: &Action) -> &'static str {
    match action {
        Action::Observe => "observe",
        Action::Issue => "issue",
        Action::Install(_) => "install",
        Action::Adopt => "adopt",
        Action::Restore => "restore",
        Action::Deliver => "deliver",
        Action::Activate => "activate",
        Action::Verify => "verify",
        Action::Recheck => "recheck",
        Action::Rollback => "rollback",
        Action::Reinstate => "reinstate",
        Action::WakeAt(_) | Action::Remember => "rest",
    }
}

impl World {
    pub(crate) fn start(&mut self, name: &str, action: Action) {
        if action == Action::Activate && self.waves.is_held(&name.to_owned()) {
            return;
        }
        self.set_going(Deed { names: vec![name.to_owned()], action });
    }

    pub(crate) fn start_wave(&mut self, names: Vec<String>) {
        self.set_going(Deed { names, action: Action::Activate });
    }

    fn set_going(&mut self, deed: Deed) {
        self.trace.begun(self.now, &deed.names, kind(&deed.action));
        let time = self.moods.takes.get(kind(&deed.action)).copied().unwrap_or_default();
        self.counter += 1;
        self.under_way.insert((self.now.plus(time), self.counter), deed);
    }

    /// A piece of work ends, and those for whom it was done are told.
    pub(crate) fn finish(&mut self, deed: &Deed) {
        if deed.action == Action::Activate {
            return self.command_ends(&deed.names);
        }
        for name in &deed.names {
            if let Some(event) = self.perform(name, &deed.action) {
                self.send(name, event);
            }
        }
    }

    /// What is under way is done, and nobody is there to be told.
    pub(crate) fn finish_unseen(&mut self) {
        for deed in std::mem::take(&mut self.under_way).into_values() {
            for name in &deed.names {
                if deed.action == Action::Activate {
                    let well = self.trouble("command").is_ok();
                    self.command_ended(name, well);
                } else if let Some(entry) = self.entries.get(name).map(|tracked| tracked.entry.clone()) {
                    // Its end, good or bad, is for the next observation to tell.
                    let _ = self.change(name, &entry, &deed.action);
                }
            }
        }
    }

    fn trouble(&self, whose: &str) -> Result<(), Trouble> {
        self.moods.troubles.get(whose).cloned().map_or(Ok(()), Err)
    }

    /// What keeps every operation of the executor from being done.
    fn refusal(&mut self) -> Result<(), Trouble> {
        if std::mem::take(&mut self.moods.stale) {
            return Err(Trouble::new(Reason::Stale, "the manifest changed"));
        }
        self.trouble("executor")
    }

    fn look(&mut self, name: &str) -> Option<Observation> {
        let trouble = self.trouble("storage").err().filter(|trouble| trouble.reason.hides_the_files());
        let tracked = self.entries.get(name)?;
        Some(tracked.site.observe(&tracked.entry, trouble, self.now))
    }

    fn perform(&mut self, name: &str, action: &Action) -> Option<Event> {
        if matches!(action, Action::Verify) {
            return Some(Event::Verified(Box::new(self.verify(name)?)));
        }
        if let Err(trouble) = self.refusal() {
            return failed(action, trouble);
        }
        let entry = self.entries.get(name)?.entry.clone();
        if *action == Action::Issue {
            return Some(Event::Issued(self.issue(name, &entry)));
        }
        if let Err(trouble) = self.change(name, &entry, action) {
            return failed(action, trouble);
        }
        let seen = self.look(name)?;
        Some(match action {
            Action::Install(_) => Event::Installed(Ok((seen, self.moods.warnings.clone()))),
            Action::Adopt => Event::Adopted(Ok(seen)),
            Action::Restore => Event::Restored(Ok(seen)),
            Action::Deliver => Event::Delivered(Ok(seen)),
            Action::Recheck => Event::Rechecked(Ok(seen)),
            Action::Rollback => Event::RolledBack(Ok(seen)),
            Action::Reinstate => Event::Reinstated(Ok(seen)),
            _ => Event::Observed(Ok(seen)),
        })
    }

    fn change(&mut self, name: &str, entry: &Entry, action: &Action) -> Result<(), Trouble> {
        let now = self.now;
        match action {
            Action::Observe => return Ok(()),
            Action::Deliver | Action::Recheck => {
                self.trouble("guest")?;
                self.trouble("delivery")?;
            }
            _ => self.trouble("storage")?,
        }
        let offer = match action {
            Action::Install(offer) => {
                let certificate = self.offers.remove(&offer.chain);
                self.ca.lying.get(&offer.issuer).map_or(Ok(()), |issuer| Err(of_no_use(issuer)))?;
                certificate
            }
            _ => None,
        };
        if let Some(certificate) = &offer {
            refuse(entry, certificate)?;
        }
        let Some(tracked) = self.entries.get_mut(name) else { return Ok(()) };
        if let Some(present) = tracked.site.live() {
            tracked.earlier.push(present.clone());
        }
        match action {
            Action::Install(_) => match &offer {
                Some(certificate) => tracked.site.install(entry, certificate, now),
                None => return Err(Trouble::new(Reason::Stale, "the staged key is gone")),
            },
            Action::Adopt => tracked.site.adopt(entry, now)?,
            Action::Restore => tracked.site.restore(entry)?,
            Action::Deliver => tracked.site.deliver(entry, now),
            Action::Recheck => tracked.site.recheck(),
            Action::Rollback => tracked.site.exchange(entry, false, now)?,
            Action::Reinstate => tracked.site.exchange(entry, true, now)?,
            _ => {}
        }
        if entry.command.is_none() && !self.moods.stubborn {
            tracked.uses = tracked.site.live().cloned();
        }
        Ok(())
    }

    fn issue(&mut self, name: &str, entry: &Entry) -> Result<Offer, (Stage, Trouble)> {
        self.trouble("storage").map_err(|trouble| (Stage::Write, trouble))?;
        if let Some(trouble) = self.ca.outage().cloned() {
            self.ca.breaker.unreachable(trouble.clone(), self.now);
            return Err((Stage::Issue, trouble));
        }
        if self.ca.breaker.answered() {
            self.tell_all(&Event::IssuerBack);
        }
        if let Some(trouble) = self.ca.trouble.clone() {
            return Err((Stage::Issue, trouble));
        }
        let certificate = self.ca.make(entry, self.now);
        let chain = format!("chain of {}", certificate.leaf.serial);
        let refused = self.entries.get(name).map(|tracked| tracked.state.memory.refused.clone());
        let issuer = refused.unwrap_or_default().preferred(&entry.issuers).first().copied().cloned();
        let issuer = issuer.ok_or_else(|| (Stage::Issue, Trouble::new(Reason::Internal, "no issuer")))?;
        let which = if entry.issuers.len() > 1 { format!("issuer {issuer}") } else { "the CA".to_owned() };
        self.trace.issued(self.now, name, &which, &certificate.leaf);
        self.offers.insert(chain.clone(), certificate);
        let reachable = self.reachable(name, entry);
        let ailing = self.ailing(name, entry);
        Ok(Offer { stage: "stage".into(), issuer, chain, reachable, ailing })
    }

    /// Whether the consumer could be reached before the change; none where no verification goes over the network.
    fn reachable(&self, name: &str, entry: &Entry) -> Option<bool> {
        let networked = entry.verify.iter().any(|verify| !matches!(verify, Verify::Command { .. }));
        let away = |trouble: &Trouble| trouble.reason == Reason::Unreachable;
        let down = self.moods.troubles.get("consumer").is_some_and(away);
        networked.then(|| !down && self.entries.get(name).is_some_and(|tracked| tracked.uses.is_some()))
    }

    /// What was wrong at the consumer before the change: what the last look saw. That a consumer will not take what
    /// comes is said by the same line as that it fails, before it comes.
    fn ailing(&self, name: &str, entry: &Entry) -> Option<Reason> {
        let tracked = self.entries.get(name).filter(|_| entry.rollback)?;
        let failure = tracked.state.memory.failures.get(&Stage::Verify)?;
        Some(failure.trouble.reason)
    }

    fn command_ends(&mut self, names: &[String]) {
        let Some(first) = names.first().and_then(|name| self.entries.get(name)) else { return };
        let Some(argv) = first.entry.command.as_ref().map(|command| command.argv.clone()) else { return };
        let result =
            self.refusal().and_then(|()| self.trouble("guest")).and_then(|()| self.trouble("command"));
        for name in names {
            self.command_ended(name, result.is_ok());
        }
        if has_run(&result) {
            self.runs.note(&argv, self.now);
            for name in self.waves.held_for(&argv) {
                let budgeted = self.entries.get(&name).and_then(|tracked| tracked.entry.command.as_ref());
                if budgeted.is_some_and(|command| command.min_interval.is_some()) {
                    self.send(&name, Event::Withdrawn);
                }
            }
        }
        for name in names {
            let seen = self.look(name);
            let result = match (&result, seen) {
                (Ok(()), Some(seen)) => Ok(seen),
                (Err(trouble), _) => Err(trouble.clone()),
                (Ok(()), None) => continue,
            };
            self.send(name, Event::Activated(result));
        }
    }

    fn command_ended(&mut self, name: &str, well: bool) {
        let (now, mode, stubborn) = (self.now, self.moods.command_mode, self.moods.stubborn);
        let Some(tracked) = self.entries.get_mut(name) else { return };
        if !well {
            if delivered_by_command(&tracked.entry) {
                tracked.site.records.ledger.delivered = None;
            }
            return;
        }
        if let Some(mode) = mode {
            tracked.site.key_access.2 = mode;
        }
        tracked.site.activate(&tracked.entry, now);
        if !stubborn {
            tracked.uses = tracked.site.live().cloned();
        }
    }

    fn verify(&mut self, name: &str) -> Option<Verification> {
        let trouble = self.trouble("consumer").err();
        let tracked = self.entries.get(name)?;
        let ours = tracked.site.records.own.as_ref().map(|own| &own.certificate);
        let served = tracked.uses.as_ref().map(|certificate| Served {
            fingerprint: certificate.leaf.fingerprint.clone(),
            serial: certificate.leaf.serial.clone(),
            not_after: certificate.leaf.not_after,
            at: self.now,
        });
        let seen = trouble.or_else(|| found(tracked.uses.as_ref(), ours, self.now));
        let away = seen.as_ref().is_some_and(|trouble| trouble.reason == Reason::Unreachable);
        // A command that asks the consumer says no more than that it failed.
        let told = seen.as_ref().is_some_and(|trouble| trouble.reason != Reason::CheckFailed);
        let is_ours = |served: &Served| ours.is_some_and(|ours| ours.leaf.fingerprint == served.fingerprint);
        Some(Verification {
            of: verify_digest(&tracked.entry.verify),
            takes: told && !away && served.as_ref().is_some_and(is_ours),
            served: served.filter(|_| !away),
            remarks: self.moods.remarks.clone(),
            result: seen.map_or(Ok(()), Err),
        })
    }
}

/// Refuses what the executor does not install: further extended key usages where the manifest forbids them.
fn refuse(entry: &Entry, certificate: &Certificate) -> Result<(), Trouble> {
    let leaf = &certificate.leaf;
    let wanted = match entry.usage {
        Usage::Server => (true, false),
        Usage::Client => (false, true),
        Usage::Peer => (true, true),
    };
    let further = leaf.other_eku || (leaf.server_auth, leaf.client_auth) != wanted;
    if !entry.strict_eku || !further {
        return Ok(());
    }
    let message = "The certificate that issuer `phoenix` gave is refused: it has further extended key usages, which \
                   `strict_eku` forbids: check the CA's certificate template. Nothing on disk was changed.";
    Err(Trouble::new(Reason::EkuRefused, message))
}

/// What the executor says of a certificate for another key.
fn of_no_use(issuer: &IssuerName) -> Trouble {
    let message = format!(
        "The certificate that issuer `{issuer}` gave is refused: it is for another key. Nothing on disk was changed."
    );
    Trouble::new(Reason::WrongAnswer, message)
}

/// What is seen at a consumer that answers honestly.
fn found(
    uses: Option<&Certificate>,
    ours: Option<&Certificate>,
    now: phoenix_core::time::Timestamp,
) -> Option<Trouble> {
    let Some(uses) = uses else {
        return Some(Trouble::new(Reason::Unreachable, "10.0.0.102:443 refuses the connection"));
    };
    if ours.is_some_and(|ours| ours.leaf.fingerprint == uses.leaf.fingerprint) {
        return None;
    }
    let serial = &uses.leaf.serial;
    Some(if uses.leaf.not_after <= now {
        let end = uses.leaf.not_after;
        Trouble::new(
            Reason::ServesExpired,
            format!("10.0.0.102:443 serves the certificate with serial {serial}, which expired at {end}"),
        )
    } else {
        Trouble::new(
            Reason::ServesOther,
            format!("10.0.0.102:443 serves another certificate, with serial {serial}"),
        )
    })
}

/// The end of a piece of work that went wrong.
fn failed(action: &Action, trouble: Trouble) -> Option<Event> {
    Some(match action {
        Action::Observe => Event::Observed(Err(trouble)),
        Action::Issue => Event::Issued(Err((Stage::Write, trouble))),
        Action::Install(_) => Event::Installed(Err(trouble)),
        Action::Adopt => Event::Adopted(Err(trouble)),
        Action::Restore => Event::Restored(Err(trouble)),
        Action::Deliver => Event::Delivered(Err(trouble)),
        Action::Activate => Event::Activated(Err(trouble)),
        Action::Recheck => Event::Rechecked(Err(trouble)),
        Action::Rollback => Event::RolledBack(Err(trouble)),
        Action::Reinstate => Event::Reinstated(Err(trouble)),
        Action::Verify | Action::WakeAt(_) | Action::Remember => return None,
    })
}
