//! Hands events to the endpoints that want them.
//!
//! Events are taken in the order of their ids, many at a time; each delivery gets the next number of its endpoint in the commit that makes
//! it, so a receiver that misses a number knows that it misses an event.

use super::store::{self, NewDelivery};
use super::{Webhooks, endpoint, lane};
use crate::clock::Timestamp;
use crate::features::events::{self, Heading};
use crate::id::{DeliveryId, EventId, Id as _, OrgId, WebhookId};
use crate::platform::jobs::{self, Job, JobError, Kind};
use crate::platform::store::{OrgTx, StoreError};
use crate::platform::vault::random;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// The wait before an event whose hand-over failed is tried again.
const AFTER_ERROR: Duration = Duration::from_secs(5);
/// The wait of an event for one before it, which another node has.
const FOR_EARLIER: Duration = Duration::from_millis(200);

impl Webhooks {
    /// One unit for each organization: its events share the reading of its endpoints and the numbers.
    pub(super) async fn fan_out(self: Arc<Self>, batch: Vec<Job>) {
        let mut of_orgs: HashMap<OrgId, Vec<Job>> = HashMap::new();
        for job in batch {
            of_orgs.entry(job.org.clone()).or_default().push(job);
        }
        let mut tasks = tokio::task::JoinSet::new();
        for jobs in of_orgs.into_values() {
            tasks.spawn(Arc::clone(&self).fan_out_together(jobs));
        }
        tasks.join_all().await;
        self.platform.hints.wake(Kind::Webhook);
    }

    async fn fan_out_together(self: Arc<Self>, jobs: Vec<Job>) {
        match self.try_fan_out(jobs.clone()).await {
            Err(JobError::LeaseLost) if jobs.len() > 1 => {
                // One of them is another's by now; the others are not to wait for it.
                for job in jobs {
                    if let Err(JobError::Store(error)) = self.try_fan_out(vec![job.clone()]).await {
                        self.put_back(job, &error).await;
                    }
                }
            }
            Ok(()) | Err(JobError::LeaseLost) => {}
            Err(JobError::Store(error)) => {
                for job in jobs {
                    self.put_back(job, &error).await;
                }
            }
        }
    }

    async fn try_fan_out(&self, jobs: Vec<Job>) -> Result<(), JobError> {
        let (Some(org), now) = (jobs.first().map(|job| job.org.clone()), self.platform.clock.now()) else {
            return Ok(());
        };
        let unit = async move |tx: &OrgTx| {
            // The fence first: run again after an unknown commit, the unit stops here.
            jobs::finish_all(tx, Kind::Event, &jobs).await?;
            let ids: Vec<EventId> = jobs
                .iter()
                .filter_map(|job| events::id_of(&job.reference))
                .collect();
            let (ready, early) = in_order(tx, events::headings(tx, &ids).await?).await?;
            for event in early {
                let due_at = now.plus(FOR_EARLIER);
                jobs::enqueue(tx, Kind::Event, event.id.as_str(), event.id.day(), due_at, now).await?;
            }
            for endpoint in store::listening(tx).await? {
                let wanted: Vec<&Heading> = ready.iter().filter(|event| endpoint.wants(event)).collect();
                deliver(tx, &endpoint.id, &wanted, now).await?;
            }
            Ok(())
        };
        self.platform.store.org(&org).write("event_fan_out", unit).await
    }

    async fn put_back(&self, job: Job, error: &StoreError) {
        tracing::error!(event = %job.reference, %error, "an event could not be handed to webhooks; trying again");
        let (org, due_at) = (job.org.clone(), self.platform.clock.now().plus(AFTER_ERROR));
        let unit = async move |tx: &OrgTx| jobs::put_back(tx, &job, due_at).await;
        jobs::settle(&self.platform, &org, "event_put_back", unit).await;
    }
}

/// Adds a delivery of each event to an endpoint, with the next numbers; returns them.
pub(super) async fn deliver(
    tx: &OrgTx,
    webhook: &WebhookId,
    events: &[&Heading],
    now: Timestamp,
) -> Result<Vec<DeliveryId>, StoreError> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let first = store::number(tx, webhook, events.len()).await?;
    let new = |(event, sequence): (&&Heading, i64)| NewDelivery {
        id: DeliveryId::generate(now, random()),
        event: event.id.clone(),
        email: event.email.clone(),
        kind: event.kind.clone(),
        sequence,
    };
    let deliveries: Vec<NewDelivery> = events.iter().zip(first..).map(new).collect();
    store::insert_deliveries(tx, webhook, &deliveries, now).await?;
    let references = deliveries.iter().map(|new| new.id.as_str().to_owned()).collect();
    jobs::enqueue_all(tx, Kind::Webhook, references, lane(webhook), now).await?;
    Ok(deliveries.into_iter().map(|new| new.id).collect())
}

/// Parts events into those that may be handed over and those that have to wait, because one before them about the same e-mail is
/// still in another node's hands.
async fn in_order(tx: &OrgTx, events: Vec<Heading>) -> Result<(Vec<Heading>, Vec<Heading>), StoreError> {
    let emails: HashSet<&str> = events
        .iter()
        .filter_map(|event| event.email.as_ref())
        .map(|email| email.as_str())
        .collect();
    let mut earliest: BTreeMap<String, String> = BTreeMap::new();
    for (email, event) in store::not_handed_over(tx, emails.into_iter().map(str::to_owned).collect()).await? {
        let first = earliest.entry(email).or_insert_with(|| event.clone());
        if event < *first {
            *first = event;
        }
    }
    let may_go = |event: &Heading| {
        let email = event.email.as_ref();
        let first = email.and_then(|email| earliest.get(email.as_str()));
        first.is_none_or(|first| event.id.as_str() < first.as_str())
    };
    Ok(events.into_iter().partition(may_go))
}

impl store::Listening {
    fn wants(&self, event: &Heading) -> bool {
        let is_wanted = |pattern| endpoint::wants(pattern, &event.kind);
        self.mode == event.mode && self.events.split(' ').any(is_wanted)
    }
}
