//! Looks after a running process: it says that it is alive, takes over from dead ones, measures the backlog, and notices when due mail
//! stands still.

use crate::clock::Timestamp;
use crate::entry::edge::Certificates;
use crate::features::alerts::{self, Alert};
use crate::features::emails::Fresh;
use crate::features::usage::Balance;
use crate::id::OrgId;
use crate::metrics::KindLabel;
use crate::platform::Platform;
use crate::platform::jobs::{HEARTBEAT_EVERY, Jobs, Kind, NODE_ALIVE_FOR, Stop};
use crate::platform::store::StoreError;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// How often the coming days' partitions are looked after.
const MAINTENANCE_EVERY: Duration = Duration::from_secs(3600);

/// Whether this process can do its work, as seen at the last look.
#[derive(Debug, Default)]
pub struct Readiness {
    problem: Mutex<Option<String>>,
    certificates: OnceLock<Arc<Certificates>>,
}

impl Readiness {
    /// What is wrong, if anything, in words for the operator.
    pub fn problem(&self) -> Option<String> {
        let certificates = self.certificates.get();
        if certificates.is_some_and(|certificates| certificates.expires_at().is_none()) {
            return Some("there is no certificate yet; the log tells how asking for one goes".to_owned());
        }
        self.problem
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Nothing is ready without one of these.
    pub(super) fn needs(&self, certificates: Arc<Certificates>) {
        // It is said once, at the start.
        let _ = self.certificates.set(certificates);
    }

    fn set(&self, problem: Option<String>) {
        if let Some(problem) = &problem {
            tracing::warn!(problem, "not ready");
        }
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }
}

/// Since when this node has been able to say that it is alive, without a gap.
struct Touch {
    since: Timestamp,
    last: Timestamp,
}

impl Touch {
    /// Whether this node has been in touch long enough to tell that another is not.
    fn may_judge(&mut self, now: Timestamp) -> bool {
        if now.since(self.last) >= NODE_ALIVE_FOR {
            self.since = now;
        }
        now.since(self.since) >= NODE_ALIVE_FOR
    }
}

/// Notices that due mail stands still, and that it moves again.
pub(super) struct Watchdog {
    stall_after: Duration,
    org: Option<OrgId>,
    is_stalled: bool,
    /// What the organization was last told; unknown to a process that has just begun, because one before it may have told something.
    told: Option<bool>,
}

impl Watchdog {
    /// Mail may be due so long without an attempt; then the organization, if there is one, is told.
    pub(super) fn new(stall_after: Duration, org: Option<OrgId>) -> Self {
        Self {
            stall_after,
            org,
            is_stalled: false,
            told: None,
        }
    }

    /// What is wrong when mail has been due for so long.
    async fn judge(&mut self, platform: &Platform, waited: Duration) -> Option<String> {
        let is_stalled = waited > self.stall_after;
        let label = KindLabel {
            kind: Alert::QueueStalled.name(),
        };
        let alerts = &platform.metrics.alerts;
        alerts.get_or_create(&label).set(i64::from(is_stalled));
        match (std::mem::replace(&mut self.is_stalled, is_stalled), is_stalled) {
            (false, true) => tracing::error!(
                seconds = waited.as_secs(),
                "due mail stands still: nobody tries it; see `sealwright queue`, and whether a process with the role delivery runs"
            ),
            (true, false) => tracing::warn!("due mail moves again"),
            (true, true) | (false, false) => {}
        }
        if self.told != Some(is_stalled) {
            self.tell(platform).await;
        }
        is_stalled.then(|| format!("mail has been due for {} s without an attempt", waited.as_secs()))
    }

    /// Tells the organization; what could not be told is told at the next look.
    async fn tell(&mut self, platform: &Platform) {
        let told = match (&self.org, self.is_stalled) {
            (None, _) => Ok(false),
            (Some(org), true) => alerts::fire(platform, org, Alert::QueueStalled).await,
            (Some(org), false) => alerts::clear(platform, org, Alert::QueueStalled).await,
        };
        match told {
            Ok(_) => self.told = Some(self.is_stalled),
            Err(error) => tracing::error!(%error, "an alert could not be told; trying again"),
        }
    }
}

/// Looks every few seconds until stopped.
pub(super) async fn over(
    platform: Platform,
    jobs: Jobs,
    readiness: Arc<Readiness>,
    fresh: Arc<Fresh>,
    mut watchdog: Watchdog,
    mut stop: Stop,
) {
    let started_at = platform.clock.now();
    let mut touch = Touch {
        since: started_at,
        last: started_at,
    };
    let mut maintained_at = started_at;
    let mut balance = Balance::default();
    while !stop.is_set() {
        let now = platform.clock.now();
        let problem = match look(&platform, &jobs, &mut touch, &mut watchdog, now).await {
            Ok(problem) => problem,
            Err(error) => Some(format!("the store is not usable: {error}")),
        };
        readiness.set(problem);
        fresh.sweep();
        count_unaccounted(&platform, &mut balance).await;
        if now.since(maintained_at) >= MAINTENANCE_EVERY {
            maintained_at = now;
            if let Err(error) = platform.store.ensure_partitions(now.day()).await {
                tracing::error!(%error, "partitions could not be made ahead of time; rows go to the default partition");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(HEARTBEAT_EVERY) => {}
            () = stop.wait() => {}
        }
    }
}

/// Goes on looking for recipients that nothing will become of.
async fn count_unaccounted(platform: &Platform, balance: &mut Balance) {
    let found = match balance.look(platform).await {
        Ok(Some(found)) => found,
        Ok(None) => return,
        Err(error) => return tracing::warn!(%error, "the balance of accepted mail could not be looked at"),
    };
    for (kind, count) in [("missing", found.missing), ("stranded", found.stranded)] {
        let label = KindLabel { kind };
        platform
            .metrics
            .recipients_unaccounted
            .get_or_create(&label)
            .set(count);
    }
}

async fn look(
    platform: &Platform,
    jobs: &Jobs,
    touch: &mut Touch,
    watchdog: &mut Watchdog,
    now: Timestamp,
) -> Result<Option<String>, StoreError> {
    let taken = jobs.heartbeat(now, touch.may_judge(now)).await?;
    touch.last = now;
    if taken > 0 {
        tracing::warn!(jobs = taken, "took over the leases of a process that is gone");
    }
    let strays = jobs.release_strays(&platform.held).await?;
    if strays > 0 {
        tracing::warn!(
            jobs = strays,
            "gave back leases that were committed without an answer"
        );
    }
    let mut problem = None;
    for backlog in jobs.backlog(now).await? {
        let waited = backlog.oldest_due_at.map_or(Duration::ZERO, |at| now.since(at));
        let label = KindLabel {
            kind: backlog.kind.name(),
        };
        platform.metrics.jobs_due.get_or_create(&label).set(backlog.due);
        platform
            .metrics
            .jobs_oldest_due_seconds
            .get_or_create(&label)
            .set(waited.as_secs_f64());
        if backlog.kind == Kind::Deliver {
            problem = watchdog.judge(platform, waited).await;
        }
    }
    Ok(problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_was_out_of_touch_judges_nobody_at_first() {
        let at = |seconds: u64| Timestamp::from_micros(0).plus(Duration::from_secs(seconds));
        let mut touch = Touch {
            since: at(0),
            last: at(0),
        };
        let mut judged = Vec::new();
        for second in [3, 6, 9, 12, 15, 18, 60, 63, 66, 69, 72, 75, 78] {
            if touch.may_judge(at(second)) {
                judged.push(second);
            }
            touch.last = at(second);
        }
        assert_eq!(judged, [15, 18, 75, 78]);
    }
}
