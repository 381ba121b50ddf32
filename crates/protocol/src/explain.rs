//! `explain`: why an entry is as it is and what happens next.

use phoenix_core::explanation::Explanation;
use phoenix_core::explanation::reproduce::Reproduction;
use phoenix_core::lifecycle::{Hold, Order, Stage, Work};
use phoenix_core::reason::{Reason, RetryClass};
use phoenix_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::control::{CertificateStatus, IssuerStatus};
use crate::executor::ProgramFacts;

/// `GET /v1/explain?name=NAME`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainDocument {
    /// [`SCHEMA`](crate::control::SCHEMA).
    pub schema: u32,
    /// When the document was made.
    pub generated_at: Timestamp,
    /// The entry's part of the status document.
    pub certificate: CertificateStatus,
    /// What the reason means.
    pub meaning: Option<String>,
    /// What to do about it.
    pub advice: Option<String>,
    /// What is being done now.
    pub working: Option<Working>,
    /// Every rule with its verdict, the decision and what follows; none before the first look at the entry and for an
    /// entry that the manifest has wrong.
    pub explanation: Option<Explanation>,
    /// When the facts were gathered that the rules looked at.
    pub seen_at: Option<Timestamp>,
    /// When the entry is looked at again without any other cause.
    pub looks_at: Option<Timestamp>,
    /// Failures that have not been overcome, the weightiest first.
    pub failures: Vec<FailureReport>,
    /// Commands that show the problem, the most telling first.
    pub reproduce: Vec<Reproduction>,
    /// What an operator asked for and is not fulfilled.
    pub order: Option<Order>,
    /// How far the present certificate is allowed to go.
    pub hold: Option<Hold>,
    /// The entry's issuers.
    pub issuers: Vec<IssuerStatus>,
    /// How the program of its command is confined on this machine.
    #[serde(default)]
    pub confinement: Option<ProgramFacts>,
}

/// What is being done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Working {
    /// What.
    pub work: Work,
    /// Why: the stable code.
    pub reason: Option<Reason>,
    /// Why, in a sentence.
    pub message: Option<String>,
}

/// A failure that has not been overcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureReport {
    /// Stage that failed.
    pub stage: Stage,
    /// The stable code.
    pub reason: Reason,
    /// How it is retried.
    pub class: RetryClass,
    /// The full text.
    pub message: String,
    /// When it happened last.
    pub at: Timestamp,
    /// Failed attempts in a row.
    pub attempts: u32,
    /// When the next attempt is made.
    pub next_attempt_at: Timestamp,
}
