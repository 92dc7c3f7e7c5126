//! Health and metrics: for the operator's own network.

use crate::app::Readiness;
use crate::metrics::Metrics;
use axum::Router;
use axum::extract::State;
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

/// `/healthz`, `/readyz` with its reason, and `/metrics`.
pub fn router(readiness: Arc<Readiness>, metrics: Arc<Metrics>) -> Router {
    let text = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let render = async move || ([(header::CONTENT_TYPE, text)], metrics.render());
    Router::new()
        .route("/healthz", get(healthy))
        .route("/readyz", get(ready_or_why_not))
        .with_state(readiness)
        .route("/metrics", get(render))
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
