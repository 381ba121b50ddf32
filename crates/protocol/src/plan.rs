//! `plan`: what the present state, or an edit of the manifest, would cause.

use phoenix_core::explanation::Step;
use phoenix_core::explanation::change::Difference;
use phoenix_core::manifest::{Entry, InvalidEntry};
use phoenix_core::time::Timestamp;
use serde::{Deserialize, Serialize};

/// `POST /v1/plan`: entries as a candidate for the manifest has them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanRequest {
    /// Those that work.
    pub entries: Vec<Entry>,
    /// Those with errors.
    #[serde(default)]
    pub invalid: Vec<InvalidEntry>,
}

/// `GET /v1/plan` and the answer to `POST /v1/plan`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanDocument {
    /// [`SCHEMA`](crate::control::SCHEMA).
    pub schema: u32,
    /// When the document was made.
    pub generated_at: Timestamp,
    /// Every entry, in the order of the candidate, those that it no longer has at the end.
    pub certificates: Vec<Planned>,
}

/// What happens to an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// Its name.
    pub name: String,
    /// What it is known by across edits.
    pub key_path: Option<String>,
    /// How it differs from the entry in force.
    pub change: Change,
    /// Fields that differ.
    pub differences: Vec<Difference>,
    /// What is going to happen when everything goes well; the last step says what it waits for.
    pub steps: Vec<Step>,
    /// The command that is run where a step says so.
    pub command: Option<Vec<String>>,
    /// The guest that is delivered to where a step says so.
    pub guest: Option<String>,
    /// What else there is to know.
    pub remarks: Vec<String>,
}

/// How an entry of a candidate differs from the one in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// Not at all.
    Unchanged,
    /// There is none.
    New,
    /// In some fields.
    Changed,
    /// The candidate has none.
    Removed,
    /// The candidate has it wrong: nothing is done for it.
    Invalid,
}
