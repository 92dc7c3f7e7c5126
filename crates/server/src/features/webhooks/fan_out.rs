//! Hands an event to the endpoints that want it.

use super::{Webhooks, endpoint, store};
use crate::features::events;
use crate::id::{DeliveryId, Id as _};
use crate::platform::jobs::{self, Job, JobError, Kind};
use crate::platform::store::OrgTx;
use crate::platform::vault::random;
use std::sync::Arc;
use std::time::Duration;

/// The wait before an event whose hand-over failed is tried again.
const AFTER_ERROR: Duration = Duration::from_secs(5);

impl Webhooks {
    /// Each event is a unit of its own; units that are submitted together share a commit.
    pub(super) async fn fan_out(self: Arc<Self>, jobs: Vec<Job>) {
        let tasks = jobs.into_iter().map(|job| {
            let webhooks = Arc::clone(&self);
            tokio::spawn(async move { webhooks.fan_out_one(job).await })
        });
        for task in tasks.collect::<Vec<_>>() {
            // A task that panicked has left its job leased; the lease ends with this process.
            let _ = task.await;
        }
        self.platform.hints.wake(Kind::Webhook);
    }

    async fn fan_out_one(&self, job: Job) {
        let now = self.platform.clock.now();
        let unit_job = job.clone();
        let unit = async move |tx: &OrgTx| -> Result<(), JobError> {
            let event = match events::id_of(&unit_job.reference) {
                Some(id) => events::get(tx, &id).await?,
                None => None,
            };
            if let Some(event) = event {
                for webhook in store::listening(tx, &event.mode).await? {
                    if !webhook
                        .events
                        .split(' ')
                        .any(|pattern| endpoint::wants(pattern, &event.kind))
                    {
                        continue;
                    }
                    let delivery = DeliveryId::generate(now, random());
                    if store::insert_delivery(tx, &delivery, &webhook.id, &event.id, now).await? {
                        jobs::enqueue(tx, Kind::Webhook, delivery.as_str(), 0, now, now).await?;
                    }
                }
            }
            jobs::finish(tx, &unit_job).await
        };
        match self
            .platform
            .store
            .org(&job.org)
            .write("event_fan_out", unit)
            .await
        {
            Ok(()) | Err(JobError::LeaseLost) => {}
            Err(JobError::Store(error)) => {
                tracing::error!(event = %job.reference, %error, "an event could not be handed to webhooks; trying again");
                let due_at = now.plus(AFTER_ERROR);
                let org = job.org.clone();
                let unit = async move |tx: &OrgTx| jobs::postpone(tx, &job, due_at).await;
                jobs::settle(&self.platform, &org, "event_put_back", unit).await;
            }
        }
    }
}
