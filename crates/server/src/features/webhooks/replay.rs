//! Sends again: one delivery, one event, or what happened in a time; and sends samples.

use super::endpoint::{self, DeliveryStatus, Endpoint, WebhookError};
use super::{Webhooks, fan_out, lane, samples, store};
use crate::clock::Timestamp;
use crate::features::events::{self, About, Heading, Type};
use crate::features::keys::Caller;
use crate::id::{DeliveryId, EventId, Id as _, WebhookId};
use crate::platform::Platform;
use crate::platform::jobs::{self, Job, JobError, Kind};
use crate::platform::store::{OrgTx, StoreError};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Events that one unit of a replay looks at.
const SLICE: i64 = 500;
const AFTER_ERROR: Duration = Duration::from_secs(60);

/// Which events of a time are sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Those that the endpoint has not taken, or was never sent.
    NotTaken,
    /// All that it wants.
    All,
}

impl Scope {
    /// All of them.
    pub const ALL: [Scope; 2] = [Self::NotTaken, Self::All];

    /// The word that is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotTaken => "not_taken",
            Self::All => "all",
        }
    }
}

/// A range of event ids that an endpoint is being sent again.
pub(super) struct Replay {
    pub(super) at: EventId,
    pub(super) until: EventId,
    pub(super) scope: String,
    pub(super) mode: String,
    pub(super) events: String,
}

/// Tries a delivery at once, whatever became of it; it keeps its id, its event's id and its number.
pub async fn retry(
    platform: &Platform,
    caller: &Caller,
    webhook: &WebhookId,
    id: &DeliveryId,
) -> Result<(), WebhookError> {
    enabled(platform, caller, webhook).await?;
    let (now, webhook, id) = (platform.clock.now(), webhook.clone(), id.clone());
    let unit = async move |tx: &OrgTx| {
        if store::delivery(tx, &webhook, &id).await?.is_none() {
            return Err(WebhookError::UnknownDelivery);
        }
        Ok(again(tx, &webhook, &id, now).await?)
    };
    let scope = platform.store.org(&caller.org);
    scope.write("webhook_retry", unit).await?;
    platform.hints.wake(Kind::Webhook);
    Ok(())
}

/// Sends one event, again or for the first time, whether the endpoint wants its type or not; returns its delivery.
pub async fn event(
    platform: &Platform,
    caller: &Caller,
    webhook: &WebhookId,
    event: &EventId,
) -> Result<DeliveryId, WebhookError> {
    enabled(platform, caller, webhook).await?;
    let (now, mode) = (platform.clock.now(), caller.mode.name());
    let (webhook, event) = (webhook.clone(), event.clone());
    let unit = async move |tx: &OrgTx| {
        let heading = events::headings(tx, std::slice::from_ref(&event)).await?.pop();
        let heading = heading.filter(|heading| heading.mode == mode);
        let heading = heading.ok_or_else(|| WebhookError::UnknownEvent(event.clone()))?;
        Ok::<_, WebhookError>(send(tx, &webhook, &[&heading], now, |_| true).await?)
    };
    let scope = platform.store.org(&caller.org);
    let sent = scope.write("webhook_replay_event", unit).await?.pop();
    platform.hints.wake(Kind::Webhook);
    sent.ok_or(WebhookError::UnknownDelivery)
}

/// Begins to send again what happened since a time, until another. It goes on by itself, in slices, however much that is.
pub async fn range(
    platform: &Platform,
    caller: &Caller,
    webhook: &WebhookId,
    [since, until]: [Timestamp; 2],
    which: Scope,
) -> Result<(), WebhookError> {
    if until <= since {
        return Err(WebhookError::Range);
    }
    enabled(platform, caller, webhook).await?;
    let (now, webhook) = (platform.clock.now(), webhook.clone());
    let (after, until) = (before(since), before(until));
    let unit = async move |tx: &OrgTx| {
        if !store::start_replay(tx, &webhook, &after, &until, which.name()).await? {
            return Err(WebhookError::Replaying);
        }
        Ok(jobs::enqueue(tx, Kind::Replay, webhook.as_str(), 0, now, now).await?)
    };
    let scope = platform.store.org(&caller.org);
    scope.write("webhook_replay", unit).await?;
    platform.hints.wake(Kind::Replay);
    Ok(())
}

/// Sends a sample of a type of event to one endpoint; returns its delivery.
pub async fn sample(
    platform: &Platform,
    caller: &Caller,
    webhook: &WebhookId,
    kind: Type,
) -> Result<DeliveryId, WebhookError> {
    enabled(platform, caller, webhook).await?;
    let now = platform.clock.now();
    let about = About {
        kind,
        mode: caller.mode,
        email: None,
        at: now,
    };
    let vault = platform.vault.org(&caller.org).await?;
    let event = events::prepare(&vault, about, &samples::data(kind, now)).await?;
    let (webhook, mode) = (webhook.clone(), caller.mode.name());
    let unit = async move |tx: &OrgTx| {
        events::append_for_one(tx, &event).await?;
        let heading = Heading {
            id: event.id.clone(),
            kind: kind.name().to_owned(),
            mode: mode.to_owned(),
            email: None,
        };
        fan_out::deliver(tx, &webhook, &[&heading], now).await
    };
    let scope = platform.store.org(&caller.org);
    let sent = scope.write("webhook_test", unit).await?.pop();
    platform.hints.wake(Kind::Webhook);
    sent.ok_or(WebhookError::UnknownDelivery)
}

/// The caller's endpoint, if it gets anything.
async fn enabled(
    platform: &Platform,
    caller: &Caller,
    webhook: &WebhookId,
) -> Result<Endpoint, WebhookError> {
    let endpoint = endpoint::get(platform, caller, webhook).await?;
    if endpoint.is_disabled() {
        return Err(WebhookError::Disabled);
    }
    Ok(endpoint)
}

/// The id that comes before all of events from this time on.
fn before(at: Timestamp) -> EventId {
    let millis = u128::from(at.millis().max(0).unsigned_abs());
    EventId::of_bits((millis << 80).saturating_sub(1))
}

/// Makes a delivery due that was made before.
async fn again(tx: &OrgTx, webhook: &WebhookId, id: &DeliveryId, now: Timestamp) -> Result<(), StoreError> {
    store::reset(tx, id, now).await?;
    jobs::reschedule(tx, Kind::Webhook, id.as_str(), lane(webhook), now, now).await
}

/// Sends events, again those of which the last delivery ended so that it is `wanted`; one that waits is left to itself.
async fn send(
    tx: &OrgTx,
    webhook: &WebhookId,
    events: &[&Heading],
    now: Timestamp,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<DeliveryId>, StoreError> {
    let ids = events.iter().map(|event| event.id.as_str().to_owned()).collect();
    let known: HashMap<EventId, (DeliveryId, String)> = store::deliveries_of(tx, webhook, ids).await?;
    let mut sent = Vec::new();
    for (delivery, status) in known.values() {
        if wanted(status) {
            again(tx, webhook, delivery, now).await?;
            sent.push(delivery.clone());
        }
    }
    let is_new = |event: &&&Heading| !known.contains_key(&event.id);
    let new: Vec<&Heading> = events.iter().filter(is_new).copied().collect();
    sent.extend(fan_out::deliver(tx, webhook, &new, now).await?);
    Ok(sent)
}

impl Webhooks {
    /// One slice of a replay.
    pub(super) async fn replay(self: Arc<Self>, job: Job) {
        let (now, org) = (self.platform.clock.now(), job.org.clone());
        let slice = job.clone();
        let unit = async move |tx: &OrgTx| -> Result<(), JobError> {
            let webhook = WebhookId::parse(&slice.reference);
            let replay = match &webhook {
                Some(webhook) => store::replay(tx, webhook).await?,
                None => None,
            };
            let (Some(webhook), Some(replay)) = (webhook.clone(), replay) else {
                jobs::finish(tx, &slice).await?;
                // Disabled meanwhile: another replay may begin when it is active again.
                if let Some(webhook) = &webhook {
                    store::move_replay(tx, webhook, None).await?;
                }
                return Ok(());
            };
            let found = events::headings_after(tx, &replay.mode, &replay.at, &replay.until, SLICE).await?;
            let is_wanted = |event: &&Heading| {
                replay
                    .events
                    .split(' ')
                    .any(|pattern| endpoint::wants(pattern, &event.kind))
            };
            let events: Vec<&Heading> = found.iter().filter(is_wanted).collect();
            let takes_all = replay.scope == Scope::All.name();
            let is_open = |status: &str| match status {
                _ if status == DeliveryStatus::Failed.name() => true,
                _ if status == DeliveryStatus::Succeeded.name() => takes_all,
                _ => false,
            };
            // The fence first.
            match found
                .last()
                .filter(|_| i64::try_from(found.len()).is_ok_and(|count| count == SLICE))
            {
                Some(last) => {
                    jobs::put_back(tx, &slice, now).await?;
                    store::move_replay(tx, &webhook, Some(&last.id)).await?;
                }
                None => {
                    jobs::finish(tx, &slice).await?;
                    store::move_replay(tx, &webhook, None).await?;
                }
            }
            send(tx, &webhook, &events, now, is_open).await?;
            Ok(())
        };
        match self
            .platform
            .store
            .org(&org)
            .write("webhook_replay_slice", unit)
            .await
        {
            Ok(()) | Err(JobError::LeaseLost) => {}
            Err(JobError::Store(error)) => {
                tracing::error!(webhook = %job.reference, %error, "a replay could not go on; trying again");
                let due_at = now.plus(AFTER_ERROR);
                let unit = async move |tx: &OrgTx| jobs::put_back(tx, &job, due_at).await;
                jobs::settle(&self.platform, &org, "webhook_replay_put_back", unit).await;
            }
        }
        self.platform.hints.wake(Kind::Webhook);
        self.platform.hints.wake(Kind::Replay);
    }
}
