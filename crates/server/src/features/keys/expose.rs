//! Burns keys that were seen where they must not be.
//!
//! A burn is one commit: what the organization's policy does to the key, an event, an audit entry, and the job that tells the security
//! contact. A key that is burned already is not burned again, so whoever repeats a leaked key causes no flood.

use super::authenticate::verified;
use super::format::Key;
use super::store::{self, KeyRow};
use super::{Actor, Refused};
use crate::clock::Timestamp;
use crate::features::audit::{self, Act, Entry, Origin};
use crate::features::events::{self, About, Event, Type};
use crate::features::orgs::{self, ExposurePolicy};
use crate::id::{Id as _, KeyId, OrgId};
use crate::metrics::KindLabel;
use crate::mode::Mode;
use crate::platform::Platform;
use crate::platform::jobs::{self, Kind};
use crate::platform::store::{OrgTx, StoreError};
use crate::platform::vault::VaultError;
use serde::Serialize;
use std::collections::HashSet;
use std::time::Duration;

/// How long an exposed key still works under the policy `expire_24h`: time to put a new one in its place.
pub(super) const EXPIRES_AFTER: Duration = Duration::from_secs(24 * 3_600);

/// Where a key was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// In a URL, which ends up in logs and histories.
    Url,
    /// On a connection without TLS: whoever was on the way has it. Revoked, whatever the policy says.
    PlainHttp,
    /// In a browser's request, so in a page.
    Browser,
    /// In a mail that was being sent.
    Mail,
    /// Somebody reported it.
    Report,
}

impl Channel {
    /// The channel as events name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Url => "url",
            Self::PlainHttp => "plaintext_http",
            Self::Browser => "browser",
            Self::Mail => "mail",
            Self::Report => "report",
        }
    }
}

/// Why a key could not be burned.
#[derive(Debug, thiserror::Error)]
pub enum ExposeError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The vault failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// What became of a burned key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Revoked,
    Expires,
    Noted,
}

impl Fate {
    fn name(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::Expires => "expires",
            Self::Noted => "notified",
        }
    }
}

/// Keys looked up for one text; one that holds more was made to cost us look-ups.
const LOOKED_UP_MAX: usize = 20;

/// Burns the keys in `text` that work, each once.
pub async fn expose_all(
    platform: &Platform,
    found: impl IntoIterator<Item = Key>,
    channel: Channel,
    origin: &Origin,
) -> Result<(), ExposeError> {
    let mut seen = HashSet::new();
    for key in found {
        if seen.len() < LOOKED_UP_MAX && seen.insert(key.digest()) {
            expose(platform, key.expose(), channel, origin).await?;
        }
    }
    Ok(())
}

/// Burns the key in `text`, if it is one that works. Returns the id of a key that was burned now.
pub async fn expose(
    platform: &Platform,
    text: &str,
    channel: Channel,
    origin: &Origin,
) -> Result<Option<KeyId>, ExposeError> {
    let Some(key) = Key::parse(text) else {
        return Ok(None);
    };
    let digest = key.digest();
    let lookup = platform.vault.key_lookup(&digest);
    let row = match verified(platform, &key, &digest, lookup).await {
        Ok(row) => row,
        Err(Refused::Store(error)) => return Err(error.into()),
        Err(Refused::Vault(error)) => return Err(error.into()),
        Err(Refused::Unknown | Refused::Revoked | Refused::Expired | Refused::Network) => return Ok(None),
    };
    let policy = match channel {
        Channel::PlainHttp => ExposurePolicy::Revoke,
        Channel::Url | Channel::Browser | Channel::Mail | Channel::Report => row.exposure_policy,
    };
    burn(platform, &row.caller.org, &row.key, policy, channel, origin).await
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    key_id: &'a KeyId,
    name: &'a str,
    key_prefix: &'a str,
    last_four: &'a str,
    channel: &'static str,
    action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
}

async fn burn(
    platform: &Platform,
    org: &OrgId,
    id: &KeyId,
    policy: ExposurePolicy,
    channel: Channel,
    origin: &Origin,
) -> Result<Option<KeyId>, ExposeError> {
    let now = platform.clock.now();
    let wanted = id.clone();
    let read = async move |tx: &OrgTx| store::get(tx, &wanted).await;
    let row = platform.store.org(org).read("key_get", read).await?;
    let Some((row, fate)) = row.and_then(|row| burned(row, policy, now)) else {
        return Ok(None);
    };
    let (event, entry) = told(platform, org, &row, (channel, fate), now, origin).await?;
    let unit = async move |tx: &OrgTx| {
        // Two requests with one leaked key: the second finds it burned.
        orgs::lock(tx).await?;
        let found = store::get(tx, &row.id).await?;
        let Some((row, _)) = found.and_then(|found| burned(found, policy, now)) else {
            return Ok::<_, StoreError>(None);
        };
        store::burn(tx, &row).await?;
        audit::record(tx, &entry).await?;
        let has_listeners = events::append(tx, &event).await?;
        jobs::enqueue(tx, Kind::Notice, event.id.as_str(), event.id.day(), now, now).await?;
        Ok(Some(has_listeners))
    };
    let Some(has_listeners) = platform.store.org(org).write("key_burn", unit).await? else {
        return Ok(None);
    };
    tracing::warn!(%org, key = %id, channel = channel.name(), action = fate.name(), "an API key was exposed");
    platform.hints.wake(Kind::Notice);
    if has_listeners {
        platform.hints.wake(Kind::Event);
    }
    let label = KindLabel { kind: channel.name() };
    platform.metrics.keys_exposed.get_or_create(&label).inc();
    Ok(Some(id.clone()))
}

/// The event and the audit entry of a burn.
async fn told(
    platform: &Platform,
    org: &OrgId,
    row: &KeyRow,
    (channel, fate): (Channel, Fate),
    at: Timestamp,
    origin: &Origin,
) -> Result<(Event, Entry), VaultError> {
    let data = Data {
        key_id: &row.id,
        name: &row.name,
        key_prefix: &row.prefix,
        last_four: &row.last_four,
        channel: channel.name(),
        action: fate.name(),
        expires_at: row.restrictions.expires_at.map(Timestamp::rfc3339),
    };
    let about = About {
        kind: Type::ApiKeyExposed,
        // What happens to keys is not a matter of test data: every endpoint of the organization that wants it is told.
        mode: Mode::Live,
        email: None,
        at,
    };
    let act = Act {
        actor: Actor::System.as_str(),
        action: "api_key.exposed",
        target: row.id.as_str(),
        origin,
        detail: &data,
    };
    let vault = platform.vault.org(org).await?;
    Ok((
        events::prepare(&vault, about, &data).await?,
        audit::prepare(&vault, at, act).await?,
    ))
}

/// The key as it is after a burn, and what happened to it; `None` when it has ended already or this burn changes nothing.
fn burned(mut row: KeyRow, policy: ExposurePolicy, now: Timestamp) -> Option<(KeyRow, Fate)> {
    let ends_at = row.restrictions.expires_at;
    if row.revoked_at.is_some() || ends_at.is_some_and(|at| at <= now) {
        return None;
    }
    let was_exposed = row.exposed_at.is_some();
    row.exposed_at.get_or_insert(now);
    match policy {
        ExposurePolicy::Revoke => {
            row.revoked_at = Some(now);
            Some((row, Fate::Revoked))
        }
        ExposurePolicy::Expire24h => {
            let end = now.plus(EXPIRES_AFTER);
            if was_exposed && ends_at.is_some_and(|own| own <= end) {
                return None;
            }
            row.restrictions.expires_at = Some(ends_at.map_or(end, |own| own.min(end)));
            Some((row, Fate::Expires))
        }
        ExposurePolicy::Notify => (!was_exposed).then_some((row, Fate::Noted)),
    }
}
