//! The signature of a TLS 1.3 client (RFC 8446 section 4.4.3), and nothing that could be mistaken for it.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaSignatureEncoding,
};
use phoenix_core::scheme::SignatureScheme;

use crate::key::Signer;
use crate::{KeyPair, X509Error};

const CONTEXT: &[u8] = b"TLS 1.3, client CertificateVerify";
const PADDING: usize = 64;

/// What a TLS 1.3 client signs: 64 spaces, the client's context string, a zero byte and the hash of the handshake.
/// Because of the padding no signature over it can serve as that of a certificate, a token or an older TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientVerify<'a>(&'a [u8]);

impl<'a> ClientVerify<'a> {
    /// `message`, if it is exactly of that form.
    ///
    /// # Errors
    /// [`X509Error::NoHandshake`].
    pub fn parse(message: &'a [u8]) -> Result<Self, X509Error> {
        let hash = message
            .strip_prefix(&[b' '; PADDING])
            .and_then(|rest| rest.strip_prefix(CONTEXT))
            .and_then(|rest| rest.strip_prefix(&[0]));
        match hash.map(<[u8]>::len) {
            // SHA-256 and SHA-384: every cipher suite of TLS 1.3 has one of the two.
            Some(32 | 48) => Ok(Self(message)),
            _ => Err(X509Error::NoHandshake),
        }
    }
}

impl KeyPair {
    /// Signs a client's handshake.
    ///
    /// # Errors
    /// [`X509Error::Scheme`] when the scheme does not fit the key.
    pub fn sign_handshake(
        &self,
        scheme: SignatureScheme,
        message: ClientVerify<'_>,
    ) -> Result<Vec<u8>, X509Error> {
        let fits = self.key_type().is_some_and(|kind| SignatureScheme::of(kind).contains(&scheme));
        if !fits {
            return Err(X509Error::Scheme(scheme));
        }
        let signature = match (&self.signer, encoding(scheme)) {
            (Signer::Rsa(key), Some(encoding)) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(encoding, &SystemRandom::new(), message.0, &mut signature).map(|()| signature)
            }
            (signer, _) => signer.sign(message.0),
        };
        signature.map_err(|_| X509Error::Key("the cryptographic library does not sign with it".into()))
    }
}

fn encoding(scheme: SignatureScheme) -> Option<&'static dyn RsaEncoding> {
    let encoding: &'static RsaSignatureEncoding = match scheme {
        SignatureScheme::RsaPss256 => &RSA_PSS_SHA256,
        SignatureScheme::RsaPss384 => &RSA_PSS_SHA384,
        SignatureScheme::RsaPss512 => &RSA_PSS_SHA512,
        SignatureScheme::EcdsaP256 | SignatureScheme::EcdsaP384 | SignatureScheme::Ed25519 => return None,
    };
    Some(encoding)
}
