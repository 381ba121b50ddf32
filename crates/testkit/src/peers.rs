//! The real peers: which ones, and where they are kept outside the tree.
//!
//! `cargo xtask peers` builds them; this module only says where they lie. The name of a built server contains a
//! key of the script that built it, so that a changed script means a new build.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

const BUILD_SCRIPT: &str = include_str!("../../../tests/peers/build-step-ca.sh");

/// A step-ca version that the tests run against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepCaVersion {
    /// The server of Debian 12's libraries: no `cnf`, no policies.
    V0_19_0,
    /// The server of Debian sid's libraries: what the operator runs.
    V0_30_2,
}

impl StepCaVersion {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::V0_19_0, Self::V0_30_2];

    /// As the server itself says it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V0_19_0 => "0.19.0",
            Self::V0_30_2 => "0.30.2",
        }
    }

    /// Where the built server lies, whether or not it has been built.
    pub fn place(self) -> PathBuf {
        directory().join(format!("step-ca-{}-{:016x}", self.as_str(), fingerprint(BUILD_SCRIPT)))
    }

    /// The built server, or a sentence that says how to build it.
    pub fn binary(self) -> Result<PathBuf> {
        let place = self.place();
        ensure!(
            place.is_file(),
            "the real step-ca {self} is not at {}: run `cargo xtask peers` once",
            place.display()
        );
        Ok(place)
    }
}

impl fmt::Display for StepCaVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Directory of the built peers: `PHOENIX_PEERS_DIR`, or a directory in the user's cache.
pub fn directory() -> PathBuf {
    let named =
        |variable: &str| std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    named("PHOENIX_PEERS_DIR").unwrap_or_else(|| {
        let home = named("HOME").unwrap_or_else(|| PathBuf::from("/var"));
        home.join(".cache/phoenix-certd/peers")
    })
}

/// Directory of the scripts that build and set up the peers, in the source tree.
pub fn scripts() -> PathBuf {
    tree().join("tests/peers")
}

/// Root of the source tree that this was built from.
pub fn tree() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new(".")).to_path_buf()
}

/// FNV-1a: enough to see that a script changed, and the same in every release of Rust.
pub(crate) fn fingerprint(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fingerprint_is_fnv_1a() {
        assert_eq!(fingerprint(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fingerprint("foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn every_version_has_a_place_of_its_own() {
        assert_ne!(StepCaVersion::V0_19_0.place(), StepCaVersion::V0_30_2.place());
    }
}
