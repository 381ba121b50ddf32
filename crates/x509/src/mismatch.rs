//! Ways in which a certificate is not what was asked for.

use phoenix_core::manifest::KeyType;
use phoenix_core::time::Timestamp;

/// A way in which an issued certificate is not what was asked for; its text is a sentence for the operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// It is for another key.
    #[error("it is for another key than the one in the request")]
    Key,
    /// Its key is of another type.
    #[error("its key is {found}, not {wanted}")]
    KeyType {
        /// In the certificate.
        found: String,
        /// In the manifest.
        wanted: KeyType,
    },
    /// Its CN differs.
    #[error("its common name is {found}, not `{wanted}`")]
    CommonName {
        /// In the certificate, quoted, or `missing`.
        found: String,
        /// In the manifest.
        wanted: String,
    },
    /// Names are missing.
    #[error("it lacks the names {0}")]
    MissingNames(String),
    /// There are more names than wanted.
    #[error("it has the names {0}, which were not asked for")]
    ExtraNames(String),
    /// A wanted extended key usage is missing.
    #[error("it lacks the extended key usage {0}: check the CA's certificate template")]
    MissingUsage(&'static str),
    /// There are more extended key usages than wanted, and `strict_eku` is set.
    #[error("it has {0}, which `strict_eku` forbids: check the CA's certificate template")]
    ExtraUsage(String),
    /// It has expired.
    #[error("it expired at {0}: check the clocks of the CA and of this machine")]
    Expired(Timestamp),
    /// It begins too far ahead.
    #[error("it is not valid before {0}: check the clocks of the CA and of this machine")]
    NotYetValid(Timestamp),
    /// Its chain does not lead to a trusted root.
    #[error("its chain is not in order: {0}")]
    Chain(String),
}
