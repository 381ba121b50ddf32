//! What the edges saw. Plain data: gathered once, decided on afterwards.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::manifest::{KeyType, San};
use crate::reason::Trouble;
use crate::time::Timestamp;

/// Facts of a leaf certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeafFacts {
    /// Serial number, lower-case hexadecimal without separators.
    pub serial: String,
    /// SHA-256 of the DER, lower-case hexadecimal.
    pub fingerprint: String,
    /// Subject CN, if there is one.
    pub common_name: Option<String>,
    /// Subject alternative names.
    pub sans: Vec<San>,
    /// Start of validity.
    pub not_before: Timestamp,
    /// End of validity.
    pub not_after: Timestamp,
    /// clientAuth is among the extended key usages, or there are none.
    pub client_auth: bool,
    /// serverAuth is among the extended key usages, or there are none.
    pub server_auth: bool,
    /// Extended key usages besides these two, or no restriction at all.
    pub other_eku: bool,
    /// Type of the public key; none for a kind that a manifest cannot ask for.
    pub key_type: Option<KeyType>,
    /// SHA-256 of the SubjectPublicKeyInfo, lower-case hexadecimal.
    pub public_key: String,
    /// Issuer name as text, for people.
    pub issuer: String,
}

impl LeafFacts {
    /// Whole lifetime.
    pub fn lifetime(&self) -> Duration {
        self.not_after.since(self.not_before)
    }

    /// The serial number in decimal, as Step-CA takes it for a revocation; none when it is no number.
    pub fn serial_decimal(&self) -> Option<String> {
        // Serials have up to 160 bits (RFC 5280 section 4.1.2.2); some CAs exceed that, but not by much.
        if !(1..=128).contains(&self.serial.len()) {
            return None;
        }
        // The last digit first.
        let mut digits = vec![0_u32];
        for character in self.serial.chars() {
            let mut carry = character.to_digit(16)?;
            for digit in &mut digits {
                let sum = *digit * 16 + carry;
                (*digit, carry) = (sum % 10, sum / 10);
            }
            while carry > 0 {
                digits.push(carry % 10);
                carry /= 10;
            }
        }
        let written = digits.iter().rev().filter_map(|digit| char::from_digit(*digit, 10)).collect();
        Some(written)
    }
}

/// A file of the pair, as the executor found it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum FileFact {
    /// There is no such file.
    Missing,
    /// Something is there that cannot be read as the file it should be: a directory, a symlink, too large,
    /// not PEM.
    Unreadable {
        /// What is wrong, for people.
        why: String,
    },
    /// A regular file with the expected kind of content.
    Present {
        /// Owner's user id.
        uid: u32,
        /// Owner's group id.
        gid: u32,
        /// Permission bits.
        mode: u16,
        /// SHA-256 of the content, lower-case hexadecimal.
        sha256: String,
    },
}

impl FileFact {
    /// The file is there and readable.
    pub fn is_present(&self) -> bool {
        matches!(self, Self::Present { .. })
    }
}

/// The pair on the live paths.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LivePair {
    /// The certificate file.
    pub cert: FileFact,
    /// The key file.
    pub key: FileFact,
    /// The leaf in the certificate file.
    pub leaf: Option<LeafFacts>,
    /// SHA-256 of the key's SubjectPublicKeyInfo, lower-case hexadecimal.
    pub key_public: Option<String>,
    /// The chain in the file leads to a root of the entry's issuers (names of the issuers it fits); none while
    /// no root is known.
    pub trusted: Option<bool>,
    /// A companion file (`chain_path`, `ca_path`) is missing or differs from what was installed.
    pub companions_differ: bool,
}

impl LivePair {
    /// One that could not be looked at, for this reason.
    pub fn unread(why: impl Into<String>) -> Self {
        let unread = FileFact::Unreadable { why: why.into() };
        Self {
            cert: unread.clone(),
            key: unread,
            leaf: None,
            key_public: None,
            trusted: None,
            companions_differ: false,
        }
    }

    /// Key and certificate belong together.
    pub fn matches(&self) -> bool {
        self.leaf.as_ref().is_some_and(|leaf| self.key_public.as_deref() == Some(&leaf.public_key))
    }
}

/// The executor's own copy of what it installed last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnCopy {
    /// The leaf of the copy.
    pub leaf: LeafFacts,
    /// Its chain leads to a root of the entry's issuers; none while no root is known.
    pub trusted: Option<bool>,
    /// SHA-256 of the certificate file that it makes.
    pub cert_sha256: String,
    /// SHA-256 of the key file that it makes.
    pub key_sha256: String,
    /// Taken over from files that were there before us.
    pub adopted: bool,
    /// When it was installed or adopted.
    pub installed_at: Timestamp,
}

/// What was done with the present certificate after it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Fingerprint of the certificate that the guest got last.
    pub delivered: Option<Deed>,
    /// Fingerprint of the certificate for which the command ran successfully last.
    pub activated: Option<Deed>,
    /// What the guest showed at the `deliver` destinations after the last delivery, or after the last command that
    /// succeeded: what has not been reverted. In the order of delivery.
    #[serde(default)]
    pub settled: Option<Vec<FileFact>>,
    /// The command ran after `settled` was recorded last, and may still be changing owners and modes: the next look
    /// into the guest says how they are meant to be.
    #[serde(default)]
    pub settling: bool,
    /// When the guest was found without what had been delivered to it, for the present pair, newest last.
    #[serde(default)]
    pub reverted: Vec<Timestamp>,
    /// Owner and mode that the live files had after the last successful command or installation: what is not
    /// drift.
    pub baseline: Option<Baseline>,
    /// Owner and mode that the manifest asked for when the live files were last written or taken over.
    #[serde(default)]
    pub wanted: Option<Baseline>,
    /// How many times in a row the live pair was replaced from outside.
    #[serde(default)]
    pub foreign_writes: u32,
    /// Fingerprint of the newer certificate that was taken back: the pair in place is the one before it, put back
    /// by a rollback. The newer pair is kept and can be put in place again until another one is installed.
    #[serde(default)]
    pub rolled_back: Option<String>,
    /// Serial numbers of certificates of this entry that we revoked, or for which a token to revoke them was given
    /// out, newest last.
    #[serde(default)]
    pub revoked: Vec<String>,
}

/// What a consumer was seen to use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    /// SHA-256 of the leaf, lower-case hexadecimal.
    pub fingerprint: String,
    /// Its serial number, lower-case hexadecimal without separators.
    pub serial: String,
    /// End of its validity.
    pub not_after: Timestamp,
    /// When it was seen.
    pub at: Timestamp,
}

/// Something that was done for a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deed {
    /// Fingerprint of the certificate it was done for.
    pub fingerprint: String,
    /// Digest of what was done (the delivery or the command as configured): a changed command is a new deed.
    pub of: String,
    /// When it was finished.
    pub at: Timestamp,
}

/// Owner and mode of the two live files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    /// Certificate: user, group, mode.
    pub cert: (u32, u32, u16),
    /// Key: user, group, mode.
    pub key: (u32, u32, u16),
}

/// Everything that the executor knows about one entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// When the executor looked.
    pub at: Timestamp,
    /// Why nothing can be read or written there now (storage absent or hanging, symlink on the way).
    pub target_trouble: Option<Trouble>,
    /// The pair on the live paths.
    pub live: LivePair,
    /// The executor's own copy.
    pub own: Option<OwnCopy>,
    /// Deeds.
    pub ledger: Ledger,
    /// Digest of the delivery as configured now; none when there is nothing to deliver.
    pub delivery_digest: Option<String>,
    /// Digest of the command as configured now; none when there is no command.
    pub command_digest: Option<String>,
    /// Owner and mode that the manifest asks for, resolved; none when it does not resolve now.
    pub wanted: Option<Baseline>,
    /// Files of the executor's own records of this entry that were damaged and set aside. They stay until somebody
    /// removes them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set_aside: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_are_written_in_decimal() {
        for (serial, decimal) in [
            ("0", Some("0")),
            ("00ff", Some("255")),
            ("4d2", Some("1234")),
            ("ffffffffffffffffffffffffffffffff", Some("340282366920938463463374607431768211455")),
            ("55a65c2cfe7db85c73fea32777f339bb", Some("113848170466718496007434596024820382139")),
            ("", None),
            ("x", None),
            (&"f".repeat(200), None),
        ] {
            let leaf: LeafFacts = serde_json::from_value(serde_json::json!({
                "serial": serial, "fingerprint": "", "common_name": null, "sans": [],
                "not_before": "1970-01-01T00:00:00Z", "not_after": "2030-01-01T00:00:00Z", "client_auth": false,
                "server_auth": true, "other_eku": false, "key_type": null, "public_key": "", "issuer": ""
            }))
            .unwrap();
            assert_eq!(leaf.serial_decimal().as_deref(), decimal, "{serial}");
        }
    }
}
