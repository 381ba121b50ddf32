//! `sign`: the handshake of a TLS 1.3 client, with a key that stays here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use phoenix_core::manifest::{Entry, Verify};
use phoenix_core::reason::{Reason, Trouble};
use phoenix_protocol::executor::{Answer, SignatureScheme};
use phoenix_x509::{ClientVerify, KeyPair, X509Error};

use super::Executor;
use super::observe::require_own;
use crate::tokens;

/// Longest message in base64: what may be signed has 130 or 146 bytes.
const MAX_MESSAGE: usize = 256;

impl Executor {
    /// Signs a client's handshake with the present key of an entry that the manifest or the configuration lets act
    /// as a client.
    pub(super) fn sign(
        &self,
        entry: &Entry,
        fingerprint: &str,
        scheme: SignatureScheme,
        message: &str,
    ) -> Result<Answer, Trouble> {
        let refuse = |why: String| Trouble::new(Reason::BadRequest, why);
        if !self.may_act_as_client(entry) {
            return Err(refuse(format!(
                "The key of `{}` signs no handshakes: no `verify` names it as `client`, it has no `accepted_by`, and \
                 its issuers do not renew by certificate.",
                entry.name
            )));
        }
        let bytes = decoded(message).ok_or_else(|| refuse("The message is no base64 of its size.".into()))?;
        let content = ClientVerify::parse(&bytes).map_err(|error| refuse(format!("{error}.")))?;
        let own = require_own(&self.store_of(entry), entry)?;
        if own.leaf().fingerprint != fingerprint {
            let message = format!("The certificate of `{}` is another one by now.", entry.name);
            return Err(Trouble::new(Reason::Stale, message));
        }
        let key = KeyPair::from_pem(&own.key_pem()?).map_err(|error| failed(entry, &error))?;
        let signature = key.sign_handshake(scheme, content).map_err(|error| match error {
            X509Error::Scheme(_) => refuse(format!("{error}.")),
            error => failed(entry, &error),
        })?;
        Ok(Answer::Signed { signature: STANDARD.encode(signature) })
    }

    /// What opens an entry for signing: its own `accepted_by`, another entry's `client`, or an issuer that renews
    /// by certificate.
    fn may_act_as_client(&self, entry: &Entry) -> bool {
        let itself = entry.verify.iter().any(|verify| matches!(verify, Verify::AcceptedBy { .. }));
        let names_it = |other: &Entry| {
            other.verify.iter().any(
                |verify| matches!(verify, Verify::Tls { client: Some(client), .. } if *client == entry.name),
            )
        };
        itself || self.renews_by_certificate(entry) || self.authority.any_entry(names_it)
    }

    fn renews_by_certificate(&self, entry: &Entry) -> bool {
        entry.issuers.iter().any(|name| {
            self.anchors.settings(name).is_ok_and(|issuer| tokens::renews_by_certificate(entry, issuer))
        })
    }
}

fn decoded(message: &str) -> Option<Vec<u8>> {
    (message.len() <= MAX_MESSAGE).then(|| STANDARD.decode(message).ok()).flatten()
}

fn failed(entry: &Entry, error: &X509Error) -> Trouble {
    Trouble::new(Reason::Internal, format!("Our copy of the key of `{}` cannot sign: {error}.", entry.name))
}
