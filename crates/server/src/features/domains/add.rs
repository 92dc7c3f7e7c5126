//! Adds a domain.

use super::{Algorithm, Domain, DomainError, SELECTORS, keys, manage, name, store};
use crate::features::audit::{self, Act};
use crate::features::keys::Caller;
use crate::features::orgs;
use crate::id::{DomainId, Id as _, OrgId};
use crate::platform::Platform;
use crate::platform::jobs::{self, Kind};
use crate::platform::store::OrgTx;
use crate::platform::vault::random;
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
    let now = platform.clock.now();
    let id = DomainId::generate(now, random());
    let vault = platform.vault.org(&caller.org).await?;
    let mut key = keys::make(&vault, now, Algorithm::Rsa, SELECTORS[0]).await?;
    key.key.signing_since = Some(now);
    let act = Act {
        actor: caller.actor.as_str(),
        action: "domain.added",
        target: id.as_str(),
        origin: &caller.origin,
        detail: Detail { name: name.as_str() },
    };
    let entry = audit::prepare(&vault, now, act).await?;
    let max = caller.plan.domains_max();
    let unit = {
        let name = name.as_str().to_owned();
        async move |tx: &OrgTx| {
            orgs::lock(tx).await?;
            if store::count(tx).await? >= max {
                return Err(DomainError::TooMany(max));
            }
            let row = store::insert(tx, &id, &name, now)
                .await?
                .ok_or(DomainError::Exists)?;
            if row == id {
                store::insert_key(tx, &id, &key, now).await?;
            }
            jobs::enqueue(
                tx,
                Kind::DomainCheck,
                row.as_str(),
                0,
                now.plus(FIRST_CHECK_AFTER),
                now,
            )
            .await?;
            audit::record(tx, &entry).await?;
            Ok(row)
        }
    };
    let id: DomainId = platform.store.org(&caller.org).write("domain_add", unit).await?;
    manage::get(platform, &caller.org, &id).await
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
