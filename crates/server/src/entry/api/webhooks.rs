//! `/v1/webhooks`.

use super::extract::{Body, IdText, Limit, PathId, Query, Who, present};
use super::page::{Deleted, List};
use super::word::{EventPattern, Word};
use super::{Answered, Api, Created, Problem};
use crate::features::webhooks::{self, DeliveryStatus, Endpoint, Health};
use crate::id::{Id as _, WebhookId};
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Where events are to go.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewWebhook {
    /// An https URL that everybody can reach.
    url: String,
    /// `*`, `email.*`, or names of events.
    #[schemars(with = "Vec<Word<EventPattern>>", length(min = 1, max = 50))]
    events: Vec<String>,
    /// What it is for.
    #[schemars(length(max = 255))]
    description: Option<String>,
}

/// A webhook endpoint.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Webhook {
    id: String,
    object: &'static str,
    url: String,
    #[schemars(with = "Vec<Word<EventPattern>>")]
    events: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[schemars(with = "Word<Health>")]
    status: String,
    failure_count: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_delivery_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Word<DeliveryStatus>>")]
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

/// Which endpoints to list.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhooksQuery {
    /// How many to show.
    #[serde(default, deserialize_with = "present")]
    limit: Option<Limit>,
    /// Show those after this one.
    #[serde(default, deserialize_with = "present")]
    starting_after: Option<IdText<WebhookId>>,
}

pub(super) async fn create(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    body: Body<NewWebhook>,
) -> Result<Created<Webhook>, Problem> {
    let (new, _room) = body.into_parts();
    let created = webhooks::create(&api.platform, &caller, &new.url, new.events, new.description).await?;
    let secret = Some(created.secret.expose().clone());
    Ok(Answered(Webhook {
        secret,
        ..created.endpoint.into()
    }))
}

pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Query(query): Query<WebhooksQuery>,
) -> Result<Json<List<Webhook>>, Problem> {
    let limit = usize::try_from(Limit::get(query.limit)).unwrap_or(0);
    let all = webhooks::list(&api.platform, &caller).await?;
    let total = all.len();
    let start = match query.starting_after {
        None => 0,
        Some(after) => {
            let place = all.iter().position(|endpoint| endpoint.id == after.0);
            let message = "there is no webhook endpoint with this id for a page to begin at";
            1 + place.ok_or_else(|| Problem::invalid("starting_after", message))?
        }
    };
    let data: Vec<Webhook> = all
        .into_iter()
        .skip(start)
        .take(limit)
        .map(Webhook::from)
        .collect();
    let has_more = start + data.len() < total;
    let total = i64::try_from(total).unwrap_or(i64::MAX);
    Ok(Json(List::new(data, has_more, total, false)))
}

pub(super) async fn get(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    PathId(id): PathId<WebhookId>,
) -> Result<Json<Webhook>, Problem> {
    Ok(Json(webhooks::get(&api.platform, &caller, &id).await?.into()))
}

pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    PathId(id): PathId<WebhookId>,
) -> Result<Json<Deleted>, Problem> {
    webhooks::delete(&api.platform, &caller, &id).await?;
    Ok(Json(Deleted::new(id.as_str(), "webhook")))
}
