//! Connect, shake hands, read the record.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use crate::recorder::{Recorder, Seen};
use crate::{Address, ProbeError, Step};

/// The certificates that the server at `address` presents, leaf first, as DER.
///
/// TLS 1.2 and 1.3, without a client certificate. A server that demands one has presented its own chain before
/// it refuses, so the refusal is no failure here. Nothing is judged but that the server holds the leaf's key.
///
/// `server_name` is sent as SNI; without it the host of `address`, when that is a name. `deadline` covers
/// everything from resolving the name on.
///
/// # Errors
/// [`ProbeError`], when no certificate was seen.
pub async fn served_chain(
    address: &str,
    server_name: Option<&str>,
    deadline: Duration,
) -> Result<Vec<CertificateDer<'static>>, ProbeError> {
    let until = Instant::now() + deadline;
    let address: Address = address.parse()?;
    let name = asked_name(server_name.unwrap_or(address.host()))?;
    let recorder = Arc::new(Recorder::new(aws_lc_rs::default_provider()));
    let client = client(Arc::clone(&recorder))?;
    let late = |step| ProbeError::Deadline { address: address.to_string(), step, deadline };

    let stream = timeout_at(until, connect(&address, until)).await.map_err(|_| late(Step::Connect))??;
    let shaken = timeout_at(until, handshake(client, name, stream)).await;
    match (recorder.take(), shaken) {
        (Seen::Chain(chain), _) => Ok(chain),
        (Seen::Forged, _) => Err(ProbeError::NotProven { address: address.to_string() }),
        (Seen::Nothing, Err(_)) => Err(late(Step::Handshake)),
        (Seen::Nothing, Ok(shaken)) => Err(failed_handshake(&address, shaken)),
    }
}

pub(crate) fn asked_name(name: &str) -> Result<ServerName<'static>, ProbeError> {
    ServerName::try_from(name)
        .map(|name| name.to_owned())
        .map_err(|_| ProbeError::BadServerName { name: name.to_owned() })
}

fn client(recorder: Arc<Recorder>) -> Result<ClientConfig, ProbeError> {
    let mut client = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(ProbeError::Client)?
        .dangerous()
        .with_custom_certificate_verifier(recorder)
        .with_no_client_auth();
    // A resumed session presents no certificate.
    client.resumption = Resumption::disabled();
    Ok(client)
}

/// Tries every address of the host in turn. Each gets its share of the time that is left, so that one that
/// swallows packets does not use up the others' time.
pub(crate) async fn connect(address: &Address, until: Instant) -> Result<TcpStream, ProbeError> {
    let resolve = |source| ProbeError::Resolve { host: address.host().to_owned(), source };
    let found: Vec<SocketAddr> =
        lookup_host((address.host(), address.port())).await.map_err(resolve)?.collect();
    let mut last = None;
    for (index, socket) in found.iter().enumerate() {
        let left = until.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(found.len() - index).unwrap_or(u32::MAX);
        match tokio::time::timeout(share, TcpStream::connect(socket)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = Some(error),
            Err(_) => last = Some(io::Error::new(io::ErrorKind::TimedOut, "it does not answer")),
        }
    }
    Err(match last {
        Some(source) => ProbeError::Connect { address: address.to_string(), source },
        None => resolve(io::Error::new(io::ErrorKind::NotFound, "the name has no address")),
    })
}

async fn handshake(client: ClientConfig, name: ServerName<'static>, stream: TcpStream) -> io::Result<()> {
    let mut tls = TlsConnector::from(Arc::new(client)).connect(name, stream).await?;
    // Ends the connection politely, for the server's log. The certificate has been seen whatever comes of it.
    tls.shutdown().await
}

fn failed_handshake(address: &Address, shaken: io::Result<()>) -> ProbeError {
    let address = address.to_string();
    let source = shaken.err().unwrap_or_else(|| io::Error::other("the server sent no certificate"));
    match source.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidMessage(_)) => ProbeError::NotTls { address },
        _ => ProbeError::Handshake { address, source },
    }
}
