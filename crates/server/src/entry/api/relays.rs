//! `/v1/relays`: accounts at other providers.

use super::extract::{Body, IdText, Limit, PathId, Query, Who, present};
use super::page::{Deleted, List};
use super::word::Word;
use super::{Answered, Api, Code, Created, Problem};
use crate::features::relays::{self, Account, Kind, RelayError, Status};
use crate::id::{Id as _, RelayId};
use crate::secret::Secret;
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

const PRIORITY: i64 = 10;
const WEIGHT: i64 = 1;

/// What gives power over an account. Written only: no answer ever holds it.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RelayCredentials {
    /// Resend, SendGrid and Mailgun.
    #[schemars(length(min = 1, max = 512))]
    api_key: Option<String>,
    /// Postmark.
    #[schemars(length(min = 1, max = 512))]
    server_token: Option<String>,
    /// SES.
    #[schemars(length(min = 1, max = 512))]
    access_key_id: Option<String>,
    /// SES.
    #[schemars(length(min = 1, max = 512))]
    secret_access_key: Option<String>,
    /// SMTP: the server's name, for which its certificate has to be valid.
    #[schemars(length(min = 1, max = 253))]
    host: Option<String>,
    /// SMTP: where it listens.
    #[schemars(range(min = 1, max = 65535))]
    port: Option<u16>,
    /// SMTP: `implicit` (mostly port 465) or `starttls` (587); never in clear text.
    #[schemars(length(min = 1, max = 16))]
    tls: Option<String>,
    /// SMTP.
    #[schemars(length(min = 1, max = 512))]
    username: Option<String>,
    /// SMTP.
    #[schemars(length(min = 1, max = 512))]
    password: Option<String>,
}

impl RelayCredentials {
    fn taken(&self) -> relays::Credentials {
        let secret = |text: &Option<String>| text.clone().map(Secret::new);
        relays::Credentials {
            api_key: secret(&self.api_key),
            server_token: secret(&self.server_token),
            access_key_id: secret(&self.access_key_id),
            secret_access_key: secret(&self.secret_access_key),
            host: secret(&self.host),
            port: secret(&self.port.map(|port| port.to_string())),
            tls: secret(&self.tls),
            username: secret(&self.username),
            password: secret(&self.password),
        }
    }
}

/// The account to relay through.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct NewRelay {
    /// What you call it.
    #[schemars(length(min = 1, max = 255))]
    name: String,
    /// Whose account it is.
    provider: Word<Kind>,
    /// What the provider gave you.
    credentials: RelayCredentials,
    /// Where the account is: SES (`eu-central-1`) and Mailgun (`us`, `eu`) only.
    #[schemars(length(min = 2, max = 32))]
    region: Option<String>,
    /// Which of the account's domains sends: Mailgun only.
    #[schemars(length(min = 1, max = 253))]
    sending_domain: Option<String>,
    /// Lower ones are asked first; 10 without it.
    #[schemars(range(min = 0, max = 100))]
    priority: Option<i64>,
    /// Its share among those of the same priority; 1 without it.
    #[schemars(range(min = 1, max = 100))]
    weight: Option<i64>,
    /// Whose mail it carries; that of all domains without it.
    #[schemars(length(max = 100))]
    domains: Option<Vec<String>>,
    /// Whether it is given mail; true without it.
    enabled: Option<bool>,
    /// What shows that events come from the provider, as the provider has it. Written only.
    #[schemars(length(min = 16, max = 512))]
    feed_secret: Option<String>,
}

/// What is to change; what is left out stays.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RelayChange {
    /// What you call it.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "String", length(min = 1, max = 255))]
    name: Option<String>,
    /// Other credentials of the same account.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "RelayCredentials")]
    credentials: Option<RelayCredentials>,
    /// Lower ones are asked first.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "i64", range(min = 0, max = 100))]
    priority: Option<i64>,
    /// Its share among those of the same priority.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "i64", range(min = 1, max = 100))]
    weight: Option<i64>,
    /// Whose mail it carries; empty for that of all domains.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "Vec<String>", length(max = 100))]
    domains: Option<Vec<String>>,
    /// Whether it is given mail.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "bool")]
    enabled: Option<bool>,
    /// Another secret of its feed. Written only.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "String", length(min = 16, max = 512))]
    feed_secret: Option<String>,
}

/// An account at another provider. Its credentials are not part of it.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Relay {
    id: String,
    object: &'static str,
    name: String,
    provider: Word<Kind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sending_domain: Option<String>,
    priority: i64,
    weight: i64,
    /// Empty when it carries mail of all domains.
    domains: Vec<String>,
    enabled: bool,
    status: Word<Status>,
    /// Since when its provider does not take the credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    failing_since: Option<String>,
    created_at: String,
}

impl From<relays::Relay> for Relay {
    fn from(relay: relays::Relay) -> Self {
        Self {
            status: Word(relay.status()),
            id: relay.id.to_string(),
            object: "relay",
            name: relay.name,
            provider: Word(relay.kind),
            region: relay.region,
            sending_domain: relay.sending_domain,
            priority: relay.priority,
            weight: relay.weight,
            domains: relay.domains,
            enabled: relay.is_enabled,
            failing_since: relay.failing_since.map(crate::clock::Timestamp::rfc3339),
            created_at: relay.created_at.rfc3339(),
        }
    }
}

/// What a trial of a relay's credentials showed.
#[derive(Serialize, JsonSchema)]
pub(super) struct RelayTest {
    id: String,
    object: &'static str,
    /// Whether the provider takes the credentials; missing when it could not be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    ok: Option<bool>,
    message: String,
}

pub(super) async fn create(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    body: Body<NewRelay>,
) -> Result<Created<Relay>, Problem> {
    let (new, _room) = body.into_parts();
    let new = relays::NewRelay {
        name: new.name,
        account: Account {
            kind: new.provider.0,
            credentials: new.credentials.taken(),
            region: new.region,
            domain: new.sending_domain,
        },
        priority: new.priority.unwrap_or(PRIORITY),
        weight: new.weight.unwrap_or(WEIGHT),
        domains: new.domains.unwrap_or_default(),
        is_enabled: new.enabled.unwrap_or(true),
        feed_secret: new.feed_secret.map(Secret::new),
    };
    Ok(Answered(
        relays::create(&api.platform, &caller, new).await?.into(),
    ))
}

/// Which relays to list.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RelaysQuery {
    /// How many to show.
    #[serde(default, deserialize_with = "present")]
    limit: Option<Limit>,
    /// Show those after this one.
    #[serde(default, deserialize_with = "present")]
    starting_after: Option<IdText<RelayId>>,
}

pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Query(query): Query<RelaysQuery>,
) -> Result<Json<List<Relay>>, Problem> {
    let limit = usize::try_from(Limit::get(query.limit)).unwrap_or(0);
    let all = relays::list(&api.platform, &caller).await?;
    let total = all.len();
    let start = match query.starting_after {
        None => 0,
        Some(after) => {
            let place = all.iter().position(|relay| relay.id == after.0);
            let message = "there is no relay with this id for a page to begin at";
            1 + place.ok_or_else(|| Problem::invalid("starting_after", message))?
        }
    };
    let page = all.into_iter().skip(start).take(limit);
    let data: Vec<Relay> = page.map(Relay::from).collect();
    let has_more = start + data.len() < total;
    let total = i64::try_from(total).unwrap_or(i64::MAX);
    Ok(Json(List::new(data, has_more, total, false)))
}

pub(super) async fn get(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    PathId(id): PathId<RelayId>,
) -> Result<Json<Relay>, Problem> {
    Ok(Json(relays::get(&api.platform, &caller, &id).await?.into()))
}

pub(super) async fn change(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    PathId(id): PathId<RelayId>,
    body: Body<RelayChange>,
) -> Result<Json<Relay>, Problem> {
    let (change, _room) = body.into_parts();
    let change = relays::Change {
        name: change.name,
        priority: change.priority,
        weight: change.weight,
        domains: change.domains,
        is_enabled: change.enabled,
        credentials: change.credentials.map(|given| given.taken()),
        feed_secret: change.feed_secret.map(Secret::new),
    };
    let changed = relays::change(&api.platform, &caller, &id, change).await?;
    Ok(Json(changed.into()))
}

pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    PathId(id): PathId<RelayId>,
) -> Result<Json<Deleted>, Problem> {
    relays::delete(&api.platform, &caller, &id).await?;
    Ok(Json(Deleted::new(id.as_str(), "relay")))
}

pub(super) async fn test(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    PathId(id): PathId<RelayId>,
) -> Result<Json<RelayTest>, Problem> {
    let base = api.relay_base.as_deref();
    let trial = relays::try_out(&api.platform, &api.net.http, &api.submission, base, &caller, &id).await?;
    Ok(Json(RelayTest {
        id: id.to_string(),
        object: "relay_test",
        ok: trial.are_taken,
        message: trial.message,
    }))
}

impl From<RelayError> for Problem {
    fn from(error: RelayError) -> Self {
        let text = error.to_string();
        match error {
            RelayError::Name => Self::invalid("name", text),
            RelayError::Priority => Self::invalid("priority", text),
            RelayError::Weight => Self::invalid("weight", text),
            RelayError::Domains => Self::invalid("domains", text),
            RelayError::Domain(place) => Self::invalid(format!("domains/{place}"), text),
            RelayError::Account(error) => Self::invalid(error.field, text),
            RelayError::TooMany => Self::new(Code::LimitReached, text),
            RelayError::Unknown => Self::not_found("relay"),
            RelayError::Store(error) => error.into(),
            RelayError::Vault(error) => error.into(),
        }
    }
}
