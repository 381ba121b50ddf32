//! Content encryption: the `enc` of a JWE (RFC 7518 section 5.3).

use aws_lc_rs::aead::{self, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

/// Length of a GCM tag.
pub(crate) const TAG_LENGTH: usize = 16;

/// AES-GCM with one of three key lengths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Aes128,
    Aes192,
    Aes256,
}

impl Content {
    pub(crate) const ALL: [Self; 3] = [Self::Aes128, Self::Aes192, Self::Aes256];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Aes128 => "A128GCM",
            Self::Aes192 => "A192GCM",
            Self::Aes256 => "A256GCM",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|encryption| encryption.as_str() == name)
    }

    pub(crate) const fn key_length(self) -> usize {
        match self {
            Self::Aes128 => 16,
            Self::Aes192 => 24,
            Self::Aes256 => 32,
        }
    }

    fn key(self, key: &[u8]) -> Option<LessSafeKey> {
        let algorithm = match self {
            Self::Aes128 => &aead::AES_128_GCM,
            Self::Aes192 => &aead::AES_192_GCM,
            Self::Aes256 => &aead::AES_256_GCM,
        };
        UnboundKey::new(algorithm, key).ok().map(LessSafeKey::new)
    }

    /// Opens `sealed`, the ciphertext followed by its tag. None when anything does not fit.
    pub(crate) fn open(
        self,
        key: &[u8],
        nonce: &[u8],
        aad: &[u8],
        mut sealed: Zeroizing<Vec<u8>>,
    ) -> Option<Zeroizing<Vec<u8>>> {
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let length = self.key(key)?.open_in_place(nonce, Aad::from(aad), sealed.as_mut_slice()).ok()?.len();
        sealed.truncate(length);
        Some(sealed)
    }

    /// Seals `content`: the ciphertext followed by its tag.
    pub(crate) fn seal(
        self,
        key: &[u8],
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        content: &[u8],
    ) -> Option<Vec<u8>> {
        // Reserved at once, so that no copy of the plaintext is left behind by growing.
        let mut sealed = Vec::with_capacity(content.len() + TAG_LENGTH);
        sealed.extend_from_slice(content);
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.key(key)?.seal_in_place_append_tag(nonce, Aad::from(aad), &mut sealed).ok()?;
        Some(sealed)
    }
}
