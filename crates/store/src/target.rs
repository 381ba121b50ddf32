//! What is to be written for an entry, and where.

use std::collections::BTreeSet;

use phoenix_core::manifest::{Entry, Owner};
use phoenix_core::name::AbsolutePath;
use phoenix_core::reason::Trouble;
use serde::{Deserialize, Serialize};

use crate::pair::sha256_hex;
use crate::roots::TargetRoots;

/// What a live file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// Intermediates.
    Chain,
    /// Roots bundle.
    Ca,
    /// Private key.
    Key,
    /// Leaf and intermediates.
    Cert,
    /// Leaf, intermediates and key in one file.
    Pair,
}

impl Role {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Chain => "chain",
            Self::Ca => "ca",
            Self::Key => "key",
            Self::Cert => "cert",
            Self::Pair => "pair",
        }
    }
}

/// A live file as the manifest wants it.
#[derive(Clone, Debug)]
pub(crate) struct TargetFile {
    pub(crate) role: Role,
    pub(crate) path: AbsolutePath,
    pub(crate) mode: u16,
}

/// The live files of an entry in the order of their renames: companions first, then the key, then the
/// certificate.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) key_path: AbsolutePath,
    pub(crate) files: Vec<TargetFile>,
    pub(crate) owner: Option<Owner>,
    /// What a command or an adopted pair left behind as owner and mode is kept when the own copy is put back.
    pub(crate) has_command: bool,
}

impl Target {
    pub(crate) fn of(entry: &Entry) -> Self {
        let file = |role, path: &AbsolutePath, mode| TargetFile { role, path: path.clone(), mode };
        let (cert_mode, key_mode) = (entry.cert_mode.0, entry.key_mode.0);
        let mut files = Vec::new();
        files.extend(entry.chain_path.iter().map(|path| file(Role::Chain, path, cert_mode)));
        files.extend(entry.ca_path.iter().map(|path| file(Role::Ca, path, cert_mode)));
        if entry.combined() {
            files.push(file(Role::Pair, &entry.key_path, key_mode));
        } else {
            files.push(file(Role::Key, &entry.key_path, key_mode));
            files.push(file(Role::Cert, &entry.cert_path, cert_mode));
        }
        Self {
            key_path: entry.key_path.clone(),
            files,
            owner: entry.owner.clone(),
            has_command: entry.command.is_some(),
        }
    }

    /// The live paths.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &AbsolutePath> {
        self.files.iter().map(|file| &file.path)
    }

    pub(crate) fn combined(&self) -> bool {
        self.files.iter().any(|file| file.role == Role::Pair)
    }
}

/// Name of an entry's directory in the state: SHA-256 of its key path, in hexadecimal.
pub(crate) fn state_name(key_path: &AbsolutePath) -> String {
    sha256_hex(key_path.as_str().as_bytes())
}

/// The roots that hold these paths.
pub(crate) fn lanes<'a>(
    roots: &TargetRoots,
    paths: impl IntoIterator<Item = &'a AbsolutePath>,
) -> Result<BTreeSet<usize>, Trouble> {
    paths.into_iter().map(|path| roots.find(path)).collect()
}
