//! Entries in force, with their digests.

use std::collections::HashMap;
use std::sync::Arc;

use phoenix_core::manifest::{Entry, InvalidEntry, Manifest};
use phoenix_core::name::CertName;
use phoenix_core::time::Timestamp;
use serde::Serialize;

/// Largest entry, warnings included, as JSON.
const MAX_ENTRY: usize = 512 * 1024;

/// An entry in force.
#[derive(Debug)]
pub(crate) struct Known {
    /// SHA-256 of the entry as JSON, lower-case hexadecimal.
    pub(crate) digest: String,
    /// The entry.
    pub(crate) entry: Entry,
    /// Warnings of the manifest about it.
    pub(crate) warnings: Vec<String>,
}

impl Known {
    /// None for an entry that does not fit a frame of the protocol.
    fn new(entry: Entry, warnings: Vec<String>) -> Option<Self> {
        let size = serde_json::to_vec(&(&entry, &warnings)).map_or(usize::MAX, |bytes| bytes.len());
        (size <= MAX_ENTRY).then(|| Self { digest: digest_of(&entry), entry, warnings })
    }
}

/// What is said about an entry that is left out for its size, so that it does not keep the others from being seen.
fn too_large(entry: &Entry) -> InvalidEntry {
    InvalidEntry {
        path: entry.name.to_string(),
        name: Some(entry.name.to_string()),
        common_name: Some(entry.common_name.chars().take(256).collect()),
        problems: vec![format!(
            "the entry is larger than {MAX_ENTRY} bytes: shorten its names or its command"
        )],
    }
}

/// The manifest in force.
#[derive(Debug, Default)]
pub(crate) struct InForce {
    digest: String,
    text_sha256: String,
    loaded_at: Option<Timestamp>,
    entries: Vec<Arc<Known>>,
    invalid: Vec<InvalidEntry>,
    places: HashMap<CertName, usize>,
}

impl InForce {
    /// The manifest that `text` was parsed to.
    pub(crate) fn new(text: &str, manifest: &Manifest, loaded_at: Timestamp) -> Self {
        let (mut entries, mut invalid) = (Vec::new(), manifest.invalid.clone());
        for entry in &manifest.entries {
            let known = Known::new(entry.clone(), manifest.warnings(&entry.name).to_vec());
            match known {
                Some(known) => entries.push(Arc::new(known)),
                None => invalid.push(too_large(entry)),
            }
        }
        let places =
            entries.iter().enumerate().map(|(place, known)| (known.entry.name.clone(), place)).collect();
        let text_sha256 = sha256_hex(text.as_bytes());
        let parts: Vec<_> = entries.iter().map(|known| (&known.digest, &known.warnings)).collect();
        let digest = digest_of(&(&text_sha256, parts, &invalid));
        Self { digest, text_sha256, loaded_at: Some(loaded_at), entries, invalid, places }
    }

    /// Changes whenever an entry does: with the text, and with a configuration that makes other entries of the
    /// same text. Empty while nothing was ever in force.
    pub(crate) fn digest(&self) -> &str {
        &self.digest
    }

    /// Entries with errors.
    pub(crate) fn invalid(&self) -> &[InvalidEntry] {
        &self.invalid
    }

    /// This text is in force.
    pub(crate) fn is_of(&self, text: &str) -> bool {
        self.loaded_at.is_some() && self.text_sha256 == sha256_hex(text.as_bytes())
    }

    /// When the text was read.
    pub(crate) fn loaded_at(&self) -> Option<Timestamp> {
        self.loaded_at
    }

    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// All entries, in the order of the file.
    pub(crate) fn entries(&self) -> &[Arc<Known>] {
        &self.entries
    }

    /// The entry of this name.
    pub(crate) fn get(&self, name: &CertName) -> Option<&Arc<Known>> {
        self.entries.get(*self.places.get(name)?)
    }
}

/// SHA-256 of a value as JSON: equal exactly for equal values, because fields keep their order.
pub(crate) fn digest_of(value: &impl Serialize) -> String {
    // Only maps with keys that are no strings and failing `Serialize` implementations are refused; the types of
    // the manifest have neither. An empty text would only make different entries look equal to the daemon.
    sha256_hex(&serde_json::to_vec(value).unwrap_or_default())
}

/// SHA-256 as lower-case hexadecimal.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    phoenix_store::sha256_hex(bytes)
}
