//! The issuers: their clients, whether they answer, and when they are looked at again.
//!
//! An issuer that cannot be reached is probed on its own, however many entries wait for it; when it answers,
//! they go on. That is also what keeps a thousand entries from falling on a CA that is coming back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use phoenix_core::lifecycle::Availability;
use phoenix_core::manifest::Entry;
use phoenix_core::name::IssuerName;
use phoenix_core::reason::{Reason, Trouble};
use phoenix_core::settings::{IssuerKind, IssuerSettings, TrustAnchor};
use phoenix_core::time::Timestamp;
use phoenix_issuers::{Health, Issuer, StepCa, clock_warning};
use phoenix_protocol::control::IssuerStatus;
use phoenix_protocol::executor::IssuerFacts;
use tokio::sync::Semaphore;

/// Longest time between two looks at an issuer that cannot be used.
const LONGEST_LOOK: Duration = Duration::from_secs(10);

/// One issuer.
pub(crate) struct Authority {
    settings: IssuerSettings,
    roots: Option<String>,
    client: Option<Arc<dyn Issuer>>,
    /// Why it cannot be used for want of something on our side, as the executor sees it.
    local: Option<Trouble>,
    /// Why we cannot make a client for it.
    unusable: Option<Trouble>,
    /// Why it cannot be reached.
    outage: Option<Outage>,
    answered: bool,
    /// It was asked about its health since its client was made.
    checked: bool,
    warnings: Vec<String>,
    health_warnings: Vec<String>,
    skew: Option<i64>,
    permits: Arc<Semaphore>,
    /// How often it was found out of reach.
    outages: Arc<AtomicU64>,
    /// A look is under way.
    looking: bool,
}

struct Outage {
    trouble: Trouble,
    looks: u32,
    next_look: Timestamp,
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
    /// The issuer went out of reach since the job was made: whatever queued behind that need not find out too.
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
                    let authority = Authority {
                        settings: issuer.clone(),
                        roots: None,
                        client: None,
                        local: Some(Trouble::new(
                            Reason::IssuerNotReady,
                            "the executor has not yet said what it knows of this issuer",
                        )),
                        unusable: None,
                        outage: None,
                        checked: false,
                        answered: answered(&issuer.name),
                        warnings: Vec::new(),
                        health_warnings: Vec::new(),
                        skew: None,
                        permits: Arc::new(Semaphore::new(concurrency)),
                        outages: Arc::default(),
                        looking: false,
                    };
                    (issuer.name.clone(), authority)
                })
                .collect(),
        )
    }

    /// Takes in what the executor knows of the issuers. True when one can be asked that could not before.
    pub(crate) fn inform(&mut self, facts: &[IssuerFacts]) -> bool {
        let mut better = false;
        for facts in facts {
            let Some(authority) = self.0.get_mut(&facts.name) else { continue };
            let before = authority.usable();
            authority.inform(facts);
            better |= !before && authority.usable();
        }
        better
    }

    /// Whether some issuer of the entry can be asked at `now`.
    pub(crate) fn availability(&self, entry: &Entry, now: Timestamp) -> Availability {
        let mut unavailable = None;
        for authority in entry.issuers.iter().filter_map(|name| self.0.get(name)) {
            match authority.trouble() {
                None => return Availability::Ready,
                Some(trouble) => {
                    unavailable.get_or_insert_with(|| Availability::Unavailable {
                        trouble: trouble.clone(),
                        next_look: authority.next_look(now),
                    });
                }
            }
        }
        unavailable.unwrap_or_else(|| Availability::Unavailable {
            trouble: Trouble::new(Reason::IssuerNotReady, "the entry's issuers are not configured"),
            next_look: now.plus(LONGEST_LOOK),
        })
    }

    /// The entry's issuers that have a client, those that can be asked first.
    pub(crate) fn doors(&self, entry: &Entry) -> Vec<Door> {
        let door = |authority: &Authority| {
            Some(Door {
                name: authority.settings.name.clone(),
                client: authority.client.clone()?,
                permits: authority.permits.clone(),
                outages_before: authority.outages.load(Ordering::Relaxed),
                outages: authority.outages.clone(),
            })
        };
        let known: Vec<&Authority> = entry.issuers.iter().filter_map(|name| self.0.get(name)).collect();
        let (usable, other): (Vec<_>, Vec<_>) = known.into_iter().partition(|authority| authority.usable());
        usable.into_iter().chain(other).filter_map(door).collect()
    }

    /// An issuer answered: a certificate, or a refusal of its own. True when it did not before: it was out of
    /// reach, or had never answered.
    pub(crate) fn answered(&mut self, name: &IssuerName, skew: Option<i64>) -> bool {
        let Some(authority) = self.0.get_mut(name) else { return false };
        authority.skew = skew.or(authority.skew);
        let first = !std::mem::replace(&mut authority.answered, true);
        authority.outage.take().is_some() || first
    }

    /// The clock was set: looks that were put off to a time under the old one are due.
    pub(crate) fn clock_set(&mut self, now: Timestamp) {
        for outage in self.0.values_mut().filter_map(|authority| authority.outage.as_mut()) {
            outage.next_look = outage.next_look.min(now);
        }
    }

    /// An issuer could not be reached.
    pub(crate) fn unreachable(&mut self, name: &IssuerName, trouble: Trouble, now: Timestamp) {
        let Some(authority) = self.0.get_mut(name) else { return };
        let looks = authority.outage.as_ref().map_or(0, |outage| outage.looks) + 1;
        let pause = Duration::from_secs(1 << looks.min(4)).min(LONGEST_LOOK);
        let trouble = if authority.answered || trouble.reason != Reason::CaUnreachable {
            trouble
        } else {
            Trouble::new(Reason::IssuerNotReady, format!("{} It has never answered so far.", trouble.message))
        };
        authority.outages.fetch_add(1, Ordering::Relaxed);
        authority.outage = Some(Outage { trouble, looks, next_look: now.plus(pause) });
    }

    /// Issuers to look at now, and how. Each must be reported back with [`Self::looked`].
    pub(crate) fn due_looks(&mut self, now: Timestamp) -> Vec<(IssuerName, Look)> {
        self.0
            .values_mut()
            .filter_map(|authority| {
                let look = authority.look(now)?;
                authority.looking = true;
                Some((authority.settings.name.clone(), look))
            })
            .collect()
    }

    /// When an issuer is to be looked at next, if one is.
    pub(crate) fn next_look(&self) -> Option<Timestamp> {
        let outages = self.0.values().filter(|authority| !authority.looking);
        outages.filter_map(|authority| Some(authority.outage.as_ref()?.next_look)).min()
    }

    /// A look ended. True when the issuer can be asked again.
    pub(crate) fn looked(
        &mut self,
        name: &IssuerName,
        result: Result<Health, Trouble>,
        now: Timestamp,
    ) -> bool {
        let Some(authority) = self.0.get_mut(name) else { return false };
        authority.looking = false;
        authority.checked = true;
        match result {
            Ok(health) => {
                authority.health_warnings = health.warnings;
                self.answered(name, health.clock_skew);
                true
            }
            Err(trouble) => {
                self.unreachable(name, trouble, now);
                false
            }
        }
    }

    /// The issuers' part of the status document.
    pub(crate) fn report(&self) -> Vec<IssuerStatus> {
        self.0
            .values()
            .map(|authority| IssuerStatus {
                name: authority.settings.name.to_string(),
                ready: authority.usable(),
                problem: authority.trouble().map(|trouble| trouble.message.clone()),
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
    fn usable(&self) -> bool {
        self.trouble().is_none()
    }

    fn trouble(&self) -> Option<&Trouble> {
        let outage = self.outage.as_ref().map(|outage| &outage.trouble);
        self.local.as_ref().or(self.unusable.as_ref()).or(outage)
    }

    fn next_look(&self, now: Timestamp) -> Timestamp {
        self.outage.as_ref().map_or(now.plus(LONGEST_LOOK), |outage| outage.next_look)
    }

    fn inform(&mut self, facts: &IssuerFacts) {
        self.warnings.clone_from(&facts.warnings);
        self.local.clone_from(&facts.trouble);
        if self.roots == facts.roots {
            return;
        }
        self.roots.clone_from(&facts.roots);
        self.outage = None;
        self.client = None;
        self.unusable = None;
        self.checked = false;
        let Some(roots) = &self.roots else { return };
        match client(&self.settings, roots) {
            Ok(client) => self.client = Some(client),
            Err(trouble) => self.unusable = Some(trouble),
        }
    }

    /// How to look at this issuer now, if it is time to.
    fn look(&self, now: Timestamp) -> Option<Look> {
        if self.looking || self.outage.as_ref().is_some_and(|outage| outage.next_look > now) {
            return None;
        }
        if self.roots.is_none()
            && let (TrustAnchor::Fingerprint(fingerprint), IssuerKind::StepCa(settings)) =
                (&self.settings.trust, &self.settings.kind)
        {
            return Some(Look::Root { url: settings.url.clone(), fingerprint: fingerprint.clone() });
        }
        // A CA that is well is asked once too: its version may have known weaknesses.
        if self.outage.is_none() && self.checked {
            return None;
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
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix(1_000_000);

    fn authorities() -> Authorities {
        let settings = phoenix_core::settings::Settings::parse(
            r#"
            [executor]
            target_roots = ["/mnt"]
            [[issuer]]
            name = "phoenix"
            type = "step-ca"
            url = "https://ca.internal:9000"
            root = "/mnt/root.crt"
            provisioner = "admin"
            password_file = "/mnt/password"
            "#,
            "certd.toml",
        )
        .unwrap();
        Authorities::new(&settings.issuers, 4, |_| true)
    }

    fn down() -> Trouble {
        Trouble::new(Reason::CaUnreachable, "the connection was reset")
    }

    #[test]
    fn an_answer_to_one_request_ends_the_outage_that_another_one_met() {
        let mut authorities = authorities();
        let name: IssuerName = "phoenix".parse().unwrap();
        assert!(!authorities.answered(&name, None));
        authorities.unreachable(&name, down(), NOW);
        assert!(authorities.answered(&name, None), "whoever waits is to be woken: nobody looks any more");
        assert_eq!(authorities.next_look(), None);
    }

    #[test]
    fn an_issuer_is_looked_at_although_the_clock_was_set_back() {
        let mut authorities = authorities();
        let name: IssuerName = "phoenix".parse().unwrap();
        authorities.unreachable(&name, down(), NOW.plus(Duration::from_secs(7200)));
        authorities.clock_set(NOW);
        assert_eq!(authorities.next_look(), Some(NOW));
    }
}
