//! Organizations: the tenants. Made by the operator; everything else belongs to one.
//!
//! Not here yet: settings, plans with limits, regions other than the installation's own.

mod store;

pub use store::ALL as STATEMENTS;

use crate::clock::Timestamp;
use crate::id::{Id as _, OrgId};
use crate::limits::NAME_CHARS_MAX;
use crate::platform::Platform;
use crate::platform::store::{OrgTx, StoreError};
use crate::platform::vault::random;

/// An organization.
#[derive(Debug, Clone)]
pub struct Org {
    /// Its id.
    pub id: OrgId,
    /// What people call it.
    pub name: String,
    /// `free`, `pro` or `enterprise`.
    pub plan: String,
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
    /// There is no such plan.
    #[error("a plan is one of free, pro, enterprise")]
    Plan,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes an organization.
pub async fn create(platform: &Platform, name: &str, plan: &str, region: &str) -> Result<Org, OrgError> {
    if name.is_empty() || name.chars().count() > NAME_CHARS_MAX || name.chars().any(char::is_control) {
        return Err(OrgError::Name);
    }
    if !matches!(plan, "free" | "pro" | "enterprise") {
        return Err(OrgError::Plan);
    }
    let now = platform.clock.now();
    let org = Org {
        id: OrgId::generate(now, random()),
        name: name.to_owned(),
        plan: plan.to_owned(),
        region: region.to_owned(),
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

/// Records how many webhook endpoints listen, so that events nobody waits for make no jobs.
pub async fn set_listeners(tx: &OrgTx, listeners: i64) -> Result<(), StoreError> {
    store::set_listeners(tx, listeners).await
}
