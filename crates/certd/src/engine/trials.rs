//! Who tries an issuer whose clock differs, and when a trial is over.
//!
//! Each trial is a certificate that is probably issued in vain, so one entry tries at a time. Called is the one whose
//! certificate expires first, and every other time one of the others: what is held up by something of its own must not
//! keep them from finding out that the clocks agree.

use std::collections::BTreeMap;

use phoenix_core::lifecycle::{Event, Stage};
use phoenix_core::name::{AbsolutePath, IssuerName};
use phoenix_core::time::Timestamp;

use super::Engine;
use super::entries::Entries;
use crate::clock::now;

/// Who was called to try which issuer.
#[derive(Default)]
pub(super) struct Calls(BTreeMap<IssuerName, Called>);

#[derive(Default)]
struct Called {
    /// The newest.
    last: Option<AbsolutePath>,
    /// The newest of those that are called in turn.
    in_turn: Option<AbsolutePath>,
}

impl Calls {
    /// The entry that is called next, if one waits for the issuer.
    fn next(&mut self, issuer: &IssuerName, entries: &Entries, at: Timestamp) -> Option<AbsolutePath> {
        let called = self.0.entry(issuer.clone()).or_default();
        let first = entries.first_to_expire(issuer, at).map(|(_, key)| key);
        let others = || entries.waiting(issuer).map(|(key, _)| key).filter(|key| Some(*key) != first);
        let after = |last: Option<&AbsolutePath>| others().find(|key| Some(*key) > last);
        let in_turn = || after(called.in_turn.as_ref()).or_else(|| others().next());
        let key = match first {
            Some(first) if called.last.as_ref() != Some(first) => first,
            first => {
                let other = in_turn();
                called.in_turn = other.cloned().or(called.in_turn.take());
                other.or(first)?
            }
        };
        called.last = Some(key.clone());
        called.last.clone()
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
        let at = now();
        match event {
            Event::Issued(Ok(offer)) => self.authorities.end_trials(key, Some(&offer.issuer), true, at),
            Event::Issued(Err((stage, _))) => {
                self.authorities.end_trials(key, None, *stage == Stage::Issue, at);
            }
            Event::Installed(_) => self.authorities.end_trials(key, None, true, at),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
