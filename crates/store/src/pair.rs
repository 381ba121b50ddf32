//! The values that callers pass in and get back.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use phoenix_core::facts::{Baseline, FileFact, LeafFacts};
use phoenix_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// A pair that has passed every check and may be installed or adopted.
pub struct NewPair {
    /// Private key, PEM.
    pub key_pem: Zeroizing<Vec<u8>>,
    /// Leaf, then intermediates, PEM.
    pub cert_pem: Vec<u8>,
    /// Intermediates alone, PEM; empty when the root issued the leaf itself.
    pub chain_pem: Vec<u8>,
    /// Roots bundle, PEM; without it `ca_path` is left alone.
    pub roots_pem: Option<Vec<u8>>,
    /// Facts of the leaf.
    pub leaf: LeafFacts,
    /// What the chain was found to lead to.
    pub vouched: Vouched,
    /// Time of the installation or adoption.
    pub at: Timestamp,
}

/// What a chain was found to lead to when its signatures were verified. The same bytes need not be verified again for
/// as long as the same roots count and the time lies in between.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vouched {
    /// Digest of the roots.
    pub by: String,
    /// When the last of the certificates after the leaf has become valid.
    pub from: Timestamp,
    /// When the first of them expires.
    pub until: Timestamp,
}

impl fmt::Debug for NewPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewPair").field("leaf", &self.leaf).field("at", &self.at).finish_non_exhaustive()
    }
}

/// A file at a live path as it was found.
#[derive(Clone)]
pub enum LiveFile {
    /// There is no such file.
    Missing,
    /// Something is there that must not be read: a symlink, directory, FIFO, device, or too much.
    Unreadable {
        /// What is wrong, for people.
        why: String,
    },
    /// A regular file.
    Present(LiveContent),
}

/// Content and attributes of a regular file.
#[derive(Clone)]
pub struct LiveContent {
    /// The whole content. May be a private key.
    pub bytes: Zeroizing<Vec<u8>>,
    /// Owner's user id.
    pub uid: u32,
    /// Owner's group id.
    pub gid: u32,
    /// Permission bits.
    pub mode: u16,
    /// SHA-256 of the content, lower-case hexadecimal.
    pub sha256: String,
}

impl LiveFile {
    /// The public facts.
    pub fn fact(&self) -> FileFact {
        match self {
            Self::Missing => FileFact::Missing,
            Self::Unreadable { why } => FileFact::Unreadable { why: why.clone() },
            Self::Present(found) => FileFact::Present {
                uid: found.uid,
                gid: found.gid,
                mode: found.mode,
                sha256: found.sha256.clone(),
            },
        }
    }

    /// The content of a regular file.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Present(found) => Some(&found.bytes),
            _ => None,
        }
    }
}

impl fmt::Debug for LiveFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fact().fmt(f)
    }
}

/// The live files of an entry, read at one moment.
#[derive(Debug)]
pub struct LiveFiles {
    /// The certificate file.
    pub cert: LiveFile,
    /// The key file; the same content as `cert` when the entry is combined.
    pub key: LiveFile,
    /// The file at `chain_path`; none when the entry has no such path.
    pub chain: Option<LiveFile>,
    /// The file at `ca_path`; none when the entry has no such path.
    pub ca: Option<LiveFile>,
    /// Owner and mode that the manifest asks for, resolved against the directories as they are now.
    pub wanted: Result<Baseline, phoenix_core::reason::Trouble>,
}

impl LiveFiles {
    /// Owner and mode of the two files as they are, when both are there.
    pub fn baseline(&self) -> Option<Baseline> {
        let triple = |file: &LiveFile| match file {
            LiveFile::Present(found) => Some((found.uid, found.gid, found.mode)),
            _ => None,
        };
        Some(Baseline { cert: triple(&self.cert)?, key: triple(&self.key)? })
    }
}

/// SHA-256 as lower-case hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

/// Lower-case hexadecimal without separators.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
