//! What waits, as its operator sees and changes it: by part, by organization, by reference.
//!
//! Only work whose time has come once is meant here: what was added for a later time is its owner's until then.

use super::{Jobs, Kind, store};
use crate::clock::Timestamp;
use crate::id::OrgId;
use crate::platform::store::{OrgTx, StoreError};

/// Which jobs are meant; what is `None` narrows nothing.
#[derive(Debug, Clone)]
pub struct Selection {
    /// Of this kind.
    pub kind: Kind,
    /// Of this organization.
    pub org: Option<OrgId>,
    /// About this.
    pub reference: Option<String>,
    /// Of these parts.
    pub parts: Option<[i64; 2]>,
}

/// What waits for one part, in numbers, and the job among it that was tried most often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The part.
    pub part: i64,
    /// Jobs that are due.
    pub due: i64,
    /// Jobs that a worker has.
    pub leased: i64,
    /// Jobs whose next date has not come.
    pub later: i64,
    /// Jobs that the operator holds.
    pub held: i64,
    /// When the oldest was added.
    pub oldest_at: Timestamp,
    /// The first date of those that are neither held nor under way.
    pub next_at: Option<Timestamp>,
    /// Whose job it is.
    pub org: OrgId,
    /// What it is about.
    pub reference: String,
}

/// A job that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The organization.
    pub org: OrgId,
    /// What to do.
    pub kind: Kind,
    /// To what.
    pub reference: String,
    /// To which part of it.
    pub part: i64,
    /// How often it was leased or changed by then.
    pub epoch: i64,
}

/// A job that was taken out of the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// An attempt that was started and never finished, by somebody who is gone.
    pub started_attempt: Option<String>,
}

impl Jobs {
    /// What waits, by part: where most waits first, up to `limit` of them.
    pub async fn groups(
        &self,
        selection: Selection,
        limit: i64,
        now: Timestamp,
    ) -> Result<Vec<Group>, StoreError> {
        store::groups(&self.store, selection, limit, now).await
    }

    /// The jobs that are meant, those of one organization together, up to `limit` after the given one.
    pub async fn find(
        &self,
        selection: Selection,
        after: Option<&Found>,
        limit: i64,
        now: Timestamp,
    ) -> Result<Vec<Found>, StoreError> {
        store::find(&self.store, selection, after, limit, now).await
    }
}

/// Keeps a job from being leased; `false` when it is gone or held already. An attempt that is marked as started runs to its end, and its
/// job is held after it; any other worker finds its lease lost.
pub async fn hold(tx: &OrgTx, found: &Found, now: Timestamp) -> Result<bool, StoreError> {
    Ok(store::hold(tx, found, now).await? == 1)
}

/// Makes a job due now, held or not; `false` when it is gone or somebody works on it.
pub async fn hurry(tx: &OrgTx, found: &Found, now: Timestamp) -> Result<bool, StoreError> {
    Ok(store::hurry(tx, found, now).await? == 1)
}

/// Takes a job out of the queue; `None` when it is gone, somebody worked on it since it was found, or its attempt is marked as started
/// and under way.
pub async fn take(tx: &OrgTx, found: &Found) -> Result<Option<Taken>, StoreError> {
    store::take(tx, found).await
}
