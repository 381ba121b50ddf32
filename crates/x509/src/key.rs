//! Private keys.

use std::fmt;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::encoding::{Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::error::{KeyRejected, Unspecified};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
};
use phoenix_core::manifest::KeyType;
use zeroize::Zeroizing;

use crate::digest::sha256_hex;
use crate::pem::{self, Damage};
use crate::{X509Error, spki};

/// Curves of keys that are read, with the hash that goes with each.
const CURVES: [&EcdsaSigningAlgorithm; 3] =
    [&ECDSA_P256_SHA256_ASN1_SIGNING, &ECDSA_P384_SHA384_ASN1_SIGNING, &ECDSA_P521_SHA512_ASN1_SIGNING];

/// A private key. Never printed; wiped from memory when dropped.
pub struct KeyPair {
    pub(crate) signer: Signer,
    pkcs8: Zeroizing<Vec<u8>>,
    spki: Vec<u8>,
}

/// The key in the form that signs. The cryptographic library wipes its own copies.
pub(crate) enum Signer {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

impl KeyPair {
    /// Most bytes of PEM.
    pub const MAX_BYTES: usize = 64 * 1024;

    /// Makes a new key. RSA takes a second or more.
    pub fn generate(kind: KeyType) -> Result<Self, X509Error> {
        Signer::generate(kind).and_then(Self::new).map_err(|Unspecified| X509Error::Generate(kind))
    }

    /// Reads the first private key of a PEM file: PKCS#8, SEC1 (`EC PRIVATE KEY`) or PKCS#1 (`RSA PRIVATE KEY`).
    /// Other sections are passed over, so that a combined file can be read.
    pub fn from_pem(pem: &[u8]) -> Result<Self, X509Error> {
        pem::within(pem.len(), "private key", Self::MAX_BYTES)?;
        let damaged = |damage| unreadable(pem, Some(damage));
        let found = pem::sections(pem)
            .find_map(|section| section.map(|section| Some((Form::of(section.label)?, section))).transpose());
        let (form, section) = found.ok_or_else(|| unreadable(pem, None))?.map_err(damaged)?;
        let signer = Signer::from_der(form, &section.der().map_err(damaged)?).ok_or_else(|| {
            X509Error::Key(
                "it is damaged, or neither EC (P-256, P-384, P-521), RSA (2048 to 8192 bits) nor Ed25519"
                    .into(),
            )
        })?;
        Self::new(signer).map_err(|Unspecified| X509Error::Key("the cryptographic library refuses it".into()))
    }

    fn new(signer: Signer) -> Result<Self, Unspecified> {
        let (pkcs8, spki) = (signer.pkcs8()?, signer.spki()?);
        Ok(Self { signer, pkcs8, spki })
    }

    /// PKCS#8 PEM.
    pub fn pem(&self) -> Zeroizing<String> {
        pem::encode("PRIVATE KEY", &self.pkcs8)
    }

    /// PKCS#8 DER.
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// SHA-256 of the SubjectPublicKeyInfo, lower-case hexadecimal: equal to `LeafFacts::public_key` of a
    /// certificate for this key.
    pub fn public_key_sha256(&self) -> String {
        sha256_hex(&self.spki)
    }

    /// The manifest's type of this key; none for a kind that a manifest cannot ask for.
    pub fn key_type(&self) -> Option<KeyType> {
        spki::key_type_of_der(&self.spki)
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair").field("public_key", &self.public_key_sha256()).finish_non_exhaustive()
    }
}

/// Why there is no key in `pem`.
fn unreadable(pem: &[u8], damage: Option<Damage>) -> X509Error {
    let has = |text: &[u8]| pem.windows(text.len()).any(|window| window == text);
    if has(b"BEGIN ENCRYPTED PRIVATE KEY") || has(b"Proc-Type: 4,ENCRYPTED") {
        return X509Error::EncryptedKey;
    }
    damage
        .map_or(X509Error::NoKey, |damage| X509Error::Pem { what: "private key", why: damage.words().into() })
}

/// How a private key is written.
#[derive(Clone, Copy)]
enum Form {
    Pkcs1,
    Pkcs8,
    Sec1,
}

impl Form {
    fn of(label: &[u8]) -> Option<Self> {
        match label {
            b"PRIVATE KEY" => Some(Self::Pkcs8),
            b"EC PRIVATE KEY" => Some(Self::Sec1),
            b"RSA PRIVATE KEY" => Some(Self::Pkcs1),
            _ => None,
        }
    }
}

impl Signer {
    fn generate(kind: KeyType) -> Result<Self, Unspecified> {
        match kind {
            KeyType::EcP256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map(Self::Ecdsa),
            KeyType::EcP384 => EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).map(Self::Ecdsa),
            KeyType::Ed25519 => Ed25519KeyPair::generate().map(Self::Ed25519),
            KeyType::Rsa2048 => RsaKeyPair::generate(KeySize::Rsa2048).map(Self::Rsa),
            KeyType::Rsa3072 => RsaKeyPair::generate(KeySize::Rsa3072).map(Self::Rsa),
            KeyType::Rsa4096 => RsaKeyPair::generate(KeySize::Rsa4096).map(Self::Rsa),
        }
    }

    fn from_der(form: Form, der: &[u8]) -> Option<Self> {
        match form {
            Form::Pkcs1 => RsaKeyPair::from_der(der).ok().map(Self::Rsa),
            Form::Sec1 => ecdsa(|curve| EcdsaKeyPair::from_private_key_der(curve, der)),
            Form::Pkcs8 => Self::from_pkcs8(der),
        }
    }

    fn from_pkcs8(der: &[u8]) -> Option<Self> {
        ecdsa(|curve| EcdsaKeyPair::from_pkcs8(curve, der))
            .or_else(|| RsaKeyPair::from_pkcs8(der).ok().map(Self::Rsa))
            // OpenSSL leaves the public key out, so that there is nothing to compare it with.
            .or_else(|| Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok().map(Self::Ed25519))
    }

    fn pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, Unspecified> {
        let bytes = match self {
            Self::Ecdsa(key) => key.to_pkcs8v1()?.as_ref().to_vec(),
            // Version 1, because older TLS programs do not read version 2.
            Self::Ed25519(key) => key.to_pkcs8v1()?.as_ref().to_vec(),
            Self::Rsa(key) => AsDer::<Pkcs8V1Der<'_>>::as_der(key)?.as_ref().to_vec(),
        };
        Ok(Zeroizing::new(bytes))
    }

    fn spki(&self) -> Result<Vec<u8>, Unspecified> {
        let der: PublicKeyX509Der<'_> = match self {
            Self::Ecdsa(key) => key.public_key().as_der()?,
            Self::Ed25519(key) => key.public_key().as_der()?,
            Self::Rsa(key) => key.public_key().as_der()?,
        };
        Ok(der.as_ref().to_vec())
    }

    /// The content of the public key's bit string.
    pub(crate) fn public_bits(&self) -> &[u8] {
        match self {
            Self::Ecdsa(key) => key.public_key().as_ref(),
            Self::Ed25519(key) => key.public_key().as_ref(),
            Self::Rsa(key) => key.public_key().as_ref(),
        }
    }

    /// Signs as X.509 does: ECDSA with the curve's hash in DER, Ed25519, RSA PKCS#1 v1.5 with SHA-256.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let random = SystemRandom::new();
        match self {
            Self::Ecdsa(key) => key.sign(&random, message).map(|signature| signature.as_ref().to_vec()),
            Self::Ed25519(key) => key.try_sign(message).map(|signature| signature.as_ref().to_vec()),
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)?;
                Ok(signature)
            }
        }
    }
}

/// The key on whichever curve it fits.
fn ecdsa(
    read: impl Fn(&'static EcdsaSigningAlgorithm) -> Result<EcdsaKeyPair, KeyRejected>,
) -> Option<Signer> {
    CURVES.into_iter().find_map(|curve| read(curve).ok()).map(Signer::Ecdsa)
}
