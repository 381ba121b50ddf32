//! The routes of the control API.

use std::convert::Infallible;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Query, RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures::stream;
use percent_encoding::percent_decode_str;
use phoenix_protocol::control::{ErrorDocument, Progress};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::past;
use super::peer::Peer;
use crate::engine::{Answering, Asked, Message, OrderReply};
use crate::history::History;

/// Largest request: the names of ten thousand entries fit.
const MAX_BODY: usize = 1024 * 1024;

/// Largest candidate for a manifest: as large as a manifest may be.
const MAX_CANDIDATE: usize = 64 * 1024 * 1024;

pub(super) fn router(messages: mpsc::Sender<Message>, history: History, stop: CancellationToken) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/explain", get(explain))
        .route("/v1/plan", get(plan).post(plan_candidate).layer(DefaultBodyLimit::max(MAX_CANDIDATE)))
        .route("/v1/renew", post(renew))
        .route("/v1/sync", post(sync))
        .route("/v1/verify", post(verify))
        .route("/v1/rollback", post(roll_back))
        .fallback(|| async { refuse(StatusCode::NOT_FOUND, "no-such-route", "there is no such route") })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(messages)
        .merge(past::router(history, stop))
}

pub(super) fn json<T: Serialize>(status: StatusCode, document: &T) -> Response {
    match serde_json::to_vec(document) {
        Ok(mut body) => {
            body.push(b'\n');
            (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

pub(super) fn refuse(status: StatusCode, code: &str, message: &str) -> Response {
    json(status, &ErrorDocument { code: code.to_owned(), message: message.to_owned() })
}

fn stopping() -> Response {
    refuse(StatusCode::SERVICE_UNAVAILABLE, "not-ready", "the daemon is stopping")
}

async fn status(State(messages): State<mpsc::Sender<Message>>, RawQuery(query): RawQuery) -> Response {
    let (reply, document) = oneshot::channel();
    if messages.send(Message::Status(asked(query.as_deref().unwrap_or_default()), reply)).await.is_err() {
        return stopping();
    }
    match document.await {
        Ok(pieces) => {
            let body = Body::from_stream(stream::unfold(pieces, |mut pieces| async {
                let piece = pieces.recv().await?;
                Some((Ok::<_, Infallible>(Bytes::from(piece)), pieces))
            }));
            (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
        Err(_) => stopping(),
    }
}

/// What a query asks of the status. What it does not know is passed over.
fn asked(query: &str) -> Asked {
    let mut asked = Asked::default();
    for (key, value) in query.split('&').filter_map(|part| part.split_once('=')) {
        match key {
            "name" => {
                let name = value.replace('+', " ");
                asked.names.insert(percent_decode_str(&name).decode_utf8_lossy().into_owned());
            }
            "brief" => asked.brief = value == "1",
            _ => {}
        }
    }
    asked
}

/// Whom a question is about.
#[derive(Deserialize)]
struct About {
    name: String,
}

async fn explain(
    State(messages): State<mpsc::Sender<Message>>,
    about: Result<Query<About>, QueryRejection>,
) -> Response {
    match about {
        Ok(Query(About { name })) => ask(&messages, |reply| Message::Explain(name, reply)).await,
        Err(error) => refuse(StatusCode::BAD_REQUEST, "bad-request", &error.body_text()),
    }
}

async fn plan(State(messages): State<mpsc::Sender<Message>>) -> Response {
    ask(&messages, |reply| Message::Plan(None, reply)).await
}

/// A whole manifest to think through: not for mere readers, who could keep the engine busy with it.
async fn plan_candidate(
    State(messages): State<mpsc::Sender<Message>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    body: Bytes,
) -> Response {
    if !peer.may_command() {
        return forbidden();
    }
    match serde_json::from_slice(&body) {
        Ok(candidate) => ask(&messages, |reply| Message::Plan(Some(candidate), reply)).await,
        Err(error) => misunderstood(&error),
    }
}

fn forbidden() -> Response {
    let text = "only root and the daemon's own user may command; members of the group phoenix-certd may read";
    refuse(StatusCode::FORBIDDEN, "forbidden", text)
}

fn misunderstood(error: &serde_json::Error) -> Response {
    let text = format!("the request cannot be understood: {error}");
    refuse(StatusCode::BAD_REQUEST, "bad-request", &text)
}

/// Asks the engine a question about entries.
async fn ask<T: Serialize>(
    messages: &mpsc::Sender<Message>,
    question: impl FnOnce(Answering<T>) -> Message,
) -> Response {
    let (reply, answer) = oneshot::channel();
    if messages.send(question(reply)).await.is_err() {
        return stopping();
    }
    match answer.await {
        Ok(Ok(document)) => json(StatusCode::OK, &document),
        Ok(Err(refusal)) => refused(&refusal),
        Err(_) => stopping(),
    }
}

fn refused(refusal: &ErrorDocument) -> Response {
    let status = match refusal.code.as_str() {
        "no-such-name" => StatusCode::NOT_FOUND,
        _ => StatusCode::BAD_REQUEST,
    };
    json(status, refusal)
}

async fn renew(
    State(messages): State<mpsc::Sender<Message>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    body: Bytes,
) -> Response {
    order(messages, peer, &body, Message::Renew).await
}

async fn sync(
    State(messages): State<mpsc::Sender<Message>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    body: Bytes,
) -> Response {
    order(messages, peer, &body, Message::Sync).await
}

async fn verify(
    State(messages): State<mpsc::Sender<Message>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    body: Bytes,
) -> Response {
    order(messages, peer, &body, Message::Verify).await
}

async fn roll_back(
    State(messages): State<mpsc::Sender<Message>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    body: Bytes,
) -> Response {
    order(messages, peer, &body, Message::RollBack).await
}

async fn order<T: DeserializeOwned>(
    messages: mpsc::Sender<Message>,
    peer: Peer,
    body: &[u8],
    message: fn(T, Option<u32>, OrderReply) -> Message,
) -> Response {
    if !peer.may_command() {
        return forbidden();
    }
    let request = match serde_json::from_slice(body) {
        Ok(request) => request,
        Err(error) => return misunderstood(&error),
    };
    let (reply, answer) = oneshot::channel();
    if messages.send(message(request, peer.uid(), reply)).await.is_err() {
        return stopping();
    }
    match answer.await {
        Ok(Ok(lines)) => {
            let body = Body::from_stream(stream::unfold(lines, |mut lines| async {
                let line = lines.recv().await?;
                Some((encode(&line), lines))
            }));
            (StatusCode::OK, [(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response()
        }
        Ok(Err(refusal)) => refused(&refusal),
        Err(_) => stopping(),
    }
}

fn encode(line: &Progress) -> Result<Bytes, serde_json::Error> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    Ok(bytes.into())
}
