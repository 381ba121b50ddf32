//! Root, intermediate and what they sign.

use aws_lc_rs::digest;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_RSA_SHA256, PublicKeyData, SanType, SerialNumber,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use time::OffsetDateTime;

use crate::names::Names;
use crate::validity::Validity;

const DAY: i64 = 86_400;

/// A certificate for someone else.
pub(crate) struct Leaf {
    pub(crate) common_name: String,
    pub(crate) sans: Vec<SanType>,
    pub(crate) usages: Vec<ExtendedKeyUsagePurpose>,
    pub(crate) validity: Validity,
}

/// Leaf and intermediate, PEM.
pub(crate) struct Signed {
    pub(crate) leaf: String,
    pub(crate) intermediate: String,
}

/// A root and the intermediate that does the work.
pub(crate) struct Authority {
    root: CertifiedIssuer<'static, KeyPair>,
    intermediate: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// New keys and certificates, backdated by a day so that no clock difference and no backdated leaf gets
    /// ahead of them.
    pub(crate) fn new(now: i64) -> anyhow::Result<Self> {
        let validity = Validity { not_before: now - DAY, not_after: now + 3650 * DAY };
        let root = ca_params("Phoenix Embedded Root CA", 1, validity)?;
        let root = CertifiedIssuer::self_signed(root, KeyPair::generate()?)?;
        let intermediate = ca_params("Phoenix Embedded Intermediate CA", 0, validity)?;
        let intermediate = CertifiedIssuer::signed_by(intermediate, KeyPair::generate()?, &root)?;
        Ok(Self { root, intermediate })
    }

    pub(crate) fn root_pem(&self) -> String {
        self.root.pem()
    }

    pub(crate) fn root_fingerprint(&self) -> String {
        let digest = digest::digest(&digest::SHA256, self.root.der());
        digest.as_ref().iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
    }

    pub(crate) fn intermediate_pem(&self) -> String {
        self.intermediate.pem()
    }

    /// Signs `leaf` for `key`.
    pub(crate) fn sign(&self, leaf: &Leaf, key: &impl PublicKeyData) -> anyhow::Result<Signed> {
        let certificate = leaf_params(leaf, key)?.signed_by(key, &self.intermediate)?;
        Ok(Signed { leaf: certificate.pem(), intermediate: self.intermediate.pem() })
    }

    /// A new certificate for the CA's own server, with its chain.
    pub(crate) fn server(
        &self,
        names: &[String],
        now: i64,
    ) -> anyhow::Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
        let leaf = Leaf {
            common_name: "Phoenix Embedded CA".to_owned(),
            sans: Names::from_token(names).to_sans()?,
            usages: vec![ExtendedKeyUsagePurpose::ServerAuth],
            // The real clock judges it even where the CA's own is set wrong, so it spans years.
            validity: Validity { not_before: now - DAY, not_after: now + 365 * DAY },
        };
        let key = KeyPair::generate()?;
        let certificate = leaf_params(&leaf, &key)?.signed_by(&key, &self.intermediate)?;
        let chain = vec![certificate.der().clone(), self.intermediate.der().clone()];
        Ok((chain, PrivateKeyDer::Pkcs8(key.serialize_der().into())))
    }
}

fn ca_params(name: &str, depth: u8, validity: Validity) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(depth));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = depth == 0;
    set_validity(&mut params, validity)?;
    params.serial_number = Some(serial()?);
    Ok(params)
}

fn leaf_params(leaf: &Leaf, key: &impl PublicKeyData) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, leaf.common_name.as_str());
    params.subject_alt_names.clone_from(&leaf.sans);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    if key.algorithm() == &PKCS_RSA_SHA256 {
        params.key_usages.push(KeyUsagePurpose::KeyEncipherment);
    }
    params.extended_key_usages.clone_from(&leaf.usages);
    params.use_authority_key_identifier_extension = true;
    set_validity(&mut params, leaf.validity)?;
    params.serial_number = Some(serial()?);
    Ok(params)
}

fn set_validity(params: &mut CertificateParams, validity: Validity) -> anyhow::Result<()> {
    params.not_before = OffsetDateTime::from_unix_timestamp(validity.not_before)?;
    params.not_after = OffsetDateTime::from_unix_timestamp(validity.not_after)?;
    Ok(())
}

/// Random, because rcgen's own is derived from the public key and a key may be certified twice.
fn serial() -> anyhow::Result<SerialNumber> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes)?;
    // Positive, and without a leading zero that DER would have to drop.
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}
