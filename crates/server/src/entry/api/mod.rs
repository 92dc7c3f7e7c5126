//! The `/v1` API: a file per resource, beside what all of them need.
//!
//! `json` reads bodies strictly, `caller` turns a key into a caller, `problem` is the only place with status codes.

mod caller;
mod emails;
mod json;
mod mailbox;
mod page;
mod problem;
mod request;
mod webhooks;

pub use problem::Problem;

use crate::features::emails::Fresh;
use crate::features::keys::Authenticator;
use crate::platform::Platform;
use axum::Router;
use axum::routing::{get, post};
use std::sync::Arc;

/// What the API's handlers are given.
pub struct Api {
    /// What features stand on.
    pub platform: Platform,
    /// Messages accepted a moment ago.
    pub fresh: Arc<Fresh>,
    /// Keys found good a moment ago.
    pub authenticator: Authenticator,
}

/// The routes of the API, each answering problems in the API's own form.
pub fn router(api: Arc<Api>) -> Router {
    Router::new()
        .route("/v1/emails", post(emails::send).get(emails::list))
        .route("/v1/emails/{id}", get(emails::get))
        .route("/v1/emails/{id}/attempts", get(emails::attempts))
        .route("/v1/webhooks", post(webhooks::create).get(webhooks::list))
        .route("/v1/webhooks/{id}", get(webhooks::get).delete(webhooks::delete))
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .fallback(async || Problem::no_route())
        .with_state(Arc::clone(&api))
        .layer(axum::middleware::from_fn_with_state(api, request::observe))
}
