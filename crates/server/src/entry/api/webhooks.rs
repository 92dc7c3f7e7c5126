//! `/v1/webhooks`.

use super::extract::{Body, IdText, Limit, PathId, Query, Who, present};
use super::page::{Deleted, List};
use super::word::{EventPattern, Word};
use super::{Answered, Api, Created, Problem};
use crate::clock::Timestamp;
use crate::features::webhooks::{
    self, Auth, DeliveryStatus, Disabled, Endpoint, Health, Request, RequestRefused, Rotation,
};
use crate::id::{Id as _, WebhookId};
use crate::platform::net::TlsMin;
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The least version of TLS.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[schemars(rename = "WebhookMinTls")]
enum MinTls {
    #[serde(rename = "1.2")]
    V1_2,
    #[serde(rename = "1.3")]
    V1_3,
}

impl From<MinTls> for TlsMin {
    fn from(min: MinTls) -> Self {
        match min {
            MinTls::V1_2 => Self::V1_2,
            MinTls::V1_3 => Self::V1_3,
        }
    }
}

/// How requests say who they are from, beside their signatures. Written only.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct WebhookAuth {
    /// `basic` (username, password), `oauth2` (tokenUrl, clientId, clientSecret, scope) or `none`.
    #[serde(rename = "type")]
    kind: AuthKind,
    #[schemars(length(min = 1, max = 1024))]
    username: Option<String>,
    #[schemars(length(min = 1, max = 1024))]
    password: Option<String>,
    /// Where a bearer token is fetched with the client's credentials.
    #[schemars(length(min = 1, max = 2048))]
    token_url: Option<String>,
    #[schemars(length(min = 1, max = 1024))]
    client_id: Option<String>,
    #[schemars(length(min = 1, max = 1024))]
    client_secret: Option<String>,
    #[schemars(length(min = 1, max = 1024))]
    scope: Option<String>,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "WebhookAuthType")]
enum AuthKind {
    None,
    Basic,
    Oauth2,
}

impl WebhookAuth {
    fn taken(self) -> Result<Option<Auth>, Problem> {
        let needed = |field: &str, value: Option<String>| {
            value.ok_or_else(|| {
                Problem::invalid(format!("auth/{field}"), "this kind of authentication needs it")
            })
        };
        Ok(match self.kind {
            AuthKind::None => None,
            AuthKind::Basic => Some(Auth::Basic {
                username: needed("username", self.username)?,
                password: needed("password", self.password)?,
            }),
            AuthKind::Oauth2 => Some(Auth::OAuth2 {
                token_url: needed("tokenUrl", self.token_url)?,
                client_id: needed("clientId", self.client_id)?,
                client_secret: needed("clientSecret", self.client_secret)?,
                scope: self.scope,
            }),
        })
    }
}

/// Where events are to go.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct NewWebhook {
    /// An https URL that everybody can reach.
    url: String,
    /// `*`, `email.*`, or names of events.
    #[schemars(with = "Vec<Word<EventPattern>>", length(min = 1, max = 50))]
    events: Vec<String>,
    /// What it is for.
    #[schemars(length(max = 255))]
    description: Option<String>,
    /// `1.3` without it; `1.2` is written to the audit log.
    min_tls: Option<MinTls>,
    /// Whether events about one e-mail keep their order, each waiting for the one before it; true without it.
    ordered: Option<bool>,
    /// Header fields of its own, by name. Written only.
    #[schemars(extend("maxProperties" = 20))]
    headers: Option<BTreeMap<String, String>>,
    /// Basic or OAuth 2.0 client credentials.
    auth: Option<WebhookAuth>,
}

/// What is to change; what is left out stays.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct WebhookChange {
    /// An https URL that everybody can reach.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "String")]
    url: Option<String>,
    /// `*`, `email.*`, or names of events.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "Vec<Word<EventPattern>>", length(min = 1, max = 50))]
    events: Option<Vec<String>>,
    /// What it is for.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "String", length(max = 255))]
    description: Option<String>,
    /// `active` starts it again, without the failures of before; `disabled` stops it.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "WebhookSwitch")]
    status: Option<WebhookSwitch>,
    /// The least version of TLS; `1.2` is written to the audit log.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "MinTls")]
    min_tls: Option<MinTls>,
    /// Whether events about one e-mail keep their order.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "bool")]
    ordered: Option<bool>,
    /// Header fields instead of those that it has. Written only.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "BTreeMap<String, String>", extend("maxProperties" = 20))]
    headers: Option<BTreeMap<String, String>>,
    /// Authentication instead of what it has; `none` takes it away. Written only.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "WebhookAuth")]
    auth: Option<WebhookAuth>,
}

/// What an endpoint can be set to.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum WebhookSwitch {
    Active,
    Disabled,
}

/// How an endpoint's secret is replaced.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct SecretRotation {
    /// Seconds for which the old secret signs beside the new one; a day without it.
    #[schemars(range(min = 0, max = 604_800))]
    overlap_seconds: Option<u64>,
    /// Somebody else knows the old secret: it signs nothing from now on.
    #[serde(default)]
    compromised: bool,
}

/// An endpoint's new secret, shown this once.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct WebhookSecret {
    id: String,
    object: &'static str,
    secret: String,
    /// Until then the old secret signs as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_secret_expires_at: Option<String>,
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
    /// Why it is disabled.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Word<Disabled>>")]
    disabled_reason: Option<String>,
    /// Attempts in a row that failed.
    failure_count: i64,
    /// Since when it took nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    failing_since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_delivery_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Word<DeliveryStatus>>")]
    last_delivery_status: Option<String>,
    /// When the oldest delivery was made that it has not taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest_pending_at: Option<String>,
    /// The number of its last delivery (`sealwright-sequence`).
    sequence: i64,
    /// Whether a replay is under way.
    replaying: bool,
    #[schemars(with = "MinTls")]
    min_tls: &'static str,
    ordered: bool,
    /// Names of its own header fields.
    headers: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth: Option<ShownAuth>,
    /// Only in the answer to its creation.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    /// Until then the secret before this one signs as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_secret_expires_at: Option<String>,
    created_at: String,
}

/// How requests say who they are from, without what is secret.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ShownAuth {
    #[serde(rename = "type")]
    #[schemars(with = "AuthKind")]
    kind: &'static str,
    /// The user name or the client id.
    name: String,
}

impl From<Endpoint> for Webhook {
    fn from(endpoint: Endpoint) -> Self {
        let last = endpoint.last_delivery;
        let auth = endpoint.request.auth;
        let current = endpoint.previous_secret_until;
        Self {
            id: endpoint.id.to_string(),
            object: "webhook",
            url: endpoint.url,
            events: endpoint.events,
            description: endpoint.description,
            status: endpoint.status,
            disabled_reason: endpoint.disabled_reason,
            failure_count: endpoint.failure_count,
            failing_since: endpoint.failing_since.map(Timestamp::rfc3339),
            last_delivery_at: last.as_ref().map(|last| last.at.rfc3339()),
            last_delivery_status: last.map(|last| last.status),
            oldest_pending_at: endpoint.oldest_pending_at.map(Timestamp::rfc3339),
            sequence: endpoint.sequence,
            replaying: endpoint.is_replaying,
            min_tls: webhooks::tls_word(endpoint.min_tls),
            ordered: endpoint.is_ordered,
            headers: endpoint.request.headers,
            auth: auth.map(|(kind, name)| ShownAuth { kind, name }),
            secret: None,
            previous_secret_expires_at: current.map(Timestamp::rfc3339),
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
    let headers = new.headers.unwrap_or_default().into_iter().collect();
    let auth = new.auth.map_or(Ok(None), WebhookAuth::taken)?;
    let wish = webhooks::Wish {
        url: new.url,
        events: new.events,
        description: new.description,
        min_tls: new.min_tls.map_or(TlsMin::V1_3, TlsMin::from),
        is_ordered: new.ordered.unwrap_or(true),
        request: Request::new(headers, auth).map_err(refused)?,
    };
    let created = webhooks::create(&api.platform, &caller, wish).await?;
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

fn refused(error: RequestRefused) -> Problem {
    webhooks::WebhookError::from(error).into()
}

pub(super) async fn change(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    PathId(id): PathId<WebhookId>,
    body: Body<WebhookChange>,
) -> Result<Json<Webhook>, Problem> {
    let (new, _room) = body.into_parts();
    let change = webhooks::Change {
        url: new.url,
        events: new.events,
        description: new.description,
        min_tls: new.min_tls.map(TlsMin::from),
        is_ordered: new.ordered,
        headers: new.headers.map(|headers| headers.into_iter().collect()),
        auth: new.auth.map(WebhookAuth::taken).transpose()?,
        is_enabled: new.status.map(|status| matches!(status, WebhookSwitch::Active)),
    };
    Ok(Json(
        webhooks::change(&api.platform, &caller, &id, change)
            .await?
            .into(),
    ))
}

pub(super) async fn rotate(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    PathId(id): PathId<WebhookId>,
    body: Body<SecretRotation>,
) -> Result<Json<WebhookSecret>, Problem> {
    let (asked, _room) = body.into_parts();
    let rotation = match asked.overlap_seconds {
        _ if asked.compromised => Rotation::Compromised,
        Some(seconds) => Rotation::Overlapping(Duration::from_secs(seconds)),
        None => Rotation::Overlapping(webhooks::OVERLAP),
    };
    let rotated = webhooks::rotate(&api.platform, &caller, &id, rotation).await?;
    Ok(Json(WebhookSecret {
        id: id.to_string(),
        object: "webhook_secret",
        secret: rotated.secret.expose().clone(),
        previous_secret_expires_at: rotated.previous_until.map(Timestamp::rfc3339),
    }))
}

pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    PathId(id): PathId<WebhookId>,
) -> Result<Json<Deleted>, Problem> {
    webhooks::delete(&api.platform, &caller, &id).await?;
    Ok(Json(Deleted::new(id.as_str(), "webhook")))
}
