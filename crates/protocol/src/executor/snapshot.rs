//! What the executor holds to be true of manifest, issuers and programs: the daemon takes it as a whole.

use phoenix_core::manifest::{Entry, InvalidEntry};
use phoenix_core::name::IssuerName;
use phoenix_core::reason::Trouble;
use phoenix_core::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The manifest in force, as far as it fits one frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// State of the manifest.
    pub manifest: ManifestFacts,
    /// Public facts of every issuer.
    pub issuers: Vec<IssuerFacts>,
    /// How many entries there are in all.
    pub total: usize,
    /// Entries from the requested offset on.
    pub entries: Vec<SnapshotEntry>,
    /// Entries with errors, for which nothing is done: on the first page, as far as they fit.
    #[serde(default)]
    pub invalid: Vec<InvalidEntry>,
    /// Programs that commands may name, in the order of the configuration.
    #[serde(default)]
    pub programs: Vec<ProgramFacts>,
}

/// How a program that commands may name is confined on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramFacts {
    /// Its path.
    pub path: String,
    /// Name of its profile: `strict`, `guest` or `plain`.
    pub profile: String,
    /// Stable names of the measures that are in force, as seen when a harmless program was run under the profile.
    pub in_force: Vec<String>,
    /// Measures of the profile that this machine, or the executor's user, does not allow, each with the reason.
    pub missing: Vec<String>,
    /// Why the program is not run at all: it is missing, or others can write it.
    #[serde(default)]
    pub refused: Option<String>,
}

/// An entry in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotEntry {
    /// Digest for later requests.
    pub digest: String,
    /// The entry.
    pub entry: Entry,
    /// Warnings that belong to this entry.
    pub warnings: Vec<String>,
}

/// State of the manifest file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestFacts {
    /// Its path.
    pub path: String,
    /// Digest of the text in force; changes whenever entries may have changed.
    pub digest: String,
    /// When the manifest in force was read.
    pub loaded_at: Option<Timestamp>,
    /// How the file relates to what is in force.
    pub state: ManifestState,
    /// Diagnostics of the file, rendered for people; present when the state is not `loaded`.
    pub error: Option<String>,
}

/// How the manifest file relates to the manifest in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ManifestState {
    /// The file is in force.
    Loaded,
    /// The file is broken; an earlier version is in force.
    Stale,
    /// There is no file; an earlier version is in force, if there ever was one.
    Missing,
    /// The file or a directory above it can be written by others; an earlier version is in force.
    Untrusted,
}

/// Public facts of an issuer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuerFacts {
    /// Its name.
    pub name: IssuerName,
    /// PEM of the roots that the executor pinned; none while it has none.
    pub roots: Option<String>,
    /// SHA-256 fingerprints of these roots.
    pub fingerprints: Vec<String>,
    /// Why the issuer cannot be used now (root or password missing, root changed).
    pub trouble: Option<Trouble>,
    /// Permanent warnings such as `trust-anchor-writable`.
    pub warnings: Vec<String>,
    /// Another text whenever its roots or password files are other ones. Tells nothing else about them.
    #[serde(default)]
    pub version: String,
}
