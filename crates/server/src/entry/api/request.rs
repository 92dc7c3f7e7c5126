//! What happens to every request: it gets an id, a log line, metrics, and headers; problems get their body.
//!
//! The log line names the route and not the path: a caller may put anything there, an address in place of an id for one.

use super::cors::Reader;
use super::problem::Carried;
use crate::entry::edge::Peer;
use crate::features::audit::Origin;
use crate::id::Id as _;
pub(super) use crate::id::RequestId;
use crate::limits::AGENT_CHARS_MAX;
use crate::metrics::RequestLabels;
use crate::platform::Platform;
use crate::platform::vault::random;
use crate::secret::Personal;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, header};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

pub(super) async fn observe(State(platform): State<Platform>, mut request: Request, next: Next) -> Response {
    let started_at = platform.clock.now();
    let id = RequestId::generate(started_at, random());
    let method = request.method().clone();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("(none)", MatchedPath::as_str)
        .to_owned();
    let origin = Origin {
        address: request
            .extensions()
            .get::<Peer>()
            .map(|peer| Personal::new(peer.address)),
        agent: agent(request.headers()).map(Personal::new),
        request: Some(id.clone()),
    };
    request.extensions_mut().insert(id.clone());
    request.extensions_mut().insert(origin);
    let mut response = next.run(request).await;
    let reader = response.extensions_mut().remove::<Reader>();
    if let Some(Carried(problem)) = response.extensions_mut().remove::<Carried>() {
        let told = std::mem::take(response.headers_mut());
        response = problem.answer(&id);
        // What the layers in between told stays: where the caller stands, which methods there are.
        for (name, value) in &told {
            if !response.headers().contains_key(name) && name != header::CONTENT_LENGTH {
                response.headers_mut().insert(name, value.clone());
            }
        }
    }
    let headers = response.headers_mut();
    if let Some(reader) = reader {
        reader.admit(headers);
    }
    mark(headers, &id);
    let (status, elapsed) = (response.status().as_u16(), platform.clock.now().since(started_at));
    platform.metrics.request_seconds.observe(elapsed.as_secs_f64());
    let labels = RequestLabels {
        route,
        status: status.into(),
    };
    platform.metrics.requests.get_or_create(&labels).inc();
    let route = &labels.route;
    tracing::debug!(request = %id, %method, route, status, elapsed_us = elapsed.as_micros() as u64, "answered");
    response
}

/// The headers of every answer, also of those that the edge makes.
pub(in crate::entry) fn mark(headers: &mut HeaderMap, id: &RequestId) {
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        headers.insert(REQUEST_ID, value);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
}

/// Printable characters of the User-Agent, up to a limit.
fn agent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::USER_AGENT)?.to_str().ok()?;
    let printable = text.chars().filter(|c| !c.is_control());
    Some(printable.take(AGENT_CHARS_MAX).collect())
}
