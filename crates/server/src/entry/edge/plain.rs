//! What the plain listener (port 80) answers for certificate authorities; everything else is refused (`entry/api/plain`).

use super::acme::Challenges;
use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::{StatusCode, header};
use std::sync::Arc;

/// Answers the challenges of a certificate authority (RFC 8555 §8.3) before anything else in `router`.
pub fn with_challenges(router: Router, challenges: Arc<Challenges>) -> Router {
    let answers = Router::new()
        .route("/.well-known/acme-challenge/{token}", get(challenge))
        .with_state(challenges);
    router.merge(answers)
}

async fn challenge(State(challenges): State<Arc<Challenges>>, Path(token): Path<String>) -> Response {
    match challenges.answer(&token) {
        Some(text) => ([(header::CONTENT_TYPE, "application/octet-stream")], text).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
