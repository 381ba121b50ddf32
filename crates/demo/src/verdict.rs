//! Whether everything was issued and renewed.

use std::collections::{BTreeMap, BTreeSet};

use phoenix_protocol::control::{CertificateStatus, StageState, StatusDocument};

/// What was seen of each certificate.
#[derive(Default)]
pub(crate) struct Verdict(BTreeMap<String, BTreeSet<String>>);

impl Verdict {
    /// Takes in a status: a certificate counts once its command has succeeded for it.
    pub(crate) fn see(&mut self, document: &StatusDocument) {
        for certificate in &document.certificates {
            let serials = self.0.entry(certificate.name.clone()).or_default();
            if let (Some(serial), true) = (&certificate.serial, is_deployed(certificate)) {
                serials.insert(serial.clone());
            }
        }
    }

    /// How many certificates of this entry were seen in use.
    pub(crate) fn seen(&self, name: &str) -> usize {
        self.0.get(name).map_or(0, BTreeSet::len)
    }

    /// Every entry had a first certificate and a later one, both with a successful command.
    pub(crate) fn everything_renewed(&self) -> bool {
        !self.0.is_empty() && self.0.values().all(|serials| serials.len() >= 2)
    }
}

fn is_deployed(certificate: &CertificateStatus) -> bool {
    certificate.deployment.written == StageState::Done && certificate.deployment.activated == StageState::Done
}
