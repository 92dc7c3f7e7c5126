//! Changes and deletes relays.

use super::{Account, Credentials, Relay, RelayError, credentials_cell, get, store};
use crate::features::audit::{self, Act};
use crate::features::keys::Caller;
use crate::features::orgs;
use crate::id::{Id as _, RelayId};
use crate::platform::Platform;
use crate::platform::store::OrgTx;
use crate::platform::vault::Class;
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
        ];
        all.into_iter()
            .filter(|(is, _)| *is)
            .map(|(_, name)| name)
            .collect()
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
    let credentials: Option<Bytes> = match &change.credentials {
        None => None,
        Some(credentials) => {
            let account = Account {
                kind: old.kind,
                credentials: credentials.clone(),
                region: old.region.clone(),
                domain: old.sending_domain.clone(),
            };
            account.check()?;
            let stored = credentials.stored();
            let sealed = vault.seal(Class::Secrets, now, credentials_cell(id), &stored);
            Some(sealed.await?.into())
        }
    };
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
        if let Some(sealed) = &credentials {
            store::replace_credentials(tx, &wanted, sealed).await?;
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
