//! Health and metrics: for the operator's own network.

use crate::app::Readiness;
use crate::features::domains::{self, Names};
use crate::platform::Platform;
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::{StatusCode, header};
use std::sync::Arc;

/// `/healthz` (the process answers) and `/readyz` (it can do its work), without reasons: safe to show to anyone.
pub fn health(readiness: Arc<Readiness>) -> Router {
    Router::new()
        .route("/healthz", get(healthy))
        .route("/readyz", get(ready))
        .with_state(readiness)
}

/// `/healthz`, `/readyz` with its reason, `/metrics`, and `/zone` for the operator's name server.
pub fn router(readiness: Arc<Readiness>, platform: Platform, names: Names) -> Router {
    let metrics = Arc::clone(&platform.metrics);
    let text = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let render = async move || ([(header::CONTENT_TYPE, text)], metrics.render());
    Router::new()
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
