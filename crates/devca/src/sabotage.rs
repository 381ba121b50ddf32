//! Faults that strike the answer as a whole, around the handlers.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_LENGTH, DATE};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;

use crate::ca::Shared;
use crate::clock::http_date;
use crate::fault::Fault;
use crate::refusal::Refusal;

/// Size of [`Fault::HugeBody`].
const HUGE: usize = 8 * 1024 * 1024;

/// The faults that strike this request, for handlers that lie.
#[derive(Clone, Debug)]
pub(crate) struct Struck(pub(crate) Vec<Fault>);

impl Struck {
    pub(crate) fn has(&self, fault: &Fault) -> bool {
        self.0.contains(fault)
    }
}

/// Counts the request, lets the faults of the moment strike, and stamps the answer with the CA's time.
pub(crate) async fn around(State(shared): State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    let sign = request.uri().path().ends_with("/sign");
    shared.count_request(sign);
    let struck = Struck(shared.faults.strike(sign));
    request.extensions_mut().insert(struck.clone());
    let mut response = match before(&struck).await {
        Some(refusal) => refusal.into_response(),
        None => next.run(request).await,
    };
    for fault in &struck.0 {
        response = after(fault, response).await;
    }
    stamp(response.headers_mut(), shared.clock.now());
    response
}

async fn before(struck: &Struck) -> Option<Refusal> {
    let mut refusal = None;
    for fault in &struck.0 {
        match fault {
            Fault::Slow(delay) => tokio::time::sleep(*delay).await,
            Fault::Status(status) => refusal = Some(Refusal::Status(*status)),
            _ => {}
        }
    }
    refusal
}

async fn after(fault: &Fault, response: Response) -> Response {
    match fault {
        Fault::CutJson => {
            let (whole, response) = take_body(response).await;
            replace(response, half(&whole).into())
        }
        Fault::ClosedConnection => {
            let (whole, response) = take_body(response).await;
            let mut torn = replace(response, Body::new(Torn::Whole(half(&whole))));
            torn.headers_mut().insert(CONTENT_LENGTH, whole.len().into());
            torn
        }
        Fault::Garbage => replace(response, Body::from("<html>It works!</html>")),
        Fault::HugeBody => replace(response, Body::from(vec![b' '; HUGE])),
        _ => response,
    }
}

fn half(whole: &Bytes) -> Bytes {
    whole.slice(..whole.len() / 2)
}

async fn take_body(response: Response) -> (Bytes, Response) {
    let (parts, body) = response.into_parts();
    let whole = axum::body::to_bytes(body, HUGE).await.unwrap_or_default();
    (whole, Response::from_parts(parts, Body::empty()))
}

fn replace(response: Response, body: Body) -> Response {
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(CONTENT_LENGTH);
    Response::from_parts(parts, body)
}

fn stamp(headers: &mut HeaderMap, now: i64) {
    if let Ok(date) = HeaderValue::from_str(&http_date(now)) {
        headers.insert(DATE, date);
    }
    let mut id = [0; 8];
    if aws_lc_rs::rand::fill(&mut id).is_ok() {
        let id = u64::from_be_bytes(id);
        headers.insert("x-request-id", id.into());
    }
}

/// A body that fails after its first piece, which makes the server close the connection.
enum Torn {
    /// The piece is still to be sent.
    Whole(Bytes),
    /// The piece is handed over but may lie in a buffer.
    Handed,
    /// The piece is on the wire.
    Flushed,
}

impl HttpBody for Torn {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match std::mem::replace(&mut *self, Self::Flushed) {
            Self::Whole(piece) => {
                *self = Self::Handed;
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            Self::Handed => {
                // The server flushes what it has while a body is not ready.
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Self::Flushed => Poll::Ready(Some(Err(std::io::Error::other("torn on purpose")))),
        }
    }
}
