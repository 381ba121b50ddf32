//! What is told about one entry: its account in the status document, why it is as it is, and what an edit would cause.
//! Functions of values only.

pub mod explain;
pub mod plan;

use phoenix_core::account;
use phoenix_core::lifecycle::{Availability, State, renew_at};
use phoenix_core::manifest::Entry;
use phoenix_core::schedule::Jitter;
use phoenix_core::time::Timestamp;
use phoenix_protocol::control::{CertificateStatus, LastError, Served};

/// What is reported about.
pub struct Subject<'a> {
    /// What the manifest wants.
    pub entry: &'a Entry,
    /// Warnings about the entry itself.
    pub warnings: &'a [String],
    /// Where it stands.
    pub state: &'a State,
    /// Spread of the renewal time.
    pub jitter: Jitter,
    /// Whether an issuer can be asked.
    pub availability: &'a Availability,
}

/// The account of one certificate at `now`.
pub fn certificate(subject: &Subject<'_>, now: Timestamp) -> CertificateStatus {
    let Subject { entry, state, .. } = subject;
    let seen = state.seen.as_ref();
    let leaf = seen.and_then(|seen| {
        seen.live.leaf.as_ref().or_else(|| {
            // Without a view of the storage, our own copy tells what lies there.
            seen.target_trouble.as_ref().and(seen.own.as_ref()).map(|own| &own.leaf)
        })
    });
    let told = account::Subject { entry, state, jitter: subject.jitter, availability: subject.availability };
    let trouble = account::weightiest(state, subject.availability);
    let (condition, finding) = account::condition(&told, now);
    CertificateStatus {
        name: entry.name.to_string(),
        common_name: entry.common_name.clone(),
        sans: entry.sans.iter().map(ToString::to_string).collect(),
        cert_path: entry.cert_path.to_string(),
        key_path: entry.key_path.to_string(),
        issuer: entry.issuers.first().map(ToString::to_string).unwrap_or_default(),
        state: condition,
        serial: leaf.map(|leaf| leaf.serial.clone()),
        fingerprint_sha256: leaf.map(|leaf| leaf.fingerprint.clone()),
        not_before: leaf.map(|leaf| leaf.not_before),
        not_after: leaf.map(|leaf| leaf.not_after),
        renew_at: seen.and_then(|seen| renew_at(entry, subject.jitter, seen)),
        deployment: account::deployment(entry, state),
        served: state.memory.served.as_ref().map(|served| Served {
            fingerprint_sha256: served.fingerprint.clone(),
            serial: served.serial.clone(),
            not_after: served.not_after,
            at: served.at,
        }),
        reason: finding.map(|reason| reason.code().to_owned()),
        warnings: warnings(subject),
        attempts: trouble.as_ref().map_or(0, |(_, failure)| failure.attempts),
        next_attempt_at: trouble.as_ref().map(|(_, failure)| failure.next_attempt_at),
        last_error: trouble.map(|(stage, failure)| LastError {
            stage: stage.as_str().to_owned(),
            message: failure.trouble.message,
            at: failure.at,
        }),
    }
}

/// About the entry, about its certificate, and about records that are not as they were left.
fn warnings(subject: &Subject<'_>) -> Vec<String> {
    let memory = &subject.state.memory;
    let set_aside = subject.state.seen.iter().flat_map(|seen| &seen.set_aside).map(|path| {
        format!(
            "a damaged record was set aside as {path}; what it held is forgotten. Remove the file when you have \
             seen to the cause"
        )
    });
    let noticed = memory.notices.iter().map(|notice| format!("noticed at {}: {}", notice.at, notice.text));
    let lasting = subject.warnings.iter().chain(&memory.warnings).chain(&memory.remarks).cloned();
    lasting.chain(set_aside).chain(noticed).collect()
}

#[cfg(test)]
mod tests;
