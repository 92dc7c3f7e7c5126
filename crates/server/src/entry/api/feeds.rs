//! `/v1/relays/{id}/feed`: what a relay's provider tells of mail that it took.
//!
//! Providers have no key of ours. Each proves in its own way that it made the request; what proves nothing is answered like what does
//! not exist.

use super::extract::{Body, PathId};
use super::{Api, Problem};
use crate::features::audit::Origin;
use crate::features::relays::FeedRequest;
use crate::features::returns::{self, ReturnError};
use crate::id::RelayId;
use crate::limits::FEED_BYTES_MAX;
use aide::NoApi;
use axum::extract::State;
use axum::{Extension, Json};
use http::{HeaderMap, Uri};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;

/// That a provider was heard.
#[derive(Serialize, JsonSchema)]
pub(super) struct FeedReceipt {
    object: &'static str,
    /// Events about mail of the relay's organization.
    received: usize,
}

pub(super) async fn hear(
    State(api): State<Arc<Api>>,
    PathId(id): PathId<RelayId>,
    Extension(origin): Extension<Origin>,
    NoApi(uri): NoApi<Uri>,
    NoApi(headers): NoApi<HeaderMap>,
    body: Body<Value, FEED_BYTES_MAX>,
) -> Result<Json<FeedReceipt>, Problem> {
    let request = FeedRequest {
        headers: &headers,
        body: body.bytes(),
        json: &body,
    };
    let heard = returns::hear(&api.platform, &id, &request).await?;
    let received = heard.ok_or_else(|| Problem::not_found("relay"))?;
    api.paces.heard(&api.platform, &origin, uri.path());
    Ok(Json(FeedReceipt {
        object: "feed_receipt",
        received,
    }))
}

impl From<ReturnError> for Problem {
    fn from(error: ReturnError) -> Self {
        match error {
            ReturnError::Read(error) => error.into(),
            ReturnError::Store(error) => error.into(),
            ReturnError::Vault(error) => error.into(),
            ReturnError::Relay(error) => error.into(),
            ReturnError::Key(_) | ReturnError::CutOff => Self::internal(),
        }
    }
}
