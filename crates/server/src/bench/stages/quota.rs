//! Deciding about requests: what a limit costs each of them.

use super::super::ground::Ground;
use super::super::meter::{Measured, Meter, Stopwatch};
use super::super::{BenchError, failed};
use crate::id::{Id as _, KeyId, OrgId};
use crate::platform::quota::{Bucket, Quota, Quotas};
use std::num::NonZeroU32;
use std::sync::Arc;
use tokio::task::JoinSet;

/// Organizations that ask, each with one key.
const ORGS: u8 = 64;
/// More than they can ask: a refusal would be another figure.
const PER_SECOND: NonZeroU32 = match NonZeroU32::new(1_000_000) {
    Some(requests) => requests,
    None => NonZeroU32::MIN,
};
/// Decisions between two looks at the watch.
const DECISIONS: u64 = 256;

/// Decides on all cores for a period, each time about an organization and its key together, at the time of the clock.
pub(super) async fn decide(ground: &Ground) -> Result<Measured, BenchError> {
    let what = "the quotas";
    let (platform, _lock) = ground.open().await?;
    let quotas = Arc::new(Quotas::new(
        platform.store.clone(),
        platform.clock.clone(),
        &platform.metrics,
    ));
    let period = ground.options.period;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut tasks = JoinSet::new();
    let (meter, watch) = (Meter::start()?, Stopwatch::start());
    for _ in 0..cores {
        let (quotas, clock) = (Arc::clone(&quotas), platform.clock.clone());
        tasks.spawn(async move {
            let quota = Quota::per_second(PER_SECOND);
            let ids = (0..ORGS).map(|org| {
                let (at, entropy) = (clock.now(), [org; 10]);
                (OrgId::generate(at, entropy), KeyId::generate(at, entropy))
            });
            let ids: Vec<_> = ids.collect();
            let (mut decided, mut admitted) = (0, 0);
            while watch.elapsed() < period {
                for (org, key) in ids.iter().cycle().take(DECISIONS as usize) {
                    let buckets = [(Bucket::of_key(key), quota), (Bucket::of_org(org), quota)];
                    let standings = quotas.admit_all(&buckets, clock.now()).await;
                    admitted += u64::from(standings.iter().all(|standing| standing.is_admitted()));
                }
                decided += DECISIONS;
            }
            (decided, admitted)
        });
    }
    let (mut decided, mut admitted) = (0, 0);
    while let Some(task) = tasks.join_next().await {
        let (all, good) = task.map_err(failed(what))?;
        (decided, admitted) = (decided + all, admitted + good);
    }
    if decided != admitted {
        return Err(failed(what)(format!(
            "{} requests were refused",
            decided - admitted
        )));
    }
    meter.stop(decided, Vec::new())
}
