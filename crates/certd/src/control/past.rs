//! The routes that tell what happened: `/v1/history` and `/v1/events`.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::stream::{self, Stream, StreamExt};
use phoenix_protocol::control::SCHEMA;
use phoenix_protocol::history::HistoryDocument;
use serde::Deserialize;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use super::routes::{json, refuse};
use crate::clock::now;
use crate::history::{History, Line, Wanted};

/// Records that are told at most, unless the request says otherwise.
const LIMIT: usize = 1000;

#[derive(Clone)]
struct Past {
    history: History,
    stop: CancellationToken,
}

pub(super) fn router(history: History, stop: CancellationToken) -> Router {
    Router::new()
        .route("/v1/history", get(history_of))
        .route("/v1/events", get(events))
        .with_state(Past { history, stop })
}

/// What of the past is asked for.
#[derive(Deserialize)]
struct Asked {
    /// Name of an entry.
    name: Option<String>,
    /// Number of the last record that is known already.
    after: Option<u64>,
    /// So many at most, the newest.
    limit: Option<usize>,
    /// Not 0: what happens from now on follows.
    #[serde(default)]
    follow: u8,
}

impl Asked {
    fn wanted(&self) -> Wanted {
        Wanted {
            name: self.name.clone(),
            after: self.after.unwrap_or_default(),
            limit: self.limit.unwrap_or(LIMIT),
        }
    }
}

async fn history_of(State(past): State<Past>, asked: Result<Query<Asked>, QueryRejection>) -> Response {
    let Query(asked) = match asked {
        Ok(asked) => asked,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, "bad-request", &error.body_text()),
    };
    let lines = past.history.read(asked.wanted()).await;
    let records = lines.iter().filter_map(|line| serde_json::from_slice(&line.text).ok()).collect();
    let document =
        HistoryDocument { schema: SCHEMA, generated_at: now(), records, problem: past.history.problem() };
    json(StatusCode::OK, &document)
}

async fn events(State(past): State<Past>, asked: Result<Query<Asked>, QueryRejection>) -> Response {
    let Query(asked) = match asked {
        Ok(asked) => asked,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, "bad-request", &error.body_text()),
    };
    if asked.follow == 0 {
        let lines = past.history.read(asked.wanted()).await;
        return lines_of(stream::iter(lines.into_iter().map(|line| Ok(line.text))));
    }
    // Listening begins before the past is read, so that nothing falls between.
    let Some(listener) = past.history.listen() else {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "not-ready", "too many follow the events already");
    };
    let before = match asked.after {
        Some(_) => past.history.read(asked.wanted()).await,
        None => Vec::new(),
    };
    let told = before.last().map_or(0, |line| line.seq);
    let first = stream::iter(before.into_iter().map(|line| Ok(line.text)));
    lines_of(first.chain(follow(listener, told, past.stop)))
}

/// What happens from now on, after the record `told`. A reader that falls too far behind is dropped: the answer breaks
/// off, and it can go on where it was with `after`.
fn follow(
    listener: broadcast::Receiver<Line>,
    told: u64,
    stop: CancellationToken,
) -> impl Stream<Item = Result<Bytes, LagsBehind>> {
    stream::unfold(Some((listener, stop)), move |following| async move {
        let (mut listener, stop) = following?;
        loop {
            let next = tokio::select! {
                () = stop.cancelled() => return None,
                next = listener.recv() => next,
            };
            match next {
                Ok(line) if line.seq <= told => {}
                Ok(line) => return Some((Ok(line.text), Some((listener, stop)))),
                Err(broadcast::error::RecvError::Lagged(_)) => return Some((Err(LagsBehind), None)),
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    })
}

/// The reader of events takes them too slowly.
#[derive(Debug, thiserror::Error)]
#[error("the reader lags behind")]
struct LagsBehind;

fn lines_of(lines: impl Stream<Item = Result<Bytes, LagsBehind>> + Send + 'static) -> Response {
    let body = Body::from_stream(lines);
    (StatusCode::OK, [(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}
