//! What one node knows and holds of a bucket that it shares with others: a state machine without clock, lock or store.
//!
//! Tokens were taken out of the shared row before they came here, so using one exceeds nothing. At any moment a node holds at most
//! one **slice** (100 ms worth of the quota, at least one token) beyond the requests that are under way, and after [`TOKEN_LIFE`] what
//! is unused is void. It asks for no more than it will use: ahead of time only as many as came in the last [`AHEAD`], and none if
//! requests are far apart.
//!
//! Beside that the node keeps its own bucket of **its share** (quota ÷ nodes). Every admission is charged to it; it decides alone
//! while the store is away, and is therefore not full at that moment if the caller has been busy here. What it admits then is
//! `unpaid`, and is charged to the shared row by the next lease.

use super::gcra::{Gcra, Pace, Quota};
use super::table::Entry;
use super::{RetryAfter, Standing};
use crate::clock::Timestamp;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

/// How long leased tokens are good: long enough to be used, too short to be kept from the other nodes.
pub(super) const TOKEN_LIFE: Duration = Duration::from_secs(1);
/// How far ahead of its need a node leases, and the most that it holds.
const AHEAD: Duration = Duration::from_millis(100);
/// A row that had too little is not asked again before this: under a flood, a node asks 20 times a second and not 1,000.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// A node's side of a shared bucket.
#[derive(Debug)]
pub(super) struct Held {
    /// What this node admitted, against its share.
    own: Gcra,
    /// Leased and unused.
    tokens: u32,
    /// When they are void.
    void_at: Timestamp,
    /// The row has nothing to lease before this.
    dry_until: Timestamp,
    /// When the row will be full, as of the last lease, by this node's clock.
    row_full_at: Timestamp,
    /// Admitted while the store was away, and not charged to the row yet.
    unpaid: u32,
    last_at: Timestamp,
    /// Time between requests, smoothed.
    gap: Duration,
    /// A lease is under way.
    is_asking: bool,
    /// Requests that wait for it.
    waiting: u32,
    slice: u32,
    news: Arc<Notify>,
}

impl Default for Held {
    fn default() -> Self {
        let never = Timestamp::from_micros(i64::MIN);
        Self {
            own: Gcra::default(),
            tokens: 0,
            void_at: never,
            dry_until: never,
            row_full_at: never,
            unpaid: 0,
            last_at: never,
            gap: TOKEN_LIFE,
            is_asking: false,
            waiting: 0,
            slice: 1,
            news: Arc::default(),
        }
    }
}

/// What is asked of the shared row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) wanted: u32,
    pub(super) unpaid: u32,
    pub(super) pace: Pace,
}

/// What the shared row gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) tokens: u32,
    /// Until the row is full.
    pub(super) full_in: Duration,
}

impl Held {
    /// Notes that a request came: how far apart they are says how many tokens are worth having.
    pub(super) fn came(&mut self, quota: Quota, now: Timestamp) {
        let gap = now.since(self.last_at).min(TOKEN_LIFE);
        self.gap = (self.gap * 3 + gap) / 4;
        self.last_at = now;
        self.slice = quota.worth(AHEAD);
    }

    /// Decides about a request by what is known here: a token admits it, a row that is dry refuses it. `None` if the row has to be asked.
    pub(super) fn at_once(&mut self, quota: Quota, nodes: NonZeroU32, now: Timestamp) -> Option<Standing> {
        let refusal = self.refusal(quota, now);
        if refusal.is_some() || self.tokens == 0 {
            return refusal;
        }
        self.tokens -= 1;
        self.own.charge(1, quota.share(nodes), now);
        Some(self.standing(quota, now))
    }

    /// Decides about a request by this node's share alone.
    pub(super) fn by_share(&mut self, quota: Quota, nodes: NonZeroU32, now: Timestamp) -> Standing {
        let share = quota.share(nodes);
        if let Err(wait) = self.own.take(1, share, now) {
            return self.refused(quota, wait, now);
        }
        self.unpaid = self.unpaid.saturating_add(1);
        Standing {
            limit: quota.requests.get(),
            remaining: self.own.room(share, now),
            reset_after: self.own.full_in(share, now),
            retry_after: None,
        }
    }

    /// What a request would be told that can be refused without asking.
    pub(super) fn refusal(&mut self, quota: Quota, now: Timestamp) -> Option<Standing> {
        self.settle(quota, now);
        let is_dry = self.tokens == 0 && now < self.dry_until;
        is_dry.then(|| self.refused(quota, self.dry_until.since(now), now))
    }

    /// Takes an admission back, because another bucket of the same request refused.
    pub(super) fn give_back(&mut self, quota: Quota, nodes: NonZeroU32) {
        self.own.give_back(1, quota.share(nodes));
        match self.unpaid.checked_sub(1) {
            Some(less) => self.unpaid = less,
            None => self.tokens = self.tokens.saturating_add(1),
        }
    }

    /// Where the caller stands: what is here and what the row had left at the last lease. Other nodes' use since then is not in it.
    pub(super) fn standing(&self, quota: Quota, now: Timestamp) -> Standing {
        let (limit, pace) = (quota.requests.get(), quota.pace());
        let debt = self.row_full_at.since(now);
        let debt_nanos = i64::try_from(debt.as_nanos())
            .unwrap_or(i64::MAX)
            .min(pace.span());
        let in_row = u32::try_from((pace.span() - debt_nanos) / pace.interval).unwrap_or(limit);
        Standing {
            limit,
            remaining: in_row.saturating_add(self.tokens).min(limit),
            reset_after: debt,
            retry_after: None,
        }
    }

    fn refused(&self, quota: Quota, wait: Duration, now: Timestamp) -> Standing {
        Standing {
            remaining: 0,
            retry_after: Some(RetryAfter::new(wait)),
            ..self.standing(quota, now)
        }
    }

    /// Whether a lease should be asked for now.
    pub(super) fn is_low(&self, now: Timestamp) -> bool {
        let enough = self.waiting.saturating_add(self.ahead().div_ceil(2));
        self.tokens < enough && !self.is_asking && now >= self.dry_until
    }

    /// A lease is under way from now on.
    pub(super) fn asks(&mut self) {
        self.is_asking = true;
    }

    /// What to ask for at this moment.
    pub(super) fn ask(&self, quota: Quota) -> Ask {
        let wanted = self.waiting.saturating_add(self.ahead());
        Ask {
            wanted: wanted.saturating_sub(self.tokens).min(quota.requests.get()),
            unpaid: self.unpaid,
            pace: quota.pace(),
        }
    }

    /// Tokens that will be used within [`AHEAD`] if requests go on coming as they did.
    fn ahead(&self) -> u32 {
        if self.gap > TOKEN_LIFE / 2 {
            return 0;
        }
        let expected = AHEAD.as_micros() / self.gap.as_micros().max(1);
        u32::try_from(expected).unwrap_or(u32::MAX).clamp(1, self.slice)
    }

    /// The row answered an ask that was sent at `sent_at`.
    pub(super) fn granted(&mut self, ask: Ask, grant: Grant, sent_at: Timestamp, now: Timestamp) {
        self.unpaid = self.unpaid.saturating_sub(ask.unpaid);
        self.row_full_at = sent_at.plus(grant.full_in);
        // Counted from when they were asked for: an answer that comes late brings void tokens.
        if now.since(sent_at) < TOKEN_LIFE {
            self.expire(now);
            self.tokens = self.tokens.saturating_add(grant.tokens);
            self.void_at = sent_at.plus(TOKEN_LIFE);
        }
        if grant.tokens < ask.wanted {
            let span = Duration::from_nanos(ask.pace.span().unsigned_abs());
            let next = Duration::from_nanos(ask.pace.interval.unsigned_abs());
            self.dry_until = now.plus((grant.full_in + next).saturating_sub(span).max(ASK_AGAIN));
        }
        self.trim();
    }

    /// The lease is over, whatever came of it; whoever waits is woken.
    pub(super) fn asked(&mut self) {
        self.is_asking = false;
        self.news.notify_waiters();
    }

    /// A request waits for the next [`Held::asked`].
    pub(super) fn waits(&mut self) {
        self.waiting = self.waiting.saturating_add(1);
    }

    /// Is ready when the lease that is under way is over.
    pub(super) fn news(&self) -> OwnedNotified {
        Arc::clone(&self.news).notified_owned()
    }

    pub(super) fn waits_no_more(&mut self) {
        self.waiting = self.waiting.saturating_sub(1);
        self.trim();
    }

    /// Never more than a slice beyond those who wait: a request that went away leaves its token to nobody.
    fn trim(&mut self) {
        self.tokens = self.tokens.min(self.slice.saturating_add(self.waiting));
    }

    fn expire(&mut self, now: Timestamp) {
        if now >= self.void_at {
            self.tokens = 0;
        }
    }

    /// Forgets what is over, and what would be over if the clock had not been set back.
    fn settle(&mut self, quota: Quota, now: Timestamp) {
        self.expire(now);
        if self.own.full_at() < now {
            // By now it would have been paid back at the share's pace, and the more so at that of the row.
            self.unpaid = 0;
        }
        if self.void_at > now.plus(TOKEN_LIFE) {
            self.tokens = 0;
        }
        if self.dry_until > now.plus(quota.period + ASK_AGAIN) {
            self.dry_until = now;
        }
        self.row_full_at = self.row_full_at.min(now.plus(quota.period));
    }
}

impl Entry for Held {
    fn rank(&self, now: Timestamp) -> Option<u64> {
        if self.is_asking || self.waiting > 0 {
            return Some(u64::MAX);
        }
        let until = self.own.full_at().max(self.dry_until).max(self.row_full_at);
        let until = if self.tokens > 0 {
            until.max(self.void_at)
        } else {
            until
        };
        let left = u64::try_from(until.since(now).as_micros()).unwrap_or(u64::MAX);
        (left > 0).then_some(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: NonZeroU32 = NonZeroU32::new(10).unwrap();
    const ONE: NonZeroU32 = NonZeroU32::MIN;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_micros(1_700_000_000_000_000 + millis * 1000)
    }

    /// A request that waits, asks, and is told what the row gave.
    fn lease(held: &mut Held, quota: Quota, grant: Grant, now: Timestamp) -> Ask {
        held.waits();
        assert!(held.is_low(now));
        held.asks();
        assert!(!held.is_low(now), "one lease at a time");
        let ask = held.ask(quota);
        held.granted(ask, grant, now, now);
        held.asked();
        ask
    }

    #[test]
    fn a_lone_request_leases_one_token_and_a_steady_stream_a_slice() {
        let quota = Quota::per_second(NonZeroU32::new(1000).unwrap());
        let mut held = Held::default();
        held.came(quota, at(0));
        held.waits();
        assert_eq!(held.ask(quota).wanted, 1);
        held.waits_no_more();
        for millis in 0..40 {
            held.came(quota, at(millis));
        }
        assert!(
            (90..=100).contains(&held.ask(quota).wanted),
            "{}",
            held.ask(quota).wanted
        );
    }

    #[test]
    fn tokens_are_used_once_and_are_void_after_their_life() {
        let quota = Quota::per_second(TEN);
        let mut held = Held::default();
        held.came(quota, at(0));
        let grant = Grant {
            tokens: 1,
            full_in: Duration::from_millis(100),
        };
        lease(&mut held, quota, grant, at(0));
        let standing = held.at_once(quota, ONE, at(0)).unwrap();
        held.waits_no_more();
        assert_eq!(
            (standing.is_admitted(), standing.limit, standing.remaining),
            (true, 10, 9)
        );
        assert_eq!(held.at_once(quota, ONE, at(0)), None);
        lease(&mut held, quota, grant, at(1));
        assert_eq!(held.at_once(quota, ONE, at(1001)), None);
    }

    #[test]
    fn a_late_answer_brings_no_tokens() {
        let quota = Quota::per_second(TEN);
        let mut held = Held::default();
        held.came(quota, at(0));
        held.waits();
        let grant = Grant {
            tokens: 1,
            full_in: Duration::ZERO,
        };
        held.granted(held.ask(quota), grant, at(0), at(1000));
        assert_eq!(held.at_once(quota, ONE, at(1000)), None);
    }

    #[test]
    fn a_dry_row_refuses_from_memory_until_it_has_something_again() {
        let quota = Quota::per_second(TEN);
        let mut held = Held::default();
        held.came(quota, at(0));
        lease(
            &mut held,
            quota,
            Grant {
                tokens: 0,
                full_in: Duration::from_millis(980),
            },
            at(0),
        );
        let standing = held.at_once(quota, ONE, at(10)).unwrap();
        assert_eq!(
            standing.retry_after.map(RetryAfter::duration),
            Some(Duration::from_millis(70))
        );
        assert_eq!(standing.remaining, 0);
        assert!(!held.is_low(at(79)) && held.is_low(at(80)));
        // A clock that is set back by an hour does not make it an hour longer.
        assert_eq!(held.at_once(quota, ONE, at(-3_600_000)), None);
    }

    #[test]
    fn requests_that_went_away_leave_no_more_than_a_slice_behind() {
        let quota = Quota::per_second(TEN);
        let mut held = Held::default();
        held.came(quota, at(0));
        for _ in 0..8 {
            held.waits();
        }
        let ask = held.ask(quota);
        assert_eq!(ask.wanted, 8);
        held.waits_no_more();
        held.granted(
            ask,
            Grant {
                tokens: 8,
                full_in: Duration::ZERO,
            },
            at(0),
            at(1),
        );
        for _ in 0..7 {
            held.waits_no_more();
        }
        assert_eq!((held.tokens, held.slice), (1, 1));
    }

    #[test]
    fn without_the_store_the_share_decides_and_is_paid_for_later() {
        let (quota, three) = (Quota::per_second(TEN), NonZeroU32::new(3).unwrap());
        let mut held = Held::default();
        held.came(quota, at(0));
        let admitted = (0..10).filter(|_| held.by_share(quota, three, at(0)).is_admitted());
        assert_eq!(admitted.count(), 3);
        let refused = held.by_share(quota, three, at(0));
        assert_eq!(
            refused.retry_after.map(RetryAfter::duration),
            Some(Duration::from_millis(300))
        );
        assert!(held.rank(at(899)).is_some(), "a debt is not forgotten");
        assert!(held.rank(at(901)).is_none());
        let ask = lease(
            &mut held,
            quota,
            Grant {
                tokens: 1,
                full_in: Duration::from_millis(400),
            },
            at(0),
        );
        assert_eq!(ask.unpaid, 3);
        assert_eq!(held.unpaid, 0);
    }

    #[test]
    fn what_is_given_back_can_be_used_again_and_is_not_paid_for() {
        let quota = Quota::per_second(TEN);
        let mut held = Held::default();
        held.came(quota, at(0));
        assert!(held.by_share(quota, ONE, at(0)).is_admitted());
        held.give_back(quota, ONE);
        assert_eq!(held.ask(quota).unpaid, 0);
        lease(
            &mut held,
            quota,
            Grant {
                tokens: 1,
                full_in: Duration::from_millis(100),
            },
            at(0),
        );
        assert!(held.at_once(quota, ONE, at(0)).unwrap().is_admitted());
        held.give_back(quota, ONE);
        assert!(held.at_once(quota, ONE, at(0)).unwrap().is_admitted());
    }
}
