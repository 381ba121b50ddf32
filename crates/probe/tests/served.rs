//! The probe against real rustls servers on loopback.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use phoenix_probe::{ProbeError, Step, served_chain};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion, version};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const AMPLE: Duration = Duration::from_secs(30);

struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    root: CertificateDer<'static>,
}

/// A leaf below an intermediate below a root.
fn identity(name: &str, expired: bool) -> Identity {
    let authority = |name: &str| {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    };
    let root = CertifiedIssuer::self_signed(authority("root"), KeyPair::generate().unwrap()).unwrap();
    let middle =
        CertifiedIssuer::signed_by(authority("intermediate"), KeyPair::generate().unwrap(), &root).unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    if expired {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    }
    let key = KeyPair::generate().unwrap();
    let leaf = params.signed_by(&key, &middle).unwrap();
    Identity {
        chain: vec![leaf.der().clone(), middle.der().clone()],
        key: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        root: root.der().clone(),
    }
}

fn server(
    identity: &Identity,
    only: &'static SupportedProtocolVersion,
    demands_client: bool,
) -> ServerConfig {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&[only]).unwrap();
    let builder = if demands_client {
        let mut roots = RootCertStore::empty();
        roots.add(identity.root.clone()).unwrap();
        builder.with_client_cert_verifier(
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap(),
        )
    } else {
        builder.with_no_client_auth()
    };
    builder.with_single_cert(identity.chain.clone(), identity.key.clone_key()).unwrap()
}

/// Serves every connection until the test ends.
async fn serve(bind: &str, config: ServerConfig) -> String {
    let listener = TcpListener::bind(bind).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(mut tls) = acceptor.accept(stream).await {
                let _ = tls.read(&mut [0; 64]).await;
            }
        }
    });
    address
}

#[tokio::test]
async fn the_whole_chain_is_seen_in_both_protocol_versions_whether_or_not_a_client_certificate_is_demanded() {
    let identity = identity("docker.internal", false);
    for only in [&version::TLS12, &version::TLS13] {
        for demands_client in [false, true] {
            let address = serve("127.0.0.1:0", server(&identity, only, demands_client)).await;
            let seen = served_chain(&address, Some("docker.internal"), AMPLE).await.unwrap();
            assert_eq!(seen, identity.chain, "{only:?}, demands a client certificate: {demands_client}");
        }
    }
}

#[tokio::test]
async fn an_expired_certificate_for_another_name_is_shown_too() {
    let identity = identity("other.internal", true);
    let address = serve("127.0.0.1:0", server(&identity, &version::TLS13, false)).await;
    assert_eq!(served_chain(&address, Some("docker.internal"), AMPLE).await.unwrap(), identity.chain);
}

#[tokio::test]
async fn servers_are_reached_over_ipv6_and_without_a_name_to_ask_for() {
    let identity = identity("docker.internal", false);
    let address = serve("[::1]:0", server(&identity, &version::TLS13, false)).await;
    assert!(address.starts_with("[::1]:"));
    assert_eq!(served_chain(&address, None, AMPLE).await.unwrap(), identity.chain);
}

/// Serves by SNI: what was asked for is what is presented.
#[derive(Debug)]
struct BySni(Vec<(Option<&'static str>, Arc<CertifiedKey>)>);

impl ResolvesServerCert for BySni {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.iter().find(|(name, _)| *name == hello.server_name()).map(|(_, key)| Arc::clone(key))
    }
}

fn certified(identity: &Identity) -> Arc<CertifiedKey> {
    let key = aws_lc_rs::sign::any_supported_type(&identity.key).unwrap();
    Arc::new(CertifiedKey::new(identity.chain.clone(), key))
}

fn resolving(resolver: BySni) -> ServerConfig {
    ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver))
}

#[tokio::test]
async fn the_server_name_selects_the_certificate_and_defaults_to_the_host() {
    let [a, b, bare] = ["a.internal", "localhost", "bare.internal"].map(|name| identity(name, false));
    let resolver = BySni(vec![
        (Some("a.internal"), certified(&a)),
        (Some("localhost"), certified(&b)),
        (None, certified(&bare)),
    ]);
    let address = serve("127.0.0.1:0", resolving(resolver)).await;
    let (_, port) = address.rsplit_once(':').unwrap();

    assert_eq!(served_chain(&address, Some("a.internal"), AMPLE).await.unwrap(), a.chain);
    assert_eq!(served_chain(&format!("localhost:{port}"), None, AMPLE).await.unwrap(), b.chain);
    assert_eq!(served_chain(&address, None, AMPLE).await.unwrap(), bare.chain);
    let error = served_chain(&address, Some("unknown.internal"), AMPLE).await.unwrap_err();
    assert!(matches!(error, ProbeError::Handshake { .. }), "{error}");
    assert!(error.to_string().starts_with(&format!("the TLS handshake with {address} ended before")));
}

#[tokio::test]
async fn a_server_that_does_not_hold_the_key_of_its_certificate_is_found_out() {
    let shown = identity("a.internal", false);
    let held = identity("a.internal", false);
    let key = aws_lc_rs::sign::any_supported_type(&held.key).unwrap();
    let mixed = Arc::new(CertifiedKey::new(shown.chain, key));
    let address = serve("127.0.0.1:0", resolving(BySni(vec![(Some("a.internal"), mixed)]))).await;
    let error = served_chain(&address, Some("a.internal"), AMPLE).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{address} presents a certificate without proving that it holds its private key")
    );
}

#[tokio::test]
async fn a_plain_server_is_said_not_to_speak_tls() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").await.unwrap();
        stream.shutdown().await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    let error = served_chain(&address, None, AMPLE).await.unwrap_err();
    assert_eq!(error.to_string(), format!("what answers on {address} does not speak TLS"));
}

#[tokio::test]
async fn nobody_there_is_a_connect_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let error = served_chain(&address, None, AMPLE).await.unwrap_err();
    assert!(error.to_string().starts_with(&format!("cannot connect to {address}: ")), "{error}");
}

#[tokio::test]
async fn a_silent_server_ends_at_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let error = served_chain(&address, None, Duration::from_millis(250)).await.unwrap_err();
    assert!(matches!(error, ProbeError::Deadline { step: Step::Handshake, .. }), "{error}");
    assert_eq!(error.to_string(), format!("{address} did not present a certificate within 0.25 s"));
}

#[tokio::test]
async fn a_name_that_cannot_be_asked_for_is_refused_before_connecting() {
    let error = served_chain("127.0.0.1:1", Some("not a name"), AMPLE).await.unwrap_err();
    assert!(matches!(error, ProbeError::BadServerName { .. }));
    assert!(matches!(served_chain("nonsense", None, AMPLE).await, Err(ProbeError::BadAddress { .. })));
}
