//! Provisioner-key decryption (PBES2) and one-time-token signing for Step-CA. No I/O.
//!
//! A Step-CA lists each JWK provisioner with its public key and, encrypted under the provisioner password, its
//! private key. [`ProvisionerKey::decrypt`] opens that; [`OneTimeToken`] signs with it. The embedded CA works the
//! other way round, with [`ProvisionerKey::generate_p256`], [`ProvisionerKey::encrypt`] and [`verify`].
//!
//! | module | duty |
//! |---|---|
//! | `compact` | the dotted base64url form that JWE and JWS share |
//! | `algorithm` | the signature algorithms and what they need |
//! | `jwk` | reading and writing JSON Web Keys (RFC 7517, 7518, 8037) |
//! | `key` | the private key of a provisioner |
//! | `pbes2`, `wrap` | password-based key encryption (RFC 7518 section 4.8) and AES key wrap (RFC 3394) |
//! | `jwe` | opening a JWE |
//! | `encrypt` | making a JWE |
//! | `token` | the one-time token |
//! | `verify` | checking a token |

mod error;
mod jwk;
mod key;
mod token;
mod verify;

pub use error::JoseError;
pub use jwk::PublicJwk;
pub use key::{Algorithm, ProvisionerKey};
pub use token::OneTimeToken;
pub use verify::{Claims, Confirmation, TokenHeader, read_header, verify};

/// Iteration counts (`p2c`) that [`ProvisionerKey::decrypt`] accepts. Fewer would make the password cheap to
/// guess, more would let a hijacked peer keep a core busy at will.
pub const ITERATIONS: std::ops::RangeInclusive<u32> = 100_000..=5_000_000;

/// Largest JWE, JWS or JWK in bytes.
pub const MAX_INPUT: usize = 64 * 1024;
