//! Provisioner-key decryption (PBES2) and one-time-token signing for Step-CA. No I/O.
//!
//! A Step-CA lists each JWK provisioner with its public key and, encrypted under the provisioner password, its
//! private key. [`ProvisionerKey::decrypt`] opens that; [`OneTimeToken`] signs with it. The embedded CA works the
//! other way round, with [`ProvisionerKey::generate_p256`], [`ProvisionerKey::encrypt`] and [`verify`].
//!
//! | module | duty |
//! |---|---|
//! | `compact` | the dotted base64url form that JWE and JWS share |
//! | `algorithm` | signature algorithms and the keys that they need |
//! | `jwk`, `key` | public and private JSON Web Keys |
//! | `pbes2`, `wrap`, `content` | key from a password, AES key wrap, AES-GCM |
//! | `jwe`, `encrypt` | opening and making an encrypted key |
//! | `token`, `leaf`, `verify` | making (with a provisioner's or a certificate's key) and checking a one-time token |

mod algorithm;
mod compact;
mod content;
mod encrypt;
mod error;
mod jwe;
mod jwk;
mod key;
mod leaf;
mod pbes2;
mod token;
mod verify;
mod wrap;

pub use algorithm::Algorithm;
pub use error::JoseError;
pub use jwk::PublicJwk;
pub use key::ProvisionerKey;
pub use leaf::{ChainMember, LeafKey};
pub use token::OneTimeToken;
pub use verify::{Claims, Confirmation, TokenHeader, read_header, verify};

/// Iteration counts (`p2c`) that [`ProvisionerKey::decrypt`] accepts. Fewer would make the password cheap to
/// guess, more would let a hijacked peer keep a core busy at will.
pub const ITERATIONS: std::ops::RangeInclusive<u32> = 100_000..=5_000_000;

/// Largest JWE, JWS or JWK in bytes.
pub const MAX_INPUT: usize = 64 * 1024;
