//! What the plain listener answers: that it is the wrong one, and that the key which came with the request is revoked.
//!
//! Never a redirect: a client that is sent on has already said its key in the clear, and would do so the next time.

use super::{Problem, request};
use crate::features::audit::Origin;
use crate::features::keys::{self, Channel, Key};
use crate::limits::{PLAIN_BODY_BYTES_MAX, PLAIN_BODY_TIMEOUT};
use crate::platform::Platform;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use http::request::Parts;
use http_body_util::{BodyExt as _, Limited};

/// Refuses everything, and burns the keys in it.
pub fn plain(platform: Platform) -> Router {
    Router::new()
        .fallback(refuse)
        .with_state(platform.clone())
        .layer(axum::middleware::from_fn_with_state(platform, request::observe))
}

async fn refuse(State(platform): State<Platform>, request: Request) -> Problem {
    let (head, body) = request.into_parts();
    let origin = head.extensions.get::<Origin>().cloned().unwrap_or_default();
    let text = seen(&head, body).await;
    let found: Vec<Key> = Key::find_all(&text).collect();
    match keys::expose_all(&platform, found, Channel::PlainHttp, &origin).await {
        Ok(()) => Problem::https_required(),
        Err(error) => error.into(),
    }
}

/// Everything that whoever was on the way could read, up to a limit.
async fn seen(head: &Parts, body: Body) -> String {
    let mut text = super::guard::decoded(&head.uri.to_string());
    for value in head.headers.values() {
        text.push('\n');
        text.push_str(&String::from_utf8_lossy(value.as_bytes()));
    }
    let body = Limited::new(body, PLAIN_BODY_BYTES_MAX).collect();
    if let Ok(Ok(body)) = tokio::time::timeout(PLAIN_BODY_TIMEOUT, body).await {
        text.push('\n');
        text.push_str(&String::from_utf8_lossy(&body.to_bytes()));
    }
    text
}
