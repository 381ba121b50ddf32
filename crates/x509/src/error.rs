//! What can go wrong.

use phoenix_core::manifest::KeyType;
use phoenix_core::scheme::SignatureScheme;

/// Why certificates or keys could not be read, made or trusted. Never contains key material.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum X509Error {
    /// More bytes than are ever read.
    #[error("the {what} is {size} bytes long; more than {limit} are not read")]
    TooLarge {
        /// What was read.
        what: &'static str,
        /// Its size.
        size: usize,
        /// The most that is read.
        limit: usize,
    },
    /// More certificates than are ever read.
    #[error("there are more than {limit} certificates in the {what}")]
    TooMany {
        /// What was read.
        what: &'static str,
        /// The most that are read.
        limit: usize,
    },
    /// No `CERTIFICATE` section.
    #[error("there is no PEM certificate in the {0}")]
    NoCertificate(&'static str),
    /// Broken PEM.
    #[error("the {what} is not PEM: {why}")]
    Pem {
        /// What was read.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// Broken DER, or a certificate that makes no sense.
    #[error("certificate {position} of the {what} cannot be read: {why}")]
    Certificate {
        /// What was read.
        what: &'static str,
        /// Which certificate, counted from 1.
        position: usize,
        /// What is wrong with it.
        why: String,
    },
    /// A certificate among the roots that may not sign others.
    #[error("`{0}` is not the certificate of a certificate authority: use the CA's root certificate")]
    NotAnAuthority(String),
    /// No private key in the PEM.
    #[error("there is no PEM private key in the file")]
    NoKey,
    /// The private key has a passphrase.
    #[error("the private key is protected by a passphrase: store it without one, with mode 0600")]
    EncryptedKey,
    /// A key that cannot be used.
    #[error("the private key cannot be used: {0}")]
    Key(String),
    /// No key could be made.
    #[error("a new {0} key could not be made: the cryptographic library failed")]
    Generate(KeyType),
    /// No signing request could be made.
    #[error("the certificate request could not be made: {0}")]
    Csr(String),
    /// Something else than a TLS 1.3 client's handshake was to be signed.
    #[error("only the CertificateVerify of a TLS 1.3 client is signed (RFC 8446 section 4.4.3)")]
    NoHandshake,
    /// The key does not sign in this way.
    #[error("the key does not fit the signature scheme {}", .0.name())]
    Scheme(SignatureScheme),
    /// The chain does not lead to a trusted root.
    #[error("the certificate is not trusted: {0}")]
    Untrusted(String),
}
