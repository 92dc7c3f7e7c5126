//! `/v1/webhooks`.

use super::page::{List, Query};
use super::{Api, Problem, caller, json};
use crate::features::webhooks::{self, Endpoint};
use crate::id::{Id as _, WebhookId};
use crate::limits::SMALL_BODY_BYTES_MAX;
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewWebhook {
    url: String,
    events: Vec<String>,
    description: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Webhook {
    id: String,
    object: &'static str,
    url: String,
    events: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    status: String,
    failure_count: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_delivery_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_delivery_status: Option<String>,
    /// Only in the answer to its creation.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    created_at: String,
}

impl From<Endpoint> for Webhook {
    fn from(endpoint: Endpoint) -> Self {
        Self {
            id: endpoint.id.to_string(),
            object: "webhook",
            url: endpoint.url,
            events: endpoint.events,
            description: endpoint.description,
            status: endpoint.status,
            failure_count: endpoint.failure_count,
            last_delivery_at: endpoint.last_delivery.as_ref().map(|last| last.at.rfc3339()),
            last_delivery_status: endpoint.last_delivery.map(|last| last.status),
            secret: None,
            created_at: endpoint.created_at.rfc3339(),
        }
    }
}

#[derive(Serialize)]
pub(super) struct Deleted {
    id: String,
    object: &'static str,
    deleted: bool,
}

pub(super) async fn create(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Webhook>), Problem> {
    let caller = caller::authorise(&api, &headers, "webhooks:create").await?;
    let new: NewWebhook = json::parse(&json::read(&headers, body, SMALL_BODY_BYTES_MAX).await?)?;
    let created = webhooks::create(&api.platform, &caller, &new.url, new.events, new.description).await?;
    let secret = Some(created.secret.expose().clone());
    Ok((
        StatusCode::CREATED,
        Json(Webhook {
            secret,
            ..created.endpoint.into()
        }),
    ))
}

pub(super) async fn list(
    State(api): State<Arc<Api>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Json<List<Webhook>>, Problem> {
    let caller = caller::authorise(&api, &headers, "webhooks:read").await?;
    let mut query = Query::parse(query.as_deref())?;
    let limit = usize::try_from(query.take_limit()?).unwrap_or(0);
    let after: Option<WebhookId> = query.take_id("starting_after")?;
    query.end()?;
    let all = webhooks::list(&api.platform, &caller).await?;
    let total = all.len();
    let start = after.map_or(0, |id| {
        all.iter()
            .position(|endpoint| endpoint.id == id)
            .map_or(total, |place| place + 1)
    });
    let data: Vec<Webhook> = all
        .into_iter()
        .skip(start)
        .take(limit)
        .map(Webhook::from)
        .collect();
    let has_more = start + data.len() < total;
    Ok(Json(List::new(
        data,
        has_more,
        i64::try_from(total).unwrap_or(i64::MAX),
        false,
    )))
}

pub(super) async fn get(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Webhook>, Problem> {
    let caller = caller::authorise(&api, &headers, "webhooks:read").await?;
    let id = WebhookId::parse(&id).ok_or_else(|| Problem::not_found("webhook endpoint"))?;
    Ok(Json(webhooks::get(&api.platform, &caller, &id).await?.into()))
}

pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Deleted>, Problem> {
    let caller = caller::authorise(&api, &headers, "webhooks:delete").await?;
    let id = WebhookId::parse(&id).ok_or_else(|| Problem::not_found("webhook endpoint"))?;
    webhooks::delete(&api.platform, &caller, &id).await?;
    Ok(Json(Deleted {
        id: id.to_string(),
        object: "webhook",
        deleted: true,
    }))
}
