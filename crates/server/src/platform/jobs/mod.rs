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

mod queue;
mod settle;
mod store;
mod worker;

pub use queue::{Found, Group, Selection, Taken, hold, hurry, take};
pub use settle::{Settled, settle};
pub use store::ALL as STATEMENTS;
pub(crate) use worker::Tasks;
pub use worker::{Stop, Worker};

use crate::clock::Timestamp;
use crate::id::{NodeId, OrgId};
use crate::platform::store::{OrgTx, StoreError};
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// How long a node is taken for alive after it last said so.
pub const NODE_ALIVE_FOR: Duration = Duration::from_secs(15);
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
    /// Remind of an API key that grows old.
    KeyAge,
    /// Tell an event to the organization's security contact.
    Notice,
    /// Look at what the DNS shows of a domain.
    DomainCheck,
    /// Send an endpoint again what happened in a time.
    Replay,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 7] = [
        Kind::Deliver,
        Kind::Event,
        Kind::Webhook,
        Kind::KeyAge,
        Kind::Notice,
        Kind::DomainCheck,
        Kind::Replay,
    ];

    /// The kind as it is stored and labelled.
    pub fn name(self) -> &'static str {
        match self {
            Self::Deliver => "deliver",
            Self::Event => "event",
            Self::Webhook => "webhook",
            Self::KeyAge => "key_age",
            Self::Notice => "notice",
            Self::DomainCheck => "domain_check",
            Self::Replay => "replay",
        }
    }

    /// The priorities that work of this kind may have.
    fn priorities(self) -> &'static [Priority] {
        match self {
            Self::Deliver => &[Priority::First, Priority::Later],
            Self::Event | Self::Webhook | Self::KeyAge | Self::Notice | Self::DomainCheck | Self::Replay => {
                &[Priority::First]
            }
        }
    }

    fn index(self) -> usize {
        match self {
            Self::Deliver => 0,
            Self::Event => 1,
            Self::Webhook => 2,
            Self::KeyAge => 3,
            Self::Notice => 4,
            Self::DomainCheck => 5,
            Self::Replay => 6,
        }
    }
}

/// Which of two jobs goes first when both are due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// Somebody waits for it.
    First,
    /// It can wait for the others.
    Later,
}

impl Priority {
    fn stored(self) -> i64 {
        match self {
            Self::First => 0,
            Self::Later => 1,
        }
    }

    fn from_stored(stored: i64) -> Self {
        match stored {
            0 => Self::First,
            _ => Self::Later,
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
    /// Whether it goes before others.
    pub priority: Priority,
    /// How many attempts ended before this one.
    pub attempt: i64,
    /// The fence: changes by this lease carry it.
    pub epoch: i64,
    /// An attempt that was started and never finished.
    pub started_attempt: Option<String>,
    /// The way by which its effect may have happened, where there are several.
    pub started_via: Option<Box<str>>,
    /// When it was added; of work that waits for a time of its own, that time.
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
    store::enqueue(tx, kind, reference, part, Priority::First, due_at, now).await
}

/// The same for work that may have to wait for other work of its kind.
pub async fn enqueue_by_priority(
    tx: &OrgTx,
    kind: Kind,
    reference: &str,
    part: i64,
    priority: Priority,
    due_at: Timestamp,
    now: Timestamp,
) -> Result<(), StoreError> {
    store::enqueue(tx, kind, reference, part, priority, due_at, now).await
}

/// Adds a job for each of these references to the unit's commit; those that exist already stay as they are.
pub async fn enqueue_all(
    tx: &OrgTx,
    kind: Kind,
    references: Vec<String>,
    part: i64,
    now: Timestamp,
) -> Result<(), StoreError> {
    store::enqueue_all(tx, kind, references, part, now).await
}

/// Adds a job to the unit's commit, or gives one that exists another time. Whoever has leased it can't record anything more, so this is
/// for jobs that may run twice without harm.
pub async fn reschedule(
    tx: &OrgTx,
    kind: Kind,
    reference: &str,
    part: i64,
    due_at: Timestamp,
    now: Timestamp,
) -> Result<(), StoreError> {
    store::reschedule(tx, kind, reference, part, due_at, now).await
}

/// Marks that the job's effect may happen from now on, and by which way.
pub async fn start(tx: &OrgTx, job: &Job, attempt: &str, via: &str) -> Result<(), JobError> {
    fenced(store::start(tx, job, attempt, via).await?)
}

/// Removes the job: its outcome is in the same commit.
pub async fn finish(tx: &OrgTx, job: &Job) -> Result<(), JobError> {
    fenced(store::finish(tx, job).await?)
}

/// Removes several jobs of one kind, or none of them: then at least one belongs to another worker now.
pub async fn finish_all(tx: &OrgTx, kind: Kind, jobs: &[Job]) -> Result<(), JobError> {
    let count = store::finish_all(tx, kind, jobs).await?;
    if count == jobs.len() as u64 {
        Ok(())
    } else {
        Err(JobError::LeaseLost)
    }
}

/// Records that an attempt ended without finishing the job; it is due again at `due_at`.
pub async fn postpone(tx: &OrgTx, job: &Job, due_at: Timestamp) -> Result<(), JobError> {
    fenced(store::postpone(tx, job, due_at, None).await?)
}

/// The same for one whose effect may have happened by this way: the next attempt finds it in [`Job::started_via`].
pub async fn postpone_in_doubt(
    tx: &OrgTx,
    job: &Job,
    due_at: Timestamp,
    via: Option<&str>,
) -> Result<(), JobError> {
    fenced(store::postpone(tx, job, due_at, via).await?)
}

/// Gives the lease back without having ended an attempt. A mark by [`start`] stays: the effect may have happened.
pub async fn put_back(tx: &OrgTx, job: &Job, due_at: Timestamp) -> Result<(), JobError> {
    fenced(store::put_back(tx, job, due_at).await?)
}

/// Gives the lease back, and lets nobody lease the job again before its operator has let it go.
pub async fn park(tx: &OrgTx, job: &Job, now: Timestamp) -> Result<(), JobError> {
    fenced(store::park(tx, job, now).await?)
}

/// Gives all jobs of this kind about `reference` another date, as if they had been added for it. Who has leased one keeps the lease, and
/// finds the new date where this unit wrote it.
pub async fn redate(tx: &OrgTx, kind: Kind, reference: &str, due_at: Timestamp) -> Result<(), StoreError> {
    store::redate(tx, kind, reference, due_at).await
}

/// What waits about `reference` for a later date is due now; who holds a lease keeps it.
pub async fn hasten(tx: &OrgTx, kind: Kind, reference: &str, now: Timestamp) -> Result<(), StoreError> {
    store::hasten(tx, kind, reference, now).await
}

/// When the last job about `reference` is due, or was when it was leased; `None` if there is none.
pub async fn due_at(tx: &OrgTx, kind: Kind, reference: &str) -> Result<Option<Timestamp>, StoreError> {
    store::due_at(tx, kind, reference).await
}

/// Takes all jobs of this kind about `reference` away, also from who holds them: their changes find the lease lost.
pub async fn withdraw(tx: &OrgTx, kind: Kind, reference: &str) -> Result<(), StoreError> {
    store::withdraw(tx, kind, reference).await
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

    /// Waits for such a word.
    pub(crate) async fn woken(&self, kind: Kind) {
        match self.kinds.get(kind.index()) {
            Some(notify) => notify.notified().await,
            None => std::future::pending().await,
        }
    }
}

/// A lease as the store has it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Lease {
    org: OrgId,
    kind: String,
    reference: String,
    part: i64,
    epoch: i64,
}

impl Lease {
    fn of(job: &Job) -> Self {
        let (kind, reference) = (job.kind.name().to_owned(), job.reference.clone());
        Self {
            org: job.org.clone(),
            kind,
            reference,
            part: job.part,
            epoch: job.epoch,
        }
    }
}

/// The leases that this process works on. One that the store has and nobody here holds is a **stray**: its lease was committed and the
/// answer was lost on the way.
#[derive(Debug, Default)]
pub struct Held {
    held: Mutex<HashSet<Lease>>,
    suspects: Mutex<HashSet<Lease>>,
}

impl Held {
    pub(crate) fn add(&self, job: &Job) {
        self.held
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(Lease::of(job));
    }

    pub(crate) fn remove(&self, job: &Job) {
        self.held
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&Lease::of(job));
    }

    /// Of what the store says is leased here: what nobody holds, now and at the last look. Once is not enough, because a lease is in
    /// the store a moment before it is in anybody's hands.
    fn strays(&self, leased: Vec<Lease>) -> Vec<Lease> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let unheld: HashSet<Lease> = leased.into_iter().filter(|lease| !held.contains(lease)).collect();
        let mut suspects = self.suspects.lock().unwrap_or_else(PoisonError::into_inner);
        let strays = unheld.intersection(&suspects).cloned().collect();
        *suspects = unheld;
        strays
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

    /// Says that this node is alive; with `takes_over`, takes the leases of nodes that no longer do and returns how many. A node that was
    /// out of touch itself must judge nobody at first: the others may just not have been able to say it either.
    pub async fn heartbeat(&self, now: Timestamp, takes_over: bool) -> Result<u64, StoreError> {
        store::heartbeat(&self.store, &self.node, now, NODE_ALIVE_FOR, takes_over).await
    }

    /// Gives back leases of this node that nobody here holds; returns how many.
    pub async fn release_strays(&self, held: &Held) -> Result<usize, StoreError> {
        let strays = held.strays(store::leased(&self.store, &self.node).await?);
        let count = strays.len();
        if count > 0 {
            store::release_strays(&self.store, strays).await?;
        }
        Ok(count)
    }

    /// Leases up to `limit` due jobs: those that go first, then the others, each the longest due first. `reserved` of the limit are kept for
    /// the others, so that they get on however many go first.
    pub async fn lease(
        &self,
        kind: Kind,
        limit: usize,
        reserved: usize,
        now: Timestamp,
    ) -> Result<Vec<Job>, StoreError> {
        store::lease(&self.store, &self.node, kind, limit, reserved, now).await
    }

    /// Gives jobs back that were leased and not begun, each with a date. Those whose lease was lost meanwhile are left alone.
    pub async fn put_back_all(&self, dated: Vec<(Job, Timestamp)>) -> Result<(), StoreError> {
        store::put_back_all(&self.store, dated).await
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Id as _;

    #[test]
    fn a_lease_that_nobody_holds_is_a_stray_at_the_second_look() {
        let org = OrgId::generate(Timestamp::from_micros(0), [0; 10]);
        let job = |epoch| Job {
            org: org.clone(),
            kind: Kind::Deliver,
            reference: "email_1".into(),
            part: 0,
            priority: Priority::First,
            attempt: 0,
            epoch,
            started_attempt: None,
            started_via: None,
            created_at: Timestamp::from_micros(0),
        };
        let (held, leased) = (Held::default(), [Lease::of(&job(1)), Lease::of(&job(2))]);
        held.add(&job(1));
        assert!(held.strays(leased.to_vec()).is_empty());
        assert_eq!(held.strays(leased.to_vec()), [Lease::of(&job(2))]);
        held.remove(&job(1));
        assert!(held.strays(vec![Lease::of(&job(1))]).is_empty());
        assert_eq!(held.strays(vec![Lease::of(&job(1))]), [Lease::of(&job(1))]);
    }
}
