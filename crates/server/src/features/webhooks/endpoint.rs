//! Endpoints: create, get, list, delete.

use super::sign::SECRET_PREFIX;
use super::store;
use crate::clock::Timestamp;
use crate::features::events::Type;
use crate::features::keys::Caller;
use crate::features::orgs;
use crate::id::{Id as _, WebhookId};
use crate::limits::{NAME_CHARS_MAX, WEBHOOK_EVENTS_MAX, WEBHOOKS_MAX};
use crate::platform::Platform;
use crate::platform::net::{HttpsUrl, UrlRefused};
use crate::platform::store::{OrgTx, StoreError};
use crate::platform::vault::{Cell, Class, OrgVault, VaultError, random};
use crate::secret::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// An endpoint as it is shown; its secret is not part of it.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Its id.
    pub id: WebhookId,
    /// Where events go.
    pub url: String,
    /// Event names and wildcards.
    pub events: Vec<String>,
    /// What it is for.
    pub description: Option<String>,
    /// The word of its [`Health`].
    pub status: String,
    /// Deliveries in a row that failed.
    pub failure_count: i64,
    /// The last delivery that got an answer or failed.
    pub last_delivery: Option<LastDelivery>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// How an endpoint does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It gets what it wants.
    Active,
    /// It still gets what it wants; a delivery was given up after its last attempt.
    Failing,
    /// It gets nothing any more.
    Disabled,
}

impl Health {
    /// All of them.
    pub const ALL: [Health; 3] = [Self::Active, Self::Failing, Self::Disabled];

    /// The word that is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Failing => "failing",
            Self::Disabled => "disabled",
        }
    }
}

/// What has become of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryStatus {
    /// It waits for its first or next attempt.
    Pending,
    /// It was answered 2xx.
    Succeeded,
    /// It was given up.
    Failed,
}

impl DeliveryStatus {
    /// All statuses.
    pub const ALL: [DeliveryStatus; 3] = [Self::Pending, Self::Succeeded, Self::Failed];

    /// The status as it is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }
}

/// The last delivery of an endpoint.
#[derive(Debug, Clone)]
pub struct LastDelivery {
    /// When.
    pub at: Timestamp,
    /// The word of its [`DeliveryStatus`].
    pub status: String,
}

/// A new endpoint with its secret, which is shown this once.
pub struct Created {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// Its signing secret.
    pub secret: Secret<String>,
}

/// Why an endpoint can't be made or found.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// The URL can't be used.
    #[error("{0}")]
    Url(#[from] UrlRefused),
    /// An event name does not exist; the place in the list.
    #[error("there is no event of this name; use *, email.* or one of {}", event_names())]
    Event(usize),
    /// None or too many events.
    #[error("an endpoint wants 1 to {WEBHOOK_EVENTS_MAX} event names")]
    EventCount,
    /// The description is too long or holds control characters.
    #[error("a description has at most {NAME_CHARS_MAX} characters and no control characters")]
    Description,
    /// The organization has as many as it may.
    #[error("an organization has at most {WEBHOOKS_MAX} webhook endpoints; delete one first")]
    TooMany,
    /// There is none with this id (in this mode).
    #[error("there is no such webhook endpoint")]
    Unknown,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The vault failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

fn event_names() -> String {
    Type::ALL.map(Type::name).join(", ")
}

/// Every pattern that there is: `*`, each area's wildcard, each name.
pub fn event_patterns() -> Vec<String> {
    let names = Type::ALL.map(Type::name);
    let area = |name: &str| name.split_once('.').map(|(area, _)| format!("{area}.*"));
    let mut patterns = vec!["*".to_owned()];
    patterns.extend(names.iter().filter_map(|name| area(name)));
    patterns.dedup();
    patterns.extend(names.map(str::to_owned));
    patterns
}

/// Whether a pattern (`*`, `email.*`, or a name) matches an event's type.
pub(super) fn wants(pattern: &str, kind: &str) -> bool {
    pattern == kind
        || pattern
            .strip_suffix('*')
            .is_some_and(|area| (area.is_empty() || area.ends_with('.')) && kind.starts_with(area))
}

pub(super) fn url_cell(id: &WebhookId) -> Cell<'_> {
    Cell {
        table: "webhooks",
        column: "url_sealed",
        row: id.as_str(),
    }
}

pub(super) fn secret_cell(id: &WebhookId) -> Cell<'_> {
    Cell {
        table: "webhooks",
        column: "secret_sealed",
        row: id.as_str(),
    }
}

/// Makes an endpoint in the caller's mode: test events go only to endpoints that were made with a test key.
pub async fn create(
    platform: &Platform,
    caller: &Caller,
    url: &str,
    events: Vec<String>,
    description: Option<String>,
) -> Result<Created, WebhookError> {
    let url = HttpsUrl::parse(url)?;
    if events.is_empty() || events.len() > WEBHOOK_EVENTS_MAX {
        return Err(WebhookError::EventCount);
    }
    let known = event_patterns();
    if let Some(place) = events.iter().position(|pattern| !known.contains(pattern)) {
        return Err(WebhookError::Event(place));
    }
    let is_unfit =
        |text: &String| text.chars().count() > NAME_CHARS_MAX || text.chars().any(char::is_control);
    if description.as_ref().is_some_and(is_unfit) {
        return Err(WebhookError::Description);
    }
    let now = platform.clock.now();
    let id = WebhookId::generate(now, random());
    let secret = Secret::new(format!("{SECRET_PREFIX}{}", STANDARD.encode(random::<32>())));
    let vault = platform.vault.org(&caller.org).await?;
    let row = store::NewWebhook {
        mode: caller.mode.name(),
        url_sealed: vault
            .seal(Class::Secrets, now, url_cell(&id), url.as_str().as_bytes())
            .await?,
        secret_sealed: vault
            .seal(Class::Secrets, now, secret_cell(&id), secret.expose().as_bytes())
            .await?,
        events: events.join(" "),
        description: description.clone(),
        created_at: now,
        id: id.clone(),
    };
    let unit = async move |tx: &OrgTx| {
        orgs::lock(tx).await?;
        let listeners = store::count(tx).await?;
        if listeners >= WEBHOOKS_MAX {
            return Err(WebhookError::TooMany);
        }
        store::insert(tx, &row).await?;
        Ok(orgs::set_listeners(tx, listeners + 1).await?)
    };
    platform
        .store
        .org(&caller.org)
        .write("webhook_create", unit)
        .await?;
    let endpoint = Endpoint {
        id,
        url: url.as_str().to_owned(),
        events,
        description,
        status: Health::Active.name().to_owned(),
        failure_count: 0,
        last_delivery: None,
        created_at: now,
    };
    Ok(Created { endpoint, secret })
}

/// One of the caller's endpoints.
pub async fn get(platform: &Platform, caller: &Caller, id: &WebhookId) -> Result<Endpoint, WebhookError> {
    let (mode, wanted) = (caller.mode.name(), id.clone());
    let unit = async move |tx: &OrgTx| store::get(tx, mode, &wanted).await;
    let row = platform
        .store
        .org(&caller.org)
        .read("webhook_get", unit)
        .await?
        .ok_or(WebhookError::Unknown)?;
    endpoint(&platform.vault.org(&caller.org).await?, row).await
}

/// The caller's endpoints, oldest first; there are at most [`WEBHOOKS_MAX`].
pub async fn list(platform: &Platform, caller: &Caller) -> Result<Vec<Endpoint>, WebhookError> {
    let mode = caller.mode.name();
    let unit = async move |tx: &OrgTx| store::list(tx, mode).await;
    let rows = platform.store.org(&caller.org).read("webhook_list", unit).await?;
    let vault = platform.vault.org(&caller.org).await?;
    let mut endpoints = Vec::with_capacity(rows.len());
    for row in rows {
        endpoints.push(endpoint(&vault, row).await?);
    }
    Ok(endpoints)
}

/// Deletes an endpoint with its deliveries; what was under way to it is dropped.
pub async fn delete(platform: &Platform, caller: &Caller, id: &WebhookId) -> Result<(), WebhookError> {
    let (mode, wanted) = (caller.mode.name(), id.clone());
    let unit = async move |tx: &OrgTx| {
        orgs::lock(tx).await?;
        if !store::delete(tx, mode, &wanted).await? {
            return Err(WebhookError::Unknown);
        }
        let listeners = store::count(tx).await?;
        Ok(orgs::set_listeners(tx, listeners).await?)
    };
    platform
        .store
        .org(&caller.org)
        .write("webhook_delete", unit)
        .await
}

async fn endpoint(vault: &OrgVault, row: store::WebhookRow) -> Result<Endpoint, WebhookError> {
    let url = vault.open(url_cell(&row.id), &row.url_sealed).await?;
    Ok(Endpoint {
        url: String::from_utf8_lossy(&url).into_owned(),
        events: row.events.split(' ').map(str::to_owned).collect(),
        description: row.description,
        status: row.status,
        failure_count: row.failure_count,
        last_delivery: row.last_delivery,
        created_at: row.created_at,
        id: row.id,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_name_a_whole_area_or_everything() {
        for (pattern, is_known) in [
            ("*", true),
            ("email.*", true),
            ("email.sent", true),
            ("email", false),
            ("em*", false),
            ("sms.*", false),
            ("", false),
        ] {
            let is_listed = event_patterns().iter().any(|known| known == pattern);
            assert_eq!(is_listed, is_known, "{pattern}");
            let is_wanted = Type::ALL.iter().any(|kind| wants(pattern, kind.name()));
            assert_eq!(is_wanted, is_known, "{pattern}");
        }
    }
}
