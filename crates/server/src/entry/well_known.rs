//! What strangers' programs look for at paths below `/.well-known`: our own host's policy of MTA-STS (RFC 8461 §3.3).
//!
//! Not here: challenges of certificate authorities, which stand on the plain listener.

use crate::features::returns::StsPolicy;
use axum::Router;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::{HeaderMap, StatusCode, Uri, header};

/// Serves the policy under the name that it is looked for, and under no other.
pub fn well_known(policy: StsPolicy) -> Router {
    let name = policy.served_at();
    let serve = async move |uri: Uri, headers: HeaderMap| -> Response {
        let said = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        // HTTP/2 has the name in the URI.
        let said = uri.authority().map(http::uri::Authority::as_str).or(said);
        let host = said.map(|said| said.split_once(':').map_or(said, |(host, _)| host));
        if host.is_some_and(|host| host.eq_ignore_ascii_case(&name)) {
            ([(header::CONTENT_TYPE, "text/plain")], policy.text().to_owned()).into_response()
        } else {
            (StatusCode::NOT_FOUND, "no policy under this name\n").into_response()
        }
    };
    Router::new().route("/.well-known/mta-sts.txt", get(serve))
}
