//! Asking the daemon for its status.

use std::path::Path;

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use phoenix_protocol::control::StatusDocument;
use tokio::net::UnixStream;

/// Largest answer.
const LIMIT: usize = 1024 * 1024;

/// `GET /v1/status`
pub(crate) async fn status(socket: &Path) -> Result<StatusDocument> {
    let stream = UnixStream::connect(socket).await.context("cannot reach the daemon")?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let task = tokio::spawn(connection);
    let request = Request::get("/v1/status").header("host", "localhost").body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let body = Limited::new(response.into_body(), LIMIT)
        .collect()
        .await
        .map_err(|error| anyhow::anyhow!("cannot read the status: {error}"))?
        .to_bytes();
    task.abort();
    Ok(serde_json::from_slice(&body)?)
}
