//! Making provisioner keys, as `step ca init` does. The embedded CA needs this; the daemon and the executor do
//! not.

use std::num::NonZeroU32;

use aws_lc_rs::encoding::AsBigEndian;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use aws_lc_rs::{aead, rand};
use serde_json::json;
use zeroize::Zeroizing;

use crate::compact::encode;
use crate::content::Content;
use crate::jwk::PublicJwk;
use crate::pbes2::Pbes2;
use crate::{JoseError, ProvisionerKey, wrap};

impl ProvisionerKey {
    /// A new ECDSA P-256 key whose `kid` is its thumbprint.
    pub fn generate_p256() -> Result<Self, JoseError> {
        let failed = |_| JoseError::Crypto("make a P-256 key");
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(failed)?;
        let secret = pair.private_key().as_be_bytes().map_err(failed)?;
        // Uncompressed point: 4, x, y.
        let (x, y) = pair.public_key().as_ref().get(1..).unwrap_or_default().split_at(32);
        let mut public = PublicJwk {
            kty: "EC".into(),
            kid: None,
            usage: Some("sig".into()),
            alg: Some("ES256".into()),
            crv: Some("P-256".into()),
            x: Some(encode(x)),
            y: Some(encode(y)),
            n: None,
            e: None,
        };
        public.kid = public.thumbprint();
        let public = serde_json::to_string(&public).map_err(|_| JoseError::Crypto("write a JWK"))?;
        let secret = Zeroizing::new(encode(secret.as_ref()));
        let private = Zeroizing::new(format!(r#"{},"d":"{}"}}"#, public.trim_end_matches('}'), *secret));
        Self::from_private_jwk(private.as_bytes())
    }

    /// Encrypts the key as `step ca init` does: PBES2-HS256+A128KW with `iterations`, A256GCM. Any count but 0 is
    /// used, also one that [`Self::decrypt`] refuses.
    pub fn encrypt(&self, password: &[u8], iterations: u32) -> Result<String, JoseError> {
        let iterations = NonZeroU32::new(iterations).ok_or(JoseError::WeakIterations(0))?;
        seal(&self.jwk, password, Pbes2::Hs256, Content::Aes256, iterations)
    }
}

/// A JWE in compact form with `plaintext`.
fn seal(
    plaintext: &[u8],
    password: &[u8],
    algorithm: Pbes2,
    content: Content,
    iterations: NonZeroU32,
) -> Result<String, JoseError> {
    let salt: [u8; 16] = random()?;
    let nonce: [u8; aead::NONCE_LEN] = random()?;
    let mut key = Zeroizing::new(vec![0; content.key_length()]);
    rand::fill(&mut key).map_err(|_| JoseError::Crypto("make random numbers"))?;
    let header = json!({
        "alg": algorithm.as_str(), "cty": "jwk+json", "enc": content.as_str(),
        "p2c": iterations, "p2s": encode(salt),
    });
    let header = encode(header.to_string());
    let kek = algorithm.derive(password, &salt, iterations);
    let wrapped = wrap::wrap(&kek, &key).ok_or(JoseError::Crypto("wrap a key"))?;
    let sealed =
        content.seal(&key, nonce, header.as_bytes(), plaintext).ok_or(JoseError::Crypto("encrypt a key"))?;
    let (ciphertext, tag) = sealed.split_at(plaintext.len());
    Ok([header, encode(wrapped), encode(nonce), encode(ciphertext), encode(tag)].join("."))
}

fn random<const N: usize>() -> Result<[u8; N], JoseError> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| JoseError::Crypto("make random numbers"))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwe;

    #[test]
    fn every_pair_of_algorithms_opens_what_it_sealed() {
        let iterations = NonZeroU32::new(100_000).unwrap();
        for algorithm in Pbes2::ALL {
            for content in Content::ALL {
                let sealed = seal(b"content", b"password", algorithm, content, iterations).unwrap();
                assert_eq!(**jwe::open(&sealed, b"password").unwrap(), *b"content");
                assert_eq!(jwe::open(&sealed, b"passwore").unwrap_err(), JoseError::WrongPassword);
            }
        }
    }
}
