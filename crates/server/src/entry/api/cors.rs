//! What browsers are told (Fetch §3.2): pages of listed origins may call with a session and read the answer, and nothing else may.
//!
//! No cookie counts here, so there are no credentials to allow; no origin is answered by `*`.

use super::route::Routes;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

/// Sent by browsers only, and not by a page's choice.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// What a page may send beside what every page may.
const HEADERS: HeaderValue = HeaderValue::from_static(
    "authorization, content-type, idempotency-key, sealwright-organization, sealwright-mode",
);
/// Seconds for which a browser remembers a preflight. The request itself is judged each time.
const MAX_AGE_S: HeaderValue = HeaderValue::from_static("600");

/// The page that may read the answer; carried by the answer to the outermost layer.
#[derive(Debug, Clone)]
pub(super) struct Reader(HeaderValue);

impl Reader {
    /// The page that a request came from, once its session was found good there.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        headers.get(header::ORIGIN).cloned().map(Self)
    }

    /// Lets the page read.
    pub(super) fn admit(self, headers: &mut HeaderMap) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, self.0);
        headers.insert(header::VARY, HeaderValue::from_static("origin"));
    }
}

/// Whether a browser sent it.
pub(super) fn is_browser(headers: &HeaderMap) -> bool {
    headers.contains_key(header::ORIGIN) || headers.contains_key(SEC_FETCH_SITE)
}

/// The origin of the page that sent a request; one that is not text is listed by nobody.
pub(super) fn page(headers: &HeaderMap) -> Option<&str> {
    headers
        .get(header::ORIGIN)
        .map(|value| value.to_str().unwrap_or("?"))
}

/// Whether a request, which is an OPTIONS, asks what a page may send.
pub(super) fn is_preflight(headers: &HeaderMap) -> bool {
    headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to a preflight of a listed origin: what the table of routes has at this path. `None` where no session has any business.
pub(super) fn preflight(routes: &Routes, path: &str, request: &HeaderMap) -> Option<Response> {
    let methods = routes.methods_of_callers(path);
    if methods.is_empty() {
        return None;
    }
    // Names of methods are printable.
    let methods = HeaderValue::from_str(&methods.join(", ")).ok()?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE_S);
    Reader::of(request)?.admit(headers);
    Some(response)
}
