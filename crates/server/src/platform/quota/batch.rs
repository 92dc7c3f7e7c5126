//! Many requests in one.

use super::gcra::{Gcra, Quota};
use super::{Bucket, Quotas, RetryAfter, Standing, digest, standing_of};
use crate::clock::Timestamp;
use std::num::NonZeroU32;
use std::time::Duration;

impl Quotas {
    /// Charges `requests` that came as one to a second bucket beside each, or to none if one of them refuses; answers with the quota of
    /// each of those buckets, and where the caller stands with it.
    ///
    /// Such a bucket fills at the pace of the quota and holds as much, or the largest batch that may come: so a batch is never too large
    /// for its caller, and over time no more comes in batches than could come one by one. Each node decides by its share alone.
    pub fn admit_batch(
        &self,
        buckets: &[(Bucket, Quota)],
        requests: NonZeroU32,
        largest: NonZeroU32,
        now: Timestamp,
    ) -> Vec<(Quota, Standing)> {
        let nodes = self
            .leases
            .as_ref()
            .map_or(NonZeroU32::MIN, |leases| leases.nodes());
        let wide = |(bucket, quota): &(Bucket, Quota)| (bucket.of_batches(), wide(*quota, nodes, largest));
        let buckets: Vec<_> = buckets.iter().map(wide).collect();
        let mut taken = Vec::with_capacity(buckets.len());
        for (bucket, quota) in &buckets {
            let standing = self.here.change(&bucket.key, now, |gcra| {
                let refused = gcra.take(requests.get(), quota.pace(), now).err();
                Standing {
                    retry_after: refused.map(RetryAfter),
                    ..standing_of(gcra, *quota, now)
                }
            });
            taken.push((*quota, standing));
        }
        let is_admitted = taken.iter().all(|(_, standing)| standing.is_admitted());
        self.count(is_admitted);
        for ((bucket, quota), (_, standing)) in buckets.iter().zip(&taken) {
            if !is_admitted && standing.is_admitted() {
                let give_back = |gcra: &mut Gcra| gcra.give_back(requests.get(), quota.pace());
                // Forgotten in the meantime is as good as given back.
                self.here.look(&bucket.key, give_back);
            }
        }
        taken
    }
}

impl Bucket {
    fn of_batches(&self) -> Self {
        Self {
            key: digest("batch", &[&self.key]),
            is_shared: false,
        }
    }
}

/// This node's share of a quota, as wide as the largest batch.
fn wide(quota: Quota, nodes: NonZeroU32, largest: NonZeroU32) -> Quota {
    let share = quota.share(nodes);
    let requests = largest.max(NonZeroU32::new(share.size).unwrap_or(largest));
    let nanos = share.cost(requests.get()).unsigned_abs();
    Quota {
        requests,
        period: Duration::from_nanos(nanos),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wide_quota_keeps_the_pace_and_holds_a_batch() {
        let n = |number: u32| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        let second = Duration::from_secs(1);
        for (requests, period, nodes, size, seconds) in [
            (10, second, 1, 100, 10),
            (10, second, 2, 100, 20),
            (100, second, 1, 100, 1),
            (1000, second, 1, 1000, 1),
            (60, 60 * second, 1, 100, 100),
        ] {
            let quota = Quota {
                requests: n(requests),
                period,
            };
            let wide = wide(quota, n(nodes), n(100));
            assert_eq!((wide.requests.get(), wide.period), (size, seconds * second));
        }
    }
}
