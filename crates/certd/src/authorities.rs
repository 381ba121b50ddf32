//! The issuers: their clients, and what they said. Whether one can be asked is for its
//! [`Breaker`](phoenix_core::breaker::Breaker) to know.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use phoenix_core::breaker::{self, Breaker, Ended, Trial, in_order};
use phoenix_core::lifecycle::{Availability, RefusedAnswers};
use phoenix_core::manifest::Entry;
use phoenix_core::name::{AbsolutePath, IssuerName};
use phoenix_core::reason::{Reason, Trouble};
use phoenix_core::settings::{IssuerKind, IssuerSettings, TrustAnchor};
use phoenix_core::time::Timestamp;
use phoenix_issuers::{Health, Issuer, StepCa, clock_warning, describe_clock};
use phoenix_protocol::control::IssuerStatus;
use phoenix_protocol::executor::IssuerFacts;
use tokio::sync::Semaphore;

/// One issuer.
pub(crate) struct Authority {
    settings: IssuerSettings,
    /// Tells one state of password and roots from another; none before the executor has told.
    version: Option<String>,
    roots: Option<String>,
    client: Option<Arc<dyn Issuer>>,
    /// Why we cannot make a client for it.
    unusable: Option<Trouble>,
    breaker: Breaker,
    warnings: Vec<String>,
    health_warnings: Vec<String>,
    skew: Option<i64>,
    permits: Arc<Semaphore>,
    /// How often it was found out of reach, for the jobs that wait for their turn.
    outages: Arc<AtomicU64>,
    trial: Trial<AbsolutePath>,
}

/// What is new about the issuers.
#[derive(Debug, Default)]
pub(crate) struct Informed {
    /// One can be asked that could not before.
    pub better: bool,
    /// These have another password or other roots.
    pub changed: BTreeSet<IssuerName>,
}

/// What a job needs to ask an issuer.
#[derive(Clone)]
pub(crate) struct Door {
    /// Its name.
    pub name: IssuerName,
    /// The client.
    pub client: Arc<dyn Issuer>,
    /// Requests at a time.
    pub permits: Arc<Semaphore>,
    outages: Arc<AtomicU64>,
    outages_before: u64,
}

impl Door {
    /// The issuer went out of reach, or its clock was found to differ, since the job was made: whatever queued
    /// behind that need not find out too.
    pub(crate) fn closed_meanwhile(&self) -> bool {
        self.outages.load(Ordering::Relaxed) != self.outages_before
    }
}

/// How to look at an issuer.
pub(crate) enum Look {
    /// Ask whether it is well.
    Health(Arc<dyn Issuer>),
    /// Fetch its root by fingerprint.
    Root {
        /// Base URL.
        url: String,
        /// SHA-256, lower-case hexadecimal.
        fingerprint: String,
    },
}

/// All issuers of the configuration.
pub(crate) struct Authorities(BTreeMap<IssuerName, Authority>);

impl Authorities {
    /// The issuers of the configuration; `answered` tells which ones have ever answered.
    pub(crate) fn new(
        settings: &[IssuerSettings],
        concurrency: usize,
        answered: impl Fn(&IssuerName) -> bool,
    ) -> Self {
        Self(
            settings
                .iter()
                .map(|issuer| {
                    (issuer.name.clone(), Authority::new(issuer, concurrency, answered(&issuer.name)))
                })
                .collect(),
        )
    }

    /// PEM of the pinned roots of an entry's issuers, as far as they are known.
    pub(crate) fn roots(&self, entry: &Entry) -> Vec<String> {
        entry.issuers.iter().filter_map(|name| self.0.get(name)?.roots.clone()).collect()
    }

    /// Takes in what the executor knows of the issuers.
    pub(crate) fn inform(&mut self, facts: &[IssuerFacts]) -> Informed {
        let mut informed = Informed::default();
        for facts in facts {
            let Some(authority) = self.0.get_mut(&facts.name) else { continue };
            let before = authority.breaker.usable();
            authority.inform(facts);
            informed.better |= !before && authority.breaker.usable();
            let known = authority.version.replace(facts.version.clone());
            if known.is_some_and(|known| known != facts.version) {
                informed.changed.insert(facts.name.clone());
            }
        }
        informed
    }

    /// Whether some issuer of the entry can be asked at `now`.
    pub(crate) fn availability(&self, entry: &Entry, now: Timestamp) -> Availability {
        let known = entry.issuers.iter().filter_map(|name| self.0.get(name));
        breaker::availability(known.map(|authority| &authority.breaker), now)
    }

    /// The entry's issuers that have a client, in the order in which it asks them; see [`in_order`]. `refused` tells
    /// whose answers were of no use to it.
    pub(crate) fn doors(&self, entry: &Entry, refused: &RefusedAnswers) -> Vec<Door> {
        let preferred = refused.preferred(&entry.issuers);
        let known = preferred.into_iter().filter_map(|name| self.0.get(name));
        let ordered = in_order(&entry.key_path, known, |authority| (&authority.breaker, &authority.trial));
        ordered.into_iter().filter_map(Authority::door).collect()
    }

    /// An issuer answered: a certificate, or a refusal of its own. True when whoever waits for it is to be told.
    pub(crate) fn answered(&mut self, name: &IssuerName, skew: Option<i64>) -> bool {
        let Some(authority) = self.0.get_mut(name) else { return false };
        authority.skew = skew.or(authority.skew);
        authority.breaker.answered()
    }

    /// The clock was set: looks that were put off to a time under the old one are due.
    pub(crate) fn clock_set(&mut self, now: Timestamp) {
        for authority in self.0.values_mut() {
            authority.breaker.clock_set(now);
        }
    }

    /// An issuer could not be reached.
    pub(crate) fn unreachable(&mut self, name: &IssuerName, trouble: Trouble, now: Timestamp) {
        let Some(authority) = self.0.get_mut(name) else { return };
        authority.breaker.unreachable(trouble, now);
        authority.publish_outages();
    }

    /// A certificate of an issuer is not valid at our time; see [`Breaker::clock_differs`].
    pub(crate) fn clock_differs(
        &mut self,
        name: &IssuerName,
        trouble: &Trouble,
        soonest: Option<Timestamp>,
        now: Timestamp,
    ) {
        let Some(authority) = self.0.get_mut(name) else { return };
        let measured = format!("{} By its answers, {}.", trouble.sentence(), describe_clock(authority.skew));
        authority.breaker.clock_differs(Trouble::new(trouble.reason, measured), soonest, now);
        authority.publish_outages();
    }

    /// A certificate of an issuer is valid at our time. True when whoever waits for it is to be told.
    pub(crate) fn clock_agrees(&mut self, name: &IssuerName) -> bool {
        self.0.get_mut(name).is_some_and(|authority| authority.breaker.clock_agrees())
    }

    /// The entry is about to ask its issuers, in the order that `refused` leads to: see [`Trial::begin`].
    pub(crate) fn begin_trials(&mut self, entry: &Entry, refused: &RefusedAnswers, now: Timestamp) {
        let _ =
            refused.preferred(&entry.issuers).into_iter().try_for_each(|name| match self.0.get_mut(name) {
                Some(Authority { trial, breaker, .. }) => trial.begin(breaker, &entry.key_path, now),
                None => ControlFlow::Continue(()),
            });
    }

    /// Work of an entry ended; see [`Trial::end`].
    pub(crate) fn end_trials(&mut self, entry: &AbsolutePath, ended: Ended<'_>, now: Timestamp) {
        for (name, Authority { trial, breaker, .. }) in &mut self.0 {
            trial.end(breaker, entry, name, ended, now);
        }
    }

    /// The entry waits for its issuers, with a certificate that is valid until `valid_until`.
    pub(crate) fn awaited(&mut self, entry: &Entry, valid_until: Option<Timestamp>, now: Timestamp) {
        for name in &entry.issuers {
            if let Some(authority) = self.0.get_mut(name) {
                authority.breaker.awaited(valid_until, now);
            }
        }
    }

    /// Issuers whose clock differs, and that one of the entries that wait for them is to try now.
    pub(crate) fn due_calls(&mut self, now: Timestamp) -> Vec<IssuerName> {
        let due = self
            .0
            .iter_mut()
            .filter_map(|(name, authority)| authority.breaker.begin_call(now).then(|| name.clone()));
        due.collect()
    }

    /// Nobody waits for the issuer; see [`Breaker::nobody_waits`].
    pub(crate) fn nobody_waits(&mut self, name: &IssuerName, now: Timestamp) {
        if let Some(authority) = self.0.get_mut(name) {
            authority.breaker.nobody_waits(now);
        }
    }

    /// Issuers to look at now, and how. Each must be reported back with [`Self::looked`].
    pub(crate) fn due_looks(&mut self, now: Timestamp) -> Vec<(IssuerName, Look)> {
        let due = |authority: &mut Authority| {
            let look = authority.look()?;
            authority.breaker.begin_look(now).then(|| (authority.settings.name.clone(), look))
        };
        self.0.values_mut().filter_map(due).collect()
    }

    /// When an issuer is to be looked at next, or to be tried by an entry, if one is.
    pub(crate) fn next_look(&self) -> Option<Timestamp> {
        let of = |authority: &Authority| {
            [authority.breaker.next_look(), authority.breaker.next_call()].into_iter().flatten().min()
        };
        self.0.values().filter_map(of).min()
    }

    /// A look ended. True when whoever waits for the issuer is to be told.
    pub(crate) fn looked(
        &mut self,
        name: &IssuerName,
        result: Result<Health, Trouble>,
        now: Timestamp,
    ) -> bool {
        let Some(authority) = self.0.get_mut(name) else { return false };
        let result = result.map(|health| {
            authority.health_warnings = health.warnings;
            authority.skew = health.clock_skew.or(authority.skew);
        });
        let back = authority.breaker.looked(result, now);
        authority.publish_outages();
        back
    }

    /// Every issuer, and why it cannot be asked if it cannot.
    pub(crate) fn troubles(&self) -> impl Iterator<Item = (&IssuerName, Option<&Trouble>)> {
        self.0.iter().map(|(name, authority)| (name, authority.breaker.trouble()))
    }

    /// The issuers' part of the status document.
    pub(crate) fn report(&self) -> Vec<IssuerStatus> {
        self.0
            .values()
            .map(|authority| IssuerStatus {
                name: authority.settings.name.to_string(),
                ready: authority.breaker.usable(),
                problem: authority.breaker.trouble().map(|trouble| trouble.message.clone()),
                clock_skew: authority.skew,
            })
            .collect()
    }

    /// Permanent warnings about the issuers.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let of = |authority: &Authority| {
            let lasting = authority.warnings.iter().chain(&authority.health_warnings).cloned();
            // From the newest answer: it goes when the clocks have been set right.
            lasting.chain(clock_warning(authority.settings.name.as_str(), authority.skew)).collect::<Vec<_>>()
        };
        self.0.values().flat_map(of).collect()
    }
}

impl Authority {
    fn new(settings: &IssuerSettings, concurrency: usize, answered: bool) -> Self {
        let unknown = Trouble::new(
            Reason::IssuerNotReady,
            "the executor has not yet said what it knows of this issuer",
        );
        let mut authority = Self {
            settings: settings.clone(),
            version: None,
            roots: None,
            client: None,
            unusable: None,
            breaker: Breaker::new(answered, unknown),
            warnings: Vec::new(),
            health_warnings: Vec::new(),
            skew: None,
            permits: Arc::new(Semaphore::new(concurrency)),
            outages: Arc::default(),
            trial: Trial::default(),
        };
        authority.breaker.approach(authority.look().is_some());
        authority
    }

    /// What a job needs to ask it, if there is a way.
    fn door(&self) -> Option<Door> {
        Some(Door {
            name: self.settings.name.clone(),
            client: self.client.clone()?,
            permits: self.permits.clone(),
            outages_before: self.outages.load(Ordering::Relaxed),
            outages: self.outages.clone(),
        })
    }

    fn inform(&mut self, facts: &IssuerFacts) {
        self.warnings.clone_from(&facts.warnings);
        if self.roots != facts.roots {
            self.roots.clone_from(&facts.roots);
            let made = self.roots.as_ref().map(|roots| client(&self.settings, roots));
            (self.client, self.unusable) = match made {
                Some(Ok(client)) => (Some(client), None),
                Some(Err(trouble)) => (None, Some(trouble)),
                None => (None, None),
            };
            self.breaker.approach(self.look().is_some());
        }
        self.breaker.hinder(facts.trouble.clone().or_else(|| self.unusable.clone()));
    }

    fn publish_outages(&self) {
        self.outages.store(self.breaker.outages(), Ordering::Relaxed);
    }

    /// How this issuer can be looked at, if it can be.
    fn look(&self) -> Option<Look> {
        if self.roots.is_none()
            && let (TrustAnchor::Fingerprint(fingerprint), IssuerKind::StepCa(settings)) =
                (&self.settings.trust, &self.settings.kind)
        {
            return Some(Look::Root { url: settings.url.clone(), fingerprint: fingerprint.clone() });
        }
        self.client.clone().map(Look::Health)
    }
}

fn client(settings: &IssuerSettings, roots: &str) -> Result<Arc<dyn Issuer>, Trouble> {
    match &settings.kind {
        IssuerKind::StepCa(step) => Ok(Arc::new(StepCa::new(&settings.name, step.clone(), roots)?)),
        IssuerKind::Acme(_) => Err(Trouble::new(
            Reason::IssuerNotReady,
            format!("issuer {} is an ACME issuer, which this version does not support", settings.name),
        )),
    }
}

#[cfg(test)]
mod tests;
