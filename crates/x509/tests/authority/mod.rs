//! A certificate authority for tests that can be told to lie.

use phoenix_core::time::Timestamp;
use phoenix_x509::{Chain, KeyPair, Roots};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyUsagePurpose,
};
use time::OffsetDateTime;

/// The present of the tests.
pub(crate) const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);
/// A day in seconds.
pub(crate) const DAY: i64 = 86_400;

/// A CA: a root, or an intermediate below another.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, rcgen::KeyPair>,
    /// PEM of the intermediates from this one up, without the root.
    above: String,
}

impl Authority {
    /// A root.
    pub(crate) fn root(name: &str) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        Self { issuer: CertifiedIssuer::self_signed(authority(name), key).unwrap(), above: String::new() }
    }

    /// An intermediate, changed by `change` before it is signed.
    pub(crate) fn intermediate(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = authority(name);
        change(&mut params);
        let key = rcgen::KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::signed_by(params, key, &self.issuer).unwrap();
        let above = format!("{}{}", issuer.pem(), self.above);
        Self { issuer, above }
    }

    /// PEM of the certificate of this CA.
    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// This CA as the only root.
    pub(crate) fn roots(&self) -> Roots {
        Roots::from_pem(self.pem()).unwrap()
    }

    /// PEM of a leaf and the intermediates above it.
    pub(crate) fn issue_pem(&self, key: &KeyPair, params: &CertificateParams) -> String {
        let key = rcgen::KeyPair::from_pem(&key.pem()).unwrap();
        params.signed_by(&key, &self.issuer).unwrap().pem() + &self.above
    }

    /// A leaf with the intermediates above it.
    pub(crate) fn issue(&self, key: &KeyPair, params: &CertificateParams) -> Chain {
        Chain::from_pem(self.issue_pem(key, params)).unwrap()
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = leaf(name, &[]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.extended_key_usages = Vec::new();
    lasts(&mut params, -1000 * DAY, 1000 * DAY);
    params
}

/// A leaf for a day, from a minute ago, for servers and clients.
pub(crate) fn leaf(name: &str, sans: &[&str]) -> CertificateParams {
    let sans: Vec<String> = sans.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(sans).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    lasts(&mut params, -60, DAY);
    params
}

/// Sets the validity, in seconds from [`NOW`].
pub(crate) fn lasts(params: &mut CertificateParams, from: i64, until: i64) {
    let time = |offset| OffsetDateTime::from_unix_timestamp(NOW.unix() + offset).unwrap();
    (params.not_before, params.not_after) = (time(from), time(until));
}
