//! Types of public keys.

use phoenix_core::manifest::KeyType;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_PKCS1_RSAENCRYPTION, OID_SIG_ED25519,
};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

/// The manifest's type of a key; none for a kind that a manifest cannot ask for.
pub(crate) fn key_type(spki: &SubjectPublicKeyInfo<'_>) -> Option<KeyType> {
    let algorithm = &spki.algorithm.algorithm;
    if *algorithm == OID_SIG_ED25519 {
        return Some(KeyType::Ed25519);
    }
    if *algorithm == OID_PKCS1_RSAENCRYPTION {
        return match rsa_bits(spki)? {
            2048 => Some(KeyType::Rsa2048),
            3072 => Some(KeyType::Rsa3072),
            4096 => Some(KeyType::Rsa4096),
            _ => None,
        };
    }
    if *algorithm != OID_KEY_TYPE_EC_PUBLIC_KEY {
        return None;
    }
    let curve = spki.algorithm.parameters.as_ref()?.as_oid().ok()?;
    if curve == OID_EC_P256 {
        Some(KeyType::EcP256)
    } else if curve == OID_NIST_EC_P384 {
        Some(KeyType::EcP384)
    } else {
        None
    }
}

/// As [`key_type`], of DER.
pub(crate) fn key_type_of_der(spki: &[u8]) -> Option<KeyType> {
    SubjectPublicKeyInfo::from_der(spki).ok().and_then(|(_, spki)| key_type(&spki))
}

fn rsa_bits(spki: &SubjectPublicKeyInfo<'_>) -> Option<usize> {
    let PublicKey::RSA(key) = spki.parsed().ok()? else { return None };
    let first = key.modulus.iter().position(|byte| *byte != 0)?;
    let modulus = key.modulus.get(first..)?;
    Some(modulus.len() * 8 - modulus.first()?.leading_zeros() as usize)
}
