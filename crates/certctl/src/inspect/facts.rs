//! What `inspect` shows.

use phoenix_core::facts::LeafFacts;
use phoenix_core::time::Timestamp;
use phoenix_protocol::control::SCHEMA;
use phoenix_x509::{Chain, X509Error};
use serde::Serialize;

use super::{Seen, decimal};
use crate::offline::Trust;

/// `inspect --json`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// Version of the document.
    pub schema: u32,
    /// Where the chain was found.
    pub source: String,
    /// Leaf first.
    pub certificates: Vec<CertificateFacts>,
    /// The private key that lies with the leaf belongs to it; none where no key could be read.
    pub key_matches: Option<bool>,
    /// The chain leads to a configured root; none where no root could be read.
    pub trusted: Option<bool>,
    /// Issuer to whose root it leads.
    pub trusted_by: Option<String>,
    /// Why it leads to no root, or why that was not checked.
    pub trust_problem: Option<String>,
}

/// One certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CertificateFacts {
    /// Subject CN.
    pub common_name: Option<String>,
    /// Subject alternative names.
    pub sans: Vec<String>,
    /// Issuer name.
    pub issuer: String,
    /// Serial number, hexadecimal.
    pub serial: String,
    /// Serial number, decimal.
    pub serial_decimal: Option<String>,
    /// SHA-256 of the DER, hexadecimal.
    pub fingerprint_sha256: String,
    /// Start of validity.
    pub not_before: Timestamp,
    /// End of validity.
    pub not_after: Timestamp,
    /// May be used by a server.
    pub server_auth: bool,
    /// May be used by a client.
    pub client_auth: bool,
    /// May be used for more than these, or is not restricted.
    pub other_usages: bool,
    /// Type of the key in the manifest's words; none for another kind.
    pub key_type: Option<String>,
}

/// # Errors
/// A certificate of the chain that cannot be described.
pub(super) fn gather(seen: &Seen, trust: &Trust) -> Result<Inspection, X509Error> {
    let certificates = seen.chain.certificates().iter().map(|der| {
        let alone = Chain::from_der(vec![der.clone()])?;
        Ok(CertificateFacts::of(alone.leaf_facts()))
    });
    let (trusted_by, trust_problem) = match trust {
        Trust::Leads(issuer) => (Some(issuer.to_string()), None),
        Trust::Fails(why) | Trust::Unknown(why) => (None, Some(why.clone())),
    };
    Ok(Inspection {
        schema: SCHEMA,
        source: seen.source.clone(),
        certificates: certificates.collect::<Result<_, X509Error>>()?,
        key_matches: seen.key_matches,
        trusted: trust.clone().verdict(),
        trusted_by,
        trust_problem,
    })
}

impl CertificateFacts {
    fn of(facts: &LeafFacts) -> Self {
        Self {
            common_name: facts.common_name.clone(),
            sans: facts.sans.iter().map(ToString::to_string).collect(),
            issuer: facts.issuer.clone(),
            serial: facts.serial.clone(),
            serial_decimal: decimal::from_hex(&facts.serial),
            fingerprint_sha256: facts.fingerprint.clone(),
            not_before: facts.not_before,
            not_after: facts.not_after,
            server_auth: facts.server_auth,
            client_auth: facts.client_auth,
            other_usages: facts.other_eku,
            key_type: facts.key_type.map(|kind| kind.to_string()),
        }
    }
}
