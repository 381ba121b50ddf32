//! The report when the daemon cannot be asked: made from the manifest and the certificate files alone.
//!
//! What only the daemon and the executor know (deliveries, commands, failures, the jitter) stays unknown.

mod pair;
mod trust;

use phoenix_core::manifest::{Context, Entry, Manifest, Stage};
use phoenix_core::reason::Reason;
use phoenix_core::rules::{self, Finding, Pair, RENEW};
use phoenix_core::schedule::{self, Jitter};
use phoenix_core::settings::Settings;
use phoenix_core::time::Timestamp;
use phoenix_protocol::control::{
    CertificateState, CertificateStatus, DaemonStatus, Deployment, ManifestStatus, SCHEMA, StageState,
    StatusDocument,
};
use phoenix_protocol::executor::ManifestState;

use crate::config::{self, MAX_MANIFEST};

pub use pair::{Files, read_pair};
pub use trust::{Anchors, Trust};

/// What can be said of every entry at the time `now` without the daemon.
pub fn report(settings: &Settings, now: Timestamp) -> StatusDocument {
    let path = settings.manifest.as_path();
    let (manifest, state, error) = match config::read_text(path, MAX_MANIFEST) {
        Ok(text) => {
            let parsed = Manifest::parse(&text, &Context::of(settings));
            match parsed.manifest {
                Some(manifest) => (Some(manifest), ManifestState::Loaded, None),
                None => (None, ManifestState::Stale, Some(parsed.diagnostics.to_string())),
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            (None, ManifestState::Missing, Some("there is no such file".to_owned()))
        }
        Err(error) => (None, ManifestState::Stale, Some(format!("it cannot be read: {error}"))),
    };
    let (certificates, hidden) = manifest.map_or_else(Default::default, |m| certificates(&m, settings, now));
    StatusDocument {
        schema: SCHEMA,
        generated_at: now,
        daemon: DaemonStatus {
            running: false,
            version: None,
            manifest: ManifestStatus {
                path: settings.manifest.to_string(),
                digest: None,
                loaded_at: None,
                state,
                error,
            },
            issuers: Vec::new(),
            warnings: hidden_keys(hidden).into_iter().collect(),
        },
        certificates,
    }
}

/// The entries, and how many keys could not be read.
fn certificates(manifest: &Manifest, settings: &Settings, now: Timestamp) -> (Vec<CertificateStatus>, usize) {
    let anchors = Anchors::read(&settings.issuers);
    let mut hidden = 0;
    let mut all = Vec::new();
    for entry in &manifest.entries {
        let files = read_pair(entry);
        hidden += usize::from(files.key_hidden);
        let mut status = certificate(entry, &files, &anchors, now);
        status.warnings.extend_from_slice(manifest.warnings(&entry.name));
        all.push(status);
    }
    all.extend(manifest.invalid.iter().map(|entry| CertificateStatus::wrong_in_manifest(entry, now)));
    (all, hidden)
}

fn hidden_keys(count: usize) -> Option<String> {
    (count > 0).then(|| {
        format!(
            "{count} private keys cannot be read by this user; whether they belong to their certificates was \
             not checked"
        )
    })
}

fn certificate(entry: &Entry, files: &Files, anchors: &Anchors, now: Timestamp) -> CertificateStatus {
    let leaf = files.leaf();
    let renew_at = leaf.map(|leaf| schedule::renew_at(leaf, entry, Jitter::default()));
    let trust = files.chain.as_ref().map(|chain| anchors.judge(&entry.issuers, chain, now));
    let pair = Pair {
        entry,
        leaf,
        present: files.cert_exists && files.key_exists,
        unreadable: files.unreadable.as_deref(),
        matches: files.matches(),
        trusted: trust.and_then(Trust::verdict),
        revoked: false,
        adopted: true,
        renew_at,
        now,
    };
    let finding = rules::first(RENEW, &pair);
    let state = state(entry, files, finding.as_ref());
    let (reason, message) = explain(entry, state, finding);
    CertificateStatus {
        name: entry.name.to_string(),
        common_name: entry.common_name.clone(),
        sans: entry.sans.iter().map(ToString::to_string).collect(),
        cert_path: entry.cert_path.to_string(),
        key_path: entry.key_path.to_string(),
        issuer: entry.issuers.first().map(ToString::to_string).unwrap_or_default(),
        state,
        serial: leaf.map(|leaf| leaf.serial.clone()),
        fingerprint_sha256: leaf.map(|leaf| leaf.fingerprint.clone()),
        not_before: leaf.map(|leaf| leaf.not_before),
        not_after: leaf.map(|leaf| leaf.not_after),
        renew_at: renew_at.filter(|_| !entry.paused),
        deployment: deployment(entry, files),
        served: None,
        reason: reason.map(|reason| reason.code().to_owned()),
        warnings: message.into_iter().collect(),
        attempts: 0,
        next_attempt_at: None,
        last_error: None,
    }
}

/// Where several fit, the first of the control API's order.
fn state(entry: &Entry, files: &Files, finding: Option<&Finding>) -> CertificateState {
    let judged = match finding.map(|finding| finding.reason) {
        None => CertificateState::Ok,
        Some(Reason::Missing) if !files.cert_exists && !files.key_exists => CertificateState::Missing,
        Some(Reason::Expired) => CertificateState::Expired,
        Some(Reason::NamesDiffer | Reason::KeyType | Reason::Eku | Reason::Due) => CertificateState::Due,
        Some(_) => CertificateState::Invalid,
    };
    match judged {
        CertificateState::Due | CertificateState::Ok if entry.paused => CertificateState::Paused,
        CertificateState::Due | CertificateState::Ok if !entry.stage_errors.is_empty() => {
            CertificateState::Blocked
        }
        judged => judged,
    }
}

/// Reason and sentence for the state.
fn explain(
    entry: &Entry,
    state: CertificateState,
    finding: Option<Finding>,
) -> (Option<Reason>, Option<String>) {
    match (state, finding) {
        (CertificateState::Paused, _) => (Some(Reason::Paused), None),
        (CertificateState::Blocked, _) => {
            let message = entry.stage_errors.first().map(|error| error.message.clone());
            (Some(Reason::ManifestError), message)
        }
        // The state says it all.
        (CertificateState::Expired | CertificateState::Missing, Some(finding)) => {
            (Some(finding.reason), None)
        }
        (_, Some(finding)) if finding.reason == Reason::Due => (Some(finding.reason), None),
        (_, Some(finding)) => (Some(finding.reason), Some(finding.message)),
        (_, None) => (None, None),
    }
}

fn deployment(entry: &Entry, files: &Files) -> Deployment {
    let later = |configured, stage| match (configured, entry.stage_error(stage)) {
        (_, Some(_)) => StageState::Failed,
        (true, None) => StageState::Unknown,
        (false, None) => StageState::None,
    };
    let written = match files.leaf() {
        Some(_) if files.matches() => StageState::Done,
        Some(_) => StageState::Failed,
        None if files.unreadable.is_some() => StageState::Unknown,
        None => StageState::Pending,
    };
    Deployment {
        written,
        delivered: later(entry.delivers(), Stage::Deliver),
        activated: later(entry.command.is_some(), Stage::Activate),
        verified: later(!entry.verify.is_empty(), Stage::Verify),
    }
}
