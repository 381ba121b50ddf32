//! One connection: handshake, request, answer.
//!
//! In TLS 1.3 the client's handshake is complete before the server has judged the client's certificate (RFC 8446
//! section 4.4.2.4): whether it is refused shows only in what comes instead of an answer.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use phoenix_core::reason::Trouble;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, ClientConfig, ClientConnection, SupportedProtocolVersion};
use rustls_pki_types::ServerName;
use tokio::sync::oneshot;

use crate::identity::Presenter;
use crate::recorder::{Recorder, Seen};
use crate::served::{asked_name, connect};
use crate::wire::Wire;
use crate::{Address, Identity, ProbeError, Step, http};

/// What is said on a connection.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    /// Where.
    pub address: Address,
    /// SNI; none means the host of the address when it is a name.
    pub server_name: Option<String>,
    /// Certificate to show. With one, TLS 1.2 is off: there a signature covers what the server chose.
    pub identity: Option<Identity>,
    /// Path to request after the handshake.
    pub request: Option<String>,
    /// How long an answer is waited for.
    pub patience: Duration,
}

/// How a connection went.
#[derive(Debug)]
pub(crate) struct Encounter {
    /// Certificates that the server showed.
    pub seen: Seen,
    /// The server asked for a client certificate.
    pub asked: bool,
    /// Why our handshake could not be signed.
    pub unsigned: Option<Trouble>,
    /// How it ended.
    pub end: End,
}

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// After the handshake, as nothing was to be requested.
    Shaken,
    /// With the first line of an answer.
    Spoke(Vec<u8>),
    /// The server closed it politely before any byte of an answer.
    Parted,
    /// With a fatal alert of the server.
    Alert(AlertDescription),
    /// The server closed or reset it without a word.
    Gone,
    /// The handshake was complete, and no answer came in time.
    Silent,
    /// The handshake was not completed in time.
    Stalled,
    /// What came is not TLS.
    NotTls,
    /// The server speaks no version of TLS that we offered.
    OtherVersion,
    /// Anything else, in words.
    Broken(String),
}

/// Makes a connection and says what is in the script; all of it within `deadline`.
///
/// # Errors
/// When there was no connection.
pub(crate) async fn converse(script: Script, deadline: Duration) -> Result<Encounter, ProbeError> {
    let until = Instant::now() + deadline;
    let address = script.address.clone();
    let name = asked_name(script.server_name.as_deref().unwrap_or(address.host()))?;
    let late = || ProbeError::Deadline { address: address.to_string(), step: Step::Connect, deadline };
    let stream = tokio::time::timeout_at(until.into(), connect(&address, until.into()))
        .await
        .map_err(|_| late())??
        .into_std();
    let lost = |source| ProbeError::Connect { address: address.to_string(), source };
    let (tell, told) = oneshot::channel();
    // Signing waits for another process, so it must not happen on a thread of the runtime. Nobody waits for this
    // thread when the program ends.
    std::thread::Builder::new()
        .name("probe".into())
        .spawn(move || {
            let _ = tell.send(stream.and_then(|stream| speak(&script, name, stream, until)));
        })
        .map_err(lost)?;
    let gone = || lost(io::Error::other("the look ended by itself"));
    told.await.map_err(|_| gone())?.map_err(lost)
}

fn speak(
    script: &Script,
    name: ServerName<'static>,
    stream: TcpStream,
    until: Instant,
) -> io::Result<Encounter> {
    let recorder = Arc::new(Recorder::new(aws_lc_rs::default_provider()));
    let presenter = Arc::new(Presenter::new(script.identity.as_ref()));
    let versions: &[&SupportedProtocolVersion] =
        if script.identity.is_some() { &[&TLS13] } else { &[&TLS13, &TLS12] };
    let config = client(versions, Arc::clone(&recorder), Arc::clone(&presenter)).map_err(io::Error::other)?;
    let tls = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let end = exchange(script, tls, Wire::new(stream, until)?);
    Ok(Encounter { seen: recorder.take(), asked: presenter.was_asked(), unsigned: presenter.failure(), end })
}

fn client(
    versions: &[&'static SupportedProtocolVersion],
    recorder: Arc<Recorder>,
    presenter: Arc<Presenter>,
) -> Result<ClientConfig, rustls::Error> {
    let mut client = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)?
        .dangerous()
        .with_custom_certificate_verifier(recorder)
        .with_client_cert_resolver(presenter);
    // A resumed session presents no certificate.
    client.resumption = Resumption::disabled();
    Ok(client)
}

fn exchange(script: &Script, mut tls: ClientConnection, mut wire: Wire) -> End {
    if let Err(error) = tls.complete_io(&mut wire) {
        return match end_of(&error) {
            End::Silent => End::Stalled,
            end => end,
        };
    }
    let Some(path) = &script.request else {
        tls.send_close_notify();
        let _ = tls.complete_io(&mut wire);
        return End::Shaken;
    };
    wire.hurry(script.patience);
    let mut stream = rustls::Stream::new(&mut tls, &mut wire);
    let sent = http::request(&mut stream, &script.address, script.server_name.as_deref(), path);
    // Where sending failed, what came before may say why.
    let (line, end) = http::first_line(&mut stream);
    match (end, sent) {
        (_, _) if !line.is_empty() => End::Spoke(line),
        (Err(error), _) | (Ok(()), Err(error)) => end_of(&error),
        (Ok(()), Ok(())) => End::Parted,
    }
}

fn end_of(error: &io::Error) -> End {
    use rustls::Error as Tls;
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Tls>()) {
        Some(Tls::AlertReceived(AlertDescription::ProtocolVersion) | Tls::PeerIncompatible(_)) => {
            End::OtherVersion
        }
        Some(Tls::AlertReceived(alert)) => End::Alert(*alert),
        Some(Tls::InvalidMessage(_)) => End::NotTls,
        Some(other) => End::Broken(other.to_string()),
        None => match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => End::Silent,
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::NotConnected => End::Gone,
            _ => End::Broken(error.to_string()),
        },
    }
}
