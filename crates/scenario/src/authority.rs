//! The CA: what it answers, and what the daemon makes of that.

use std::collections::BTreeSet;
use std::time::Duration;

use phoenix_core::breaker::{Breaker, availability};
use phoenix_core::facts::LeafFacts;
use phoenix_core::lifecycle::Availability;
use phoenix_core::manifest::Entry;
use phoenix_core::name::IssuerName;
use phoenix_core::reason::{Reason, Trouble};
use phoenix_core::time::Timestamp;

use crate::site::Certificate;

/// How far back certificates are dated, as Step-CA does.
const BACKDATED: Duration = Duration::from_secs(60);

/// The one CA of a scenario. Where an entry names several issuers, all are it, but some of them may lie.
#[derive(Clone, Debug)]
pub(crate) struct Authority {
    pub(crate) breaker: Breaker,
    /// What it answers instead of certificates.
    pub(crate) trouble: Option<Trouble>,
    pub(crate) lifetime: Duration,
    pub(crate) root: u32,
    /// Those of an entry's issuers that give certificates for another key.
    pub(crate) lying: BTreeSet<IssuerName>,
    /// Certificates made so far.
    pub(crate) made: u32,
}

impl Authority {
    pub(crate) fn new() -> Self {
        Self {
            breaker: Self::breaker(false),
            trouble: None,
            lifetime: Duration::from_secs(86_400),
            root: 1,
            lying: BTreeSet::new(),
            made: 0,
        }
    }

    /// What a daemon that starts knows of it.
    pub(crate) fn breaker(answered: bool) -> Breaker {
        let unknown = Trouble::new(Reason::IssuerNotReady, "nothing is known of it yet");
        let mut breaker = Breaker::new(answered, unknown);
        breaker.hinder(None);
        breaker.approach(true);
        breaker
    }

    pub(crate) fn availability(&self, now: Timestamp) -> Availability {
        availability([&self.breaker], now)
    }

    /// It cannot be reached, as far as a look or a request can tell.
    pub(crate) fn outage(&self) -> Option<&Trouble> {
        let outage = |trouble: &&Trouble| matches!(trouble.reason, Reason::CaUnreachable | Reason::WrongRoot);
        self.trouble.as_ref().filter(outage)
    }

    /// A certificate for an entry.
    pub(crate) fn make(&mut self, entry: &Entry, now: Timestamp) -> Certificate {
        let not_before = now.minus(BACKDATED);
        let lifetime = entry.validity.unwrap_or(self.lifetime);
        Certificate { leaf: self.leaf(entry, not_before, not_before.plus(lifetime)), root: self.root }
    }

    /// Facts of a new certificate that fits `entry`.
    pub(crate) fn leaf(&mut self, entry: &Entry, not_before: Timestamp, not_after: Timestamp) -> LeafFacts {
        self.made += 1;
        let number = self.made;
        LeafFacts {
            serial: format!("{number:02x}"),
            fingerprint: format!("{number:064x}"),
            common_name: Some(entry.common_name.clone()),
            sans: entry.sans.clone(),
            not_before,
            not_after,
            client_auth: true,
            server_auth: true,
            other_eku: false,
            key_type: Some(entry.key_type),
            public_key: format!("key {number}"),
            issuer: "Phoenix Intermediate CA".into(),
        }
    }
}
