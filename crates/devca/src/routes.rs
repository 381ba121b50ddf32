//! The HTTP interface. Every path exists with and without `/1.0` in front.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router, middleware};
use serde::Deserialize;
use serde_json::json;

use crate::authority::Authority;
use crate::ca::Shared;
use crate::fault::Fault;
use crate::provisioner::Provisioner;
use crate::refusal::Refusal;
use crate::sabotage::{self, Struck};
use crate::sign;

/// The version whose rules are kept.
const VERSION: &str = "0.30.2";

/// The whole interface.
pub(crate) fn router(shared: &Arc<Shared>) -> Router {
    Router::new()
        .merge(api())
        .nest("/1.0", api())
        .fallback(|| async { (StatusCode::NOT_FOUND, "404 page not found\n") })
        .layer(middleware::from_fn_with_state(Arc::clone(shared), sabotage::around))
        .with_state(Arc::clone(shared))
}

fn api() -> Router<Arc<Shared>> {
    Router::new()
        .route("/health", get(|| async { Json(json!({ "status": "ok" })) }))
        .route("/version", get(|| async { Json(json!({ "version": VERSION })) }))
        .route("/root/{fingerprint}", get(root))
        .route("/roots", get(roots))
        .route("/intermediates", get(intermediates))
        .route("/provisioners", get(provisioners))
        .route("/provisioners/{kid}/encrypted-key", get(encrypted_key))
        .route("/sign", post(sign::sign))
}

async fn root(
    State(shared): State<Arc<Shared>>,
    Extension(struck): Extension<Struck>,
    Path(asked): Path<String>,
) -> Result<Response, Refusal> {
    if struck.has(&Fault::ForeignRoot) {
        let foreign = Authority::new(shared.clock.now()).map_err(|_| Refusal::Internal)?;
        return Ok(Json(json!({ "ca": foreign.root_pem() })).into_response());
    }
    let authority = &shared.authority;
    if asked.to_ascii_lowercase().replace('-', "") == authority.root_fingerprint() {
        return Ok(Json(json!({ "ca": authority.root_pem() })).into_response());
    }
    Err(Refusal::NotFound(Some(format!("root certificate with fingerprint \"{asked}\" was not found"))))
}

async fn roots(State(shared): State<Arc<Shared>>) -> Response {
    (StatusCode::CREATED, Json(json!({ "crts": [shared.authority.root_pem()] }))).into_response()
}

async fn intermediates(State(shared): State<Arc<Shared>>) -> Response {
    (StatusCode::CREATED, Json(json!({ "crts": [shared.authority.intermediate_pem()] }))).into_response()
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    cursor: String,
    #[serde(default)]
    limit: String,
}

impl Page {
    /// Twenty by default, a hundred at most; other numbers are clamped.
    fn size(&self) -> Result<usize, Refusal> {
        if self.limit.is_empty() {
            return Ok(20);
        }
        match self.limit.parse::<i64>() {
            Ok(limit) if limit > 0 => Ok(usize::try_from(limit).unwrap_or(100).min(100)),
            Ok(_) => Ok(20),
            Err(_) => Err(Refusal::BadRequest(format!("limit '{}' is not an integer", self.limit))),
        }
    }

    /// The cursor is the index of the first entry, in hexadecimal; nobody else may interpret it.
    fn start(&self) -> usize {
        usize::from_str_radix(&self.cursor, 16).unwrap_or(0)
    }
}

async fn provisioners(
    State(shared): State<Arc<Shared>>,
    Query(page): Query<Page>,
) -> Result<Response, Refusal> {
    let all = shared.provisioners();
    let (start, size) = (page.start(), page.size()?);
    let listed: Vec<_> = all.iter().skip(start).take(size).map(Provisioner::listed).collect();
    let next = start.saturating_add(size);
    let cursor = if next < all.len() { format!("{next:x}") } else { String::new() };
    Ok(Json(json!({ "provisioners": listed, "nextCursor": cursor })).into_response())
}

async fn encrypted_key(
    State(shared): State<Arc<Shared>>,
    Path(kid): Path<String>,
) -> Result<Response, Refusal> {
    let found = shared.provisioners().into_iter().find(|provisioner| provisioner.kid == kid);
    let key = found.ok_or(Refusal::NotFound(None))?.encrypted_key;
    Ok(Json(json!({ "key": key })).into_response())
}
