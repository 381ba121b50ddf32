//! A leaf certificate and its intermediates.

use std::iter;

use phoenix_core::facts::LeafFacts;
use phoenix_core::time::Timestamp;
use rustls_pki_types::CertificateDer;

use crate::X509Error;
use crate::leaf::{self, Described};
use crate::pem::{self, Bounds};

const WHAT: &str = "certificate chain";

/// A leaf certificate and the intermediates that came with it, all readable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The leaf, then the others; never empty.
    certificates: Vec<CertificateDer<'static>>,
    leaf: Described,
    /// Of the certificates after the leaf, in the same order.
    others: Vec<Described>,
}

impl Chain {
    /// Most bytes of PEM or DER.
    pub const MAX_BYTES: usize = 64 * 1024;
    /// Most certificates.
    pub const MAX_CERTIFICATES: usize = 10;

    /// Reads PEM, leaf first. Other sections (the key of a combined file) and text between are passed over.
    pub fn from_pem(pem: impl AsRef<[u8]>) -> Result<Self, X509Error> {
        let bounds = Bounds { what: WHAT, bytes: Self::MAX_BYTES, certificates: Self::MAX_CERTIFICATES };
        Self::from_der(pem::certificates(pem.as_ref(), bounds)?)
    }

    /// The leaf is its own issuer.
    pub fn is_self_issued(&self) -> bool {
        self.leaf.self_issued
    }

    /// Takes DER certificates, leaf first, as a TLS peer sends them.
    pub fn from_der(certificates: Vec<CertificateDer<'static>>) -> Result<Self, X509Error> {
        if certificates.len() > Self::MAX_CERTIFICATES {
            return Err(X509Error::TooMany { what: WHAT, limit: Self::MAX_CERTIFICATES });
        }
        pem::within(certificates.iter().map(|der| der.len()).sum(), WHAT, Self::MAX_BYTES)?;
        let mut described = certificates.iter().zip(1..).map(|(der, position)| {
            leaf::describe(der).map_err(|why| X509Error::Certificate {
                what: WHAT,
                position,
                why: why.into(),
            })
        });
        let leaf = described.next().ok_or(X509Error::NoCertificate(WHAT))??;
        let others = described.collect::<Result<_, _>>()?;
        Ok(Self { certificates, leaf, others })
    }

    /// Without those certificates after the leaf that are their own issuers: what belongs in `cert_path`.
    #[must_use]
    pub fn without_roots(self) -> Self {
        let mut certificates = self.certificates.into_iter();
        let leaf = certificates.next();
        let kept = certificates.zip(self.others).filter(|(_, described)| !described.self_issued);
        let (intermediates, others): (Vec<_>, Vec<_>) = kept.unzip();
        Self { certificates: leaf.into_iter().chain(intermediates).collect(), leaf: self.leaf, others }
    }

    /// PEM of all certificates, leaf first.
    pub fn pem(&self) -> String {
        pem::encode_certificates(&self.certificates)
    }

    /// PEM of the leaf alone.
    pub fn leaf_pem(&self) -> String {
        pem::encode_certificates(self.certificates.first())
    }

    /// PEM of all but the leaf; empty when there are no others.
    pub fn intermediates_pem(&self) -> String {
        pem::encode_certificates(self.intermediates())
    }

    /// What the leaf says.
    pub fn leaf_facts(&self) -> &LeafFacts {
        &self.leaf.facts
    }

    /// All certificates, leaf first; never empty.
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }

    /// What the certificates after the leaf say, in their order.
    pub fn intermediate_facts(&self) -> impl Iterator<Item = &LeafFacts> {
        self.others.iter().map(|other| &other.facts)
    }

    /// From when until when all of the certificates are valid.
    pub fn valid_between(&self) -> (Timestamp, Timestamp) {
        let all = || iter::once(&self.leaf).chain(&self.others).map(|described| &described.facts);
        let leaf = &self.leaf.facts;
        (
            all().map(|facts| facts.not_before).max().unwrap_or(leaf.not_before),
            all().map(|facts| facts.not_after).min().unwrap_or(leaf.not_after),
        )
    }

    /// The certificates after the leaf.
    pub(crate) fn intermediates(&self) -> &[CertificateDer<'static>] {
        self.certificates.get(1..).unwrap_or_default()
    }

    /// Alternative names of the leaf of kinds that a manifest cannot ask for, in words.
    pub(crate) fn other_names(&self) -> &[String] {
        &self.leaf.other_names
    }
}
