//! Who tries an issuer whose clock differs, and when a trial is over.
//!
//! Each trial is a certificate that is probably issued in vain, so one entry tries at a time ([`Turns`] says which).

use std::collections::BTreeMap;

use phoenix_core::breaker::{Ended, Turns};
use phoenix_core::lifecycle::Event;
use phoenix_core::name::{AbsolutePath, IssuerName};
use phoenix_core::time::Timestamp;

use super::Engine;
use super::entries::Entries;
use crate::clock::now;

/// Who was called to try which issuer.
#[derive(Default)]
pub(super) struct Calls(BTreeMap<IssuerName, Turns<AbsolutePath>>);

impl Calls {
    /// The entry that is called next, if one waits for the issuer.
    fn next(&mut self, issuer: &IssuerName, entries: &Entries, at: Timestamp) -> Option<AbsolutePath> {
        let first = entries.first_to_expire(issuer, at).map(|(_, key)| key);
        let waiting: Vec<&AbsolutePath> = entries.waiting(issuer).map(|(key, _)| key).collect();
        self.0.entry(issuer.clone()).or_default().next(first, waiting.into_iter())
    }
}

impl Engine {
    /// Where the clocks differ, one of the entries that wait finds out whether they still do.
    pub(super) fn call_for_trials(&mut self, at: Timestamp) {
        for name in self.authorities.due_calls(at) {
            match self.calls.next(&name, &self.entries, at) {
                Some(key) => self.send(&key, Event::IssuerBack),
                None => self.authorities.nobody_waits(&name, at),
            }
        }
    }

    /// Work of an entry ended, and what it tells of the issuers was noted.
    pub(super) fn end_trials(&mut self, key: &AbsolutePath, event: &Event) {
        if let Some(ended) = Ended::of(event) {
            self.authorities.end_trials(key, ended, now());
        }
    }
}

#[cfg(test)]
mod tests;
