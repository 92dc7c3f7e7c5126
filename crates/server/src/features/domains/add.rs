//! Adds a domain.

use super::{Algorithm, Domain, DomainError, SELECTORS, keys, manage, name, store};
use crate::features::audit::{self, Act};
use crate::features::keys::Caller;
use crate::features::orgs;
use crate::id::{DomainId, Id as _, OrgId};
use crate::limits::DOMAINS_DELETED_BEYOND_MAX;
use crate::platform::Platform;
use crate::platform::jobs::{self, Kind};
use crate::platform::store::OrgTx;
use crate::platform::vault::random;
use sealwright_mail::address::Domain as Name;
use serde::Serialize;
use std::time::Duration;

/// When the DNS is first asked: nobody publishes records faster.
const FIRST_CHECK_AFTER: Duration = Duration::from_secs(60);

#[derive(Serialize)]
struct Detail<'a> {
    name: &'a str,
}

/// Adds a domain, pending, with the key that will sign for it (about 100 ms of work on a thread of its own). The keys that wait are
/// made by [`complete`](super::keys::complete).
///
/// A domain that was deleted lately comes back with its id and its keys, so that mail that is still under way is signed.
pub async fn add(platform: &Platform, caller: &Caller, text: &str) -> Result<Domain, DomainError> {
    let name = name::parse(text)?;
    let id = match try_add(platform, caller, &name).await {
        // It was deleted or destroyed at this moment, which happens once.
        Err(DomainError::Busy) => try_add(platform, caller, &name).await?,
        added => added?,
    };
    manage::get(platform, &caller.org, &id).await
}

async fn try_add(platform: &Platform, caller: &Caller, name: &Name) -> Result<DomainId, DomainError> {
    let now = platform.clock.now();
    let scope = platform.store.org(&caller.org);
    let max = caller.plan.domains_max();
    // Before a key is made, which is a lot of work for a refusal; and again in the unit.
    let read = {
        let name = name.as_str().to_owned();
        async move |tx: &OrgTx| room(tx, &name, max).await
    };
    let deleted = scope.read("domain_room", read).await?;
    let vault = platform.vault.org(&caller.org).await?;
    let (id, key) = match deleted {
        Some(id) => (id, None),
        None => {
            let mut key = keys::make(&vault, now, Algorithm::Rsa, SELECTORS[0]).await?;
            key.key.signing_since = Some(now);
            (DomainId::generate(now, random()), Some(key))
        }
    };
    let act = Act {
        actor: caller.actor.as_str(),
        action: "domain.added",
        target: id.as_str(),
        origin: &caller.origin,
        detail: Detail { name: name.as_str() },
    };
    let entry = audit::prepare(&vault, now, act).await?;
    let unit = {
        let (id, name) = (id.clone(), name.as_str().to_owned());
        async move |tx: &OrgTx| {
            orgs::lock(tx).await?;
            let deleted = room(tx, &name, max).await?;
            if deleted != key.is_none().then(|| id.clone()) {
                return Err(DomainError::Busy);
            }
            store::insert(tx, &id, &name, now)
                .await?
                .ok_or(DomainError::Exists)?;
            if let Some(key) = &key {
                store::insert_key(tx, &id, key, now).await?;
            }
            // One that comes back has a job that waits for the day on which its keys would have been destroyed.
            let due_at = now.plus(FIRST_CHECK_AFTER);
            jobs::reschedule(tx, Kind::DomainCheck, id.as_str(), 0, due_at, now).await?;
            Ok(audit::record(tx, &entry).await?)
        }
    };
    scope.write("domain_add", unit).await?;
    Ok(id)
}

/// Refuses a domain that there is, or that there is no room for. Returns the id of one that was deleted and can come back.
async fn room(tx: &OrgTx, name: &str, max: i64) -> Result<Option<DomainId>, DomainError> {
    let deleted = match store::known(tx, name).await? {
        Some((_, None)) => return Err(DomainError::Exists),
        known => known.map(|(id, _)| id),
    };
    if store::count(tx).await? >= max {
        return Err(DomainError::TooMany(max));
    }
    let deleted_max = max + DOMAINS_DELETED_BEYOND_MAX;
    if deleted.is_none() && store::count_deleted(tx).await? >= deleted_max {
        return Err(DomainError::TooManyDeleted(deleted_max));
    }
    Ok(deleted)
}

/// Takes a domain for verified on the operator's word: for development and for closed networks. The DNS is not asked, now or later.
pub async fn assume_verified(platform: &Platform, org: &OrgId, id: &DomainId) -> Result<(), DomainError> {
    let (now, id) = (platform.clock.now(), id.clone());
    let unit = async move |tx: &OrgTx| {
        if store::assume_verified(tx, &id, now).await? {
            Ok(())
        } else {
            Err(DomainError::Unknown)
        }
    };
    platform.store.org(org).write("domain_assume", unit).await
}
