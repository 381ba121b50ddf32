//! Tokens that a certificate vouches for: signed with the key of a leaf whose chain is in the header.

use std::fmt;

use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::algorithm::Algorithm;
use crate::key::Signer;
use crate::{JoseError, OneTimeToken};

/// The private key of a certificate. Never printed; the cryptographic library wipes it when it is dropped.
pub struct LeafKey {
    algorithm: Algorithm,
    signer: Signer,
}

/// In which header member the chain goes, which says what the token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainMember {
    /// `x5c` (RFC 7515 section 4.1.6): a token for an X5C provisioner.
    X5c,
    /// `x5cInsecure`: Step-CA's bearer token for a renewal, whose chain may have expired.
    X5cInsecure,
}

impl ChainMember {
    const fn as_str(self) -> &'static str {
        match self {
            Self::X5c => "x5c",
            Self::X5cInsecure => "x5cInsecure",
        }
    }
}

impl LeafKey {
    /// Reads a private key in PKCS#8: EC on P-256, P-384 or P-521, RSA of 2048 bits or more, Ed25519.
    ///
    /// # Errors
    /// [`JoseError::BadKey`].
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, JoseError> {
        let (algorithm, signer) = [Algorithm::Es256, Algorithm::Es384, Algorithm::Es512]
            .into_iter()
            .find_map(|algorithm| Some((algorithm, ecdsa(algorithm, der)?)))
            .or_else(|| RsaKeyPair::from_pkcs8(der).ok().map(|key| (Algorithm::Rs256, Signer::Rsa(key))))
            .or_else(|| {
                let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok()?;
                Some((Algorithm::EdDsa, Signer::Ed25519(key)))
            })
            .ok_or_else(|| JoseError::BadKey("it is of no kind that signs tokens".into()))?;
        Ok(Self { algorithm, signer })
    }
}

fn ecdsa(algorithm: Algorithm, der: &[u8]) -> Option<Signer> {
    EcdsaKeyPair::from_pkcs8(algorithm.ecdsa()?, der).ok().map(Signer::Ecdsa)
}

impl fmt::Debug for LeafKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeafKey").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

impl OneTimeToken {
    /// Signs the token with the key of a certificate, whose chain (DER, leaf first, at least one intermediate for
    /// Step-CA) goes into the header.
    pub fn sign_with_chain<C: AsRef<[u8]>>(
        &self,
        key: &LeafKey,
        member: ChainMember,
        chain: &[C],
    ) -> Result<String, JoseError> {
        let chain: Value = chain.iter().map(|der| STANDARD.encode(der)).collect();
        let mut header = json!({ "alg": key.algorithm.as_str(), "typ": "JWT" });
        if let Some(members) = header.as_object_mut() {
            members.insert(member.as_str().to_owned(), chain);
        }
        self.compact(&header, |message| {
            key.signer.sign(key.algorithm, message).ok_or(JoseError::Crypto("sign"))
        })
    }
}
