//! Makes relays.

use super::store::{self, Sealed};
use super::{Account, FeedKey, Relay, RelayError, credentials_cell, feed_cell};
use crate::features::audit::{self, Act};
use crate::features::keys::Caller;
use crate::features::orgs;
use crate::id::{Id as _, RelayId};
use crate::limits::RELAYS_MAX;
use crate::platform::Platform;
use crate::platform::store::OrgTx;
use crate::platform::vault::{Class, random};
use crate::secret::Secret;
use serde::Serialize;

/// What a relay is made from.
pub struct NewRelay {
    /// What its owner calls it.
    pub name: String,
    /// The account.
    pub account: Account,
    /// Lower ones are asked first.
    pub priority: i64,
    /// Its share among those of the same priority.
    pub weight: i64,
    /// Whose mail it carries; empty for all.
    pub domains: Vec<String>,
    /// Whether it is given mail.
    pub is_enabled: bool,
    /// What shows that events come from the provider.
    pub feed_secret: Option<Secret<String>>,
}

#[derive(Serialize)]
struct Created<'a> {
    name: &'a str,
    provider: &'static str,
}

/// Makes a relay. Its credentials are sealed and not shown again; whether its provider takes them is not asked.
pub async fn create(platform: &Platform, caller: &Caller, new: NewRelay) -> Result<Relay, RelayError> {
    new.account.check()?;
    if let Some(secret) = &new.feed_secret {
        FeedKey::of(new.account.kind, secret)?;
    }
    let now = platform.clock.now();
    let mut relay = Relay {
        id: RelayId::generate(now, random()),
        name: new.name,
        kind: new.account.kind,
        region: new.account.region,
        sending_domain: new.account.domain,
        priority: new.priority,
        weight: new.weight,
        domains: new.domains,
        is_enabled: new.is_enabled,
        failing_since: None,
        created_at: now,
    };
    relay.check()?;
    let vault = platform.vault.org(&caller.org).await?;
    let stored = new.account.credentials.stored();
    let sealed = vault
        .seal(Class::Secrets, now, credentials_cell(&relay.id), &stored)
        .await?;
    let feed_secret_sealed = match &new.feed_secret {
        None => None,
        Some(secret) => {
            let cell = feed_cell(&relay.id);
            let sealed = vault.seal(Class::Secrets, now, cell, secret.expose().as_bytes());
            Some(sealed.await?.into())
        }
    };
    let act = Act {
        actor: caller.actor.as_str(),
        action: "relay.created",
        target: relay.id.as_str(),
        origin: &caller.origin,
        detail: Created {
            name: &relay.name,
            provider: relay.kind.name(),
        },
    };
    let entry = audit::prepare(&vault, now, act).await?;
    let row = Sealed {
        relay: relay.clone(),
        credentials_sealed: sealed.into(),
        feed_secret_sealed,
    };
    let unit = async move |tx: &OrgTx| {
        orgs::lock(tx).await?;
        if store::count(tx).await? >= RELAYS_MAX {
            return Err(RelayError::TooMany);
        }
        store::insert(tx, &row).await?;
        Ok(audit::record(tx, &entry).await?)
    };
    platform
        .store
        .org(&caller.org)
        .write("relay_create", unit)
        .await?;
    Ok(relay)
}
