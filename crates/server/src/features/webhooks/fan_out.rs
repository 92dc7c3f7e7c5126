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
    /// Units that are submitted at about the same time share a commit.
    pub(super) async fn fan_out(self: Arc<Self>, job: Job) {
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
            Ok(()) => self.platform.hints.wake(Kind::Webhook),
            Err(JobError::LeaseLost) => {}
            Err(JobError::Store(error)) => {
                tracing::error!(event = %job.reference, %error, "an event could not be handed to webhooks; trying again");
                let due_at = now.plus(AFTER_ERROR);
                let org = job.org.clone();
                let unit = async move |tx: &OrgTx| jobs::put_back(tx, &job, due_at).await;
                jobs::settle(&self.platform, &org, "event_put_back", unit).await;
            }
        }
    }
}
