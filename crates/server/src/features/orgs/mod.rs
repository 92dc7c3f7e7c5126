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
use crate::features::audit::{self, Act, Origin};
use crate::id::{Id as _, OrgId};
use crate::limits::{DOMAINS_MAX, NAME_CHARS_MAX};
use crate::platform::Platform;
use crate::platform::store::{OrgTx, StoreError};
use crate::platform::vault::{VaultError, random};
use serde::Serialize;
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
    /// All plans.
    pub const ALL: [Plan; 3] = [Plan::Free, Plan::Pro, Plan::Enterprise];

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

    /// Sending domains that an organization may have.
    pub fn domains_max(self) -> i64 {
        match self {
            Self::Free => 1,
            Self::Pro => 10,
            Self::Enterprise => DOMAINS_MAX,
        }
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

/// Why an organization was not made or changed.
#[derive(Debug, thiserror::Error)]
pub enum OrgError {
    /// The name is empty, too long, or holds control characters.
    #[error("an organization's name has 1 to {NAME_CHARS_MAX} characters and no control characters")]
    Name,
    /// A rate of its own on a plan that has a fixed one.
    #[error("only an organization on the enterprise plan has a rate of its own, from 1 request a second")]
    Rate,
    /// There is none with this id.
    #[error("there is no such organization; `sealwright org list` shows them")]
    Unknown,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The vault failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
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
    check_rate(new.plan, new.rate_per_second)?;
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

fn check_rate(plan: Plan, rate: Option<u32>) -> Result<(), OrgError> {
    let is_unfit = rate.is_some_and(|rate| rate == 0 || plan != Plan::Enterprise);
    (!is_unfit).then_some(()).ok_or(OrgError::Rate)
}

/// What the audit log says of a plan.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PlanDetail {
    plan: String,
    rate_per_second: Option<i64>,
}

/// Gives an organization another plan, for the operator: it counts within a second, on every node.
pub async fn set_plan(
    platform: &Platform,
    org: &OrgId,
    plan: Plan,
    rate_per_second: Option<u32>,
) -> Result<(), OrgError> {
    check_rate(plan, rate_per_second)?;
    let read = async move |tx: &OrgTx| store::plan(tx).await;
    let old = platform.store.org(org).read("org_plan", read).await?;
    let (old_plan, old_rate) = old.ok_or(OrgError::Unknown)?;
    let detail = |plan, rate_per_second| PlanDetail {
        plan,
        rate_per_second,
    };
    let act = Act {
        actor: "operator",
        action: "org.plan_changed",
        target: org.as_str(),
        origin: &Origin::default(),
        detail: [
            detail(old_plan, old_rate),
            detail(plan.name().to_owned(), rate_per_second.map(i64::from)),
        ],
    };
    let vault = platform.vault.org(org).await?;
    let entry = audit::prepare(&vault, platform.clock.now(), act).await?;
    let unit = async move |tx: &OrgTx| {
        store::set_plan(tx, plan, rate_per_second).await?;
        audit::record(tx, &entry).await
    };
    Ok(platform.store.org(org).write("org_set_plan", unit).await?)
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
