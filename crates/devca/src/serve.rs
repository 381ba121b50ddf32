//! TLS and connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::ca::Shared;
use crate::routes;

/// As in Step-CA: an idle connection is closed after this time.
const IDLE: Duration = Duration::from_secs(15);

/// Binds `address` and serves until the returned task is aborted.
pub(crate) async fn start(
    shared: &Arc<Shared>,
    address: SocketAddr,
) -> anyhow::Result<(SocketAddr, JoinHandle<()>)> {
    let acceptor = acceptor(shared)?;
    let listener = TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))?;
    let address = listener.local_addr().context("asking for the address of the listener")?;
    shared.begin();
    let router = routes::router(shared);
    Ok((address, tokio::spawn(accept(listener, acceptor, router))))
}

fn acceptor(shared: &Shared) -> anyhow::Result<TlsAcceptor> {
    let (chain, key) = shared.authority.server(&shared.names, chrono::Utc::now().timestamp())?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Accepts for ever. Connections end with this task, because the set aborts its members when dropped.
async fn accept(listener: TcpListener, acceptor: TlsAcceptor, router: Router) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // Nothing to do about a connection that is gone before it is accepted.
                if let Ok((stream, _)) = accepted {
                    connections.spawn(connection(stream, acceptor.clone(), router.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One connection. Whatever goes wrong on it is the client's to notice.
async fn connection(stream: TcpStream, acceptor: TlsAcceptor, router: Router) {
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let service = TowerToHyperService::new(router);
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    drop(served);
}
