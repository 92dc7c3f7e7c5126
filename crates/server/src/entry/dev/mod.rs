//! The development pages of `sealwright dev`: the captured outbox, and a webhook receiver that checks what it gets.
//!
//! Everything is in memory and nothing is authenticated: these routes exist only in `sealwright dev`, which listens on loopback.

mod hooks;
mod outbox;

pub use hooks::Hooks;
pub use outbox::Outbox;

use crate::platform::dev::sink::Sink;
use axum::Router;
use axum::routing::{get, post};
use std::sync::Arc;

/// What the development pages show.
pub struct Dev {
    /// Where mail is caught.
    pub sink: Sink,
    /// Where webhooks are caught.
    pub hooks: Hooks,
    /// The DKIM records of the development domain, by host name.
    pub dkim_records: Vec<(String, String)>,
}

/// The development routes.
pub fn router(dev: Arc<Dev>) -> Router {
    Router::new()
        .route(
            "/",
            get(async || axum::response::Redirect::temporary("/dev/outbox")),
        )
        .route("/dev/outbox", get(outbox::list))
        .route("/dev/outbox/{seq}", get(outbox::show))
        .route("/dev/outbox/{seq}/frame", get(outbox::frame))
        .route("/dev/outbox/{seq}/raw", get(outbox::raw))
        .route("/dev/style.css", get(outbox::style))
        .route("/dev/hooks/{mode}", post(hooks::receive))
        .with_state(dev)
}
