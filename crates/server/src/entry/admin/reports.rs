//! `/tls-reports`: what other mail systems report of TLS on the way to our own host. `sealwright reports` asks here.

use super::token::Token;
use crate::features::returns;
use crate::platform::Platform;
use axum::Json;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode};

/// Answers a request that shows the token.
pub(super) async fn serve(platform: &Platform, token: &Token, headers: &HeaderMap) -> Response {
    if !token.is_shown(headers) {
        return token.missing();
    }
    match returns::tls_sessions(platform).await {
        Ok(sums) => Json(sums).into_response(),
        Err(error) => {
            tracing::error!(%error, "the reports on TLS were asked for");
            let why = "the reports can't be read now\n";
            (StatusCode::SERVICE_UNAVAILABLE, why).into_response()
        }
    }
}
