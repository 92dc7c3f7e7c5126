//! What an organization decides for itself about its keys and its callers.

use super::origin::is_origin;
use super::store;
use crate::clock::Timestamp;
use crate::features::audit::{self, Act, Origin};
use crate::id::{Id as _, OrgId};
use crate::limits::{BROWSER_ORIGINS_MAX, KEY_MAX_AGE_DAYS_MAX};
use crate::platform::Platform;
use crate::platform::jobs::{self, Kind};
use crate::platform::store::{OrgTx, StoreError};
use crate::platform::vault::{Cell, Class, OrgVault, VaultError};
use crate::secret::Personal;
use sealwright_mail::address::Address;
use serde::{Deserialize, Serialize};

/// What happens to a key that was seen where it must not be, strictest first. Over plain HTTP it is revoked, whatever is set here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ExposurePolicy {
    /// It stops working at once.
    Revoke,
    /// It stops working after 24 hours: time to put a new one in its place.
    Expire24h,
    /// Nothing but notice is given.
    Notify,
}

impl ExposurePolicy {
    /// All policies.
    pub const ALL: [ExposurePolicy; 3] = [Self::Revoke, Self::Expire24h, Self::Notify];

    /// The policy as it is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Revoke => "revoke",
            Self::Expire24h => "expire_24h",
            Self::Notify => "notify",
        }
    }

    /// Reads a policy.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.name() == text)
    }
}

/// An organization's settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who is told about exposed and aging keys.
    pub security_contact: Option<Personal<String>>,
    /// What happens to an exposed key.
    pub exposure_policy: ExposurePolicy,
    /// Days after which a key stops working, whatever its own date says.
    pub key_max_age_days: Option<u16>,
    /// Origins whose pages may call with a session.
    pub browser_origins: Vec<String>,
}

/// A change of settings; what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct SettingsChange {
    /// A new contact, or none.
    pub security_contact: Option<Option<Personal<String>>>,
    /// A new policy.
    pub exposure_policy: Option<ExposurePolicy>,
    /// A new highest age, or none.
    pub key_max_age_days: Option<Option<u16>>,
    /// New origins.
    pub browser_origins: Option<Vec<String>>,
}

/// Why settings were not changed.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The contact is not an address.
    #[error("{0}")]
    Contact(String),
    /// The age is out of bounds.
    #[error("the highest age of a key is 1 to {KEY_MAX_AGE_DAYS_MAX} days")]
    Age,
    /// An origin is none; its place in the list.
    #[error(
        "an origin is https:// and a host name in lower case, with a port if it is not 443, and nothing after it; http:// only for localhost"
    )]
    Origin(usize),
    /// Too many origins.
    #[error("there may be at most {BROWSER_ORIGINS_MAX} origins")]
    Origins,
    /// Others change them again and again.
    #[error("these settings are being changed by others at this moment; try again")]
    Busy,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The vault failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

fn contact_cell(org: &OrgId) -> Cell<'_> {
    Cell {
        table: "orgs",
        column: "security_contact_sealed",
        row: org.as_str(),
    }
}

/// The organization's settings.
pub async fn settings(platform: &Platform, org: &OrgId) -> Result<Settings, SettingsError> {
    let unit = async move |tx: &OrgTx| store::settings(tx).await;
    let row = platform.store.org(org).read("org_settings", unit).await?;
    open(&platform.vault.org(org).await?, org, row).await
}

async fn open(vault: &OrgVault, org: &OrgId, row: store::SettingsRow) -> Result<Settings, SettingsError> {
    let security_contact = match row.security_contact_sealed {
        Some(sealed) => {
            let text = vault.open(contact_cell(org), &sealed).await?;
            Some(Personal::new(String::from_utf8_lossy(&text).into_owned()))
        }
        None => None,
    };
    Ok(Settings {
        security_contact,
        // A policy that this program does not know is answered with the strictest that it knows.
        exposure_policy: ExposurePolicy::parse(&row.exposure_policy).unwrap_or(ExposurePolicy::Revoke),
        key_max_age_days: row.key_max_age_days.and_then(|days| u16::try_from(days).ok()),
        browser_origins: row
            .browser_origins
            .split_whitespace()
            .map(str::to_owned)
            .collect(),
    })
}

/// How often a change starts over because others changed the settings meanwhile.
const TRIES_MAX: usize = 5;

/// Changes settings, for `actor`. The security contact hears of another contact and of looser terms, and so does the one before it.
pub async fn change_settings(
    platform: &Platform,
    org: &OrgId,
    actor: &str,
    origin: &Origin,
    change: SettingsChange,
) -> Result<Settings, SettingsError> {
    check(&change)?;
    for _ in 0..TRIES_MAX {
        if let Some(settings) = try_change(platform, org, actor, origin, &change).await? {
            return Ok(settings);
        }
    }
    Err(SettingsError::Busy)
}

/// Sealed outside of the unit; `None` when the row is no longer the one that was read.
async fn try_change(
    platform: &Platform,
    org: &OrgId,
    actor: &str,
    origin: &Origin,
    change: &SettingsChange,
) -> Result<Option<Settings>, SettingsError> {
    let now = platform.clock.now();
    let vault = platform.vault.org(org).await?;
    let read = async move |tx: &OrgTx| store::settings(tx).await;
    let row = platform.store.org(org).read("org_settings", read).await?;
    let old = open(&vault, org, row.clone()).await?;
    let new = change.apply(&old);
    let new_row = sealed(&vault, org, now, (&old, &row), &new).await?;
    let act = Act {
        actor,
        action: "settings.updated",
        target: org.as_str(),
        origin,
        detail: [Detail::from(&old), Detail::from(&new)],
    };
    let entry = audit::prepare(&vault, now, act).await?;
    let is_told = new.must_be_told_after(&old);
    let unit = async move |tx: &OrgTx| {
        store::lock(tx).await?;
        if store::settings(tx).await? != row {
            return Ok::<_, StoreError>(false);
        }
        store::set_settings(tx, &new_row).await?;
        audit::record(tx, &entry).await?;
        if is_told {
            jobs::enqueue(tx, Kind::Notice, entry.id().as_str(), entry.id().day(), now, now).await?;
        }
        Ok(true)
    };
    let is_done = platform.store.org(org).write("org_change_settings", unit).await?;
    if is_told {
        platform.hints.wake(Kind::Notice);
    }
    Ok(is_done.then_some(new))
}

impl SettingsChange {
    fn apply(&self, old: &Settings) -> Settings {
        Settings {
            security_contact: self
                .security_contact
                .clone()
                .unwrap_or_else(|| old.security_contact.clone()),
            exposure_policy: self.exposure_policy.unwrap_or(old.exposure_policy),
            key_max_age_days: self.key_max_age_days.unwrap_or(old.key_max_age_days),
            browser_origins: self
                .browser_origins
                .clone()
                .unwrap_or_else(|| old.browser_origins.clone()),
        }
    }
}

impl Settings {
    /// Whether somebody who took the organization over could have wanted this: nobody is told any more, or keys that got out live longer.
    fn must_be_told_after(&self, old: &Settings) -> bool {
        let days = |settings: &Settings| settings.key_max_age_days.unwrap_or(u16::MAX);
        self.security_contact != old.security_contact
            || self.exposure_policy > old.exposure_policy
            || days(self) > days(old)
    }
}

/// The row of the new settings; a contact that stays is not sealed anew.
async fn sealed(
    vault: &OrgVault,
    org: &OrgId,
    at: Timestamp,
    (old, row): (&Settings, &store::SettingsRow),
    new: &Settings,
) -> Result<store::SettingsRow, VaultError> {
    let security_contact_sealed = match &new.security_contact {
        contact if *contact == old.security_contact => row.security_contact_sealed.clone(),
        None => None,
        Some(contact) => {
            let (cell, contact) = (contact_cell(org), contact.expose().as_bytes());
            Some(vault.seal(Class::Secrets, at, cell, contact).await?.into())
        }
    };
    Ok(store::SettingsRow {
        security_contact_sealed,
        exposure_policy: new.exposure_policy.name().to_owned(),
        key_max_age_days: new.key_max_age_days.map(i64::from),
        browser_origins: new.browser_origins.join(" "),
    })
}

/// What the audit log says of settings, sealed.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    security_contact: Option<String>,
    key_exposure_policy: String,
    api_key_max_age_days: Option<u16>,
    browser_origins: Vec<String>,
}

impl From<&Settings> for Detail {
    fn from(settings: &Settings) -> Self {
        let contact = settings.security_contact.as_ref();
        Self {
            security_contact: contact.map(|contact| contact.expose().clone()),
            key_exposure_policy: settings.exposure_policy.name().to_owned(),
            api_key_max_age_days: settings.key_max_age_days,
            browser_origins: settings.browser_origins.clone(),
        }
    }
}

impl From<Detail> for Settings {
    fn from(detail: Detail) -> Self {
        Self {
            security_contact: detail.security_contact.map(Personal::new),
            exposure_policy: ExposurePolicy::parse(&detail.key_exposure_policy)
                .unwrap_or(ExposurePolicy::Revoke),
            key_max_age_days: detail.api_key_max_age_days,
            browser_origins: detail.browser_origins,
        }
    }
}

/// The settings before and after a change, as its audit entry has them; `None` where the entry is of something else.
pub async fn settings_changed(
    vault: &OrgVault,
    entry: &audit::Recorded,
) -> Result<Option<[Settings; 2]>, VaultError> {
    let detail: Option<[Detail; 2]> = entry.detail(vault).await?;
    Ok(detail.map(|both| both.map(Settings::from)))
}

fn check(change: &SettingsChange) -> Result<(), SettingsError> {
    if let Some(Some(contact)) = &change.security_contact {
        Address::parse(contact.expose()).map_err(|error| SettingsError::Contact(error.to_string()))?;
    }
    if let Some(Some(days)) = change.key_max_age_days
        && !(1..=KEY_MAX_AGE_DAYS_MAX).contains(&days)
    {
        return Err(SettingsError::Age);
    }
    let origins = change.browser_origins.as_deref().unwrap_or_default();
    if origins.len() > BROWSER_ORIGINS_MAX {
        return Err(SettingsError::Origins);
    }
    match origins.iter().position(|origin| !is_origin(origin)) {
        Some(place) => Err(SettingsError::Origin(place)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contact_is_told_of_what_makes_keys_less_safe_and_of_nothing_else() {
        let settings = |contact: Option<&str>, exposure_policy, key_max_age_days| Settings {
            security_contact: contact.map(|contact| Personal::new(contact.to_owned())),
            exposure_policy,
            key_max_age_days,
            browser_origins: Vec::new(),
        };
        use ExposurePolicy::{Expire24h, Notify, Revoke};
        let old = settings(Some("a@example.com"), Expire24h, Some(90));
        for (contact, policy, days, is_told) in [
            (Some("a@example.com"), Expire24h, Some(90), false),
            (Some("a@example.com"), Revoke, Some(30), false),
            (Some("b@example.com"), Expire24h, Some(90), true),
            (None, Expire24h, Some(90), true),
            (Some("a@example.com"), Notify, Some(90), true),
            (Some("a@example.com"), Expire24h, Some(91), true),
            (Some("a@example.com"), Expire24h, None, true),
        ] {
            let new = settings(contact, policy, days);
            assert_eq!(new.must_be_told_after(&old), is_told, "{new:?}");
        }
        assert!(!settings(None, Expire24h, None).must_be_told_after(&settings(None, Expire24h, None)));
    }

    #[test]
    fn a_change_can_be_printed_and_tells_nobodys_address() {
        let change = SettingsChange {
            security_contact: Some(Some(Personal::new("canary@example.com".to_owned()))),
            ..SettingsChange::default()
        };
        assert!(!format!("{change:?}").contains("canary"));
    }
}
