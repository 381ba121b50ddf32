//! The TLS client that believes exactly the pinned roots.
//!
//! The only module that touches rustls and the TLS part of reqwest. reqwest recognises a preconfigured rustls
//! configuration by its type, so both must use the same rustls version; a mismatch fails in [`pinned`], at once
//! and on every use, not in some rare case.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use phoenix_x509::{Chain, Roots};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{CertificateError, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

/// Time for TCP and TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for a whole request, answer included.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(15);
/// Step-CA closes idle connections after 15 seconds; leave before that.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a TLS client cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsSetup {
    /// The roots cannot be used for verification.
    #[error("the root certificates cannot be used: {0}")]
    Roots(String),
    /// The TLS library refused the settings.
    #[error("the TLS client cannot be set up: {0}")]
    Client(String),
}

/// What a server showed that was not believed.
#[derive(Clone, Debug)]
pub(crate) struct Distrust {
    /// What is wrong with it.
    pub(crate) cause: CertificateError,
    /// SHA-256 fingerprints of the roots that would have been believed.
    pub(crate) pinned: Vec<String>,
    /// Issuer of the last certificate that was shown: the name of the root it hangs from.
    pub(crate) presented_issuer: Option<String>,
    /// SHA-256 fingerprint of the last certificate that was shown.
    pub(crate) presented: Option<String>,
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "server certificate refused: {}", self.cause)
    }
}

impl std::error::Error for Distrust {}

/// A client that believes servers whose chain leads to one of `roots`.
pub(crate) fn pinned(roots: &Roots) -> Result<reqwest::Client, TlsSetup> {
    let mut store = RootCertStore::empty();
    for root in roots.certificates() {
        store.add(root.clone()).map_err(|error| TlsSetup::Roots(error.to_string()))?;
    }
    let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider())
        .build()
        .map_err(|error| TlsSetup::Roots(error.to_string()))?;
    client(Arc::new(PinnedRoots { inner, fingerprints: roots.fingerprints() }))
}

/// A client that believes anyone. Only for fetching a root whose fingerprint is known.
pub(crate) fn credulous() -> Result<reqwest::Client, TlsSetup> {
    client(Arc::new(Anyone(provider())))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn client(verifier: Arc<dyn ServerCertVerifier>) -> Result<reqwest::Client, TlsSetup> {
    let config = rustls::ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsSetup::Client(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(config)
        .https_only(true)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TOTAL_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .user_agent(concat!("phoenix-certd/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| TlsSetup::Client(error.to_string()))
}

/// Verification against the pinned roots that remembers what it refused.
#[derive(Debug)]
struct PinnedRoots {
    inner: Arc<WebPkiServerVerifier>,
    fingerprints: Vec<String>,
}

impl PinnedRoots {
    fn distrust(
        &self,
        error: rustls::Error,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
    ) -> rustls::Error {
        let rustls::Error::InvalidCertificate(cause) = error else { return error };
        let last = rest.last().unwrap_or(leaf).clone().into_owned();
        let facts = Chain::from_der(vec![last]).ok().map(|chain| chain.leaf_facts().clone());
        let distrust = Distrust {
            cause,
            pinned: self.fingerprints.clone(),
            presented_issuer: facts.as_ref().map(|facts| facts.issuer.clone()),
            presented: facts.map(|facts| facts.fingerprint),
        };
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(distrust))))
    }
}

impl ServerCertVerifier for PinnedRoots {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.inner
            .verify_server_cert(leaf, rest, name, ocsp, now)
            .map_err(|error| self.distrust(error, leaf, rest))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Believes every certificate, but still wants the handshake to be in order.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _rest: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
