//! The control API from the client's side: HTTP/1.1 on the daemon's unix socket.
//!
//! Everything is bounded: how long an answer may take and how large it may be.

mod lines;
mod unreachable;

use std::path::PathBuf;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, header};
use hyper_util::rt::TokioIo;
use phoenix_protocol::control::ErrorDocument;
use serde::Serialize;
use tokio::net::UnixStream;
use tokio::time::{Instant, timeout_at};

pub use lines::Lines;
pub use unreachable::Unreachable;

/// Largest document that is read. A report takes about 1 KiB for each certificate.
const MAX_DOCUMENT: usize = 128 * 1024 * 1024;
/// Largest error document that is read.
const MAX_ERROR: usize = 64 * 1024;
/// How long the daemon may take to begin an answer, or to give a whole document.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a request brought nothing.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// No answer.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// The daemon says no.
    #[error("{}", .0.message)]
    Refused(ErrorDocument),
}

/// The daemon behind a socket. Every request makes its own connection.
#[derive(Clone, Debug)]
pub struct Daemon {
    socket: PathBuf,
    patience: Duration,
}

impl Daemon {
    /// The daemon that listens on `socket`.
    pub fn new(socket: PathBuf) -> Self {
        Self { socket, patience: PATIENCE }
    }

    /// The same with another limit for the beginning of an answer.
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// `GET route`; the whole body.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn get(&self, route: &str) -> Result<Bytes, RequestError> {
        let until = Instant::now() + self.patience;
        let response = self.send(Method::GET, route, Bytes::new(), until).await?;
        let body = Limited::new(response.into_body(), MAX_DOCUMENT).collect();
        match timeout_at(until, body).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(why)) => Err(self.lost(&why.to_string()).into()),
            Err(_) => Err(self.silent().into()),
        }
    }

    /// `GET route`; the lines of the answer, which have to end within `time`.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn lines(&self, route: &str, time: Duration) -> Result<Lines, RequestError> {
        let until = Instant::now() + self.patience;
        let response = self.send(Method::GET, route, Bytes::new(), until).await?;
        Ok(Lines::new(response.into_body(), self.socket.clone(), time))
    }

    /// `POST route` with `body` as JSON; the lines of the answer, which have to end within `time`.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn post(
        &self,
        route: &str,
        body: &impl Serialize,
        time: Duration,
    ) -> Result<Lines, RequestError> {
        let body = serde_json::to_vec(body).map_err(|why| self.lost(&why.to_string()))?;
        let until = Instant::now() + self.patience;
        let response = self.send(Method::POST, route, body.into(), until).await?;
        Ok(Lines::new(response.into_body(), self.socket.clone(), time + self.patience))
    }

    async fn send(
        &self,
        method: Method,
        route: &str,
        body: Bytes,
        until: Instant,
    ) -> Result<Response<Incoming>, RequestError> {
        let exchange = self.exchange(method, route, body);
        let response = timeout_at(until, exchange).await.map_err(|_| self.silent())??;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.refusal(response, until).await)
    }

    async fn exchange(
        &self,
        method: Method,
        route: &str,
        body: Bytes,
    ) -> Result<Response<Incoming>, Unreachable> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|error| Unreachable::connecting(self.socket.clone(), error))?;
        let lost = |error: hyper::Error| self.lost(&error.to_string());
        let (mut sender, connection) =
            http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await.map_err(lost)?;
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(route)
            .header(header::HOST, "localhost")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| self.lost(&error.to_string()))?;
        sender.send_request(request).await.map_err(lost)
    }

    async fn refusal(&self, response: Response<Incoming>, until: Instant) -> RequestError {
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ERROR).collect();
        let document = match timeout_at(until, body).await {
            Ok(Ok(body)) => serde_json::from_slice(&body.to_bytes()).ok(),
            Ok(Err(_)) | Err(_) => None,
        };
        RequestError::Refused(document.unwrap_or_else(|| ErrorDocument {
            code: status.as_u16().to_string(),
            message: format!("it answered with HTTP status {status} and without a reason"),
        }))
    }

    /// What came is no answer.
    pub fn lost(&self, why: &str) -> Unreachable {
        Unreachable::Lost { socket: self.socket.clone(), why: why.to_owned() }
    }

    fn silent(&self) -> Unreachable {
        Unreachable::Silent { socket: self.socket.clone(), waited: self.patience }
    }
}

#[cfg(test)]
mod tests;
