//! A root, an intermediate and leaves.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};

pub(super) const DAY: Duration = Duration::from_secs(86_400);

/// A CA with an intermediate.
pub(super) struct Ca {
    root: CertifiedIssuer<'static, KeyPair>,
    intermediate: CertifiedIssuer<'static, KeyPair>,
}

/// A pair as it lies on disk.
pub(super) struct Pair {
    /// Leaf and intermediate.
    pub(super) chain: String,
    pub(super) key: String,
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

impl Ca {
    pub(super) fn new() -> Self {
        let root =
            CertifiedIssuer::self_signed(authority("Test Root"), KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let intermediate = CertifiedIssuer::signed_by(authority("Test Intermediate"), key, &root).unwrap();
        Self { root, intermediate }
    }

    pub(super) fn root(&self) -> String {
        self.root.pem()
    }

    /// A server certificate for `name` that began `age` ago and lives for `lifetime`.
    pub(super) fn pair(&self, name: &str, age: Duration, lifetime: Duration) -> Pair {
        let begin = SystemTime::now() - age;
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.serial_number = Some(vec![0x0f, 0xff].into());
        params.not_before = begin.into();
        params.not_after = (begin + lifetime).into();
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &self.intermediate).unwrap();
        Pair { chain: leaf.pem() + &self.intermediate.pem(), key: key.serialize_pem() }
    }
}
