//! Why a probe has nothing to show, as sentences for the operator.

use std::fmt;
use std::io;
use std::time::Duration;

/// A probe that saw no certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// The text is not `HOST:PORT`.
    #[error("`{text}` is not an address: {advice}")]
    BadAddress {
        /// What was given.
        text: String,
        /// How to write it.
        advice: &'static str,
    },
    /// The name to ask for cannot be sent as SNI (RFC 6066 section 3).
    #[error("`{name}` cannot be asked for as server name: use a DNS name or an IP address")]
    BadServerName {
        /// What was given.
        name: String,
    },
    /// The host has no address.
    #[error("cannot find an address for `{host}`: {source}")]
    Resolve {
        /// Host of the address.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// Nothing accepts connections there.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// Where.
        address: String,
        /// What the kernel said about the last address tried.
        source: io::Error,
    },
    /// The deadline passed.
    #[error("{address} did not {step} within {} s", .deadline.as_secs_f64())]
    Deadline {
        /// Where.
        address: String,
        /// What was under way.
        step: Step,
        /// The whole time allowed.
        deadline: Duration,
    },
    /// What answered is not a TLS server.
    #[error("what answers on {address} does not speak TLS")]
    NotTls {
        /// Where.
        address: String,
    },
    /// The connection ended before a certificate was seen.
    #[error("the TLS handshake with {address} ended before it presented a certificate: {source}")]
    Handshake {
        /// Where.
        address: String,
        /// What the TLS library or the kernel said.
        source: io::Error,
    },
    /// The server signed the handshake with another key than the certificate's.
    #[error("{address} presents a certificate without proving that it holds its private key")]
    NotProven {
        /// Where.
        address: String,
    },
    /// This build cannot make a TLS client.
    #[error("cannot set up a TLS client: {0}")]
    Client(#[source] rustls::Error),
}

/// What a probe was waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// An address from the resolver, or the TCP connection.
    Connect,
    /// The TLS handshake.
    Handshake,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "accept a connection",
            Self::Handshake => "present a certificate",
        })
    }
}
