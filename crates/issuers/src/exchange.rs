//! One HTTP request and its bounded answer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use reqwest::header::{DATE, HeaderMap};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::clock;

/// Most bytes that are read of an answer.
pub(crate) const MAX_BODY: usize = 1024 * 1024;

/// A complete answer, whatever its status.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// `X-Request-Id`, by which the CA's log knows the request (step-ca 0.26 and newer).
    pub(crate) request_id: Option<String>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// The body as JSON.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }
}

/// Why there is no complete answer.
#[derive(Debug)]
pub(crate) enum NoReply {
    /// No answer came.
    Transport(reqwest::Error),
    /// An answer began and broke off.
    Cut(reqwest::Error),
    /// The answer is longer than [`MAX_BODY`].
    TooLarge,
}

/// A CA's HTTP side, and what every answer tells about the CA besides its content.
#[derive(Debug)]
pub(crate) struct Exchange {
    client: reqwest::Client,
    answered: AtomicBool,
    skew: Mutex<Option<i64>>,
}

impl Exchange {
    pub(crate) fn new(client: reqwest::Client) -> Self {
        Self { client, answered: AtomicBool::new(false), skew: Mutex::new(None) }
    }

    /// `GET url`.
    pub(crate) async fn get(&self, url: &str) -> Result<Reply, NoReply> {
        self.send(self.client.get(url)).await
    }

    /// `POST url` with a JSON body.
    pub(crate) async fn post(&self, url: &str, body: &(impl Serialize + Sync)) -> Result<Reply, NoReply> {
        self.send(self.client.post(url).json(body)).await
    }

    /// At least one answer came since this was made.
    pub(crate) fn answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// The CA's clock minus ours in seconds, from the newest answer that had a date.
    pub(crate) fn skew(&self) -> Option<i64> {
        // A number cannot be left half-written by a panic.
        *self.skew.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Reply, NoReply> {
        let response = request.send().await.map_err(NoReply::Transport)?;
        self.learn(response.headers());
        let status = response.status().as_u16();
        let request_id = text(response.headers(), "x-request-id");
        let body = read_bounded(response).await?;
        Ok(Reply { status, request_id, body })
    }

    fn learn(&self, headers: &HeaderMap) {
        self.answered.store(true, Ordering::Relaxed);
        let skew = text(headers, DATE.as_str()).and_then(|date| clock::skew(&date, clock::now()));
        if skew.is_some() {
            *self.skew.lock().unwrap_or_else(PoisonError::into_inner) = skew;
        }
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(|value| value.chars().take(128).collect())
}

async fn read_bounded(mut response: reqwest::Response) -> Result<Vec<u8>, NoReply> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(NoReply::Cut)? {
        if body.len() + chunk.len() > MAX_BODY {
            return Err(NoReply::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
