//! Certificate signing requests (PKCS#10, RFC 2986).

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair};
use phoenix_core::manifest::San;
use rcgen::string::Ia5String;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, PublicKeyData, SanType, SignatureAlgorithm, SigningKey,
};

use crate::digest::sha256;
use crate::key::Signer;
use crate::{KeyPair, X509Error, pem};

/// A signed certificate request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Csr {
    /// PEM (`CERTIFICATE REQUEST`).
    pub pem: String,
    /// DER.
    pub der: Vec<u8>,
    /// SHA-256 of the DER, to which a one-time token is bound.
    pub sha256: [u8; 32],
}

impl KeyPair {
    /// A signing request for `common_name` (any text; empty means no CN) and `sans`.
    ///
    /// # Errors
    /// A name that has no place in a certificate: DNS names, e-mail addresses and URIs are ASCII there.
    pub fn csr(&self, common_name: &str, sans: &[San]) -> Result<Csr, X509Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        if !common_name.is_empty() {
            params.distinguished_name.push(DnType::CommonName, common_name);
        }
        params.subject_alt_names = sans.iter().map(san).collect::<Result<_, _>>()?;
        let request =
            params.serialize_request(&self.signer).map_err(|error| X509Error::Csr(error.to_string()))?;
        let der = request.der().to_vec();
        let pem = std::mem::take(&mut *pem::encode("CERTIFICATE REQUEST", &der));
        Ok(Csr { pem, sha256: sha256(&der), der })
    }
}

fn san(name: &San) -> Result<SanType, X509Error> {
    Ok(match name {
        San::Dns(name) => SanType::DnsName(ascii(name)?),
        San::Email(name) => SanType::Rfc822Name(ascii(name)?),
        San::Uri(name) => SanType::URI(ascii(name)?),
        San::Ip(address) => SanType::IpAddress(*address),
    })
}

fn ascii(name: &str) -> Result<Ia5String, X509Error> {
    name.try_into().map_err(|_| {
        X509Error::Csr(format!("the name {name:?} has characters outside ASCII: write its `xn--` form"))
    })
}

impl PublicKeyData for Signer {
    fn der_bytes(&self) -> &[u8] {
        self.public_bits()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        match self {
            Self::Ecdsa(key) => ecdsa(key),
            Self::Ed25519(_) => &rcgen::PKCS_ED25519,
            Self::Rsa(_) => &rcgen::PKCS_RSA_SHA256,
        }
    }
}

fn ecdsa(key: &EcdsaKeyPair) -> &'static SignatureAlgorithm {
    if *key.algorithm() == ECDSA_P256_SHA256_ASN1_SIGNING {
        &rcgen::PKCS_ECDSA_P256_SHA256
    } else if *key.algorithm() == ECDSA_P384_SHA384_ASN1_SIGNING {
        &rcgen::PKCS_ECDSA_P384_SHA384
    } else {
        &rcgen::PKCS_ECDSA_P521_SHA512
    }
}

impl SigningKey for Signer {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Self::sign(self, message).map_err(|_| rcgen::Error::RemoteKeyError)
    }
}
