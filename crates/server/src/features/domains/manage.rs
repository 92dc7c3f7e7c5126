//! Shows, lists, changes and deletes domains.

use super::check::PURGED_AFTER;
use super::{Domain, DomainError, Names, Status, Tls, store};
use crate::features::audit::{self, Act};
use crate::features::keys::Caller;
use crate::features::orgs;
use crate::id::{DomainId, Id as _, OrgId};
use crate::platform::Platform;
use crate::platform::jobs::{self, Kind};
use crate::platform::store::OrgTx;
use serde::Serialize;

/// One domain with its keys.
pub async fn get(platform: &Platform, org: &OrgId, id: &DomainId) -> Result<Domain, DomainError> {
    let id = id.clone();
    let unit = async move |tx: &OrgTx| store::get(tx, &id).await;
    let found: Option<Domain> = platform.store.org(org).read("domain_get", unit).await?;
    found
        .filter(|domain| domain.deleted_at.is_none())
        .ok_or(DomainError::Unknown)
}

/// A page of domains.
pub struct Page {
    /// The domains.
    pub domains: Vec<Domain>,
    /// Whether there are more.
    pub has_more: bool,
    /// How many there are in all, of this status.
    pub total: i64,
}

/// Up to `limit` domains, newest first, from the one after `after`.
pub async fn list(
    platform: &Platform,
    org: &OrgId,
    status: Option<Status>,
    limit: i64,
    after: Option<DomainId>,
) -> Result<Page, DomainError> {
    let unit = async move |tx: &OrgTx| -> Result<_, DomainError> {
        if let Some(after) = &after {
            store::get(tx, after).await?.ok_or(DomainError::After)?;
        }
        let domains = store::list(tx, status, after.as_ref(), limit + 1).await?;
        Ok((domains, store::count_of(tx, status).await?))
    };
    let (mut domains, total) = platform.store.org(org).read("domain_list", unit).await?;
    let limit = usize::try_from(limit).unwrap_or(0);
    let has_more = domains.len() > limit;
    domains.truncate(limit);
    Ok(Page {
        domains,
        has_more,
        total,
    })
}

/// What is to be different; what is `None` stays.
#[derive(Debug, Clone, Copy, Default)]
pub struct Change {
    /// A second signature by Ed25519, or none. Its keys are made at the next look, and the first signs once the DNS shows it.
    pub has_ed25519: Option<bool>,
    /// How mail that is accepted from now on has to travel.
    pub tls: Option<Tls>,
}

#[derive(Serialize)]
struct Changed {
    #[serde(skip_serializing_if = "is_unchanged")]
    ed25519: [bool; 2],
    #[serde(skip_serializing_if = "is_unchanged")]
    tls: [&'static str; 2],
}

fn is_unchanged<T: PartialEq>([old, new]: &[T; 2]) -> bool {
    old == new
}

/// Changes how a domain signs and how its mail travels; what stays as it is costs nothing. Keys for Ed25519 are made at the next look, and the
/// first signs once the DNS shows it.
pub async fn change(
    platform: &Platform,
    caller: &Caller,
    id: &DomainId,
    change: Change,
) -> Result<Domain, DomainError> {
    let old = get(platform, &caller.org, id).await?;
    let has_ed25519 = change.has_ed25519.unwrap_or(old.has_ed25519);
    let tls = change.tls.unwrap_or(old.tls);
    if (has_ed25519, tls) == (old.has_ed25519, old.tls) {
        return Ok(old);
    }
    let now = platform.clock.now();
    let act = Act {
        actor: caller.actor.as_str(),
        action: "domain.updated",
        target: id.as_str(),
        origin: &caller.origin,
        detail: Changed {
            ed25519: [old.has_ed25519, has_ed25519],
            tls: [old.tls.name(), tls.name()],
        },
    };
    let entry = audit::prepare(&platform.vault.org(&caller.org).await?, now, act).await?;
    let unit = async move |tx: &OrgTx| -> Result<(), DomainError> {
        orgs::lock(tx).await?;
        store::set_tls(tx, &old.id, tls).await?;
        let is_turned = store::set_ed25519(tx, &old.id, has_ed25519).await?;
        if is_turned && !has_ed25519 {
            // What it signed before is still verified for as long as it is shown.
            store::retire_ed25519(tx, &old.id, now).await?;
            store::delete_waiting_ed25519(tx, &old.id).await?;
        }
        Ok(audit::record(tx, &entry).await?)
    };
    platform
        .store
        .org(&caller.org)
        .write("domain_change", unit)
        .await?;
    get(platform, &caller.org, id).await
}

#[derive(Serialize)]
struct Deleted<'a> {
    name: &'a str,
}

/// Takes a domain away: nothing more is accepted from it. What was accepted before is still signed and sent; its keys are destroyed when
/// nothing can need them any more, at once if it was never verified.
pub async fn delete(platform: &Platform, caller: &Caller, id: &DomainId) -> Result<(), DomainError> {
    let old = get(platform, &caller.org, id).await?;
    let now = platform.clock.now();
    let act = Act {
        actor: caller.actor.as_str(),
        action: "domain.deleted",
        target: id.as_str(),
        origin: &caller.origin,
        detail: Deleted { name: &old.name },
    };
    let entry = audit::prepare(&platform.vault.org(&caller.org).await?, now, act).await?;
    let unit = async move |tx: &OrgTx| -> Result<(), DomainError> {
        orgs::lock(tx).await?;
        let was_verified = store::get(tx, &old.id)
            .await?
            .is_some_and(|domain| domain.verified_at.is_some());
        if !store::mark_deleted(tx, &old.id, now).await? {
            return Err(DomainError::Unknown);
        }
        if was_verified {
            // There is no job for one whose DNS is never asked.
            let purged_at = now.plus(PURGED_AFTER);
            jobs::reschedule(tx, Kind::DomainCheck, old.id.as_str(), 0, purged_at, now).await?;
        } else {
            store::purge(tx, &old.id).await?;
        }
        Ok(audit::record(tx, &entry).await?)
    };
    platform.store.org(&caller.org).write("domain_delete", unit).await
}

/// The installation's own zone with the public keys of all organizations; `None` without a zone.
pub async fn zone_file(platform: &Platform, names: &Names) -> Result<Option<String>, DomainError> {
    if names.zone.is_none() {
        return Ok(None);
    }
    let keys = store::all_keys(&platform.store).await?;
    Ok(names.zone_file(&keys))
}
