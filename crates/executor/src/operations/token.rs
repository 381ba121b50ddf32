//! `token`: what may be asked of a Step-CA, signed.

use phoenix_core::manifest::Entry;
use phoenix_core::name::IssuerName;
use phoenix_core::reason::{Reason, Trouble};
use phoenix_core::time::Timestamp;
use phoenix_protocol::executor::{Answer, TokenPurpose};
use phoenix_store::EntryStore;
use phoenix_x509::{Chain, KeyPair, X509Error};

use super::issue::staged_csr;
use super::observe::require_own;
use super::{Executor, check_issuer};
use crate::clock;
use crate::server::Key;
use crate::tokens::{self, ProvisionerWords, Purchase, Voucher};

impl Executor {
    /// Signs a token for an issuer of the entry.
    pub(super) fn token(
        &self,
        entry: &Entry,
        issuer: &IssuerName,
        purpose: &TokenPurpose,
        ca_time: Option<Timestamp>,
    ) -> Result<Answer, Trouble> {
        check_issuer(entry, issuer)?;
        if let Some(trouble) = self.anchors.look(issuer)?.trouble {
            return Err(trouble);
        }
        let store = self.store_of(entry);
        let purchase = Purchase { entry, issuer: self.anchors.settings(issuer)?, now: clock::now(), ca_time };
        let signed = match purpose {
            TokenPurpose::Sign { stage, kid, encrypted_key } => {
                let csr = staged_csr(&store, entry, stage)?;
                tokens::sign(&self.keyring, purchase, csr, ProvisionerWords { kid, encrypted_key })
            }
            TokenPurpose::X5c { stage } => {
                let csr = staged_csr(&store, entry, stage)?;
                tokens::x5c(purchase, &voucher(&store, entry)?, csr)
            }
            TokenPurpose::Renew => tokens::renew(purchase, &voucher(&store, entry)?),
            TokenPurpose::Revoke { serial, kid, encrypted_key } => {
                let serial = kept_serial(&store, entry, serial)?;
                tokens::revoke(&self.keyring, purchase, &serial, ProvisionerWords { kid, encrypted_key })
            }
        }?;
        tracing::info!(
            name = %entry.name, %issuer, purpose = word(purpose), provisioner = %signed.provisioner, "token signed"
        );
        Ok(Answer::Token { token: signed.token, provisioner: signed.provisioner })
    }

    /// What a token request must have for itself: its password, so that requests wait for a slow one in the queue
    /// and not on a thread each.
    pub(super) fn token_keys(&self, entry: &Entry, issuer: &IssuerName, purpose: &TokenPurpose) -> Vec<Key> {
        match purpose {
            TokenPurpose::Sign { .. } | TokenPurpose::Revoke { .. } => {
                let settings = self.anchors.settings(issuer).ok();
                let provisioner = settings.and_then(|issuer| tokens::provisioner(entry, issuer).ok());
                let source = provisioner.and_then(|provisioner| provisioner.password.as_ref());
                source.map(|source| Key::Password(tokens::password_of(source))).into_iter().collect()
            }
            TokenPurpose::X5c { .. } | TokenPurpose::Renew => vec![super::pair_key(entry)],
        }
    }
}

/// The certificate of our own copy, which vouches for what comes next.
fn voucher(store: &EntryStore, entry: &Entry) -> Result<Voucher, Trouble> {
    let own = require_own(store, entry)?;
    let damaged = |error: X509Error| {
        Trouble::new(Reason::Internal, format!("Our own copy of `{}` is damaged: {error}.", entry.name))
    };
    let chain = Chain::from_pem(own.cert_pem()?).map_err(damaged)?;
    let key = KeyPair::from_pem(&own.key_pem()?).map_err(damaged)?;
    Ok(Voucher { chain, key })
}

/// The decimal form of a serial number, if it is that of a pair which is kept for this entry.
fn kept_serial(store: &EntryStore, entry: &Entry, serial: &str) -> Result<String, Trouble> {
    let kept = [store.current()?, store.previous()?];
    let found = kept.iter().flatten().map(phoenix_store::Generation::leaf).find(|leaf| leaf.serial == serial);
    found.and_then(phoenix_core::facts::LeafFacts::serial_decimal).ok_or_else(|| {
        let message = format!("No certificate with this serial number is kept for `{}`.", entry.name);
        Trouble::new(Reason::BadRequest, message)
    })
}

fn word(purpose: &TokenPurpose) -> &'static str {
    match purpose {
        TokenPurpose::Sign { .. } => "sign",
        TokenPurpose::X5c { .. } => "x5c",
        TokenPurpose::Renew => "renew",
        TokenPurpose::Revoke { .. } => "revoke",
    }
}
