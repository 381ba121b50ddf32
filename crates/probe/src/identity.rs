//! A client certificate whose key lies elsewhere.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use phoenix_core::reason::Trouble;
use phoenix_core::scheme::SignatureScheme;
use phoenix_x509::Chain;
use rustls::client::ResolvesClientCert;
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{Error, SignatureAlgorithm, SignatureScheme as Scheme};

/// Signs handshakes with a key that is not here. Called on a thread of its own, so that it may wait.
pub trait HandshakeSigner: Send + Sync {
    /// The signature over `message`, the content of a TLS 1.3 client's CertificateVerify (RFC 8446 section 4.4.3).
    ///
    /// # Errors
    /// Why there is none, for the operator.
    fn sign(&self, scheme: SignatureScheme, message: &[u8]) -> Result<Vec<u8>, Trouble>;
}

/// A certificate to show as client.
#[derive(Clone)]
pub struct Identity {
    /// Leaf and intermediates.
    pub chain: Chain,
    /// What signs for it.
    pub signer: Arc<dyn HandshakeSigner>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity").field(&self.chain.leaf_facts().fingerprint).finish()
    }
}

/// What one handshake showed of client authentication.
#[derive(Debug, Default)]
struct Noted {
    asked: bool,
    failure: Option<Trouble>,
}

/// Hands out the certificate, if there is one, and remembers whether it was asked for.
#[derive(Debug)]
pub(crate) struct Presenter {
    key: Option<Arc<CertifiedKey>>,
    noted: Arc<Mutex<Noted>>,
}

impl Presenter {
    /// Shows `identity`, or nothing.
    pub(crate) fn new(identity: Option<&Identity>) -> Self {
        let noted = Arc::new(Mutex::new(Noted::default()));
        let key = identity.map(|identity| {
            let facts = identity.chain.leaf_facts();
            let key = RemoteKey {
                schemes: facts.key_type.map_or(&[], SignatureScheme::of),
                signer: Arc::clone(&identity.signer),
                noted: Arc::clone(&noted),
            };
            Arc::new(CertifiedKey::new(identity.chain.certificates().to_vec(), Arc::new(key)))
        });
        Self { key, noted }
    }

    /// The server asked for a client certificate.
    pub(crate) fn was_asked(&self) -> bool {
        lock(&self.noted).asked
    }

    /// Why there was no signature.
    pub(crate) fn failure(&self) -> Option<Trouble> {
        lock(&self.noted).failure.clone()
    }
}

fn lock(noted: &Mutex<Noted>) -> std::sync::MutexGuard<'_, Noted> {
    noted.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ResolvesClientCert for Presenter {
    /// What issuers the server says to accept is passed over: lists are often wrong, and it is the server's answer
    /// that counts.
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[Scheme]) -> Option<Arc<CertifiedKey>> {
        lock(&self.noted).asked = true;
        self.key.clone()
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[derive(Clone)]
struct RemoteKey {
    schemes: &'static [SignatureScheme],
    signer: Arc<dyn HandshakeSigner>,
    noted: Arc<Mutex<Noted>>,
}

impl fmt::Debug for RemoteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RemoteKey").field(&self.schemes).finish()
    }
}

impl SigningKey for RemoteKey {
    fn choose_scheme(&self, offered: &[Scheme]) -> Option<Box<dyn Signer>> {
        let offers = |scheme: &&SignatureScheme| offered.contains(&Scheme::from(scheme.code()));
        let scheme = *self.schemes.iter().find(offers)?;
        Some(Box::new(RemoteSigner { key: self.clone(), scheme }))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        match self.schemes {
            [SignatureScheme::EcdsaP256 | SignatureScheme::EcdsaP384, ..] => SignatureAlgorithm::ECDSA,
            [SignatureScheme::Ed25519, ..] => SignatureAlgorithm::ED25519,
            _ => SignatureAlgorithm::RSA,
        }
    }
}

#[derive(Debug)]
struct RemoteSigner {
    key: RemoteKey,
    scheme: SignatureScheme,
}

impl Signer for RemoteSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.key.signer.sign(self.scheme, message).map_err(|trouble| {
            let error = Error::General(trouble.message.clone());
            lock(&self.key.noted).failure = Some(trouble);
            error
        })
    }

    fn scheme(&self) -> Scheme {
        Scheme::from(self.scheme.code())
    }
}
