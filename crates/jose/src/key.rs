//! The private key of a provisioner.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeyPairComponents, PublicKeyComponents};
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::algorithm::Algorithm;
use crate::compact::{bounded, decode, malformed};
use crate::jwk::{PublicJwk, required};
use crate::{JoseError, jwe};

const WHAT: &str = "private JWK";

/// The private key of a JWK provisioner. Never printed; wiped from memory when dropped.
pub struct ProvisionerKey {
    pub(crate) jwk: Zeroizing<Vec<u8>>,
    public: PublicJwk,
    algorithm: Algorithm,
    signer: Signer,
}

/// The key in the form that signs. The cryptographic library wipes its own copies.
pub(crate) enum Signer {
    Ecdsa(EcdsaKeyPair),
    Rsa(RsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// Private members of a JWK, borrowed so that no further copy of them is left in memory.
#[derive(Deserialize)]
struct PrivateMembers<'a> {
    #[serde(default, borrow)]
    d: Option<&'a str>,
    #[serde(default, borrow)]
    p: Option<&'a str>,
    #[serde(default, borrow)]
    q: Option<&'a str>,
    #[serde(default, borrow)]
    dp: Option<&'a str>,
    #[serde(default, borrow)]
    dq: Option<&'a str>,
    #[serde(default, borrow)]
    qi: Option<&'a str>,
}

impl ProvisionerKey {
    /// Opens the `encryptedKey` of a provisioner (JWE compact) with the provisioner password (bytes exactly as
    /// Step-CA uses them: without the password file's trailing line break).
    ///
    /// Takes tens of milliseconds of one core by design of PBKDF2.
    ///
    /// # Errors
    /// [`JoseError::WrongPassword`] when the password does not fit; other variants name what is wrong with the
    /// JWE or the key in it. An altered `encrypted_key` part cannot be told from a wrong password.
    pub fn decrypt(jwe: &str, password: &[u8]) -> Result<Self, JoseError> {
        Self::from_zeroizing(jwe::open(jwe, password)?)
    }

    /// Reads a private JWK (JSON).
    pub fn from_private_jwk(json: &[u8]) -> Result<Self, JoseError> {
        Self::from_zeroizing(Zeroizing::new(bounded(json, WHAT)?.to_vec()))
    }

    fn from_zeroizing(jwk: Zeroizing<Vec<u8>>) -> Result<Self, JoseError> {
        let public: PublicJwk = parse(&jwk)?;
        let algorithm = public.algorithm()?;
        let signer = Signer::new(algorithm, &public, &parse(&jwk)?)?;
        Ok(Self { jwk, public, algorithm, signer })
    }

    /// The public half, as a provisioner listing shows it.
    pub fn public_jwk(&self) -> &PublicJwk {
        &self.public
    }

    /// Key id inside the key, if it has one.
    pub fn kid(&self) -> Option<&str> {
        self.public.kid.as_deref()
    }

    /// RFC 7638 thumbprint.
    pub fn thumbprint(&self) -> String {
        // Every member that it is made of was read when the signer was built.
        self.public.thumbprint().unwrap_or_default()
    }

    /// Algorithm that tokens are signed with.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The JWS signature of `message`.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, JoseError> {
        self.signer.sign(self.algorithm, message).ok_or(JoseError::Crypto("sign"))
    }
}

impl fmt::Debug for ProvisionerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProvisionerKey").field("public", &self.public).finish_non_exhaustive()
    }
}

impl Signer {
    fn new(
        algorithm: Algorithm,
        public: &PublicJwk,
        private: &PrivateMembers<'_>,
    ) -> Result<Self, JoseError> {
        if let Some(curve) = algorithm.ecdsa() {
            return EcdsaKeyPair::from_private_key_and_public_key(
                curve,
                &secret(private.d, "d")?,
                &public.point()?,
            )
            .map(Self::Ecdsa)
            .map_err(|_| inconsistent());
        }
        if algorithm == Algorithm::EdDsa {
            return Ed25519KeyPair::from_seed_and_public_key(&secret(private.d, "d")?, &public.okp_public()?)
                .map(Self::Ed25519)
                .map_err(|_| inconsistent());
        }
        rsa(public, private).map(Self::Rsa)
    }

    pub(crate) fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        match self {
            Self::Ecdsa(key) => key.sign(&random, message).ok().map(|signature| signature.as_ref().to_vec()),
            Self::Ed25519(key) => key.try_sign(message).ok().map(|signature| signature.as_ref().to_vec()),
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                let pss = algorithm == Algorithm::Ps256;
                let padding = if pss { &signature::RSA_PSS_SHA256 } else { &signature::RSA_PKCS1_SHA256 };
                key.sign(padding, &random, message, &mut signature).ok()?;
                Some(signature)
            }
        }
    }
}

fn rsa(public: &PublicJwk, private: &PrivateMembers<'_>) -> Result<RsaKeyPair, JoseError> {
    let (n, e) = public.rsa_public()?;
    RsaKeyPair::from_components(&KeyPairComponents {
        public_key: PublicKeyComponents { n: Zeroizing::new(n), e: Zeroizing::new(e) },
        d: secret(private.d, "d")?,
        p: secret(private.p, "p")?,
        q: secret(private.q, "q")?,
        dP: secret(private.dp, "dp")?,
        dQ: secret(private.dq, "dq")?,
        qInv: secret(private.qi, "qi")?,
    })
    .map_err(|_| {
        JoseError::BadKey("its RSA members do not fit together, or it has less than 2048 bits".into())
    })
}

/// Error texts of the JSON reader may quote the text, so they are not passed on.
fn parse<'a, T: Deserialize<'a>>(jwk: &'a [u8]) -> Result<T, JoseError> {
    serde_json::from_slice(jwk).map_err(|_| malformed(WHAT, "it is not the JSON of a private key"))
}

fn secret(member: Option<&str>, name: &str) -> Result<Zeroizing<Vec<u8>>, JoseError> {
    decode(required(member, name)?, WHAT, name).map(Zeroizing::new)
}

fn inconsistent() -> JoseError {
    JoseError::BadKey("its private and public members do not belong together".into())
}
