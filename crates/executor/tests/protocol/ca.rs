//! A certificate authority that signs whatever a test wants.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use time::{Duration, OffsetDateTime};

/// What a leaf says. [`Leaf::good`] is what the entry `web` wants.
#[derive(Clone)]
pub(crate) struct Leaf {
    pub(crate) common_name: String,
    pub(crate) names: Vec<String>,
    pub(crate) usages: Vec<ExtendedKeyUsagePurpose>,
    pub(crate) not_before: OffsetDateTime,
    pub(crate) not_after: OffsetDateTime,
    pub(crate) serial: u64,
}

impl Leaf {
    pub(crate) fn good() -> Self {
        Self {
            common_name: "web.internal.example".to_owned(),
            names: vec!["web.internal.example".to_owned(), "10.0.0.7".to_owned()],
            usages: vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
            not_before: OffsetDateTime::now_utc() - Duration::minutes(1),
            not_after: OffsetDateTime::now_utc() + Duration::hours(24),
            serial: 4711,
        }
    }
}

/// Root and intermediate.
pub(crate) struct Ca {
    root: CertifiedIssuer<'static, KeyPair>,
    intermediate: CertifiedIssuer<'static, KeyPair>,
}

impl Ca {
    pub(crate) fn new() -> Self {
        let root = CertifiedIssuer::self_signed(ca("Test Root", 1), KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let intermediate = CertifiedIssuer::signed_by(ca("Test Intermediate", 0), key, &root).unwrap();
        Self { root, intermediate }
    }

    pub(crate) fn root_pem(&self) -> String {
        self.root.pem()
    }

    /// Leaf for the key in a request, and the intermediate.
    pub(crate) fn sign(&self, csr: &str, leaf: &Leaf) -> String {
        let csr = CertificateSigningRequestParams::from_pem(csr).unwrap();
        self.chain(params(leaf).signed_by(&csr.public_key, &self.intermediate).unwrap().pem())
    }

    /// A chain and a key that the executor has never seen, both PEM.
    pub(crate) fn pair(&self, leaf: &Leaf) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let chain = self.chain(params(leaf).signed_by(&key, &self.intermediate).unwrap().pem());
        (chain, key.serialize_pem())
    }

    fn chain(&self, leaf: String) -> String {
        leaf + &self.intermediate.pem()
    }
}

fn ca(name: &str, depth: u8) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(depth));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = OffsetDateTime::now_utc() - Duration::days(30);
    params.not_after = OffsetDateTime::now_utc() + Duration::days(3650);
    params
}

fn params(leaf: &Leaf) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, leaf.common_name.as_str());
    params.subject_alt_names = leaf.names.iter().map(|name| san(name)).collect();
    params.extended_key_usages.clone_from(&leaf.usages);
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    params.not_before = leaf.not_before;
    params.not_after = leaf.not_after;
    params.serial_number = Some(SerialNumber::from(leaf.serial));
    params
}

fn san(name: &str) -> SanType {
    match name.parse() {
        Ok(address) => SanType::IpAddress(address),
        Err(_) => SanType::DnsName(name.try_into().unwrap()),
    }
}
