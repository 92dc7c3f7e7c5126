//! Leasing: how several nodes keep one quota together without asking the store for each request.
//!
//! [`held`](super::held) says what a node may do; here is how it waits, asks and is told. Asks of all buckets go into one queue, which
//! one task empties, some at a time, each time in one unit of work. A request waits for [`WAIT_MAX`] at most. When that is over, or a
//! unit fails, the store counts as away: from then on nobody waits, shares decide, and once a second somebody asks again.

use super::Standing;
use super::gcra::Quota;
use super::held::{Ask, Held};
use super::store;
use super::table::{Key, Table};
use crate::clock::{Clock, Timestamp};
use crate::platform::store::{Store, StoreError};
use prometheus_client::metrics::counter::Counter;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::futures::OwnedNotified;

/// The longest that a request waits for the store before this node's share decides.
const WAIT_MAX: Duration = Duration::from_millis(100);
/// How often a store that is away is asked again.
const RETRY_EVERY: Duration = Duration::from_secs(1);
/// Buckets of one unit of work.
const BATCH_MAX: usize = 64;

pub(super) struct Leases {
    table: Table<Held>,
    store: Store,
    clock: Clock,
    queue: Mutex<Queue>,
    is_away: AtomicBool,
    /// Microseconds since the Unix epoch: not before this is a store that is away asked again.
    retry_at: AtomicI64,
    /// Nodes alive, as last seen.
    nodes: AtomicU32,
    by_share: Counter,
}

#[derive(Default)]
struct Queue {
    asks: Vec<(Key, Quota)>,
    /// A task is emptying it.
    is_served: bool,
}

impl Leases {
    pub(super) fn new(store: Store, clock: Clock, by_share: Counter) -> Self {
        Self {
            table: Table::default(),
            store,
            clock,
            queue: Mutex::default(),
            is_away: AtomicBool::new(false),
            retry_at: AtomicI64::new(i64::MIN),
            nodes: AtomicU32::new(1),
            by_share,
        }
    }

    pub(super) async fn admit(self: &Arc<Self>, key: &Key, quota: Quota, now: Timestamp) -> Standing {
        match self.turn(key, quota, now, Turn::First) {
            Ok(standing) => standing,
            Err(news) => self.wait(key, quota, news).await,
        }
    }

    /// Takes an admission back.
    pub(super) fn give_back(&self, key: &Key, quota: Quota) {
        let nodes = self.nodes();
        self.table.look(key, |held| held.give_back(quota, nodes));
    }

    /// The refusal of a request for which nothing need be asked.
    pub(super) fn refusal(&self, key: &Key, quota: Quota, now: Timestamp) -> Option<Standing> {
        self.table.look(key, |held| held.refusal(quota, now)).flatten()
    }

    /// Where a caller stands, without asking for anything.
    pub(super) fn standing(&self, key: &Key, quota: Quota, now: Timestamp) -> Standing {
        let known = self.table.look(key, |held| held.standing(quota, now));
        known.unwrap_or_else(|| Held::default().standing(quota, now))
    }

    /// Looks how many nodes are alive.
    pub(super) async fn count_nodes(&self) -> Result<(), StoreError> {
        let nodes = store::nodes(&self.store).await?;
        let nodes = u32::try_from(nodes).unwrap_or(u32::MAX).max(1);
        self.nodes.store(nodes, Ordering::Relaxed);
        Ok(())
    }

    /// Forgets buckets that are full again, here and in the store.
    pub(super) async fn sweep(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.table.sweep(now);
        store::forget_full(&self.store).await
    }

    pub(super) fn nodes(&self) -> NonZeroU32 {
        NonZeroU32::new(self.nodes.load(Ordering::Relaxed)).unwrap_or(NonZeroU32::MIN)
    }

    fn is_away(&self) -> bool {
        self.is_away.load(Ordering::Relaxed)
    }

    /// Decides about a request, or says what to wait for. Asks for a lease if there is little left.
    fn turn(
        self: &Arc<Self>,
        key: &Key,
        quota: Quota,
        now: Timestamp,
        turn: Turn,
    ) -> Result<Standing, OwnedNotified> {
        let nodes = self.nodes();
        let (decided, asks) = self.table.change(key, now, |held| {
            if turn == Turn::First {
                held.came(quota, now);
            }
            let mut decided = held.at_once(quota, nodes, now);
            if decided.is_none() && (turn == Turn::Last || self.is_away()) {
                self.by_share.inc();
                decided = Some(held.by_share(quota, nodes, now));
            }
            if decided.is_none() && turn == Turn::First {
                held.waits();
            }
            let asks = held.is_low(now) && self.may_ask(now);
            if asks {
                held.asks();
            }
            (decided.ok_or_else(|| held.news()), asks)
        });
        if asks {
            self.enqueue(*key, quota);
        }
        decided
    }

    async fn wait(self: &Arc<Self>, key: &Key, quota: Quota, mut news: OwnedNotified) -> Standing {
        let _waiting = Waiting { leases: self, key };
        let deciding = async {
            loop {
                news.await;
                match self.turn(key, quota, self.clock.now(), Turn::Next) {
                    Ok(standing) => return standing,
                    Err(next) => news = next,
                }
            }
        };
        if let Ok(standing) = tokio::time::timeout(WAIT_MAX, deciding).await {
            return standing;
        }
        self.is_away.store(true, Ordering::Relaxed);
        let now = self.clock.now();
        let decided = self.turn(key, quota, now, Turn::Last);
        // The last turn always decides.
        decided.unwrap_or_else(|_| self.standing(key, quota, now))
    }

    /// Whether the store may be asked now; while it is away, once in a while.
    fn may_ask(&self, now: Timestamp) -> bool {
        if !self.is_away() {
            return true;
        }
        let (retry_at, next) = (
            self.retry_at.load(Ordering::Relaxed),
            now.plus(RETRY_EVERY).micros(),
        );
        // Further ahead than that it was set before the clock was set back.
        let is_due = now.micros() >= retry_at || retry_at > next;
        let swap = |next| {
            self.retry_at
                .compare_exchange(retry_at, next, Ordering::Relaxed, Ordering::Relaxed)
        };
        is_due && swap(next).is_ok()
    }

    fn enqueue(self: &Arc<Self>, key: Key, quota: Quota) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.asks.push((key, quota));
        if !std::mem::replace(&mut queue.is_served, true) {
            tokio::spawn(Arc::clone(self).serve());
        }
    }

    fn next_batch(&self) -> Option<Vec<(Key, Quota)>> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let count = queue.asks.len().min(BATCH_MAX);
        queue.is_served = count > 0;
        (count > 0).then(|| queue.asks.drain(..count).collect())
    }

    /// Empties the queue. How much is asked for is settled only now, when it is known who has come to wait in the meantime.
    async fn serve(self: Arc<Self>) {
        while let Some(batch) = self.next_batch() {
            let ask =
                |(key, quota): &(Key, Quota)| Some((*key, self.table.look(key, |held| held.ask(*quota))?));
            let asks: Vec<(Key, Ask)> = batch.iter().filter_map(ask).collect();
            let sent_at = self.clock.now();
            match store::lease(&self.store, asks).await {
                Ok(grants) => {
                    let now = self.clock.now();
                    for (key, ask, grant) in grants {
                        self.table
                            .look(&key, |held| held.granted(ask, grant, sent_at, now));
                    }
                    self.is_away.store(false, Ordering::Relaxed);
                }
                Err(error) => {
                    tracing::debug!(%error, "no quota could be leased; this node goes on with its share");
                    self.is_away.store(true, Ordering::Relaxed);
                }
            }
            for (key, _) in batch {
                self.table.look(&key, Held::asked);
            }
        }
    }
}

/// Where in its way a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    First,
    Next,
    /// It waits no longer.
    Last,
}

/// A request that waits and was counted as such; its client may go away at any moment.
struct Waiting<'a> {
    leases: &'a Leases,
    key: &'a Key,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.leases.table.look(self.key, Held::waits_no_more);
    }
}
