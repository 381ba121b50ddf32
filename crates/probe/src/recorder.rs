//! The certificate verifier that accepts everything and remembers it.

use std::sync::{Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

/// What was seen of the server.
#[derive(Debug, Default)]
struct Record {
    chain: Vec<CertificateDer<'static>>,
    forged: bool,
}

/// Accepts any certificate, and notes whether the handshake was signed with its key.
#[derive(Debug)]
pub(crate) struct Recorder {
    provider: CryptoProvider,
    record: Mutex<Record>,
}

/// A recorded chain.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// No certificate arrived.
    Nothing,
    /// Certificates, leaf first; the server signed with the leaf's key, or nothing says otherwise.
    Chain(Vec<CertificateDer<'static>>),
    /// The handshake was signed with another key than the leaf's.
    Forged,
}

impl Recorder {
    pub(crate) fn new(provider: CryptoProvider) -> Self {
        Self { provider, record: Mutex::default() }
    }

    /// Takes the record out.
    pub(crate) fn take(&self) -> Seen {
        let record = std::mem::take(&mut *self.lock());
        match record {
            Record { forged: true, .. } => Seen::Forged,
            Record { chain, .. } if chain.is_empty() => Seen::Nothing,
            Record { chain, .. } => Seen::Chain(chain),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A signature that does not fit is noted and refused. A certificate that the verifier cannot read (an
    /// X.509 v1 leaf, an unknown extension marked critical) is to be shown all the same.
    fn judge(
        &self,
        checked: Result<HandshakeSignatureValid, Error>,
    ) -> Result<HandshakeSignatureValid, Error> {
        match checked {
            Err(Error::InvalidCertificate(CertificateError::BadSignature)) => {
                self.lock().forged = true;
                Err(CertificateError::BadSignature.into())
            }
            Err(Error::InvalidCertificate(_)) | Ok(_) => Ok(HandshakeSignatureValid::assertion()),
            Err(other) => Err(other),
        }
    }
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let all = std::iter::once(end_entity).chain(intermediates);
        self.lock().chain = all.map(|der| der.clone().into_owned()).collect();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        self.judge(verify_tls12_signature(message, cert, dss, algorithms))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        self.judge(verify_tls13_signature(message, cert, dss, algorithms))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
