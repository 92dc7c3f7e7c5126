//! The arithmetic of one bucket: the generic cell rate algorithm (ITU-T I.371, Annex A) in its virtual scheduling form.
//!
//! A bucket is one stored instant: when it is full again. Each request moves it one interval (period ÷ requests) further, and is
//! refused if it would come to lie more than a whole bucket ahead of now. Nothing has to be counted, swept or reset.
//!
//! A full bucket holds **one period's worth**, whatever the period: ten for 10/s, sixty for 60/minute. That is what
//! `q=60;w=60` says to a caller, and pacing a quota per minute as if it were one per second would refuse the second of two
//! requests that the caller was promised. So any window of one period takes at most twice the quota, right after a rest.

use crate::clock::Timestamp;
use std::num::NonZeroU32;
use std::time::Duration;

const NANOS_PER_MICRO: i64 = 1000;
/// Longer periods are cut to this (73 years), so that sums of a few of them stay numbers.
const PERIOD_NANOS_MAX: i64 = i64::MAX / 4;

/// How many requests in how much time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Requests in each period, and at once after a rest.
    pub requests: NonZeroU32,
    /// The period.
    pub period: Duration,
}

impl Quota {
    /// So many requests a second.
    pub const fn per_second(requests: NonZeroU32) -> Self {
        Self {
            requests,
            period: Duration::from_secs(1),
        }
    }

    /// The whole quota as a pace.
    pub(super) fn pace(self) -> Pace {
        let requests = i64::from(self.requests.get());
        let period = i64::try_from(self.period.as_nanos()).unwrap_or(i64::MAX);
        let period = period.min(PERIOD_NANOS_MAX);
        // Rounded up: the rate is never above what was promised.
        let interval = period / requests + i64::from(period % requests != 0);
        Pace {
            interval: interval.max(1),
            size: self.requests.get(),
        }
    }

    /// The part of one of several equal nodes. At least one request fits, however many nodes there are.
    pub(super) fn share(self, nodes: NonZeroU32) -> Pace {
        let whole = self.pace();
        Pace {
            interval: whole.interval.saturating_mul(i64::from(nodes.get())),
            size: (whole.size / nodes).max(1),
        }
    }

    /// As many requests as the quota allows in `time`, rounded up.
    pub(super) fn worth(self, time: Duration) -> u32 {
        let nanos = i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
        let interval = self.pace().interval;
        let requests = nanos / interval + i64::from(nanos % interval != 0);
        u32::try_from(requests).map_or(self.requests.get(), |n| n.min(self.requests.get()))
    }
}

/// A quota in the units of the arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace {
    /// Nanoseconds from one request to the next.
    pub(super) interval: i64,
    /// Requests that a full bucket holds.
    pub(super) size: u32,
}

impl Pace {
    /// Nanoseconds that an empty bucket takes to be full.
    pub(super) fn span(self) -> i64 {
        self.cost(self.size)
    }

    pub(super) fn cost(self, requests: u32) -> i64 {
        self.interval.saturating_mul(i64::from(requests))
    }
}

/// One bucket. A new one is full.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Gcra {
    /// When the bucket is full again, in nanoseconds since the Unix epoch; in the past when it is full.
    full_at: i64,
}

impl Gcra {
    /// Takes `requests` out, or says how long to wait until they are there.
    pub(super) fn take(&mut self, requests: u32, pace: Pace, now: Timestamp) -> Result<(), Duration> {
        let debt = self.debt(pace, now).saturating_add(pace.cost(requests));
        let missing = debt.saturating_sub(pace.span());
        if missing > 0 {
            // The wait is counted from here also where the stored instant lay further ahead.
            self.full_at = self.full_at.min(nanos(now).saturating_add(pace.span()));
            return Err(duration(missing));
        }
        self.full_at = nanos(now).saturating_add(debt);
        Ok(())
    }

    /// Takes `requests` out whether they are there or not; an empty bucket stays empty.
    pub(super) fn charge(&mut self, requests: u32, pace: Pace, now: Timestamp) {
        let debt = self.debt(pace, now).saturating_add(pace.cost(requests));
        self.full_at = nanos(now).saturating_add(debt.min(pace.span()));
    }

    /// Puts back what was taken a moment ago.
    pub(super) fn give_back(&mut self, requests: u32, pace: Pace) {
        self.full_at = self.full_at.saturating_sub(pace.cost(requests));
    }

    /// Requests that could be taken now.
    pub(super) fn room(&self, pace: Pace, now: Timestamp) -> u32 {
        let room = (pace.span() - self.debt(pace, now)) / pace.interval;
        u32::try_from(room).unwrap_or(pace.size)
    }

    /// Time until the bucket is full.
    pub(super) fn full_in(&self, pace: Pace, now: Timestamp) -> Duration {
        duration(self.debt(pace, now))
    }

    /// When the bucket is full, rounded up to the microsecond.
    pub(super) fn full_at(&self) -> Timestamp {
        Timestamp::from_micros(self.full_at.div_euclid(NANOS_PER_MICRO).saturating_add(1))
    }

    /// What is missing in the bucket, as time. Never more than all of it: an instant further ahead was stored before the clock was
    /// set back or the quota changed, and means an empty bucket. So a clock that goes back blocks nobody longer than one interval.
    fn debt(&self, pace: Pace, now: Timestamp) -> i64 {
        self.full_at.saturating_sub(nanos(now)).clamp(0, pace.span())
    }
}

fn nanos(at: Timestamp) -> i64 {
    at.micros().saturating_mul(NANOS_PER_MICRO)
}

/// To the microsecond, rounded up: who waits that long is not refused again.
fn duration(nanos: i64) -> Duration {
    Duration::from_micros(
        u64::try_from(nanos)
            .unwrap_or(0)
            .div_ceil(NANOS_PER_MICRO.unsigned_abs()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn quota(requests: u32, period: Duration) -> Quota {
        Quota {
            requests: NonZeroU32::new(requests).unwrap(),
            period,
        }
    }

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(1_700_000_000_000_000 + micros)
    }

    #[test]
    fn a_full_bucket_holds_one_period_and_refills_evenly() {
        let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
        for (requests, period, interval_us) in [
            (10, second, 100_000),
            (60, minute, 1_000_000),
            (1, Duration::from_secs(3600), 3_600_000_000),
        ] {
            let pace = quota(requests, period).pace();
            let mut bucket = Gcra::default();
            for left in (0..requests).rev() {
                assert_eq!(bucket.take(1, pace, at(0)), Ok(()));
                assert_eq!(bucket.room(pace, at(0)), left);
            }
            let wait = Duration::from_micros(interval_us);
            assert_eq!(bucket.take(1, pace, at(0)), Err(wait), "{requests} in {period:?}");
            assert_eq!(bucket.full_in(pace, at(0)), period);
            assert!(bucket.take(1, pace, at(interval_us as i64 - 1)).is_err());
            assert_eq!(bucket.take(1, pace, at(interval_us as i64)), Ok(()));
        }
    }

    #[test]
    fn a_rate_that_does_not_divide_is_never_exceeded() {
        let pace = quota(700_000, Duration::from_secs(1)).pace();
        assert!(pace.span() >= 1_000_000_000 && pace.span() < 1_001_000_000);
    }

    #[test]
    fn shares_add_up_to_no_more_than_the_quota() {
        let nodes = |n| NonZeroU32::new(n).unwrap();
        let ten = quota(10, Duration::from_secs(1));
        assert_eq!(ten.share(nodes(1)), ten.pace());
        assert_eq!(
            ten.share(nodes(3)),
            Pace {
                interval: 300_000_000,
                size: 3
            }
        );
        assert_eq!(
            ten.share(nodes(30)),
            Pace {
                interval: 3_000_000_000,
                size: 1
            }
        );
    }

    #[test]
    fn worth_is_rounded_up_and_never_above_the_quota() {
        let tenth = Duration::from_millis(100);
        let second = |requests| quota(requests, Duration::from_secs(1)).worth(tenth);
        assert_eq!(
            [second(1), second(10), second(11), second(100), second(1000)],
            [1, 1, 2, 10, 100]
        );
        assert_eq!(quota(5, Duration::from_millis(50)).worth(tenth), 5);
    }

    #[test]
    fn what_is_put_back_can_be_taken_again() {
        let pace = quota(2, Duration::from_secs(1)).pace();
        let mut bucket = Gcra::default();
        bucket.charge(5, pace, at(0));
        assert_eq!(bucket.room(pace, at(0)), 0);
        bucket.give_back(1, pace);
        assert_eq!(bucket.take(2, pace, at(0)), Err(Duration::from_millis(500)));
        assert_eq!(bucket.take(1, pace, at(0)), Ok(()));
    }

    #[test]
    fn extreme_instants_do_not_overflow() {
        let pace = quota(u32::MAX, Duration::MAX).pace();
        for now in [i64::MIN, -1, 0, i64::MAX] {
            let mut bucket = Gcra::default();
            bucket.charge(u32::MAX, pace, Timestamp::from_micros(now));
            bucket.room(pace, Timestamp::from_micros(-now.saturating_add(1)));
            assert!(bucket.take(1, pace, Timestamp::from_micros(now)).is_err() || now == i64::MAX);
        }
    }

    /// A log of every admission: one more fits if, counted from each earlier one on, there are no more than a full bucket
    /// and what has come back since.
    fn log_admits(log: &[i64], pace: Pace, now: i64) -> bool {
        log.iter().enumerate().all(|(place, earlier)| {
            let count = (log.len() - place + 1) as i128;
            let came_back = i128::from(now - earlier) * 1000;
            count * i128::from(pace.interval) <= i128::from(pace.span()) + came_back
        })
    }

    proptest! {
        #[test]
        fn it_admits_exactly_what_a_log_of_all_admissions_would(
            requests in 1_u32..40,
            period_ms in 1_u64..5_000,
            steps in prop::collection::vec(0_i64..300_000, 1..200),
        ) {
            let pace = quota(requests, Duration::from_millis(period_ms)).pace();
            let (mut bucket, mut log, mut now) = (Gcra::default(), Vec::new(), 0);
            for step in steps {
                now += step;
                let is_admitted = bucket.take(1, pace, at(now)).is_ok();
                prop_assert_eq!(is_admitted, log_admits(&log, pace, now));
                if is_admitted {
                    log.push(now);
                }
            }
        }

        #[test]
        fn who_waits_as_told_is_admitted_whatever_the_clock_did(
            requests in 1_u32..40,
            period_ms in 1_u64..5_000,
            steps in prop::collection::vec(-10_000_000_000_i64..10_000_000_000, 1..60),
        ) {
            let quota = quota(requests, Duration::from_millis(period_ms));
            let (pace, mut bucket, mut now) = (quota.pace(), Gcra::default(), 0);
            for step in steps {
                now += step;
                if let Err(wait) = bucket.take(1, pace, at(now)) {
                    prop_assert!(wait <= quota.period + Duration::from_micros(1));
                    now += i64::try_from(wait.as_micros()).unwrap();
                    prop_assert_eq!(bucket.take(1, pace, at(now)), Ok(()));
                }
            }
        }

        #[test]
        fn a_clock_that_jumps_lends_nothing_but_the_time_it_jumped(
            requests in 1_u32..20,
            jumps in prop::collection::vec(-5_000_000_i64..5_000_000, 1..60),
        ) {
            let pace = quota(requests, Duration::from_secs(1)).pace();
            let (mut bucket, mut now, mut admitted, mut forward) = (Gcra::default(), 0, 0_i64, 0);
            for jump in jumps {
                now += jump;
                forward += jump.max(0);
                while bucket.take(1, pace, at(now)).is_ok() {
                    admitted += 1;
                }
            }
            prop_assert!(admitted * pace.interval <= pace.span() + forward * 1000);
        }
    }
}
