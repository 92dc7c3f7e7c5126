//! Reads, changes, replaces and deletes keys, for a caller.

use super::expose::EXPIRES_AFTER;
use super::make::{Detail, KeyError, Made, NewKey, check_name, checked};
use super::store::{self, From, KeyRow};
use super::usage::{self, LastUse};
use super::{Actor, Caller, Key, Networks, Permissions, ROTATION_DUE_AFTER, Rate, Style};
use crate::clock::Timestamp;
use crate::features::audit::{self, Act, Origin};
use crate::features::orgs;
use crate::id::{Id as _, KeyId, OrgId};
use crate::mode::Mode;
use crate::platform::Platform;
use crate::platform::store::{OrgTx, StoreError};
use crate::platform::vault::OrgVault;
use crate::secret::Personal;
use std::net::IpAddr;
use std::time::Duration;

/// A key as it is shown: everything but itself.
#[derive(Debug, Clone)]
pub struct Shown {
    row: KeyRow,
    last_use: LastUse,
}

#[allow(missing_docs, reason = "each says what it is called")]
impl Shown {
    pub(super) fn new(row: KeyRow, last_use: LastUse) -> Self {
        Self { row, last_use }
    }

    pub fn id(&self) -> &KeyId {
        &self.row.id
    }
    pub fn name(&self) -> &str {
        &self.row.name
    }
    pub fn mode(&self) -> Mode {
        self.row.mode
    }
    pub fn prefix(&self) -> &str {
        &self.row.prefix
    }
    pub fn last_four(&self) -> &str {
        &self.row.last_four
    }
    pub fn permissions(&self) -> &Permissions {
        &self.row.permissions
    }
    pub fn restrictions(&self) -> &super::Restrictions {
        &self.row.restrictions
    }
    pub fn created_at(&self) -> Timestamp {
        self.row.created_at
    }
    pub fn revoked_at(&self) -> Option<Timestamp> {
        self.row.revoked_at
    }
    pub fn exposed_at(&self) -> Option<Timestamp> {
        self.row.exposed_at
    }
    pub fn replaces(&self) -> Option<&KeyId> {
        self.row.replaces.as_ref()
    }
    pub fn replaced_by(&self) -> Option<&KeyId> {
        self.row.replaced_by.as_ref()
    }
    pub fn rotation_due_at(&self) -> Timestamp {
        self.row.created_at.plus(ROTATION_DUE_AFTER)
    }
    pub fn last_used_at(&self) -> Option<Timestamp> {
        self.row.last_used_at
    }
    pub fn last_used_address(&self) -> Option<Personal<IpAddr>> {
        self.last_use.address
    }
    pub fn last_used_agent(&self) -> Option<&Personal<String>> {
        self.last_use.agent.as_ref()
    }
}

async fn shown(vault: &OrgVault, row: KeyRow) -> Result<Shown, KeyError> {
    let last_use = match &row.last_used_sealed {
        Some(sealed) => {
            let json = vault.open(usage::cell(&row.id), sealed).await?;
            LastUse::from_json(&json)
        }
        None => LastUse::default(),
    };
    Ok(Shown::new(row, last_use))
}

/// The row, if the caller may see it: test keys know only their kind.
async fn visible(tx: &OrgTx, caller: &Caller, id: &KeyId) -> Result<Option<KeyRow>, StoreError> {
    let row = store::get(tx, id).await?;
    Ok(row.filter(|row| caller.sees().is_none_or(|mode| row.mode == mode)))
}

/// The same, where there has to be one.
async fn known(tx: &OrgTx, caller: &Caller, id: &KeyId) -> Result<KeyRow, KeyError> {
    visible(tx, caller, id).await?.ok_or(KeyError::Unknown)
}

/// One key.
pub async fn get(platform: &Platform, caller: &Caller, id: &KeyId) -> Result<Shown, KeyError> {
    let (asking, wanted) = (caller.clone(), id.clone());
    let unit = async move |tx: &OrgTx| known(tx, &asking, &wanted).await;
    let row = platform.store.org(&caller.org).read("key_get", unit).await?;
    shown(&platform.vault.org(&caller.org).await?, row).await
}

/// One page of keys, newest first.
pub struct Page {
    /// The keys.
    pub keys: Vec<Shown>,
    /// Whether there are more in the direction that was read.
    pub has_more: bool,
    /// How many there are at all.
    pub total: i64,
}

/// A page of `limit` keys: the newest, those older than `after`, or those newer than `before`.
pub async fn list(
    platform: &Platform,
    caller: &Caller,
    limit: i64,
    after: Option<KeyId>,
    before: Option<KeyId>,
) -> Result<Page, KeyError> {
    let is_backward = before.is_some();
    let from = match (after, before) {
        (_, Some(id)) => From::NewerThan(id),
        (Some(id), None) => From::OlderThan(id),
        (None, None) => From::Newest,
    };
    let asking = caller.clone();
    let unit = async move |tx: &OrgTx| {
        let (edge, missing) = match &from {
            From::Newest => (None, KeyError::Unknown),
            From::OlderThan(id) => (Some(id), KeyError::After),
            From::NewerThan(id) => (Some(id), KeyError::Before),
        };
        if let Some(id) = edge
            && visible(tx, &asking, id).await?.is_none()
        {
            return Err(missing);
        }
        Ok(store::list(tx, asking.sees(), &from, limit + 1).await?)
    };
    let (mut rows, total) = platform.store.org(&caller.org).read("key_list", unit).await?;
    let limit = usize::try_from(limit).unwrap_or(0);
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    if is_backward {
        rows.reverse();
    }
    let vault = platform.vault.org(&caller.org).await?;
    let mut keys = Vec::with_capacity(rows.len());
    for row in rows {
        keys.push(shown(&vault, row).await?);
    }
    Ok(Page {
        keys,
        has_more,
        total,
    })
}

/// A change of a key; what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// A new name.
    pub name: Option<String>,
    /// New permissions.
    pub permissions: Option<Permissions>,
    /// New networks.
    pub networks: Option<Networks>,
    /// New domains.
    pub domains: Option<Vec<String>>,
    /// A new rate, or none.
    pub rate: Option<Option<Rate>>,
    /// A new date, or none.
    pub expires_at: Option<Option<Timestamp>>,
}

impl Change {
    fn apply(self, row: &KeyRow, now: Timestamp) -> Result<KeyRow, KeyError> {
        let mut new = row.clone();
        if let Some(name) = self.name {
            check_name(&name)?;
            new.name = name;
        }
        if let Some(permissions) = self.permissions {
            new.permissions = permissions;
        }
        if let Some(networks) = self.networks {
            new.restrictions.networks = networks;
        }
        if let Some(rate) = self.rate {
            new.restrictions.rate = rate;
        }
        let domains_change = self.domains.is_some();
        if let Some(domains) = self.domains {
            new.restrictions.domains = domains;
        }
        if row.replaced_by.is_some() && self.expires_at.is_some() {
            return Err(KeyError::Replaced);
        }
        let Some(expires_at) = self.expires_at else {
            if domains_change {
                let expires_at = new.restrictions.expires_at.take();
                new.restrictions = checked(new.restrictions, now)?;
                new.restrictions.expires_at = expires_at;
            }
            return Ok(new);
        };
        let is_later = |own: Timestamp| expires_at.is_none_or(|at| at > own);
        if row.exposed_at.is_some() && row.restrictions.expires_at.is_some_and(is_later) {
            return Err(KeyError::Expiry(
                "this key was exposed: it can't be made to last longer; rotate it",
            ));
        }
        new.restrictions.expires_at = expires_at;
        new.restrictions = checked(new.restrictions, now)?;
        Ok(new)
    }
}

/// How often a change starts over because others changed the same key meanwhile.
const TRIES_MAX: usize = 5;

/// Changes a key. What it may do before and afterwards has to be something that the caller may do, too.
pub async fn change(
    platform: &Platform,
    caller: &Caller,
    id: &KeyId,
    change: Change,
) -> Result<Shown, KeyError> {
    for _ in 0..TRIES_MAX {
        if try_change(platform, caller, id, change.clone()).await? {
            return get(platform, caller, id).await;
        }
    }
    Err(KeyError::Busy)
}

/// Decided and sealed outside of the unit; `false` when the row is no longer the one that was decided on.
async fn try_change(
    platform: &Platform,
    caller: &Caller,
    id: &KeyId,
    change: Change,
) -> Result<bool, KeyError> {
    let now = platform.clock.now();
    let vault = platform.vault.org(&caller.org).await?;
    let old = get(platform, caller, id).await?.row;
    if old.revoked_at.is_some() {
        return Err(KeyError::Revoked);
    }
    let new = change.apply(&old, now)?;
    let act = Act {
        actor: caller.actor.as_str(),
        action: "api_key.updated",
        target: new.id.as_str(),
        origin: &caller.origin,
        detail: [Detail::from(&old), Detail::from(&new)],
    };
    let entry = audit::prepare(&vault, now, act).await?;
    let asking = caller.clone();
    let unit = async move |tx: &OrgTx| {
        orgs::lock(tx).await?;
        let asking = asking.renewed(tx, "api-keys:update", now).await?;
        if !known(tx, &asking, &old.id).await?.is_as_before(&old) {
            return Ok(false);
        }
        for row in [&old, &new] {
            if !asking.covers(row.mode, &row.permissions, &row.restrictions) {
                return Err(KeyError::Stronger);
            }
        }
        store::update(tx, &new).await?;
        audit::record(tx, &entry).await?;
        Ok(true)
    };
    platform.store.org(&caller.org).write("key_change", unit).await
}

/// A key that took another's place.
pub struct Rotated {
    /// The new key.
    pub new: Shown,
    /// Itself: the only time that it is seen.
    pub key: Key,
    /// The one that it replaces, with the date at which that one ends.
    pub previous: Shown,
}

/// Makes a key that may do exactly what `id` may, and lets `id` end after `overlap` (or at its own date, if that is earlier).
pub async fn rotate(
    platform: &Platform,
    caller: &Caller,
    id: &KeyId,
    name: Option<String>,
    overlap: Duration,
) -> Result<Rotated, KeyError> {
    for _ in 0..TRIES_MAX {
        if let Some((new, key)) = try_rotate(platform, caller, id, name.clone(), overlap).await? {
            return Ok(Rotated {
                new: Shown::new(new, LastUse::default()),
                key,
                previous: get(platform, caller, id).await?,
            });
        }
    }
    Err(KeyError::Busy)
}

/// `None` when the row is no longer the one that was decided on.
async fn try_rotate(
    platform: &Platform,
    caller: &Caller,
    id: &KeyId,
    name: Option<String>,
    overlap: Duration,
) -> Result<Option<(KeyRow, Key)>, KeyError> {
    let now = platform.clock.now();
    let old = get(platform, caller, id).await?.row;
    let new = successor(caller, &old, name)?;
    let (actor, origin) = (caller.actor.as_str(), &caller.origin);
    let made = Made::replacing(platform, &caller.org, actor, origin, new, Some(id.clone())).await?;
    let end = now.plus(overlap);
    let end = old.restrictions.expires_at.map_or(end, |own| own.min(end));
    let act = Act {
        actor,
        action: "api_key.rotated",
        target: id.as_str(),
        origin,
        detail: Detail::from(&made.row),
    };
    let vault = platform.vault.org(&caller.org).await?;
    let entry = audit::prepare(&vault, now, act).await?;
    let (row, key, asking) = (made.row.clone(), made.key.clone(), caller.clone());
    let unit = async move |tx: &OrgTx| {
        orgs::lock(tx).await?;
        let asking = asking.renewed(tx, "api-keys:create", now).await?;
        if !known(tx, &asking, &old.id).await?.is_as_before(&old) {
            return Ok(false);
        }
        for row in [&old, &made.row] {
            if !asking.covers(row.mode, &row.permissions, &row.restrictions) {
                return Err(KeyError::Stronger);
            }
        }
        made.insert(tx).await?;
        if !store::replace(tx, &old.id, &made.row.id, end).await? {
            return Err(KeyError::Replaced);
        }
        audit::record(tx, &entry).await?;
        Ok(true)
    };
    let is_done = platform.store.org(&caller.org).write("key_rotate", unit).await?;
    Ok(is_done.then_some((row, key)))
}

/// What takes a key's place may do exactly the same, if the caller may do that much itself.
fn successor(caller: &Caller, row: &KeyRow, name: Option<String>) -> Result<NewKey, KeyError> {
    if !caller.covers(row.mode, &row.permissions, &row.restrictions) {
        return Err(KeyError::Stronger);
    }
    if row.revoked_at.is_some() {
        return Err(KeyError::Revoked);
    }
    if row.replaced_by.is_some() {
        return Err(KeyError::Replaced);
    }
    let mut restrictions = row.restrictions.clone();
    let own = restrictions.expires_at;
    let is_burns = |at: Timestamp| {
        row.exposed_at
            .is_some_and(|exposed| at <= exposed.plus(EXPIRES_AFTER))
    };
    if own.is_some_and(is_burns) {
        // The date is the burn's, which the new key is there to escape; but whoever holds no more than the old one does not.
        restrictions.expires_at = caller.restrictions.expires_at;
    }
    Ok(NewKey {
        name: name.unwrap_or_else(|| row.name.clone()),
        mode: row.mode,
        style: Style::of_prefix(&row.prefix),
        permissions: row.permissions.clone(),
        restrictions,
    })
}

/// Deletes a key: it stops working within a second, on every node.
pub async fn delete(platform: &Platform, caller: &Caller, id: &KeyId) -> Result<(), KeyError> {
    if caller.actor == Actor::Key(id.clone()) {
        return Err(KeyError::Itself);
    }
    let now = platform.clock.now();
    let vault = platform.vault.org(&caller.org).await?;
    let old = get(platform, caller, id).await?;
    let act = Act {
        actor: caller.actor.as_str(),
        action: "api_key.deleted",
        target: id.as_str(),
        origin: &caller.origin,
        detail: Detail::from(&old.row),
    };
    let entry = audit::prepare(&vault, now, act).await?;
    let (asking, wanted) = (caller.clone(), id.clone());
    let unit = async move |tx: &OrgTx| {
        orgs::lock(tx).await?;
        let asking = asking.renewed(tx, "api-keys:delete", now).await?;
        known(tx, &asking, &wanted).await?;
        store::delete(tx, &wanted).await?;
        Ok::<_, KeyError>(audit::record(tx, &entry).await?)
    };
    platform.store.org(&caller.org).write("key_delete", unit).await
}

/// Revokes a key, for the operator: it stops working within a second, and stays to be seen.
pub async fn revoke(platform: &Platform, org: &OrgId, id: &KeyId) -> Result<(), KeyError> {
    let now = platform.clock.now();
    let vault = platform.vault.org(org).await?;
    let old = get(platform, &Caller::system(org.clone()), id).await?;
    let act = Act {
        actor: "operator",
        action: "api_key.revoked",
        target: id.as_str(),
        origin: &Origin::default(),
        detail: Detail::from(&old.row),
    };
    let entry = audit::prepare(&vault, now, act).await?;
    let wanted = id.clone();
    let unit = async move |tx: &OrgTx| {
        if !store::revoke(tx, &wanted, now).await? {
            return Err(KeyError::Revoked);
        }
        Ok(audit::record(tx, &entry).await?)
    };
    platform.store.org(org).write("key_revoke", unit).await
}
