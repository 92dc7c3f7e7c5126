//! Shows, lists, changes and deletes domains.

use super::check::PURGED_AFTER;
use super::{Domain, DomainError, Names, Route, Status, Tls, store};
use crate::clock::Timestamp;
use crate::features::audit::{self, Act};
use crate::features::keys::Caller;
use crate::features::orgs;
use crate::id::{DomainId, Id as _, OrgId};
use crate::platform::Platform;
use crate::platform::jobs::{self, Kind};
use crate::platform::store::{OrgTx, StoreError};
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

/// What is to change; what is `None` stays.
#[derive(Debug, Clone, Copy, Default)]
pub struct Change {
    /// Whether mail bears a second signature by Ed25519. Its keys are made at the next look, and the first signs once the DNS shows it.
    pub ed25519: Option<bool>,
    /// How mail that is accepted from now on has to travel.
    pub tls: Option<Tls>,
    /// Which way mail leaves.
    pub route: Option<Route>,
}

#[derive(Serialize)]
struct Changed {
    #[serde(skip_serializing_if = "Option::is_none")]
    ed25519: Option<[bool; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<[&'static str; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<[&'static str; 2]>,
}

/// Changes how a domain's mail is signed, how it travels, and which way it leaves; what stays as it is costs nothing.
pub async fn change(
    platform: &Platform,
    caller: &Caller,
    id: &DomainId,
    change: Change,
) -> Result<Domain, DomainError> {
    let old = get(platform, &caller.org, id).await?;
    let ed25519 = change.ed25519.filter(|has| *has != old.has_ed25519);
    let tls = change.tls.filter(|tls| *tls != old.tls);
    let route = change.route.filter(|route| *route != old.route);
    if ed25519.is_none() && tls.is_none() && route.is_none() {
        return Ok(old);
    }
    let now = platform.clock.now();
    let act = Act {
        actor: caller.actor.as_str(),
        action: "domain.updated",
        target: id.as_str(),
        origin: &caller.origin,
        detail: Changed {
            ed25519: ed25519.map(|has| [old.has_ed25519, has]),
            tls: tls.map(|tls| [old.tls.name(), tls.name()]),
            route: route.map(|route| [old.route.name(), route.name()]),
        },
    };
    let entry = audit::prepare(&platform.vault.org(&caller.org).await?, now, act).await?;
    let unit = async move |tx: &OrgTx| -> Result<(), DomainError> {
        orgs::lock(tx).await?;
        let mut is_changed = false;
        if let Some(has) = ed25519 {
            is_changed |= set_ed25519(tx, &old.id, has, now).await?;
        }
        if let Some(tls) = tls {
            is_changed |= store::set_tls(tx, &old.id, tls).await?;
        }
        if let Some(route) = route {
            is_changed |= store::set_route(tx, &old.id, route).await?;
        }
        if is_changed {
            audit::record(tx, &entry).await?;
        }
        Ok(())
    };
    platform
        .store
        .org(&caller.org)
        .write("domain_change", unit)
        .await?;
    get(platform, &caller.org, id).await
}

/// `false` when it was so before.
async fn set_ed25519(tx: &OrgTx, id: &DomainId, has: bool, now: Timestamp) -> Result<bool, StoreError> {
    if !store::set_ed25519(tx, id, has).await? {
        return Ok(false);
    }
    if !has {
        // What it signed before is still verified for as long as it is shown.
        store::retire_ed25519(tx, id, now).await?;
        store::delete_waiting_ed25519(tx, id).await?;
    }
    Ok(true)
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
