//! How much a caller may ask, and how often a stranger may try: limits on requests.
//!
//! [`Quotas`] keeps a bucket for each organization, API key or network ([`gcra`]): one instant each, in a table of bounded size
//! ([`table`]). A bucket that is full again is forgotten. [`Failures`] blocks networks that guess credentials, [`Scores`] bans those
//! whose requests look like attacks; both know their own node only.
//!
//! # One node, several nodes
//!
//! On SQLite one process owns the store, and memory decides. On PostgreSQL the buckets of organizations and keys are rows that nodes
//! **lease** small slices of ([`lease`], [`held`], [`store`]); a request in memory takes from the slice. What is promised about a
//! quota of *q* requests a period, on *n* nodes:
//!
//! * Any time *t* sees at most `q·t/period + q` admissions, as on one node, plus at most *n* slices that were leased before it. A slice
//!   is what the quota allows in 100 ms, at least one request: for 10/s on three nodes 3 requests more, and never more in a longer
//!   time. Unused tokens are void after a second.
//! * A node that can't reach the store admits its share, `q ÷ n` by the last count of live nodes, never more. While all are cut off that
//!   is the quota again (but one request each for a quota smaller than the number of nodes). If only some are, theirs comes on top of
//!   what the others lease: at most twice the quota. When the store is back, what was admitted alone is charged to the row.
//! * No request waits longer than 100 ms for the store, and none at all while it is known to be away.
//!
//! Buckets of networks are not shared, because a caller without a key must not make rows: each node has the whole quota for them.
//!
//! Not here: which quota a plan has, status codes and headers (`entry/api`).

mod batch;
mod failures;
mod gcra;
mod held;
mod lease;
mod network;
mod scores;
mod store;
mod table;

pub use failures::Failures;
pub use gcra::Quota;
pub use network::Network;
pub use scores::Scores;
pub use store::ALL as STATEMENTS;

use crate::clock::{Clock, Timestamp};
use crate::id::{Id as _, KeyId, OrgId};
use crate::metrics::{KindLabel, Metrics};
use crate::platform::store::{Store, StoreError};
use aws_lc_rs::digest::{Context, SHA256};
use gcra::Gcra;
use lease::Leases;
use prometheus_client::metrics::counter::Counter;
use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use table::{Entry, Key, Table};

/// How often rows of full buckets are deleted.
const FORGET_EVERY: Duration = Duration::from_secs(60);

/// How long to wait before trying again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RetryAfter(Duration);

impl RetryAfter {
    pub(super) fn new(wait: Duration) -> Self {
        Self(wait)
    }

    /// The wait as it is.
    pub fn duration(self) -> Duration {
        self.0
    }

    /// In whole seconds, rounded up, at least one: the form of the `Retry-After` header.
    pub fn seconds(self) -> u64 {
        (self.0.as_secs() + u64::from(self.0.subsec_nanos() > 0)).max(1)
    }
}

/// What a quota is counted for. Holds a hash, so that neither memory nor a row nor a log shows whose bucket it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Bucket {
    key: Key,
    is_shared: bool,
}

impl Bucket {
    /// An organization, on all nodes together.
    pub fn of_org(org: &OrgId) -> Self {
        Self {
            key: digest("org", &[org.as_str().as_bytes()]),
            is_shared: true,
        }
    }

    /// An API key, on all nodes together.
    pub fn of_key(key: &KeyId) -> Self {
        Self {
            key: digest("key", &[key.as_str().as_bytes()]),
            is_shared: true,
        }
    }

    /// A network at one door, on this node; each `door` counts for itself.
    pub fn of_network(door: &'static str, network: Network) -> Self {
        Self::here(door, &network.octets())
    }

    /// Anything else, on this node; each `door` counts for itself.
    pub fn here(door: &'static str, text: &[u8]) -> Self {
        Self {
            key: digest("here", &[door.as_bytes(), text]),
            is_shared: false,
        }
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bucket")
    }
}

/// SHA-256 over the kind and the parts, each behind its length; half of it, which nobody collides by chance.
fn digest(kind: &str, parts: &[&[u8]]) -> Key {
    let mut context = Context::new(&SHA256);
    for part in std::iter::once(kind.as_bytes()).chain(parts.iter().copied()) {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut key = Key::default();
    for (to, from) in key.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    key
}

/// Where a caller stands after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Requests that the quota allows in a period.
    pub limit: u32,
    /// Requests that could follow at once. On several nodes a good guess: what others admitted in the last moments is not in it.
    pub remaining: u32,
    /// Time until the whole quota is there again.
    pub reset_after: Duration,
    /// Present when the request was refused.
    pub retry_after: Option<RetryAfter>,
}

impl Standing {
    /// Whether the request may go on.
    pub fn is_admitted(&self) -> bool {
        self.retry_after.is_none()
    }

    /// The one to show of several: the longest wait if there is any, else the fewest remaining requests.
    pub fn tightest(of: &[Standing]) -> Option<Standing> {
        of.iter()
            .min_by_key(|standing| (Reverse(standing.retry_after), standing.remaining))
            .copied()
    }
}

impl Entry for Gcra {
    fn rank(&self, now: Timestamp) -> Option<u64> {
        let left = self.full_at().since(now).as_micros();
        u64::try_from(left).ok().filter(|left| *left > 0)
    }
}

/// The buckets of a process.
pub struct Quotas {
    here: Table<Gcra>,
    /// Absent where the store belongs to one process.
    leases: Option<Arc<Leases>>,
    admitted: Counter,
    refused: Counter,
    forgotten_at: AtomicI64,
}

impl Quotas {
    /// Buckets that are all full. On PostgreSQL they are shared with the other nodes of the database.
    pub fn new(store: Store, clock: Clock, metrics: &Metrics) -> Self {
        let counter = |kind| metrics.quota_decisions.get_or_create(&KindLabel { kind }).clone();
        let leases = (!store.is_sqlite()).then(|| Arc::new(Leases::new(store, clock, counter("by_share"))));
        Self {
            here: Table::default(),
            leases,
            admitted: counter("admitted"),
            refused: counter("refused"),
            forgotten_at: AtomicI64::new(i64::MIN),
        }
    }

    /// Charges a request to a bucket, or refuses it.
    pub async fn admit(&self, bucket: &Bucket, quota: Quota, now: Timestamp) -> Standing {
        let standing = self.take(bucket, quota, now).await;
        self.count(standing.is_admitted());
        standing
    }

    /// Charges a request to all buckets or, if one of them refuses, to none; answers with one standing for each.
    ///
    /// What is known to refuse is asked before anything is charged. A bucket that turns out to refuse later (it had to ask the store, or
    /// another request was quicker) has what the others were charged given back to them.
    pub async fn admit_all(&self, buckets: &[(Bucket, Quota)], now: Timestamp) -> Vec<Standing> {
        let known = buckets
            .iter()
            .enumerate()
            .find_map(|(place, (bucket, quota))| Some((place, self.refusal(bucket, *quota, now)?)));
        let (mut standings, mut refusal) = (Vec::with_capacity(buckets.len()), known);
        if refusal.is_none() {
            for (place, (bucket, quota)) in buckets.iter().enumerate() {
                let standing = self.take(bucket, *quota, now).await;
                if !standing.is_admitted() {
                    refusal = Some((place, standing));
                    break;
                }
                standings.push(standing);
            }
        }
        self.count(refusal.is_none());
        if let Some((refused_by, refusal)) = refusal {
            for ((bucket, quota), _) in buckets.iter().zip(&standings) {
                self.give_back(bucket, *quota);
            }
            standings.clear();
            standings.extend(buckets.iter().enumerate().map(|(place, (bucket, quota))| {
                if place == refused_by {
                    refusal
                } else {
                    self.standing(bucket, *quota, now)
                }
            }));
        }
        standings
    }

    /// Where a caller stands, without a request.
    pub fn standing(&self, bucket: &Bucket, quota: Quota, now: Timestamp) -> Standing {
        match self.leases_of(bucket) {
            Some(leases) => leases.standing(&bucket.key, quota, now),
            None => {
                let known = self.here.look(&bucket.key, |gcra| *gcra).unwrap_or_default();
                standing_of(&known, quota, now)
            }
        }
    }

    /// Forgets what is over and, with several nodes, counts them. To be called every few seconds; fails when the store does.
    pub async fn upkeep(&self, now: Timestamp) -> Result<(), StoreError> {
        self.here.sweep(now);
        let Some(leases) = &self.leases else {
            return Ok(());
        };
        leases.count_nodes().await?;
        let forgotten_at = Timestamp::from_micros(self.forgotten_at.load(Ordering::Relaxed));
        if now.since(forgotten_at) >= FORGET_EVERY || forgotten_at > now {
            self.forgotten_at.store(now.micros(), Ordering::Relaxed);
            leases.sweep(now).await?;
        }
        Ok(())
    }

    fn leases_of(&self, bucket: &Bucket) -> Option<&Arc<Leases>> {
        self.leases.as_ref().filter(|_| bucket.is_shared)
    }

    async fn take(&self, bucket: &Bucket, quota: Quota, now: Timestamp) -> Standing {
        match self.leases_of(bucket) {
            Some(leases) => leases.admit(&bucket.key, quota, now).await,
            None => self.here.change(&bucket.key, now, |gcra| {
                let taken = gcra.take(1, quota.pace(), now);
                Standing {
                    retry_after: taken.err().map(RetryAfter),
                    ..standing_of(gcra, quota, now)
                }
            }),
        }
    }

    /// The refusal of a request that memory alone can refuse.
    fn refusal(&self, bucket: &Bucket, quota: Quota, now: Timestamp) -> Option<Standing> {
        match self.leases_of(bucket) {
            Some(leases) => leases.refusal(&bucket.key, quota, now),
            None => {
                let mut known = self.here.look(&bucket.key, |gcra| *gcra)?;
                let wait = known.take(1, quota.pace(), now).err()?;
                Some(Standing {
                    retry_after: Some(RetryAfter(wait)),
                    ..standing_of(&known, quota, now)
                })
            }
        }
    }

    fn give_back(&self, bucket: &Bucket, quota: Quota) {
        match self.leases_of(bucket) {
            Some(leases) => leases.give_back(&bucket.key, quota),
            // Forgotten in the meantime is as good as given back.
            None => drop(
                self.here
                    .look(&bucket.key, |gcra| gcra.give_back(1, quota.pace())),
            ),
        }
    }

    fn count(&self, is_admitted: bool) {
        if is_admitted {
            self.admitted.inc();
        } else {
            self.refused.inc();
        }
    }
}

fn standing_of(gcra: &Gcra, quota: Quota, now: Timestamp) -> Standing {
    Standing {
        limit: quota.requests.get(),
        remaining: gcra.room(quota.pace(), now),
        reset_after: gcra.full_in(quota.pace(), now),
        retry_after: None,
    }
}
