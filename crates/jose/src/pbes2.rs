//! Password-based key encryption: the `alg` of a JWE (RFC 7518 section 4.8).

use std::num::NonZeroU32;

use aws_lc_rs::pbkdf2;
use zeroize::Zeroizing;

/// A PBES2 algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pbes2 {
    Hs256,
    Hs384,
    Hs512,
}

impl Pbes2 {
    pub(crate) const ALL: [Self; 3] = [Self::Hs256, Self::Hs384, Self::Hs512];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Hs256 => "PBES2-HS256+A128KW",
            Self::Hs384 => "PBES2-HS384+A192KW",
            Self::Hs512 => "PBES2-HS512+A256KW",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }

    const fn key_length(self) -> usize {
        match self {
            Self::Hs256 => 16,
            Self::Hs384 => 24,
            Self::Hs512 => 32,
        }
    }

    const fn prf(self) -> pbkdf2::Algorithm {
        match self {
            Self::Hs256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Self::Hs384 => pbkdf2::PBKDF2_HMAC_SHA384,
            Self::Hs512 => pbkdf2::PBKDF2_HMAC_SHA512,
        }
    }

    /// The key-encryption key. The salt is the algorithm's name, a zero byte and `p2s` (section 4.8.1.1), so
    /// that a key made for one algorithm fits no other.
    pub(crate) fn derive(self, password: &[u8], p2s: &[u8], iterations: NonZeroU32) -> Zeroizing<Vec<u8>> {
        let salt = [self.as_str().as_bytes(), &[0], p2s].concat();
        let mut key = Zeroizing::new(vec![0; self.key_length()]);
        pbkdf2::derive(self.prf(), iterations, &salt, password, &mut key);
        key
    }
}
