//! Makes API keys: for the operator without question, for a caller only what the caller itself may do.

use super::age;
use super::format::{Key, Style};
use super::store::{self, Found, KeyRow};
use super::{Caller, Permissions, Restrictions};
use crate::clock::Timestamp;
use crate::features::audit::{self, Act, Entry, Origin};
use crate::features::orgs;
use crate::id::{Id as _, KeyId, OrgId};
use crate::limits::{KEY_DOMAINS_MAX, KEYS_MAX, NAME_CHARS_MAX};
use crate::mode::Mode;
use crate::platform::Platform;
use crate::platform::store::{OrgTx, StoreError};
use crate::platform::vault::{Cell, Class, OrgVault, VaultError, random};
use sealwright_mail::address::Domain;
use serde::Serialize;

/// What the maker of a key chooses.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// What people call it.
    pub name: String,
    /// Live or test.
    pub mode: Mode,
    /// Prefix style.
    pub style: Style,
    /// What it may do.
    pub permissions: Permissions,
    /// From where, for which domains, how fast and how long.
    pub restrictions: Restrictions,
}

/// Why a key was not made, changed, found or replaced.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The name is empty, too long, or holds control characters.
    #[error("a key's name has 1 to {NAME_CHARS_MAX} characters and no control characters")]
    Name,
    /// A domain to which the key is to be restricted is none; its place in the list.
    #[error("this is not a domain name")]
    Domain(usize),
    /// Too many domains.
    #[error("a key may be restricted to at most {KEY_DOMAINS_MAX} domains")]
    Domains,
    /// The date is over already, or later than that of an exposed key may become.
    #[error("{0}")]
    Expiry(&'static str),
    /// The key would be able to do more than the one that asks for it.
    #[error(
        "a key can't make, change or replace a key that may do more than itself (permissions, mode, networks, domains, rate limit and expiry count)"
    )]
    Stronger,
    /// The organization has as many as it may.
    #[error("an organization has at most {KEYS_MAX} API keys; delete one first")]
    TooMany,
    /// There is none with this id (that the caller may see).
    #[error("there is no such API key")]
    Unknown,
    /// A page was to begin after a key that there is not.
    #[error("there is no API key with this id for a page to begin at")]
    After,
    /// A page was to end before a key that there is not.
    #[error("there is no API key with this id for a page to end at")]
    Before,
    /// The key asks for its own end.
    #[error("a key can't delete itself; use another one, or let it expire")]
    Itself,
    /// It was replaced before.
    #[error("this key was replaced already; rotate the key that replaced it")]
    Replaced,
    /// It was revoked.
    #[error("this key was revoked; make a new one")]
    Revoked,
    /// The caller itself may do this no more.
    #[error("the caller's key or role was revoked, burned or narrowed a moment ago")]
    Gone,
    /// Others change the same key again and again.
    #[error("this key is being changed by others at this moment; try again")]
    Busy,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The vault failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// Makes a key for the operator; the answer is the only time that it is seen.
pub async fn create(platform: &Platform, org: &OrgId, new: NewKey) -> Result<(KeyId, Key), KeyError> {
    let made = Made::new(platform, org, "operator", &Origin::default(), new).await?;
    let (id, key) = (made.row.id.clone(), made.key.clone());
    let unit = async move |tx: &OrgTx| made.insert(tx).await;
    platform.store.org(org).write("key_create", unit).await?;
    Ok((id, key))
}

/// Makes a key for a caller, who has to be able to do all that it will.
pub async fn create_by(
    platform: &Platform,
    caller: &Caller,
    new: NewKey,
) -> Result<(super::Shown, Key), KeyError> {
    if !caller.covers(new.mode, &new.permissions, &new.restrictions) {
        return Err(KeyError::Stronger);
    }
    let made = Made::new(platform, &caller.org, caller.actor.as_str(), &caller.origin, new).await?;
    let (row, key, asking) = (made.row.clone(), made.key.clone(), caller.clone());
    let unit = async move |tx: &OrgTx| {
        made.insert(tx).await?;
        let asking = asking.renewed(tx, "api-keys:create", made.row.created_at).await?;
        let row = &made.row;
        let may = asking.covers(row.mode, &row.permissions, &row.restrictions);
        may.then_some(()).ok_or(KeyError::Stronger)
    };
    platform.store.org(&caller.org).write("key_create", unit).await?;
    Ok((super::Shown::new(row, Default::default()), key))
}

/// A key that is drawn, sealed and ready to be inserted.
pub(super) struct Made {
    pub(super) row: KeyRow,
    pub(super) key: Key,
    found: Found,
    entry: Entry,
}

/// What the audit log says of a key that was made or changed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Detail {
    name: String,
    mode: &'static str,
    permissions: Vec<String>,
    domain_restrictions: Vec<String>,
    ip_restrictions: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_limit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replaces: Option<KeyId>,
}

impl From<&KeyRow> for Detail {
    fn from(row: &KeyRow) -> Self {
        Self {
            name: row.name.clone(),
            mode: row.mode.name(),
            permissions: row.permissions.words().to_vec(),
            domain_restrictions: row.restrictions.domains.clone(),
            ip_restrictions: row.restrictions.networks.texts(),
            rate_limit: row
                .restrictions
                .rate
                .map(|rate| format!("{} per {}", rate.requests, rate.period.name())),
            expires_at: row.restrictions.expires_at.map(Timestamp::rfc3339),
            replaces: row.replaces.clone(),
        }
    }
}

impl Made {
    pub(super) async fn new(
        platform: &Platform,
        org: &OrgId,
        actor: &str,
        origin: &Origin,
        new: NewKey,
    ) -> Result<Self, KeyError> {
        Self::replacing(platform, org, actor, origin, new, None).await
    }

    pub(super) async fn replacing(
        platform: &Platform,
        org: &OrgId,
        actor: &str,
        origin: &Origin,
        new: NewKey,
        replaces: Option<KeyId>,
    ) -> Result<Self, KeyError> {
        let now = platform.clock.now();
        check_name(&new.name)?;
        let restrictions = checked(new.restrictions, now)?;
        let key = Key::generate(new.style, new.mode, random::<32>);
        let id = KeyId::generate(now, random());
        let vault = platform.vault.org(org).await?;
        let (prefix, last_four) = key.hints();
        let row = KeyRow {
            id,
            name: new.name,
            mode: new.mode,
            prefix: prefix.to_owned(),
            last_four,
            permissions: new.permissions,
            restrictions,
            created_at: now,
            revoked_at: None,
            replaces,
            replaced_by: None,
            exposed_at: None,
            last_used_at: None,
            last_used_sealed: None,
        };
        let act = Act {
            actor,
            action: "api_key.created",
            target: row.id.as_str(),
            origin,
            detail: Detail::from(&row),
        };
        Ok(Self {
            found: found(platform, &vault, &row.id, &key, now).await?,
            entry: audit::prepare(&vault, now, act).await?,
            row,
            key,
        })
    }

    pub(super) async fn insert(&self, tx: &OrgTx) -> Result<(), KeyError> {
        orgs::lock(tx).await?;
        if store::count(tx).await? >= KEYS_MAX {
            return Err(KeyError::TooMany);
        }
        store::insert(tx, &self.row, &self.found).await?;
        age::watch(tx, &self.row).await?;
        Ok(audit::record(tx, &self.entry).await?)
    }
}

async fn found(
    platform: &Platform,
    vault: &OrgVault,
    id: &KeyId,
    key: &Key,
    now: Timestamp,
) -> Result<Found, VaultError> {
    let digest = key.digest();
    let cell = Cell {
        table: "api_keys",
        column: "digest_sealed",
        row: id.as_str(),
    };
    Ok(Found {
        lookup: platform.vault.key_lookup(&digest),
        digest_sealed: vault.seal(Class::Secrets, now, cell, &digest).await?,
    })
}

/// Control characters, line separators, and what turns the direction of text: a name is shown beside other things.
fn is_unfit(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

pub(super) fn check_name(name: &str) -> Result<(), KeyError> {
    let is_good = !name.is_empty() && name.chars().count() <= NAME_CHARS_MAX && !name.chars().any(is_unfit);
    is_good.then_some(()).ok_or(KeyError::Name)
}

/// Restrictions whose domains are in the form that senders are compared in, and whose date is to come.
pub(super) fn checked(mut restrictions: Restrictions, now: Timestamp) -> Result<Restrictions, KeyError> {
    if restrictions.domains.len() > KEY_DOMAINS_MAX {
        return Err(KeyError::Domains);
    }
    for (place, domain) in restrictions.domains.iter_mut().enumerate() {
        let parsed = Domain::parse(domain).map_err(|_| KeyError::Domain(place))?;
        *domain = parsed.as_str().to_owned();
    }
    if restrictions.expires_at.is_some_and(|at| at <= now) {
        return Err(KeyError::Expiry(
            "this time is over; choose one to come, or delete the key",
        ));
    }
    Ok(restrictions)
}
