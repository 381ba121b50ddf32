//! What happened: the records of `history` and `events`.
//!
//! Records are JSON lines. Fields and kinds may be added, never renamed; a reader passes over kinds that it does not
//! know.

use phoenix_core::lifecycle::{Reach, Stage, Work};
use phoenix_core::reason::Reason;
use phoenix_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::executor::{ManifestState, Run};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Counts all records of an installation; never used twice, but numbers may be missing.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// Names of the entries that it is about; none when it is about all of them, or about none in particular.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// What.
    #[serde(flatten)]
    pub what: Happening,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Happening {
    /// The daemon was started.
    Started {
        /// Its package version.
        version: String,
    },
    /// The daemon was told to end.
    Stopped,
    /// Something was decided and begun.
    Begun {
        /// What.
        work: Work,
        /// Why: the stable code.
        reason: Option<Reason>,
        /// Why, in a sentence.
        message: String,
    },
    /// It ended well.
    Done {
        /// What.
        work: Work,
        /// Serial of the certificate that is on the live paths now.
        serial: Option<String>,
    },
    /// Something failed, or cannot go on.
    Failed {
        /// Stage that failed.
        stage: Stage,
        /// The stable code.
        reason: Reason,
        /// The full text.
        message: String,
        /// Failed attempts in a row.
        attempts: u32,
        /// When the next attempt is made.
        next_attempt_at: Option<Timestamp>,
    },
    /// An operator asked for something.
    Ordered {
        /// `renew`, `sync`, `verify` or `rollback`.
        order: String,
        /// User id of who asked, if the kernel told.
        uid: Option<u32>,
        /// How far to go.
        reach: Reach,
        /// Of how many entries.
        entries: usize,
        /// Everything again (`sync --force`).
        force: bool,
    },
    /// A program was run by the executor.
    Ran {
        /// Which, for how long, and how it ended.
        run: Run,
    },
    /// An issuer cannot be asked any more.
    IssuerLost {
        /// Which.
        issuer: String,
        /// The stable code.
        reason: Reason,
        /// Why.
        message: String,
    },
    /// An issuer can be asked again.
    IssuerBack {
        /// Which.
        issuer: String,
    },
    /// A manifest came into force, or one was refused.
    Manifest {
        /// How the file relates to what is in force.
        state: ManifestState,
        /// What is wrong with the file.
        error: Option<String>,
    },
    /// An entry came into the manifest.
    Added,
    /// The manifest's wishes for an entry changed.
    Changed {
        /// Fields that differ.
        fields: Vec<String>,
    },
    /// An entry left the manifest. No file was touched.
    Removed,
    /// The clock was set.
    ClockSet,
    /// Records were lost because they came faster than the disk took them, or because it took none.
    Lost {
        /// How many.
        records: u64,
    },
}

/// `GET /v1/history`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryDocument {
    /// [`SCHEMA`](crate::control::SCHEMA).
    pub schema: u32,
    /// When the document was made.
    pub generated_at: Timestamp,
    /// Records, oldest first. Kept as JSON, so that kinds of a newer daemon pass through.
    pub records: Vec<serde_json::Value>,
    /// Why records may be missing: the disk took none.
    pub problem: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_flat_object() {
        let record = Record {
            seq: 7,
            at: Timestamp::from_unix(0),
            names: vec!["a".into()],
            what: Happening::Done { work: Work::Install, serial: Some("1f".into()) },
        };
        let text = r#"{"seq":7,"at":"1970-01-01T00:00:00Z","names":["a"],"event":"done","work":"install","serial":"1f"}"#;
        assert_eq!(serde_json::to_string(&record).unwrap(), text);
        assert_eq!(serde_json::from_str::<Record>(text).unwrap(), record);
    }
}
