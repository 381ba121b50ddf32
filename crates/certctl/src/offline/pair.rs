//! The pair on the live paths, as far as this user may read it.

use std::io;
use std::path::Path;

use phoenix_core::facts::LeafFacts;
use phoenix_core::manifest::Entry;
use phoenix_x509::{Chain, KeyPair};

use crate::files;

/// Largest key file that is read. A combined file holds a chain too.
const MAX_KEY: usize = Chain::MAX_BYTES;

/// What lies on the live paths of an entry.
#[derive(Debug, Default)]
pub struct Files {
    /// Something lies on the path of the certificate.
    pub cert_exists: bool,
    /// Something lies on the path of the key.
    pub key_exists: bool,
    /// The certificates.
    pub chain: Option<Chain>,
    /// SHA-256 of the key's SubjectPublicKeyInfo, where it could be read.
    pub key_public: Option<String>,
    /// This user may not read the key.
    pub key_hidden: bool,
    /// Something on one of the paths is not what it should be: a sentence.
    pub unreadable: Option<String>,
}

impl Files {
    /// The leaf, if there is a readable one.
    pub fn leaf(&self) -> Option<&LeafFacts> {
        self.chain.as_ref().map(Chain::leaf_facts)
    }

    /// Key and certificate belong together, as far as is known.
    pub fn matches(&self) -> bool {
        match (self.leaf(), &self.key_public) {
            (Some(leaf), Some(key)) => leaf.public_key == *key,
            (_, None) => self.key_hidden,
            (None, _) => false,
        }
    }

    /// Key and certificate belong together; none while one of them could not be read.
    pub fn key_matches(&self) -> Option<bool> {
        Some(self.leaf()?.public_key == *self.key_public.as_ref()?)
    }
}

/// Reads the pair of `entry`.
pub fn read_pair(entry: &Entry) -> Files {
    let mut found = Files::default();
    let wrong = |path: &Path, why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    let cert = entry.cert_path.as_path();
    match files::read(cert, Chain::MAX_BYTES) {
        Err(error) if is_absent(&error) => {}
        Err(error) => found.unreadable = Some(wrong(cert, &error)),
        Ok(bytes) => match Chain::from_pem(&bytes) {
            Ok(chain) => found.chain = Some(chain),
            Err(error) => found.unreadable = Some(wrong(cert, &error)),
        },
    }
    found.cert_exists = found.chain.is_some() || found.unreadable.is_some();
    read_key(entry.key_path.as_path(), &mut found, wrong);
    found
}

fn read_key(path: &Path, found: &mut Files, wrong: impl Fn(&Path, &dyn std::fmt::Display) -> String) {
    found.key_exists = true;
    let problem = match files::read_secret(path, MAX_KEY) {
        Err(error) if is_absent(&error) => {
            found.key_exists = false;
            return;
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            found.key_hidden = true;
            return;
        }
        Err(error) => wrong(path, &error),
        Ok(bytes) => match KeyPair::from_pem(&bytes) {
            Ok(key) => {
                found.key_public = Some(key.public_key_sha256());
                return;
            }
            Err(error) => wrong(path, &error),
        },
    };
    found.unreadable.get_or_insert(problem);
}

/// There is no such file.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
