//! Health, metrics, the queue and reports on TLS: for the operator's own network.

mod queue;
mod reports;
mod token;

pub use queue::{Act, Answer, Question, Refused, Shown, answer};
pub use token::Token;

use crate::app::Readiness;
use crate::features::delivery::Queue;
use crate::features::domains::{self, Names};
use crate::limits::ADMIN_BODY_BYTES_MAX;
use crate::platform::Platform;
use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use std::sync::Arc;

/// `/healthz` (the process answers) and `/readyz` (it can do its work), without reasons: safe to show to anyone.
pub fn health(readiness: Arc<Readiness>) -> Router {
    Router::new()
        .route("/healthz", get(healthy))
        .route("/readyz", get(ready))
        .with_state(readiness)
}

/// What the operator's listener needs.
pub struct Parts {
    /// Whether this process can do its work.
    pub readiness: Arc<Readiness>,
    /// What the features stand on.
    pub platform: Platform,
    /// Where the records of sending domains lead to.
    pub names: Names,
    /// What waits for delivery.
    pub queue: Queue,
    /// What callers show who see and change it.
    pub token: Token,
}

/// `/healthz`, `/readyz` with its reason, `/metrics`, `/zone` for the operator's name server, and `/queue` and `/tls-reports` for who shows the token.
pub fn router(parts: Parts) -> Router {
    let Parts {
        readiness,
        platform,
        names,
        queue,
        token,
    } = parts;
    let metrics = Arc::clone(&platform.metrics);
    let text = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let render = async move || ([(header::CONTENT_TYPE, text)], metrics.render());
    let reports_token = token.clone();
    let queue =
        async move |headers: HeaderMap, body: Bytes| queue::serve(&queue, &token, &headers, &body).await;
    let reports = {
        let platform = platform.clone();
        async move |headers: HeaderMap| reports::serve(&platform, &reports_token, &headers).await
    };
    Router::new()
        .route("/queue", post(queue))
        .route("/tls-reports", post(reports))
        .layer(DefaultBodyLimit::max(ADMIN_BODY_BYTES_MAX))
        .route("/healthz", get(healthy))
        .route("/readyz", get(ready_or_why_not))
        .with_state(readiness)
        .route("/metrics", get(render))
        .route("/zone", get(async move || zone(&platform, &names).await))
}

/// What customers' records lead to, for `$INCLUDE`.
async fn zone(platform: &Platform, names: &Names) -> Response {
    match domains::zone_file(platform, names).await {
        Ok(Some(file)) => ([(header::CONTENT_TYPE, "text/dns")], file).into_response(),
        Ok(None) => (StatusCode::NOT_FOUND, "domains.zone is not set\n").into_response(),
        Err(error) => {
            tracing::error!(%error, "the zone could not be read");
            (StatusCode::SERVICE_UNAVAILABLE, "the zone can't be read now\n").into_response()
        }
    }
}

async fn healthy() -> &'static str {
    "ok\n"
}

async fn ready(State(readiness): State<Arc<Readiness>>) -> (StatusCode, &'static str) {
    match readiness.problem() {
        None => (StatusCode::OK, "ready\n"),
        Some(_) => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
    }
}

async fn ready_or_why_not(State(readiness): State<Arc<Readiness>>) -> (StatusCode, String) {
    match readiness.problem() {
        None => (StatusCode::OK, "ready\n".to_owned()),
        Some(problem) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {problem}\n")),
    }
}
