//! Verifications against real rustls servers on loopback, and against peers that are none.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use phoenix_core::reason::{Reason, Trouble};
use phoenix_core::scheme::SignatureScheme;
use phoenix_core::time::Timestamp;
use phoenix_probe::{
    Accepted, Check, HandshakeSigner, Http, Identity, Report, Subject, Tls, can_be_reached, look,
};
use phoenix_x509::{Chain, KeyPair as Key, Roots};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion, version};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

const SHORT: Duration = Duration::from_millis(300);
const AMPLE: Duration = Duration::from_secs(30);
const NAME: &str = "docker.internal";
const BOTH: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];

struct Ca {
    root: CertifiedIssuer<'static, KeyPair>,
}

struct Leaf {
    chain: Chain,
    key_pem: String,
}

impl Ca {
    fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, "root");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self { root: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    fn leaf(&self, shape: impl FnOnce(&mut CertificateParams)) -> Leaf {
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
    fn subject(&self, ca: &Ca) -> Subject {
        let ours = self.chain.leaf_facts().clone();
        Subject { ours, previous: None, roots: vec![ca.roots()], at: Timestamp::from_unix(1_800_000_000) }
    }

    fn identity(&self) -> Identity {
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
struct Gone;

impl HandshakeSigner for Gone {
    fn sign(&self, _: SignatureScheme, _: &[u8]) -> Result<Vec<u8>, Trouble> {
        Err(Trouble::new(Reason::ExecutorGone, "the executor did not answer"))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clients {
    Anyone,
    Optional,
    Demanded,
}

fn config(
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

/// Serves TLS; each request is answered with `answer` and a farewell, or with silence.
async fn serve(config: ServerConfig, answer: Option<&'static str>) -> String {
    serve_on("127.0.0.1:0", config, answer).await
}

async fn serve_on(at: &str, config: ServerConfig, answer: Option<&'static str>) -> String {
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
async fn peer<F: Future<Output = ()> + Send + 'static>(
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

fn tls(address: &str) -> Tls {
    Tls {
        address: address.parse().unwrap(),
        server_name: Some(NAME.into()),
        client: None,
        refuse_without_client: false,
        http: None,
    }
}

fn http(status: Option<u16>) -> Http {
    Http { path: "/_ping".into(), status }
}

async fn seen(check: Tls, subject: &Subject) -> Report {
    look(&Check::Tls(check), subject, SHORT).await
}

fn reason(report: &Report) -> Option<Reason> {
    report.result.as_ref().err().map(|trouble| trouble.reason)
}

const OK: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nOK";
/// Nothing but a farewell after the request, as nginx refuses for another program.
const FAREWELL: &str = "";
const REFUSED: &str =
    "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\nNo required SSL certificate was sent";

#[tokio::test]
async fn the_installed_leaf_passes_in_every_version_whether_or_not_clients_are_asked() {
    let ca = Ca::new();
    let leaf = ca.leaf(|_| {});
    for versions in [&BOTH[..1], &BOTH[1..]] {
        for clients in [Clients::Anyone, Clients::Demanded] {
            let address = serve(config(&leaf, &ca, clients, versions), None).await;
            let report = seen(tls(&address), &leaf.subject(&ca)).await;
            assert_eq!((reason(&report), &report.remarks), (None, &vec![]));
            assert_eq!(report.served.as_ref(), Some(leaf.chain.leaf_facts()));
        }
    }
}

#[tokio::test]
async fn a_server_on_ipv6_is_looked_at_like_any_other() {
    let ca = Ca::new();
    let (ours, other) = (ca.leaf(|_| {}), ca.leaf(|_| {}));
    let address = serve_on("[::1]:0", config(&ours, &ca, Clients::Demanded, BOTH), Some(OK)).await;
    assert!(address.starts_with("[::1]:"), "{address}");
    let check = Tls { client: Some(ours.identity()), http: Some(http(Some(200))), ..tls(&address) };
    let check = Tls { refuse_without_client: true, ..check };
    for server_name in [Some(NAME.into()), None] {
        let check = Tls { server_name, ..check.clone() };
        let report = seen(check.clone(), &ours.subject(&ca)).await;
        assert_eq!(reason(&report), None);
        assert_eq!(report.served.as_ref(), Some(ours.chain.leaf_facts()));
        assert_eq!(reason(&seen(check, &other.subject(&ca)).await), Some(Reason::ServesOther));
    }
    assert!(can_be_reached(&address.parse().unwrap(), None, AMPLE).await);
}

#[tokio::test]
async fn what_is_served_instead_is_told_apart_with_advice() {
    let ca = Ca::new();
    let ours = ca.leaf(|_| {});
    let other = ca.leaf(|_| {});
    let expired = ca.leaf(|params| {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    });
    let traefik = ca.leaf(|params| {
        params.distinguished_name.push(rcgen::DnType::CommonName, "TRAEFIK DEFAULT CERT");
    });
    for (served, wanted, words) in [
        (&other, Reason::ServesOther, "the previous one"),
        (&expired, Reason::ServesExpired, "expired at 2002-01-01"),
        (&traefik, Reason::ServesDefault, "made for itself"),
    ] {
        let address = serve(config(served, &ca, Clients::Anyone, BOTH), None).await;
        let mut subject = ours.subject(&ca);
        subject.previous = Some(other.chain.leaf_facts().fingerprint.clone());
        let report = seen(tls(&address), &subject).await;
        let trouble = report.result.unwrap_err();
        assert_eq!(trouble.reason, wanted);
        assert!(trouble.message.contains(words), "{}", trouble.message);
        assert!(trouble.message.contains(&served.chain.leaf_facts().serial), "{}", trouble.message);
        assert_eq!(report.served.as_ref(), Some(served.chain.leaf_facts()));
    }
}

#[tokio::test]
async fn a_leaf_without_its_chain_passes_with_a_remark() {
    let ca = Ca::new();
    let leaf = ca.leaf(|_| {});
    let address = serve(config(&leaf, &ca, Clients::Anyone, BOTH), None).await;
    let report = seen(tls(&address), &leaf.subject(&Ca::new())).await;
    assert_eq!(reason(&report), None);
    assert!(report.remarks[0].contains("without the intermediates"), "{:?}", report.remarks);
}

#[tokio::test]
async fn a_client_certificate_is_signed_elsewhere_and_accepted_or_refused() {
    let ca = Ca::new();
    let leaf = ca.leaf(|_| {});
    let stranger = Ca::new().leaf(|_| {});
    for (client, answer, request, wanted) in [
        (&leaf, Some(OK), Some(http(Some(200))), None),
        (&leaf, Some(OK), None, None),
        (&leaf, Some("SSH-2.0-x\r\n"), None, None),
        (&leaf, None, None, None),
        (&leaf, None, Some(http(Some(200))), Some(Reason::WrongStatus)),
        (&leaf, Some(FAREWELL), None, Some(Reason::RefusesClient)),
        (&leaf, Some(FAREWELL), Some(http(Some(200))), Some(Reason::RefusesClient)),
        (&leaf, Some(OK), Some(http(Some(204))), Some(Reason::WrongStatus)),
        (&leaf, Some("SSH-2.0-x\r\n"), Some(http(None)), Some(Reason::WrongStatus)),
        (&leaf, Some(REFUSED), Some(http(Some(200))), Some(Reason::RefusesClient)),
        (&leaf, Some(REFUSED), None, Some(Reason::RefusesClient)),
        (&stranger, Some(OK), Some(http(Some(200))), Some(Reason::RefusesClient)),
        (&stranger, Some(OK), None, Some(Reason::RefusesClient)),
    ] {
        let address = serve(config(&leaf, &ca, Clients::Demanded, BOTH), answer).await;
        let (subject, client) = (leaf.subject(&ca), Some(client.identity()));
        let check = Tls { client: client.clone(), http: request.clone(), ..tls(&address) };
        assert_eq!(reason(&seen(check, &subject).await), wanted, "{answer:?} {request:?}");
        let (address, client) = (address.parse().unwrap(), client.unwrap());
        let check =
            Check::Accepted(Accepted { address, server_name: Some(NAME.into()), client, http: request });
        assert_eq!(reason(&look(&check, &subject, SHORT).await), wanted, "{answer:?}");
    }
}

#[tokio::test]
async fn a_server_that_does_not_ask_shows_nothing_about_a_client_certificate() {
    let ca = Ca::new();
    let leaf = ca.leaf(|_| {});
    let address = serve(config(&leaf, &ca, Clients::Anyone, BOTH), Some(OK)).await.parse().unwrap();
    let client = leaf.identity();
    let check = Check::Accepted(Accepted { address, server_name: None, client, http: Some(http(Some(200))) });
    assert_eq!(reason(&look(&check, &leaf.subject(&ca), SHORT).await), Some(Reason::AcceptsAnyone));
}

#[tokio::test]
async fn a_server_that_demands_a_client_certificate_which_none_is_configured_for_is_told_as_such() {
    let ca = Ca::new();
    let leaf = ca.leaf(|_| {});
    for (clients, answer) in [(Clients::Demanded, OK), (Clients::Optional, REFUSED)] {
        let address = serve(config(&leaf, &ca, clients, BOTH), Some(answer)).await;
        let check = Tls { http: Some(http(Some(200))), ..tls(&address) };
        let report = seen(check, &leaf.subject(&ca)).await;
        assert_eq!(reason(&report), Some(Reason::DemandsClient), "{clients:?}");
        assert_eq!(report.served.as_ref(), Some(leaf.chain.leaf_facts()), "{clients:?}");
    }
}

#[tokio::test]
async fn strangers_are_refused_by_alert_or_status_or_not_at_all() {
    let ca = Ca::new();
    let leaf = ca.leaf(|_| {});
    for (clients, answer, request, refuses) in [
        (Clients::Demanded, Some(OK), None, true),
        (Clients::Demanded, Some(OK), Some(http(Some(200))), true),
        (Clients::Optional, Some(OK), Some(http(Some(200))), false),
        (Clients::Anyone, Some(OK), None, false),
        // Without `http_get` an answer is an answer.
        (Clients::Anyone, Some(REFUSED), None, false),
    ] {
        for versions in [&BOTH[..1], BOTH] {
            let address = serve(config(&leaf, &ca, clients, versions), answer).await;
            let client = (clients != Clients::Anyone).then(|| leaf.identity());
            let check = Tls { client, http: request.clone(), refuse_without_client: true, ..tls(&address) };
            let found = reason(&seen(check, &leaf.subject(&ca)).await);
            assert_eq!(found, (!refuses).then_some(Reason::AcceptsAnyone), "{answer:?} {request:?}");
        }
    }
}

#[tokio::test]
async fn a_peer_of_tls_1_2_shows_its_certificate_and_gets_no_signature() {
    let ca = Ca::new();
    let leaf = ca.leaf(|_| {});
    let address = serve(config(&leaf, &ca, Clients::Demanded, &BOTH[1..]), Some(OK)).await;
    let check = Tls { client: Some(leaf.identity()), ..tls(&address) };
    let report = seen(check.clone(), &leaf.subject(&ca)).await;
    assert_eq!(reason(&report), Some(Reason::ManifestError));
    assert!(report.result.unwrap_err().message.contains("TLS 1.3"));
    let report = seen(check, &ca.leaf(|_| {}).subject(&ca)).await;
    assert_eq!(reason(&report), Some(Reason::ServesOther), "what is served is told all the same");
}

#[tokio::test]
async fn a_signer_that_fails_is_told_as_such() {
    let ca = Ca::new();
    let leaf = ca.leaf(|_| {});
    let address = serve(config(&leaf, &ca, Clients::Demanded, BOTH), Some(OK)).await;
    let client = Some(Identity { signer: Arc::new(Gone), ..leaf.identity() });
    let report = seen(Tls { client, ..tls(&address) }, &leaf.subject(&ca)).await;
    assert_eq!(reason(&report), Some(Reason::ExecutorGone));
}

#[tokio::test]
async fn peers_that_are_no_tls_servers_are_out_of_reach() {
    let ca = Ca::new();
    let leaf = ca.leaf(|_| {});
    let hangs = peer(|stream| async move {
        tokio::time::sleep(AMPLE).await;
        drop(stream);
    });
    let resets = peer(|stream| async move { stream.set_zero_linger().unwrap() });
    let garbage = peer(|mut stream| async move { drop(stream.write_all(&[0x5a; 4096]).await) });
    let plain = peer(|mut stream| async move { drop(stream.write_all(REFUSED.as_bytes()).await) });
    let drips = peer(|mut stream| async move {
        for byte in [22_u8, 3, 3, 0, 122, 2, 0, 0, 118] {
            tokio::time::sleep(SHORT / 2).await;
            if stream.write_all(&[byte]).await.is_err() {
                return;
            }
        }
    });
    let (hangs, resets, garbage, plain, drips) = tokio::join!(hangs, resets, garbage, plain, drips);
    let nobody = { TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string() };
    for address in [hangs, resets, garbage, plain, drips, nobody] {
        let subject = leaf.subject(&ca);
        assert_eq!(reason(&seen(tls(&address), &subject).await), Some(Reason::Unreachable), "{address}");
        let check = Check::Accepted(Accepted {
            address: address.parse().unwrap(),
            server_name: None,
            client: leaf.identity(),
            http: None,
        });
        assert_eq!(reason(&look(&check, &subject, SHORT).await), Some(Reason::Unreachable), "{address}");
        assert!(!can_be_reached(&address.parse().unwrap(), None, SHORT).await);
    }
}

#[tokio::test]
async fn a_consumer_that_takes_a_while_is_waited_for() {
    let ca = Ca::new();
    let leaf = ca.leaf(|_| {});
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let check = Check::Tls(tls(&address.to_string()));
    let subject = leaf.subject(&ca);
    let late = async {
        // It comes up after the first attempt has found nobody.
        while can_be_reached(&address.to_string().parse().unwrap(), None, SHORT).await {}
        let listener = TcpListener::bind(address).await.unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config(&leaf, &ca, Clients::Anyone, BOTH)));
        let (stream, _) = listener.accept().await.unwrap();
        drop(acceptor.accept(stream).await);
    };
    let (report, ()) = tokio::join!(look(&check, &subject, AMPLE), late);
    assert_eq!(reason(&report), None);
}
