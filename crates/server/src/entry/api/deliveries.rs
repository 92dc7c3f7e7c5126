//! `/v1/webhooks/{id}/deliveries`, samples and replays.

use super::extract::{Body, IdText, Instant, Limit, PathId, PathIds, Query, Who, present};
use super::page::List;
use super::word::Word;
use super::{Api, Problem};
use crate::clock::Timestamp;
use crate::features::events::Type;
use crate::features::webhooks::{self, Attempt, Delivery, DeliveryStatus, Filter, Scope};
use crate::id::{DeliveryId, EventId, WebhookId};
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What became of one event at one endpoint.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct WebhookDelivery {
    id: String,
    object: &'static str,
    event_id: String,
    #[schemars(with = "Word<Type>")]
    event_type: String,
    #[schemars(with = "Word<DeliveryStatus>")]
    status: String,
    /// Its number among the endpoint's deliveries, without a gap (`sealwright-sequence`).
    sequence: i64,
    /// Attempts that ended.
    attempts: i64,
    /// The status code of the last answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    response_code: Option<i64>,
    /// Why the last attempt failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    created_at: String,
    updated_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt_at: Option<String>,
    /// Every attempt; only where one delivery is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<Vec<WebhookAttempt>>,
}

/// One request and its answer.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct WebhookAttempt {
    number: i64,
    started_at: String,
    finished_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_code: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Header fields as they were sent; the values of your own are hidden.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_headers: Option<BTreeMap<String, String>>,
    /// What `lettr-signature` signs: the time, a dot, the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    signed_content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<WebhookResponse>,
}

/// What an endpoint answered.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct WebhookResponse {
    headers: BTreeMap<String, String>,
    /// The first 4096 bytes.
    body: String,
    truncated: bool,
    /// The address that answered.
    address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_version: Option<String>,
    /// From the first step to the last byte, in microseconds.
    elapsed_us: u64,
    /// Opening the connection, in microseconds; absent where a kept one was used.
    #[serde(skip_serializing_if = "Option::is_none")]
    opening: Option<WebhookOpening>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct WebhookOpening {
    resolve_us: u64,
    connect_us: u64,
    handshake_us: u64,
}

impl From<Delivery> for WebhookDelivery {
    fn from(delivery: Delivery) -> Self {
        Self {
            id: delivery.id.to_string(),
            object: "webhook_delivery",
            event_id: delivery.event.to_string(),
            event_type: delivery.kind,
            status: delivery.status,
            sequence: delivery.sequence,
            attempts: delivery.attempts,
            response_code: delivery.code,
            error: delivery.error,
            created_at: delivery.created_at.rfc3339(),
            updated_at: delivery.updated_at.rfc3339(),
            next_attempt_at: delivery.due_at.map(Timestamp::rfc3339),
            log: None,
        }
    }
}

impl From<Attempt> for WebhookAttempt {
    fn from(attempt: Attempt) -> Self {
        let (request_headers, answer) = attempt.log.map(|log| (log.request_headers, log.answer)).unzip();
        Self {
            number: attempt.number,
            started_at: attempt.started_at.rfc3339(),
            finished_at: attempt.finished_at.rfc3339(),
            response_code: attempt.code,
            error: attempt.error,
            request_headers,
            signed_content: attempt.signed,
            response: answer.flatten().map(|answer| WebhookResponse {
                headers: answer.headers,
                body: answer.body,
                truncated: answer.is_truncated,
                address: answer.remote,
                tls_version: answer.tls,
                elapsed_us: answer.elapsed_us,
                opening: answer
                    .opening_us
                    .map(|[resolve_us, connect_us, handshake_us]| WebhookOpening {
                        resolve_us,
                        connect_us,
                        handshake_us,
                    }),
            }),
        }
    }
}

/// Which deliveries to list.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DeliveriesQuery {
    /// How many to show.
    #[serde(default, deserialize_with = "present")]
    limit: Option<Limit>,
    /// Show those before this one.
    #[serde(default, deserialize_with = "present")]
    starting_after: Option<IdText<DeliveryId>>,
    /// Only those of this status.
    #[serde(default, deserialize_with = "present")]
    status: Option<Word<DeliveryStatus>>,
    /// Only those of events of this type.
    #[serde(default, deserialize_with = "present")]
    event_type: Option<Word<Type>>,
}

/// Which event to send a sample of.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct WebhookTest {
    event_type: Word<Type>,
}

/// What to send again: one event, or what happened from a time on.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct WebhookReplay {
    /// This event alone.
    event_id: Option<IdText<EventId>>,
    /// What happened from here on.
    since: Option<Instant>,
    /// Up to here; now without it.
    until: Option<Instant>,
    /// `not_taken` (what the endpoint has not taken or was never sent) or `all`; `not_taken` without it.
    scope: Option<Word<Scope>>,
}

/// What is being sent.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct WebhookSent {
    object: &'static str,
    webhook_id: String,
    /// The delivery, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery_id: Option<String>,
}

impl WebhookSent {
    fn new(webhook: &WebhookId, delivery: Option<&DeliveryId>) -> Json<Self> {
        Json(Self {
            object: "webhook_replay",
            webhook_id: webhook.to_string(),
            delivery_id: delivery.map(DeliveryId::to_string),
        })
    }
}

pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    PathId(id): PathId<WebhookId>,
    Query(query): Query<DeliveriesQuery>,
) -> Result<Json<List<WebhookDelivery>>, Problem> {
    let filter = Filter {
        status: query.status.map(|status| status.0),
        kind: query.event_type.map(|kind| kind.0.name().to_owned()),
        after: query.starting_after.map(|after| after.0),
        limit: Limit::get(query.limit),
    };
    let page = webhooks::deliveries(&api.platform, &caller, &id, filter).await?;
    let data = page.deliveries.into_iter().map(WebhookDelivery::from).collect();
    Ok(Json(List::new(data, page.has_more, page.total, page.is_capped)))
}

pub(super) async fn get(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    PathIds(webhook, id): PathIds<WebhookId, DeliveryId>,
) -> Result<Json<WebhookDelivery>, Problem> {
    let (delivery, attempts) = webhooks::delivery(&api.platform, &caller, &webhook, &id).await?;
    let log = attempts.into_iter().map(WebhookAttempt::from).collect();
    Ok(Json(WebhookDelivery {
        log: Some(log),
        ..delivery.into()
    }))
}

pub(super) async fn retry(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    PathIds(webhook, id): PathIds<WebhookId, DeliveryId>,
) -> Result<Json<WebhookSent>, Problem> {
    webhooks::retry(&api.platform, &caller, &webhook, &id).await?;
    Ok(WebhookSent::new(&webhook, Some(&id)))
}

pub(super) async fn test(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    PathId(id): PathId<WebhookId>,
    body: Body<WebhookTest>,
) -> Result<Json<WebhookSent>, Problem> {
    let delivery = webhooks::sample(&api.platform, &caller, &id, body.event_type.0).await?;
    Ok(WebhookSent::new(&id, Some(&delivery)))
}

pub(super) async fn replay(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    PathId(id): PathId<WebhookId>,
    body: Body<WebhookReplay>,
) -> Result<Json<WebhookSent>, Problem> {
    let (asked, _room) = body.into_parts();
    match (asked.event_id, asked.since) {
        (Some(event), None) if asked.until.is_none() && asked.scope.is_none() => {
            let delivery = webhooks::replay_event(&api.platform, &caller, &id, &event.0).await?;
            Ok(WebhookSent::new(&id, Some(&delivery)))
        }
        (None, Some(since)) => {
            let until = asked
                .until
                .map_or_else(|| api.platform.clock.now(), |until| until.0);
            let scope = asked.scope.map_or(Scope::NotTaken, |scope| scope.0);
            webhooks::replay_range(&api.platform, &caller, &id, [since.0, until], scope).await?;
            Ok(WebhookSent::new(&id, None))
        }
        _ => Err(Problem::invalid(
            "eventId",
            "a replay is either of one event (eventId) or of a time (since, until, scope)",
        )),
    }
}
