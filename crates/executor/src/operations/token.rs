//! `token`: what may be asked of a Step-CA, signed.

use phoenix_core::facts::Ledger;
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
                let decimal = kept_serial(&store, entry, serial)?;
                let words = ProvisionerWords { kid, encrypted_key };
                let signed = tokens::revoke(&self.keyring, purchase, &decimal, words)?;
                // Once it is out it may be spent without our hearing of it.
                store.update_ledger(|ledger| note_revoked(ledger, serial))?;
                Ok(signed)
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
            TokenPurpose::Sign { .. } => self.password_key(entry, issuer).into_iter().collect(),
            // No revoked pair is being put back while it is noted down.
            TokenPurpose::Revoke { .. } => {
                self.password_key(entry, issuer).into_iter().chain([super::pair_key(entry)]).collect()
            }
            TokenPurpose::X5c { .. } | TokenPurpose::Renew => vec![super::pair_key(entry)],
        }
    }

    fn password_key(&self, entry: &Entry, issuer: &IssuerName) -> Option<Key> {
        let settings = self.anchors.settings(issuer).ok()?;
        let source = tokens::provisioner(entry, settings).ok()?.password.as_ref()?;
        Some(Key::Password(tokens::password_of(source)))
    }
}

/// Serial numbers that are remembered as revoked, for each entry: several times more than pairs are kept.
const MAX_REVOKED: usize = 16;

/// Notes that the certificate with this hexadecimal serial number counts as revoked.
fn note_revoked(ledger: &mut Ledger, serial: &str) {
    ledger.revoked.retain(|known| known != serial);
    ledger.revoked.push(serial.to_owned());
    let surplus = ledger.revoked.len().saturating_sub(MAX_REVOKED);
    ledger.revoked.drain(..surplus);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_revoked_last_is_remembered_once() {
        let mut ledger = Ledger::default();
        for serial in 0..40 {
            note_revoked(&mut ledger, &format!("{serial:02x}"));
            note_revoked(&mut ledger, &format!("{serial:02x}"));
        }
        assert_eq!(ledger.revoked.len(), MAX_REVOKED);
        assert_eq!(ledger.revoked.last().map(String::as_str), Some("27"));
        note_revoked(&mut ledger, "20");
        assert_eq!(
            (ledger.revoked.len(), ledger.revoked.last().map(String::as_str)),
            (MAX_REVOKED, Some("20"))
        );
    }
}
