//! Work that is done later, and again until it is done.
//!
//! A job is a row that is added in the commit that makes it necessary; it names what to do by ids only. A worker **leases** due
//! jobs, does the work, and in one commit records the outcome and removes (or postpones) the job. The lease belongs to a node; a node is alive
//! as long as it says so ([`Jobs::heartbeat`]), and the leases of a dead one are taken away. Every change by a worker carries the
//! job's **epoch**, so a worker that was replaced while it slept can't record anything.
//!
//! Before an effect that can't be taken back, the worker marks the attempt as started ([`start`]). A job that is leased again with
//! the mark still set is *in doubt*: the effect may have happened. Any job may run twice; this is how its handler knows.
//!
//! Polling finds due work; [`Hints`] only shorten the wait inside a process. Not here: what a job does.

mod settle;
mod store;
mod worker;

pub use settle::{Settled, settle};
pub use store::ALL as STATEMENTS;
pub use worker::{Stop, Worker};

use crate::clock::Timestamp;
use crate::id::{NodeId, OrgId};
use crate::platform::store::{OrgTx, StoreError};
use std::time::Duration;
use tokio::sync::Notify;

/// How long a node is taken for alive after it last said so.
pub const NODE_ALIVE_FOR: Duration = Duration::from_secs(10);
/// How often a node says that it is alive.
pub const HEARTBEAT_EVERY: Duration = Duration::from_secs(3);

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Deliver an e-mail to the recipients of one destination.
    Deliver,
    /// Hand an event to the webhook endpoints that want it.
    Event,
    /// Bring one event to one webhook endpoint.
    Webhook,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 3] = [Kind::Deliver, Kind::Event, Kind::Webhook];

    /// The kind as it is stored and labelled.
    pub fn name(self) -> &'static str {
        match self {
            Self::Deliver => "deliver",
            Self::Event => "event",
            Self::Webhook => "webhook",
        }
    }

    fn index(self) -> usize {
        match self {
            Self::Deliver => 0,
            Self::Event => 1,
            Self::Webhook => 2,
        }
    }
}

/// A leased job.
#[derive(Debug, Clone)]
pub struct Job {
    /// The organization.
    pub org: OrgId,
    /// What to do.
    pub kind: Kind,
    /// To what: an id.
    pub reference: String,
    /// To which part of it: a destination or a day.
    pub part: i64,
    /// How many times it was leased, this time included.
    pub attempt: i64,
    /// The fence: changes by this lease carry it.
    pub epoch: i64,
    /// An attempt that was started and never finished.
    pub started_attempt: Option<String>,
    /// When it was first added.
    pub created_at: Timestamp,
}

/// Why a worker's change was refused.
#[derive(Debug, Clone, thiserror::Error)]
pub enum JobError {
    /// The lease was taken away; the work belongs to another worker now.
    #[error("the lease of this job was lost")]
    LeaseLost,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Adds a job to the unit's commit; one that exists already stays as it is.
pub async fn enqueue(
    tx: &OrgTx,
    kind: Kind,
    reference: &str,
    part: i64,
    due_at: Timestamp,
    now: Timestamp,
) -> Result<(), StoreError> {
    store::enqueue(tx, kind, reference, part, due_at, now).await
}

/// Marks that the job's effect may happen from now on.
pub async fn start(tx: &OrgTx, job: &Job, attempt: &str) -> Result<(), JobError> {
    fenced(store::start(tx, job, attempt).await?)
}

/// Removes the job: its outcome is in the same commit.
pub async fn finish(tx: &OrgTx, job: &Job) -> Result<(), JobError> {
    fenced(store::finish(tx, job).await?)
}

/// Gives the lease back; the job is due again at `due_at`.
pub async fn postpone(tx: &OrgTx, job: &Job, due_at: Timestamp) -> Result<(), JobError> {
    fenced(store::postpone(tx, job, due_at).await?)
}

fn fenced(rows: u64) -> Result<(), JobError> {
    if rows == 1 {
        Ok(())
    } else {
        Err(JobError::LeaseLost)
    }
}

/// Wakes the workers of this process. Only a hint: work is found without it, a little later.
#[derive(Debug, Default)]
pub struct Hints {
    kinds: [Notify; Kind::ALL.len()],
}

impl Hints {
    /// Tells that a job of this kind was committed and is due.
    pub fn wake(&self, kind: Kind) {
        if let Some(notify) = self.kinds.get(kind.index()) {
            notify.notify_one();
        }
    }

    async fn woken(&self, kind: Kind) {
        match self.kinds.get(kind.index()) {
            Some(notify) => notify.notified().await,
            None => std::future::pending().await,
        }
    }
}

/// What is due and waiting, of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    /// The kind.
    pub kind: Kind,
    /// Jobs due and not leased (counted up to 10,000).
    pub due: i64,
    /// Since when the oldest of them is due.
    pub oldest_due_at: Option<Timestamp>,
}

/// The queue as a node sees it.
#[derive(Clone)]
pub struct Jobs {
    store: crate::platform::store::Store,
    node: NodeId,
}

impl Jobs {
    /// The queue of a store, for a node.
    pub fn new(store: crate::platform::store::Store, node: NodeId) -> Self {
        Self { store, node }
    }

    /// Says that this node is alive and takes the leases of nodes that no longer do; returns how many were taken.
    pub async fn heartbeat(&self, now: Timestamp) -> Result<u64, StoreError> {
        store::heartbeat(&self.store, &self.node, now, now.plus(NODE_ALIVE_FOR)).await
    }

    /// Leases up to `limit` due jobs, the longest due first.
    pub async fn lease(&self, kind: Kind, limit: usize, now: Timestamp) -> Result<Vec<Job>, StoreError> {
        store::lease(&self.store, &self.node, kind, limit, now).await
    }

    /// Gives all leases of this node back and signs it off; the last act of a stopping process.
    pub async fn leave(&self) -> Result<(), StoreError> {
        store::leave(&self.store, &self.node).await
    }

    /// What is due and waiting.
    pub async fn backlog(&self, now: Timestamp) -> Result<Vec<Backlog>, StoreError> {
        store::backlog(&self.store, now).await
    }

    /// On a store that only one process can open, every other node is a dead one: takes all their leases at once.
    pub async fn bury_others(&self) -> Result<(), StoreError> {
        store::bury_others(&self.store, &self.node).await
    }
}
