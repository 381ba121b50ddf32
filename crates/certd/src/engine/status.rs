//! The status document.

use phoenix_core::lifecycle::Availability;
use phoenix_core::time::Timestamp;
use phoenix_protocol::control::{CertificateStatus, DaemonStatus, ManifestStatus, SCHEMA, StatusDocument};
use phoenix_protocol::executor::ManifestState;

use super::Engine;
use super::entries::Tracked;
use crate::clock::now;
use crate::report;

impl Engine {
    pub(super) fn status(&self) -> StatusDocument {
        let at = now();
        let manifest = match &self.manifest {
            Some(facts) => ManifestStatus {
                path: facts.path.clone(),
                digest: Some(facts.digest.clone()),
                loaded_at: facts.loaded_at,
                state: facts.state,
                error: facts.error.clone(),
            },
            None => ManifestStatus {
                path: self.settings.manifest.to_string(),
                digest: None,
                loaded_at: None,
                state: ManifestState::Missing,
                error: Some("the executor has not answered yet".into()),
            },
        };
        StatusDocument {
            schema: SCHEMA,
            generated_at: at,
            daemon: DaemonStatus {
                running: true,
                version: Some(env!("CARGO_PKG_VERSION").into()),
                manifest,
                issuers: self.authorities.report(),
                warnings: self.warnings(),
            },
            certificates: self
                .entries
                .in_order()
                .map(|tracked| self.account(tracked, at))
                .chain(self.invalid.iter().map(|entry| CertificateStatus::wrong_in_manifest(entry, at)))
                .collect(),
        }
    }

    /// The account of one entry.
    pub(super) fn account(&self, tracked: &Tracked, at: Timestamp) -> CertificateStatus {
        let availability = self.authorities.availability(&tracked.entry, at);
        report::certificate(&Self::subject(tracked, &availability), at)
    }

    /// What is reported about an entry.
    pub(super) fn subject<'a>(tracked: &'a Tracked, availability: &'a Availability) -> report::Subject<'a> {
        report::Subject {
            entry: &tracked.entry,
            warnings: &tracked.warnings,
            state: &tracked.state,
            jitter: tracked.jitter,
            availability,
        }
    }

    /// Warnings that belong to no single certificate.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = self.authorities.warnings();
        warnings.extend(self.history.problem());
        warnings.extend(self.notices.told(now()));
        if let Some(listen) = self.settings.metrics {
            warnings.push(format!("[metrics] listen = \"{listen}\": this version serves no metrics"));
        }
        warnings
    }
}
