//! Bytes to certificate facts: PEM and DER, chain and name checks, keys and CSRs. No I/O and no clock.
//!
//! | module | duty |
//! |---|---|
//! | [`Chain`] (`chain`, `leaf`, `spki`) | a leaf and its intermediates, read and described |
//! | [`Roots`] (`roots`) | the certificates that are trusted, and path verification |
//! | [`check_issued`] (`check`, `mismatch`) | is an issued certificate what was asked for? |
//! | [`KeyPair`], [`Csr`] (`key`, `csr`) | private keys and signing requests |
//! | [`ClientVerify`] (`handshake`) | what a TLS 1.3 client signs |
//! | `pem`, `digest` | bounded PEM, SHA-256 in hexadecimal |

mod chain;
mod check;
mod csr;
mod digest;
mod error;
mod handshake;
mod key;
mod leaf;
mod mismatch;
mod pem;
mod roots;
mod spki;

pub use chain::Chain;
pub use check::{Expectation, MAX_AHEAD, check_issued};
pub use csr::Csr;
pub use error::X509Error;
pub use handshake::ClientVerify;
pub use key::KeyPair;
pub use mismatch::Mismatch;
pub use roots::Roots;
pub use rustls_pki_types::CertificateDer;
