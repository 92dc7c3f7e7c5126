//! Changes and deletes relays.

use super::{Account, Credentials, FeedKey, Relay, RelayError, credentials_cell, feed_cell, get, store};
use crate::clock::Timestamp;
use crate::features::audit::{self, Act};
use crate::features::keys::Caller;
use crate::features::orgs;
use crate::id::{Id as _, RelayId};
use crate::platform::Platform;
use crate::platform::store::OrgTx;
use crate::platform::vault::{Class, OrgVault};
use crate::secret::Secret;
use bytes::Bytes;
use serde::Serialize;

/// What is to change; what is `None` stays. The provider, its region and its domain stay always: another account is another relay.
#[derive(Default)]
pub struct Change {
    /// What its owner calls it.
    pub name: Option<String>,
    /// Lower ones are asked first.
    pub priority: Option<i64>,
    /// Its share among those of the same priority.
    pub weight: Option<i64>,
    /// Whose mail it carries; empty for all.
    pub domains: Option<Vec<String>>,
    /// Whether it is given mail.
    pub is_enabled: Option<bool>,
    /// Other credentials of the same account.
    pub credentials: Option<Credentials>,
    /// Another secret of its feed.
    pub feed_secret: Option<Secret<String>>,
}

/// What of a change is stored only sealed.
struct Sealed {
    credentials: Option<Bytes>,
    feed_secret: Option<Bytes>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Changed {
    fields: Vec<&'static str>,
}

impl Change {
    fn fields(&self) -> Vec<&'static str> {
        let all = [
            (self.name.is_some(), "name"),
            (self.priority.is_some(), "priority"),
            (self.weight.is_some(), "weight"),
            (self.domains.is_some(), "domains"),
            (self.is_enabled.is_some(), "enabled"),
            (self.credentials.is_some(), "credentials"),
            (self.feed_secret.is_some(), "feedSecret"),
        ];
        all.into_iter()
            .filter(|(is, _)| *is)
            .map(|(_, name)| name)
            .collect()
    }

    /// What of it is secret, checked against the account.
    async fn sealed(&self, old: &Relay, vault: &OrgVault, now: Timestamp) -> Result<Sealed, RelayError> {
        let (mut credentials, mut feed_secret) = (None, None);
        if let Some(given) = &self.credentials {
            let account = Account {
                kind: old.kind,
                credentials: given.clone(),
                region: old.region.clone(),
                domain: old.sending_domain.clone(),
            };
            account.check()?;
            let (cell, stored) = (credentials_cell(&old.id), given.stored());
            let sealed = vault.seal(Class::Secrets, now, cell, &stored);
            credentials = Some(sealed.await?.into());
        }
        if let Some(given) = &self.feed_secret {
            FeedKey::of(old.kind, given)?;
            let cell = feed_cell(&old.id);
            let sealed = vault.seal(Class::Secrets, now, cell, given.expose().as_bytes());
            feed_secret = Some(sealed.await?.into());
        }
        Ok(Sealed {
            credentials,
            feed_secret,
        })
    }

    fn apply(&self, relay: &mut Relay) -> Result<(), RelayError> {
        relay.name = self.name.clone().unwrap_or_else(|| relay.name.clone());
        relay.priority = self.priority.unwrap_or(relay.priority);
        relay.weight = self.weight.unwrap_or(relay.weight);
        relay.domains = self.domains.clone().unwrap_or_else(|| relay.domains.clone());
        relay.is_enabled = self.is_enabled.unwrap_or(relay.is_enabled);
        relay.check()
    }
}

/// Changes a relay; mail that is under way is given to it as it is then.
pub async fn change(
    platform: &Platform,
    caller: &Caller,
    id: &RelayId,
    change: Change,
) -> Result<Relay, RelayError> {
    let old = get(platform, caller, id).await?;
    let fields = change.fields();
    if fields.is_empty() {
        return Ok(old);
    }
    let now = platform.clock.now();
    let vault = platform.vault.org(&caller.org).await?;
    let sealed = change.sealed(&old, &vault, now).await?;
    let act = Act {
        actor: caller.actor.as_str(),
        action: "relay.updated",
        target: id.as_str(),
        origin: &caller.origin,
        detail: Changed { fields },
    };
    let entry = audit::prepare(&vault, now, act).await?;
    let wanted = id.clone();
    let unit = async move |tx: &OrgTx| {
        orgs::lock(tx).await?;
        let mut relay = store::get(tx, &wanted).await?.ok_or(RelayError::Unknown)?.relay;
        change.apply(&mut relay)?;
        store::update(tx, &relay).await?;
        if let Some(credentials) = &sealed.credentials {
            store::replace_credentials(tx, &wanted, credentials).await?;
        }
        if let Some(secret) = &sealed.feed_secret {
            store::set_feed(tx, &wanted, secret).await?;
        }
        audit::record(tx, &entry).await?;
        Ok::<_, RelayError>(())
    };
    platform
        .store
        .org(&caller.org)
        .write("relay_change", unit)
        .await?;
    get(platform, caller, id).await
}

#[derive(Serialize)]
struct Deleted<'a> {
    name: &'a str,
    provider: &'static str,
}

/// Deletes a relay with its credentials. Mail of which only it could say whether it was taken is given up.
pub async fn delete(platform: &Platform, caller: &Caller, id: &RelayId) -> Result<(), RelayError> {
    let old = get(platform, caller, id).await?;
    let now = platform.clock.now();
    let act = Act {
        actor: caller.actor.as_str(),
        action: "relay.deleted",
        target: id.as_str(),
        origin: &caller.origin,
        detail: Deleted {
            name: &old.name,
            provider: old.kind.name(),
        },
    };
    let entry = audit::prepare(&platform.vault.org(&caller.org).await?, now, act).await?;
    let wanted = id.clone();
    let unit = async move |tx: &OrgTx| {
        orgs::lock(tx).await?;
        if !store::delete(tx, &wanted).await? {
            return Err(RelayError::Unknown);
        }
        Ok(audit::record(tx, &entry).await?)
    };
    platform.store.org(&caller.org).write("relay_delete", unit).await
}
