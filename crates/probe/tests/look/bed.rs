//! A CA, its leaves, and servers on loopback that show them.

use std::sync::Arc;
use std::time::Duration;

use phoenix_core::reason::{Reason, Trouble};
use phoenix_core::scheme::SignatureScheme;
use phoenix_core::time::Timestamp;
use phoenix_probe::{Check, HandshakeSigner, Http, Identity, Report, Subject, Tls, look};
use phoenix_x509::{Chain, KeyPair as Key, Roots};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion, version};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

pub(crate) const SHORT: Duration = Duration::from_millis(300);
pub(crate) const AMPLE: Duration = Duration::from_secs(30);
pub(crate) const NAME: &str = "docker.internal";
pub(crate) const BOTH: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];

pub(crate) struct Ca {
    root: CertifiedIssuer<'static, KeyPair>,
}

pub(crate) struct Leaf {
    pub(crate) chain: Chain,
    key_pem: String,
}

impl Ca {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, "root");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self { root: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    pub(crate) fn leaf(&self, shape: impl FnOnce(&mut CertificateParams)) -> Leaf {
        let mut params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        shape(&mut params);
        let key = KeyPair::generate().unwrap();
        let der = params.signed_by(&key, &self.root).unwrap().der().clone();
        Leaf { chain: Chain::from_der(vec![der]).unwrap(), key_pem: key.serialize_pem() }
    }

    fn roots(&self) -> Roots {
        Roots::from_pem(self.root.pem()).unwrap()
    }
}

impl Leaf {
    pub(crate) fn subject(&self, ca: &Ca) -> Subject {
        let ours = self.chain.leaf_facts().clone();
        Subject { ours, previous: None, roots: vec![ca.roots()], at: Timestamp::from_unix(1_800_000_000) }
    }

    pub(crate) fn identity(&self) -> Identity {
        Identity { chain: self.chain.clone(), signer: Arc::new(Remote(self.key_pem.clone())) }
    }
}

/// Signs as the executor does.
struct Remote(String);

impl HandshakeSigner for Remote {
    fn sign(&self, scheme: SignatureScheme, message: &[u8]) -> Result<Vec<u8>, Trouble> {
        let key = Key::from_pem(self.0.as_bytes()).unwrap();
        let content = phoenix_x509::ClientVerify::parse(message).unwrap();
        Ok(key.sign_handshake(scheme, content).unwrap())
    }
}

/// Does not sign.
pub(crate) struct Gone;

impl HandshakeSigner for Gone {
    fn sign(&self, _: SignatureScheme, _: &[u8]) -> Result<Vec<u8>, Trouble> {
        Err(Trouble::new(Reason::ExecutorGone, "the executor did not answer"))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clients {
    Anyone,
    Optional,
    Demanded,
}

pub(crate) fn config(
    leaf: &Leaf,
    ca: &Ca,
    clients: Clients,
    versions: &[&'static SupportedProtocolVersion],
) -> ServerConfig {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(versions).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(ca.root.der().clone()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = match clients {
        Clients::Anyone => builder.with_no_client_auth(),
        Clients::Optional => {
            builder.with_client_cert_verifier(verifier.allow_unauthenticated().build().unwrap())
        }
        Clients::Demanded => builder.with_client_cert_verifier(verifier.build().unwrap()),
    };
    let chain: Vec<CertificateDer<'static>> = leaf.chain.certificates().to_vec();
    let der = KeyPair::from_pem(&leaf.key_pem).unwrap().serialize_der();
    builder.with_single_cert(chain, PrivateKeyDer::try_from(der).unwrap()).unwrap()
}

/// Shows its certificate to whoever asks for [`NAME`], and to nobody else.
pub(crate) fn only_by_name(mut config: ServerConfig) -> ServerConfig {
    config.cert_resolver = Arc::new(ByName(Arc::clone(&config.cert_resolver)));
    config
}

#[derive(Debug)]
struct ByName(Arc<dyn ResolvesServerCert>);

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        (hello.server_name() == Some(NAME)).then(|| self.0.resolve(hello)).flatten()
    }
}

/// Serves TLS; each request is answered with `answer` and a farewell, or with silence.
pub(crate) async fn serve(config: ServerConfig, answer: Option<&'static str>) -> String {
    serve_on("127.0.0.1:0", config, answer).await
}

pub(crate) async fn serve_on(at: &str, config: ServerConfig, answer: Option<&'static str>) -> String {
    let listener = TcpListener::bind(at).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut tls) = acceptor.accept(stream).await else { return };
                let _ = tls.read(&mut [0; 512]).await;
                match answer {
                    Some(answer) => {
                        let _ = tls.write_all(answer.as_bytes()).await;
                        let _ = tls.shutdown().await;
                    }
                    None => drop(tls.read(&mut [0; 512]).await),
                }
            });
        }
    });
    address
}

/// Does `what` with each connection.
pub(crate) async fn peer<F: Future<Output = ()> + Send + 'static>(
    what: impl Fn(TcpStream) -> F + Send + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(what(stream));
        }
    });
    address
}

pub(crate) fn tls(address: &str) -> Tls {
    Tls {
        address: address.parse().unwrap(),
        server_name: Some(NAME.into()),
        client: None,
        refuse_without_client: false,
        http: None,
    }
}

pub(crate) fn http(status: Option<u16>) -> Http {
    Http { path: "/_ping".into(), status }
}

pub(crate) async fn seen(check: Tls, subject: &Subject) -> Report {
    look(&Check::Tls(check), subject, SHORT).await
}

pub(crate) fn reason(report: &Report) -> Option<Reason> {
    report.result.as_ref().err().map(|trouble| trouble.reason)
}

pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nOK";
/// Nothing but a farewell after the request, as nginx refuses for another program.
pub(crate) const FAREWELL: &str = "";
pub(crate) const REFUSED: &str =
    "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\nNo required SSL certificate was sent";
