//! Endpoints, and how to show, list and delete them.

use super::request::{Request, RequestRefused, RequestShown};
use super::store;
use crate::clock::Timestamp;
use crate::features::audit::{self, Act};
use crate::features::events::Type;
use crate::features::keys::Caller;
use crate::features::orgs;
use crate::id::{EventId, Id as _, WebhookId};
use crate::limits::{NAME_CHARS_MAX, WEBHOOK_EVENTS_MAX, WEBHOOKS_MAX};
use crate::platform::Platform;
use crate::platform::net::{TlsMin, UrlRefused};
use crate::platform::store::{OrgTx, StoreError};
use crate::platform::vault::{Cell, OrgVault, VaultError};

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
    /// The least version of TLS.
    pub min_tls: TlsMin,
    /// Whether deliveries about one e-mail wait for those before them.
    pub is_ordered: bool,
    /// Header fields and authentication of its own, without their secrets.
    pub request: RequestShown,
    /// Until when the secret before this one signs as well.
    pub previous_secret_until: Option<Timestamp>,
    /// The number of its last delivery.
    pub sequence: i64,
    /// Since when it took nothing.
    pub failing_since: Option<Timestamp>,
    /// Why it is disabled: the word of [`Disabled`].
    pub disabled_reason: Option<String>,
    /// When the oldest delivery was made that it has not taken.
    pub oldest_pending_at: Option<Timestamp>,
    /// Whether a replay is under way.
    pub is_replaying: bool,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Why an endpoint is disabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disabled {
    /// Its owner said so.
    ByOwner,
    /// It answered 410.
    Gone,
    /// It took nothing for too long.
    Failing,
}

impl Disabled {
    /// All of them.
    pub const ALL: [Disabled; 3] = [Self::ByOwner, Self::Gone, Self::Failing];

    /// The word that is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::ByOwner => "by_owner",
            Self::Gone => "gone",
            Self::Failing => "failing",
        }
    }
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
    /// Header fields or authentication can't be used.
    #[error(transparent)]
    Request(#[from] RequestRefused),
    /// There is none with this id (in this mode).
    #[error("there is no such webhook endpoint")]
    Unknown,
    /// It has no delivery with this id.
    #[error("this webhook endpoint has no such delivery")]
    UnknownDelivery,
    /// There is no event with this id (in this mode), or its content is forgotten.
    #[error("there is no such event")]
    UnknownEvent(EventId),
    /// The secret was changed a short while ago, and the one before still signs.
    #[error("the secret before this one still signs until {}; wait, or say that it is compromised", .0.rfc3339())]
    Rotating(Timestamp),
    /// The overlap is too long.
    #[error("the old secret signs for at most {} seconds more", super::secret::OVERLAP_MAX.as_secs())]
    Overlap,
    /// A replay is under way.
    #[error("a replay to this endpoint is under way; wait until it has ended")]
    Replaying,
    /// The range begins after it ends.
    #[error("a replay begins before it ends")]
    Range,
    /// It gets nothing.
    #[error("this webhook endpoint is disabled; set its status to active first")]
    Disabled,
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

pub(super) fn request_cell(id: &WebhookId) -> Cell<'_> {
    Cell {
        table: "webhooks",
        column: "request_sealed",
        row: id.as_str(),
    }
}

/// One of the caller's endpoints.
pub async fn get(platform: &Platform, caller: &Caller, id: &WebhookId) -> Result<Endpoint, WebhookError> {
    let found = read(platform, caller, Some(id)).await?.pop();
    found.ok_or(WebhookError::Unknown)
}

/// The caller's endpoints, oldest first; there are at most [`WEBHOOKS_MAX`].
pub async fn list(platform: &Platform, caller: &Caller) -> Result<Vec<Endpoint>, WebhookError> {
    read(platform, caller, None).await
}

async fn read(
    platform: &Platform,
    caller: &Caller,
    id: Option<&WebhookId>,
) -> Result<Vec<Endpoint>, WebhookError> {
    let (mode, wanted) = (caller.mode.name(), id.cloned());
    let unit = async move |tx: &OrgTx| store::get(tx, mode, wanted.as_ref()).await;
    let rows = platform.store.org(&caller.org).read("webhook_get", unit).await?;
    let vault = platform.vault.org(&caller.org).await?;
    let mut endpoints = Vec::with_capacity(rows.len());
    let now = platform.clock.now();
    for row in rows {
        let mut shown = endpoint(&vault, row).await?;
        shown.previous_secret_until = shown.previous_secret_until.filter(|until| now < *until);
        endpoints.push(shown);
    }
    Ok(endpoints)
}

/// Deletes an endpoint with its deliveries; what was under way to it is dropped.
pub async fn delete(platform: &Platform, caller: &Caller, id: &WebhookId) -> Result<(), WebhookError> {
    let act = Act {
        actor: caller.actor.as_str(),
        action: "webhook.deleted",
        target: id.as_str(),
        origin: &caller.origin,
        detail: (),
    };
    let vault = platform.vault.org(&caller.org).await?;
    let entry = audit::prepare(&vault, platform.clock.now(), act).await?;
    let (mode, wanted) = (caller.mode.name(), id.clone());
    let unit = async move |tx: &OrgTx| {
        orgs::lock(tx).await?;
        if !store::delete(tx, mode, &wanted).await? {
            return Err(WebhookError::Unknown);
        }
        audit::record(tx, &entry).await?;
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
    let request = Request::open(vault, &row.id, row.request_sealed.as_deref()).await?;
    Ok(Endpoint {
        url: String::from_utf8_lossy(&url).into_owned(),
        events: row.events.split(' ').map(str::to_owned).collect(),
        description: row.description,
        status: row.status,
        failure_count: row.failure_count,
        last_delivery: row.last_delivery,
        min_tls: min_tls(&row.min_tls),
        is_ordered: row.is_ordered,
        request: request.shown(),
        previous_secret_until: row.previous_until,
        sequence: row.sequence,
        failing_since: row.failing_since,
        disabled_reason: row.disabled_reason,
        oldest_pending_at: row.oldest_pending_at,
        is_replaying: row.is_replaying,
        created_at: row.created_at,
        id: row.id,
    })
}

/// What a stored word says; anything but the older version is the newer one.
pub(super) fn min_tls(word: &str) -> TlsMin {
    if word == "1.2" { TlsMin::V1_2 } else { TlsMin::V1_3 }
}

/// The word that is stored and shown.
pub fn tls_word(min: TlsMin) -> &'static str {
    match min {
        TlsMin::V1_2 => "1.2",
        TlsMin::V1_3 => "1.3",
    }
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
