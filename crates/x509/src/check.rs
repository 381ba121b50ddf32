//! Is an issued certificate what was asked for?

use std::time::Duration;

use phoenix_core::manifest::{KeyType, San, Usage};
use phoenix_core::time::Timestamp;

use crate::{Chain, Mismatch, Roots};

/// What an issued certificate has to be.
#[derive(Clone, Debug)]
pub struct Expectation<'a> {
    /// SHA-256 of the SubjectPublicKeyInfo of the key that was made for it, lower-case hexadecimal
    /// ([`crate::KeyPair::public_key_sha256`]).
    pub public_key: &'a str,
    /// Type of that key.
    pub key_type: KeyType,
    /// Subject CN.
    pub common_name: &'a str,
    /// Exactly these names, in any order.
    pub sans: &'a [San],
    /// Extended key usages that must be there.
    pub usage: Usage,
    /// No other extended key usages.
    pub strict_eku: bool,
    /// Where the chain has to lead.
    pub roots: &'a Roots,
    /// The present.
    pub now: Timestamp,
    /// Lifetime that was asked for, if one was.
    pub validity: Option<Duration>,
}

/// How far ahead of our clock a certificate may begin: the CA's clock may differ.
pub const MAX_AHEAD: Duration = Duration::from_secs(300);

/// Compares a certificate with what was asked for. Success carries warnings for people; failure names everything
/// that is wrong.
pub fn check_issued(_chain: &Chain, _expected: &Expectation<'_>) -> Result<Vec<String>, Vec<Mismatch>> {
    unimplemented!()
}
