//! Facts of the issuers, and `trust`.

use phoenix_core::manifest::Entry;
use phoenix_core::name::IssuerName;
use phoenix_core::reason::{Reason, Trouble};
use phoenix_core::settings::{IssuerKind, IssuerSettings, PasswordSource, ProvisionerSettings};
use phoenix_protocol::executor::{Answer, IssuerFacts};
use phoenix_x509::Chain;

use super::Executor;
use super::observe::require_own;
use crate::anchors::password::Password;
use crate::anchors::writable_warning;
use crate::authority::digest_of;
use crate::clock;

impl Executor {
    /// Public facts of all issuers.
    pub(super) fn issuer_facts(&self) -> Vec<IssuerFacts> {
        let mut facts = self.anchors.facts();
        for (fact, issuer) in facts.iter_mut().zip(&self.settings.issuers) {
            add_passwords(fact, issuer);
            fact.warnings.extend(self.bundles_without(&issuer.name));
        }
        facts
    }

    /// Takes over a root that was fetched by fingerprint.
    pub(super) fn trust(&self, issuer: &IssuerName, root: &str) -> Result<Answer, Trouble> {
        self.anchors.trust(issuer, root)?;
        Ok(Answer::Issuers { issuers: self.issuer_facts() })
    }

    /// Brings the roots bundle of an entry to what is pinned for the issuer of its present certificate.
    pub(super) fn install_roots(&self, entry: &Entry) -> Result<Answer, Trouble> {
        let store = self.store_of(entry);
        let own = require_own(&store, entry)?;
        let chain = Chain::from_pem(own.cert_pem()?).map_err(|error| {
            let message = format!("our own copy of `{}` is damaged: {error}", entry.name);
            Trouble::new(Reason::Internal, message)
        })?;
        let roots = self.roots_of(entry, &chain, clock::now()).ok_or_else(|| {
            let message = format!(
                "The present certificate of `{}` leads to no root that is pinned now: the next one brings its roots.",
                entry.name
            );
            Trouble::new(Reason::Issuer, message)
        })?;
        if store.exchange_roots(self.bundle(entry, &roots).into_bytes())? {
            tracing::info!(name = %entry.name, roots = ?roots.fingerprints(), "roots installed");
        }
        Ok(Answer::Observed(Box::new(self.observe(entry)?)))
    }
}

/// Adds what there is to say about an issuer's password files, without reading them.
fn add_passwords(fact: &mut IssuerFacts, issuer: &IssuerSettings) {
    let mut stamps = Vec::new();
    if let IssuerKind::StepCa(settings) = &issuer.kind {
        let first = look_at_password(&settings.provisioner, &mut fact.warnings, &mut stamps);
        fact.trouble = fact.trouble.take().or(first);
        // A client provisioner serves some entries only: without its password the issuer still works for the others.
        let second = settings.client_provisioner.as_ref();
        let second = second.and_then(|client| look_at_password(client, &mut fact.warnings, &mut stamps));
        fact.warnings.extend(second.map(|trouble| trouble.message));
    }
    fact.version = digest_of(&(&fact.fingerprints, stamps));
}

fn look_at_password(
    provisioner: &ProvisionerSettings,
    warnings: &mut Vec<String>,
    stamps: &mut Vec<String>,
) -> Option<Trouble> {
    let source = provisioner.password.as_ref()?;
    if let PasswordSource::File(path) = source {
        warnings.extend(writable_warning("provisioner password", path));
    }
    match Password::find(source) {
        Ok(password) => {
            stamps.push(format!("{:?}", password.stamp()));
            None
        }
        Err(trouble) => Some(trouble),
    }
}
