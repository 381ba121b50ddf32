//! The control API: HTTP with JSON on the daemon's unix socket.
//!
//! | route | meaning |
//! |---|---|
//! | `GET /v1/status?name=NAME&brief=1` | [`StatusDocument`]; with `name`, as often as is wanted, of these entries; with `brief` each [`BriefStatus`] |
//! | `GET /v1/explain?name=NAME` | [`ExplainDocument`](crate::explain::ExplainDocument) |
//! | `GET /v1/history?name=NAME&after=SEQ&limit=N` | [`HistoryDocument`](crate::history::HistoryDocument) |
//! | `GET /v1/events?follow=1&after=SEQ&limit=N` | [`Record`](crate::history::Record)s as JSON lines; with `follow` those that come |
//! | `GET /v1/plan` | [`PlanDocument`](crate::plan::PlanDocument) of the present state |
//! | `POST /v1/plan` | [`PlanRequest`](crate::plan::PlanRequest); the same for other entries. Changes nothing |
//! | `POST /v1/renew` | [`RenewRequest`]; answered with a stream of [`Progress`] lines (JSON lines) |
//! | `POST /v1/sync` | [`SyncRequest`]; answered likewise |
//! | `POST /v1/verify` | [`VerifyRequest`]; answered likewise |
//! | `POST /v1/rollback` | [`RollbackRequest`]; answered likewise |
//!
//! Fields may be added, never renamed. Errors are [`ErrorDocument`]s with HTTP status 400, 403, 404 or 503.

pub use phoenix_core::account::{CertificateState, Deployment, StageState};
use phoenix_core::manifest::InvalidEntry;
use phoenix_core::reason::Reason;
use phoenix_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::executor::ManifestState;

/// Version of the documents.
pub const SCHEMA: u32 = 1;

/// `status --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusDocument {
    /// [`SCHEMA`].
    pub schema: u32,
    /// When the report was made.
    pub generated_at: Timestamp,
    /// The daemon itself.
    pub daemon: DaemonStatus,
    /// One report for each entry, in manifest order.
    pub certificates: Vec<CertificateStatus>,
}

/// The daemon itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonStatus {
    /// False in a report that was made from files alone.
    pub running: bool,
    /// Package version of the daemon.
    pub version: Option<String>,
    /// The manifest.
    pub manifest: ManifestStatus,
    /// The issuers.
    #[serde(default)]
    pub issuers: Vec<IssuerStatus>,
    /// Warnings that belong to no single certificate.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// The manifest file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestStatus {
    /// Its path.
    pub path: String,
    /// Changes with every change of what is in force, however fast they follow each other.
    #[serde(default)]
    pub digest: Option<String>,
    /// When the manifest in force was read.
    pub loaded_at: Option<Timestamp>,
    /// How the file relates to what is in force.
    pub state: ManifestState,
    /// What is wrong with the file.
    pub error: Option<String>,
}

/// An issuer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuerStatus {
    /// Its name.
    pub name: String,
    /// It answered last time, or has not been asked.
    pub ready: bool,
    /// What is wrong with it.
    pub problem: Option<String>,
    /// Measured difference of the CA's clock to ours, in seconds; positive when the CA is ahead.
    pub clock_skew: Option<i64>,
}

/// One certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateStatus {
    /// Name of the entry.
    pub name: String,
    /// Subject CN.
    #[serde(default)]
    pub common_name: String,
    /// Names asked for.
    #[serde(default)]
    pub sans: Vec<String>,
    /// Certificate file.
    #[serde(default)]
    pub cert_path: String,
    /// Key file.
    #[serde(default)]
    pub key_path: String,
    /// First issuer of the entry.
    #[serde(default)]
    pub issuer: String,
    /// What it is doing.
    pub state: CertificateState,
    /// Serial number, hexadecimal.
    pub serial: Option<String>,
    /// SHA-256 of the leaf, hexadecimal.
    pub fingerprint_sha256: Option<String>,
    /// Start of validity.
    pub not_before: Option<Timestamp>,
    /// End of validity.
    pub not_after: Option<Timestamp>,
    /// When it will be renewed, jitter included.
    pub renew_at: Option<Timestamp>,
    /// How far the present certificate has come.
    pub deployment: Deployment,
    /// What the consumer was seen to serve last.
    pub served: Option<Served>,
    /// Stable reason code.
    pub reason: Option<String>,
    /// Warnings.
    pub warnings: Vec<String>,
    /// Failed attempts in a row.
    pub attempts: u32,
    /// When the next attempt is made.
    pub next_attempt_at: Option<Timestamp>,
    /// The last failure, until it is overcome.
    pub last_error: Option<LastError>,
}

/// Of a [`CertificateStatus`] what a table of many entries shows.
#[derive(Clone, Debug, Serialize)]
pub struct BriefStatus<'a> {
    /// Name of the entry.
    pub name: &'a str,
    /// What it is doing.
    pub state: CertificateState,
    /// End of validity.
    pub not_after: Option<Timestamp>,
    /// When it will be renewed, jitter included.
    pub renew_at: Option<Timestamp>,
    /// How far the present certificate has come.
    pub deployment: Deployment,
    /// Stable reason code.
    pub reason: Option<&'a str>,
    /// Warnings.
    pub warnings: &'a [String],
    /// Failed attempts in a row.
    pub attempts: u32,
    /// When the next attempt is made.
    pub next_attempt_at: Option<Timestamp>,
    /// The last failure, until it is overcome.
    pub last_error: Option<&'a LastError>,
}

impl<'a> From<&'a CertificateStatus> for BriefStatus<'a> {
    fn from(whole: &'a CertificateStatus) -> Self {
        Self {
            name: &whole.name,
            state: whole.state,
            not_after: whole.not_after,
            renew_at: whole.renew_at,
            deployment: whole.deployment,
            reason: whole.reason.as_deref(),
            warnings: &whole.warnings,
            attempts: whole.attempts,
            next_attempt_at: whole.next_attempt_at,
            last_error: whole.last_error.as_ref(),
        }
    }
}

impl CertificateStatus {
    /// The account of an entry that the manifest has wrong: what of it can be told at `now`.
    pub fn wrong_in_manifest(entry: &InvalidEntry, now: Timestamp) -> Self {
        let name = entry.name.as_ref().or(entry.common_name.as_ref()).unwrap_or(&entry.path);
        let unknown = StageState::Unknown;
        Self {
            name: name.clone(),
            common_name: entry.common_name.clone().unwrap_or_default(),
            sans: Vec::new(),
            cert_path: String::new(),
            key_path: String::new(),
            issuer: String::new(),
            state: CertificateState::Invalid,
            serial: None,
            fingerprint_sha256: None,
            not_before: None,
            not_after: None,
            renew_at: None,
            deployment: Deployment {
                written: unknown,
                delivered: unknown,
                activated: unknown,
                verified: unknown,
            },
            served: None,
            reason: Some(Reason::ManifestError.code().to_owned()),
            warnings: Vec::new(),
            attempts: 0,
            next_attempt_at: None,
            last_error: Some(LastError {
                stage: "observe".to_owned(),
                message: format!("{}: {}", entry.path, entry.problems.join("; ")),
                at: now,
            }),
        }
    }
}

/// What the consumer was seen to serve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    /// SHA-256 of the leaf, hexadecimal.
    pub fingerprint_sha256: String,
    /// Serial number, hexadecimal.
    pub serial: String,
    /// End of its validity.
    pub not_after: Timestamp,
    /// When it was seen.
    pub at: Timestamp,
}

/// The last failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastError {
    /// Stage that failed: `issue`, `write`, `deliver`, `activate`, `verify`.
    pub stage: String,
    /// What went wrong and what to do.
    pub message: String,
    /// When.
    pub at: Timestamp,
}

/// Stage until which a request goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Until {
    /// On the live paths.
    Written,
    /// In the guest.
    Delivered,
    /// The command succeeded.
    Activated,
    /// Seen at the consumer, or the last configured stage.
    #[default]
    Verified,
}

/// `POST /v1/renew`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewRequest {
    /// Names or full common names; empty with `all`.
    #[serde(default)]
    pub names: Vec<String>,
    /// Every entry.
    #[serde(default)]
    pub all: bool,
    /// Answer as soon as the request is recorded.
    #[serde(default)]
    pub no_wait: bool,
    /// How far to go.
    #[serde(default)]
    pub until: Until,
    /// Seconds to wait; none means 300.
    #[serde(default)]
    pub timeout: Option<u64>,
}

/// `POST /v1/sync`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncRequest {
    /// Names or full common names; empty means every entry.
    #[serde(default)]
    pub names: Vec<String>,
    /// How far to go.
    #[serde(default)]
    pub until: Until,
    /// Deliver, run and verify everything again.
    #[serde(default)]
    pub force: bool,
    /// Seconds to wait; none means 300.
    #[serde(default)]
    pub timeout: Option<u64>,
}

/// `POST /v1/verify`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyRequest {
    /// Names or full common names; empty means every entry.
    #[serde(default)]
    pub names: Vec<String>,
    /// Seconds to wait; none means 300.
    #[serde(default)]
    pub timeout: Option<u64>,
}

/// `POST /v1/rollback`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollbackRequest {
    /// Name or full common name.
    pub name: String,
    /// Seconds to wait; none means 300.
    #[serde(default)]
    pub timeout: Option<u64>,
}

/// A line of the answer to `renew`, `sync`, `verify` and `rollback`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Progress {
    /// An entry moved on.
    Stage {
        /// Name of the entry.
        name: String,
        /// What it does now, in words.
        message: String,
    },
    /// The end: one result for each entry asked for.
    End {
        /// Results in the order of the request.
        results: Vec<EntryResult>,
    },
}

/// How a request ended for one entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryResult {
    /// Name of the entry.
    pub name: String,
    /// How it ended.
    pub result: Outcome,
    /// Serial of the present certificate.
    pub serial: Option<String>,
    /// What went wrong and what happens next.
    pub error: Option<String>,
    /// Stable reason code of a wait or a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Seen at the consumer.
    Verified,
    /// The last configured stage was reached; no verification is configured.
    Unverified,
    /// Written, as asked for with `until`.
    Written,
    /// Waits for a guest or an issuer that is absent.
    Waiting,
    /// Recorded; goes on in the background.
    Accepted,
    /// Failed; goes on in the background.
    Failed,
    /// Not done in time; goes on in the background.
    Timeout,
}

/// Body of an error answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorDocument {
    /// Stable code: `no-such-name`, `forbidden`, `bad-request`, `not-ready`.
    pub code: String,
    /// A sentence for the operator.
    pub message: String,
}
