//! Step-CA's JSON. Unknown members are ignored everywhere: they differ between versions.

use serde::{Deserialize, Serialize};

/// `POST /1.0/sign`.
#[derive(Serialize)]
pub(super) struct SignRequest<'a> {
    pub(super) csr: &'a str,
    pub(super) ott: &'a str,
    /// A Go duration, because a time of day would be judged by our clock.
    #[serde(rename = "notAfter", skip_serializing_if = "Option::is_none")]
    pub(super) not_after: Option<String>,
}

/// Answer of `/1.0/sign`.
#[derive(Deserialize)]
pub(super) struct SignAnswer {
    #[serde(default)]
    crt: String,
    #[serde(default)]
    ca: String,
    #[serde(default, rename = "certChain")]
    chain: Option<Vec<String>>,
}

impl SignAnswer {
    /// PEM of leaf and intermediates. `ca` is only the first issuer, so `certChain` goes first.
    pub(super) fn pem(self) -> String {
        let parts = self.chain.filter(|chain| !chain.is_empty()).unwrap_or_else(|| vec![self.crt, self.ca]);
        parts.join("\n")
    }
}

/// One page of `/provisioners`.
#[derive(Deserialize)]
pub(super) struct ProvisionerPage {
    #[serde(default)]
    pub(super) provisioners: Option<Vec<serde_json::Value>>,
    /// Opaque; empty on the last page.
    #[serde(default, rename = "nextCursor")]
    pub(super) next_cursor: Option<String>,
}

/// What all kinds of provisioners have.
#[derive(Deserialize)]
pub(super) struct ProvisionerHead {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) name: String,
}

/// A provisioner of type JWK.
#[derive(Deserialize)]
pub(super) struct JwkEntry {
    pub(super) key: JwkKey,
    #[serde(default, rename = "encryptedKey")]
    pub(super) encrypted_key: Option<String>,
}

/// The part of the public key that names it.
#[derive(Deserialize)]
pub(super) struct JwkKey {
    pub(super) kid: String,
}

/// `GET /provisioners/{kid}/encrypted-key`.
#[derive(Deserialize)]
pub(super) struct EncryptedKeyAnswer {
    pub(super) key: String,
}

/// `GET /version`.
#[derive(Deserialize)]
pub(super) struct VersionAnswer {
    pub(super) version: String,
}

/// Error bodies: `{"status","message"}`, or `{"type","detail","message"}` of the newer parts of the API.
#[derive(Default, Deserialize)]
pub(super) struct ErrorBody {
    #[serde(default)]
    pub(super) message: Option<String>,
    #[serde(default)]
    pub(super) detail: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_is_preferred_and_its_absence_tolerated() {
        for (json, pem) in [
            (r#"{"crt":"L","ca":"I","certChain":["L","I","J"],"tlsOptions":{}}"#, "L\nI\nJ"),
            (r#"{"crt":"L","ca":"I"}"#, "L\nI"),
            (r#"{"crt":"L","ca":"I","certChain":[]}"#, "L\nI"),
            (r#"{"crt":"L","ca":"I","certChain":null}"#, "L\nI"),
        ] {
            assert_eq!(serde_json::from_str::<SignAnswer>(json).unwrap().pem(), pem, "{json}");
        }
    }

    #[test]
    fn an_unset_lifetime_is_not_sent() {
        let request = SignRequest { csr: "C", ott: "T", not_after: None };
        assert_eq!(serde_json::to_string(&request).unwrap(), r#"{"csr":"C","ott":"T"}"#);
        let request = SignRequest { not_after: Some("60s".to_owned()), ..request };
        assert_eq!(serde_json::to_string(&request).unwrap(), r#"{"csr":"C","ott":"T","notAfter":"60s"}"#);
    }
}
