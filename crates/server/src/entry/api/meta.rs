//! `/v1/meta`: what receivers may know of the installation without a key.

use super::Api;
use aide::generate::GenContext;
use aide::openapi::{Operation, StatusCode as Status};
use aide::{NoApi, OperationOutput};
use aws_lc_rs::digest;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use std::net::IpAddr;
use std::sync::Arc;

/// Octets of the digest that the tag shows.
const TAG_OCTETS: usize = 16;
/// How long the answer may be kept without asking again.
const CACHED: HeaderValue = HeaderValue::from_static("public, max-age=3600");

/// Addresses that requests to webhooks come from, as the operator publishes them.
#[derive(Debug, Clone, Default)]
pub struct Published {
    /// Those in use; the system's choice if there are none.
    pub used: Vec<IpAddr>,
    /// Those that will be, and from which day on (`2026-12-31`).
    pub announced: Vec<(IpAddr, String)>,
}

/// Where webhooks come from.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SourceAddresses {
    object: &'static str,
    /// Empty while the operator has not fixed any.
    webhooks: Vec<SourceAddress>,
}

/// An address to let in.
#[derive(Serialize, JsonSchema)]
struct SourceAddress {
    address: String,
    /// The day (UTC) from which it will be used; absent when it is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
}

/// The answer with a tag that changes with it; nothing but the tag for who has it already (RFC 9110 §13.1.2).
pub(super) enum Tagged<T> {
    New(HeaderValue, T),
    Same(HeaderValue),
}

impl<T: Serialize> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        match self {
            Self::New(tag, body) => ([(ETAG, tag), (CACHE_CONTROL, CACHED)], Json(body)).into_response(),
            Self::Same(tag) => {
                (StatusCode::NOT_MODIFIED, [(ETAG, tag), (CACHE_CONTROL, CACHED)]).into_response()
            }
        }
    }
}

impl<T: JsonSchema> OperationOutput for Tagged<T> {
    type Inner = T;

    fn inferred_responses(
        ctx: &mut GenContext,
        operation: &mut Operation,
    ) -> Vec<(Option<Status>, aide::openapi::Response)> {
        let answer = Json::<T>::operation_response(ctx, operation);
        let described = answer.map(|response| (Some(Status::Code(200)), response));
        let same = aide::openapi::Response {
            description: "What you have is what there is (If-None-Match).".to_owned(),
            ..Default::default()
        };
        described
            .into_iter()
            .chain([(Some(Status::Code(304)), same)])
            .collect()
    }
}

pub(super) async fn ips(
    State(api): State<Arc<Api>>,
    NoApi(headers): NoApi<HeaderMap>,
) -> Tagged<SourceAddresses> {
    let used = api.published.used.iter().map(|address| SourceAddress {
        address: address.to_string(),
        from: None,
    });
    let announced = api
        .published
        .announced
        .iter()
        .map(|(address, day)| SourceAddress {
            address: address.to_string(),
            from: Some(day.clone()),
        });
    let answer = SourceAddresses {
        object: "source_addresses",
        webhooks: used.chain(announced).collect(),
    };
    let tag = tag(&answer);
    let known = headers.get_all(IF_NONE_MATCH).iter();
    let has_it = known
        .filter_map(|field| field.to_str().ok())
        .flat_map(|field| field.split(','))
        .any(|known| {
            known.trim() == "*" || known.trim().trim_start_matches("W/").as_bytes() == tag.as_bytes()
        });
    if has_it {
        Tagged::Same(tag)
    } else {
        Tagged::New(tag, answer)
    }
}

fn tag(answer: &SourceAddresses) -> HeaderValue {
    // Texts only: nothing of it can fail to be written.
    let json = serde_json::to_vec(answer).unwrap_or_default();
    let digest = digest::digest(&digest::SHA256, &json);
    let octets = digest.as_ref().iter().take(TAG_OCTETS);
    let digits: String = octets.map(|octet| format!("{octet:02x}")).collect();
    HeaderValue::from_str(&format!("\"{digits}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}
