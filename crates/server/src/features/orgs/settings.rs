//! What an organization decides for itself about its keys and its callers.

use super::store;
use crate::clock::Timestamp;
use crate::features::audit::{self, Act, Origin};
use crate::id::OrgId;
use crate::limits::{BROWSER_ORIGINS_MAX, KEY_MAX_AGE_DAYS_MAX};
use crate::platform::Platform;
use crate::platform::store::{OrgTx, StoreError};
use crate::platform::vault::{Cell, Class, OrgVault, VaultError};
use crate::secret::Personal;
use sealwright_mail::address::Address;
use serde::Serialize;

/// What happens to a key that was seen where it must not be. Over plain HTTP it is revoked, whatever is set here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    pub security_contact: Option<Option<String>>,
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
        "an origin is https:// and a host name, with a port if it is not 443, and nothing after it; http:// only for localhost"
    )]
    Origin(usize),
    /// Too many origins.
    #[error("there may be at most {BROWSER_ORIGINS_MAX} origins")]
    Origins,
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
        row: crate::id::Id::as_str(org),
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

/// Changes settings, for `actor`.
pub async fn change_settings(
    platform: &Platform,
    org: &OrgId,
    actor: &str,
    origin: &Origin,
    change: SettingsChange,
) -> Result<Settings, SettingsError> {
    check(&change)?;
    let now = platform.clock.now();
    let vault = platform.vault.org(org).await?;
    let act = Act {
        actor,
        action: "settings.updated",
        target: crate::id::Id::as_str(org),
        origin,
        detail: changed(&change),
    };
    let entry = audit::prepare(&vault, now, act).await?;
    let sealed = seal_contact(&vault, org, now, &change).await?;
    let unit = async move |tx: &OrgTx| {
        store::lock(tx).await?;
        let mut row = store::settings(tx).await?;
        if let Some(sealed) = &sealed {
            row.security_contact_sealed = sealed.clone().map(Into::into);
        }
        if let Some(policy) = change.exposure_policy {
            row.exposure_policy = policy.name().to_owned();
        }
        if let Some(days) = change.key_max_age_days {
            row.key_max_age_days = days.map(i64::from);
        }
        if let Some(origins) = &change.browser_origins {
            row.browser_origins = origins.join(" ");
        }
        store::set_settings(tx, &row).await?;
        audit::record(tx, &entry).await?;
        Ok::<_, SettingsError>(row)
    };
    let row = platform.store.org(org).write("org_change_settings", unit).await?;
    open(&vault, org, row).await
}

/// `None` when the contact stays, `Some(None)` when it is taken away.
async fn seal_contact(
    vault: &OrgVault,
    org: &OrgId,
    at: Timestamp,
    change: &SettingsChange,
) -> Result<Option<Option<Vec<u8>>>, VaultError> {
    Ok(match &change.security_contact {
        None => None,
        Some(None) => Some(None),
        Some(Some(contact)) => {
            let cell = contact_cell(org);
            Some(Some(
                vault.seal(Class::Secrets, at, cell, contact.as_bytes()).await?,
            ))
        }
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Changed<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    security_contact: Option<&'a Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_exposure_policy: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    api_key_max_age_days: Option<Option<u16>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    browser_origins: Option<&'a Vec<String>>,
}

fn changed(change: &SettingsChange) -> Changed<'_> {
    Changed {
        security_contact: change.security_contact.as_ref(),
        key_exposure_policy: change.exposure_policy.map(ExposurePolicy::name),
        api_key_max_age_days: change.key_max_age_days,
        browser_origins: change.browser_origins.as_ref(),
    }
}

fn check(change: &SettingsChange) -> Result<(), SettingsError> {
    if let Some(Some(contact)) = &change.security_contact {
        Address::parse(contact).map_err(|error| SettingsError::Contact(error.to_string()))?;
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

/// A web origin (RFC 6454 §6.2) as a browser sends it: lower case, no default port, nothing after it.
fn is_origin(text: &str) -> bool {
    let (is_https, authority) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (None, Some(rest)) => (false, rest),
        (None, None) => return false,
    };
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let is_port = |port: &str| {
        port.parse::<u16>()
            .is_ok_and(|number| number != 0 && number != 443 && number.to_string() == port)
    };
    let is_label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    host.split('.').all(is_label) && port.is_none_or(is_port) && (is_https || host == "localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_a_browser_sends_and_nothing_near_it() {
        for (text, is_good) in [
            ("https://app.example.com", true),
            ("https://app.example.com:8443", true),
            ("http://localhost:3000", true),
            ("http://app.example.com", false),
            ("https://app.example.com/", false),
            ("https://app.example.com:443", false),
            ("https://app.example.com:0443", false),
            ("https://App.example.com", false),
            ("https://*.example.com", false),
            ("https://user@app.example.com", false),
            ("https://", false),
            ("null", false),
            ("*", false),
        ] {
            assert_eq!(is_origin(text), is_good, "{text}");
        }
    }
}
