//! When each command line ran last.

use std::collections::BTreeMap;

use crate::facts::Observation;
use crate::reason::{Reason, Trouble};
use crate::time::Timestamp;

/// When each command line ran last, for whichever entry and however it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Runs(BTreeMap<Vec<String>, Timestamp>);

impl Runs {
    /// Notes a run. True when it is news.
    pub fn note(&mut self, command: &[String], at: Timestamp) -> bool {
        match self.0.get_mut(command) {
            Some(last) if *last >= at => false,
            Some(last) => {
                *last = at;
                true
            }
            None => self.0.insert(command.to_vec(), at).is_none(),
        }
    }

    /// When the command line ran last.
    pub fn last(&self, command: &[String]) -> Option<Timestamp> {
        self.0.get(command).copied()
    }

    /// The clock was set: no run lies in the future.
    pub fn rewind(&mut self, now: Timestamp) {
        for at in self.0.values_mut() {
            *at = (*at).min(now);
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&[String], Timestamp)> {
        self.0.iter().map(|(command, at)| (command.as_slice(), *at))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets command lines that are not among `kept`.
    pub fn retain(&mut self, kept: impl Fn(&[String]) -> bool) {
        self.0.retain(|command, _| kept(command));
    }
}

/// The last successful run of the entry's present command that the executor's ledger knows of.
pub fn recorded_run(seen: &Observation) -> Option<Timestamp> {
    let deed = seen.ledger.activated.as_ref()?;
    (Some(&deed.of) == seen.command_digest.as_ref()).then_some(deed.at)
}

/// Whether a command that ended like this has run at all: one that was never started restarts nothing.
pub fn has_run<T>(result: &Result<T, Trouble>) -> bool {
    match result {
        Ok(_) => true,
        Err(trouble) => matches!(
            trouble.reason,
            Reason::CommandFailed | Reason::CommandKilled | Reason::CommandTimeout | Reason::Internal
        ),
    }
}
