//! Organizations: the tenants. Made by the operator; everything else belongs to one.
//!
//! A plan sets how many requests a second an organization may make; its settings say who is told about its keys, what happens to a key
//! that was exposed, how old a key may become, and which pages may call with a session. Not here yet: regions other than the
//! installation's own.

mod origin;
mod settings;
mod store;

pub use settings::{
    ExposurePolicy, Settings, SettingsChange, SettingsError, change_settings, settings, settings_changed,
};
pub use store::ALL as STATEMENTS;

use crate::clock::Timestamp;
use crate::id::{Id as _, OrgId};
use crate::limits::NAME_CHARS_MAX;
use crate::platform::Platform;
use crate::platform::store::{OrgTx, StoreError};
use crate::platform::vault::random;
use std::num::NonZeroU32;
use std::time::Duration;

/// Requests a second of an enterprise organization for which the operator set no number.
const ENTERPRISE_PER_SECOND: u32 = 1_000;

/// What an organization pays for, which decides how fast it may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// 10 requests a second.
    Free,
    /// 100 requests a second.
    Pro,
    /// As many as the operator sets for the organization, 1,000 if nothing is set.
    Enterprise,
}

impl Plan {
    const ALL: [Plan; 3] = [Plan::Free, Plan::Pro, Plan::Enterprise];

    /// The plan as it is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Pro => "pro",
            Self::Enterprise => "enterprise",
        }
    }

    /// Reads a stored plan.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|plan| plan.name() == text)
    }

    /// Requests a second; `own` is the organization's own number, which counts on the enterprise plan only.
    pub fn per_second(self, own: Option<i64>) -> NonZeroU32 {
        let number = match self {
            Self::Free => 10,
            Self::Pro => 100,
            Self::Enterprise => own
                .and_then(|own| u32::try_from(own).ok())
                .unwrap_or(ENTERPRISE_PER_SECOND),
        };
        NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN)
    }
}

/// An organization.
#[derive(Debug, Clone)]
pub struct Org {
    /// Its id.
    pub id: OrgId,
    /// What people call it.
    pub name: String,
    /// Its plan.
    pub plan: Plan,
    /// Requests a second of its own, on the enterprise plan.
    pub rate_per_second: Option<u32>,
    /// Where its data lives, for its whole life.
    pub region: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Why an organization was not made.
#[derive(Debug, thiserror::Error)]
pub enum OrgError {
    /// The name is empty, too long, or holds control characters.
    #[error("an organization's name has 1 to {NAME_CHARS_MAX} characters and no control characters")]
    Name,
    /// A rate of its own on a plan that has a fixed one.
    #[error("only an organization on the enterprise plan has a rate of its own, from 1 request a second")]
    Rate,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What an organization is made from.
#[derive(Debug, Clone, Copy)]
pub struct NewOrg<'a> {
    /// What people call it.
    pub name: &'a str,
    /// Its plan.
    pub plan: Plan,
    /// Requests a second of its own; on the enterprise plan only.
    pub rate_per_second: Option<u32>,
    /// Where its data lives.
    pub region: &'a str,
}

/// Makes an organization.
pub async fn create(platform: &Platform, new: NewOrg<'_>) -> Result<Org, OrgError> {
    let name = new.name;
    if name.is_empty() || name.chars().count() > NAME_CHARS_MAX || name.chars().any(char::is_control) {
        return Err(OrgError::Name);
    }
    if new
        .rate_per_second
        .is_some_and(|rate| rate == 0 || new.plan != Plan::Enterprise)
    {
        return Err(OrgError::Rate);
    }
    let now = platform.clock.now();
    let org = Org {
        id: OrgId::generate(now, random()),
        name: name.to_owned(),
        plan: new.plan,
        rate_per_second: new.rate_per_second,
        region: new.region.to_owned(),
        created_at: now,
    };
    store::insert(&platform.store, org.clone()).await?;
    Ok(org)
}

/// All organizations, oldest first.
pub async fn list(platform: &Platform) -> Result<Vec<Org>, OrgError> {
    Ok(store::list(&platform.store).await?)
}

/// Holds the organization's row until the unit's commit: units that count something of it and store the count come one after the other.
pub async fn lock(tx: &OrgTx) -> Result<(), StoreError> {
    store::lock(tx).await
}

/// How old a key of the organization may become.
pub async fn key_max_age(tx: &OrgTx) -> Result<Option<Duration>, StoreError> {
    let days = store::settings(tx).await?.key_max_age_days;
    let days = days.and_then(|days| u64::try_from(days).ok());
    Ok(days.map(|days| Duration::from_secs(days.saturating_mul(86_400))))
}

/// Records how many webhook endpoints listen, so that events nobody waits for make no jobs.
pub async fn set_listeners(tx: &OrgTx, listeners: i64) -> Result<(), StoreError> {
    store::set_listeners(tx, listeners).await
}
