//! The certificates that are trusted, and path verification.

use std::time::Duration;

use phoenix_core::manifest::Usage;
use phoenix_core::time::Timestamp;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter, KeyUsage};
use x509_parser::x509::X509Version;

use crate::digest::{sha256, sha256_hex};
use crate::pem::{self, Bounds};
use crate::{Chain, X509Error, leaf};

const WHAT: &str = "roots bundle";

/// Trusted root certificates; at least one.
#[derive(Clone, Debug)]
pub struct Roots {
    certificates: Vec<CertificateDer<'static>>,
    anchors: Vec<TrustAnchor<'static>>,
    digest: String,
}

impl Roots {
    /// Most bytes of PEM.
    pub const MAX_BYTES: usize = 256 * 1024;
    /// Most certificates.
    pub const MAX_CERTIFICATES: usize = 64;

    /// Reads a PEM bundle of CA certificates.
    pub fn from_pem(pem: impl AsRef<[u8]>) -> Result<Self, X509Error> {
        let bounds = Bounds { what: WHAT, bytes: Self::MAX_BYTES, certificates: Self::MAX_CERTIFICATES };
        let certificates = pem::certificates(pem.as_ref(), bounds)?;
        let anchors = certificates
            .iter()
            .zip(1..)
            .map(|(der, position)| anchor(der, position))
            .collect::<Result<_, _>>()?;
        Ok(Self::new(certificates, anchors))
    }

    /// These roots and those of others, each once, in an order that does not depend on which ones come first.
    #[must_use]
    pub fn joined<'a>(&self, others: impl IntoIterator<Item = &'a Self>) -> Self {
        let pairs = |roots: &Self| {
            roots.certificates.iter().cloned().zip(roots.anchors.iter().cloned()).collect::<Vec<_>>()
        };
        let mut all = pairs(self);
        all.extend(others.into_iter().flat_map(pairs));
        all.sort_by(|(one, _), (other, _)| one.as_ref().cmp(other.as_ref()));
        all.dedup_by(|(one, _), (other, _)| one == other);
        let (certificates, anchors) = all.into_iter().unzip();
        Self::new(certificates, anchors)
    }

    fn new(certificates: Vec<CertificateDer<'static>>, anchors: Vec<TrustAnchor<'static>>) -> Self {
        let mut prints: Vec<[u8; 32]> = certificates.iter().map(|der| sha256(der)).collect();
        prints.sort_unstable();
        Self { certificates, anchors, digest: sha256_hex(prints.as_flattened()) }
    }

    /// SHA-256 of the roots, whatever their order, lower-case hexadecimal.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// SHA-256 of each root's DER, lower-case hexadecimal, in the bundle's order.
    pub fn fingerprints(&self) -> Vec<String> {
        self.certificates.iter().map(|der| sha256_hex(der)).collect()
    }

    /// PEM of the roots alone, without text between them.
    pub fn pem(&self) -> String {
        pem::encode_certificates(&self.certificates)
    }

    /// The roots, for a TLS library.
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }

    /// Checks that signatures, basic constraints, name constraints and validity of a path from the leaf to one of
    /// these roots are in order at the time `at` (RFC 5280 section 6), for at least one purpose that the leaf has.
    /// To judge the path of an expired leaf pass a time at which it was valid.
    pub fn trusts(&self, chain: &Chain, at: Timestamp) -> Result<(), X509Error> {
        let purposes = Purpose::of(chain);
        let first = purposes.first().copied().unwrap_or(Purpose::Any);
        self.path(chain, first, at)
            .or_else(|error| purposes.get(1).map_or(Err(error), |second| self.path(chain, *second, at)))
    }

    /// As [`Self::trusts`], for every purpose of `usage`.
    pub fn trusts_for(&self, chain: &Chain, usage: Usage, at: Timestamp) -> Result<(), X509Error> {
        Purpose::wanted(usage).iter().try_for_each(|purpose| self.path(chain, *purpose, at))
    }

    /// As [`Self::trusts_for`], passing over purposes that the leaf itself does not have.
    pub(crate) fn trusts_as_far_as_it_goes(
        &self,
        chain: &Chain,
        usage: Usage,
        at: Timestamp,
    ) -> Result<(), X509Error> {
        let own = Purpose::of(chain);
        let both: Vec<Purpose> =
            Purpose::wanted(usage).iter().copied().filter(|one| own.contains(one)).collect();
        if both.is_empty() {
            return self.path(chain, Purpose::Any, at);
        }
        both.into_iter().try_for_each(|purpose| self.path(chain, purpose, at))
    }

    fn path(&self, chain: &Chain, purpose: Purpose, at: Timestamp) -> Result<(), X509Error> {
        let untrusted = |error| X509Error::Untrusted(describe(&error));
        let leaf = chain.certificates().first().ok_or(X509Error::NoCertificate(WHAT))?;
        let time = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(at.unix()).unwrap_or(0)));
        EndEntityCert::try_from(leaf)
            .map_err(untrusted)?
            .verify_for_usage(
                webpki::ALL_VERIFICATION_ALGS,
                &self.anchors,
                chain.intermediates(),
                time,
                purpose,
                None,
                None,
            )
            .map(|_| ())
            .map_err(untrusted)
    }
}

fn anchor(der: &CertificateDer<'static>, position: usize) -> Result<TrustAnchor<'static>, X509Error> {
    let bad = |why: &str| X509Error::Certificate { what: WHAT, position, why: why.into() };
    let certificate = leaf::parse(der).map_err(bad)?;
    // Certificates before version 3 cannot say that they are a CA's.
    if certificate.version() == X509Version::V3 && !certificate.is_ca() {
        return Err(X509Error::NotAnAuthority(leaf::printable(&certificate.subject().to_string())));
    }
    let anchor = webpki::anchor_from_trusted_cert(der).map_err(|error| bad(&describe(&error)))?;
    Ok(anchor.to_owned())
}

/// What a path is good for. An intermediate with extended key usages restricts those below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Server,
    Client,
    Any,
}

impl Purpose {
    /// Those that the leaf has.
    fn of(chain: &Chain) -> Vec<Self> {
        let facts = chain.leaf_facts();
        let has = [(facts.server_auth, Self::Server), (facts.client_auth, Self::Client)];
        has.into_iter().filter(|(has, _)| *has).map(|(_, purpose)| purpose).collect()
    }

    const fn wanted(usage: Usage) -> &'static [Self] {
        match usage {
            Usage::Server => &[Self::Server],
            Usage::Client => &[Self::Client],
            Usage::Peer => &[Self::Server, Self::Client],
        }
    }
}

impl ExtendedKeyUsageValidator for Purpose {
    fn validate(&self, present: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        match self {
            Self::Server => KeyUsage::server_auth().validate(present),
            Self::Client => KeyUsage::client_auth().validate(present),
            Self::Any => present.into_iter().try_for_each(|one| one.map(|_| ())),
        }
    }
}

/// What is wrong with a path, for the operator.
fn describe(error: &webpki::Error) -> String {
    use webpki::Error;
    match error {
        Error::UnknownIssuer => {
            "its chain does not lead to a trusted root; an intermediate is missing, or another CA issued it"
                .into()
        }
        Error::InvalidSignatureForPublicKey => "a signature in its chain is wrong".into(),
        Error::CertExpired { not_after, .. } => {
            format!("a certificate of its chain expired at {}", timestamp(*not_after))
        }
        Error::CertNotValidYet { not_before, .. } => {
            format!("a certificate of its chain is not valid before {}", timestamp(*not_before))
        }
        Error::EndEntityUsedAsCa => "a certificate of its chain may not sign others".into(),
        Error::CaUsedAsEndEntity => "its first certificate is that of a CA; the leaf must come first".into(),
        Error::RequiredEkuNotFoundContext(_) => {
            "it or an intermediate is not meant for this use (extended key usage)".into()
        }
        Error::NameConstraintViolation => {
            "an intermediate or the root forbids its names (name constraints)".into()
        }
        Error::PathLenConstraintViolated => "its chain is longer than a CA in it allows".into(),
        other => format!("its chain cannot be verified ({other:?})"),
    }
}

fn timestamp(time: UnixTime) -> Timestamp {
    Timestamp::from_unix(i64::try_from(time.as_secs()).unwrap_or(i64::MAX))
}
