//! Brings one event to one endpoint.

use super::endpoint::Health;
use super::store::{self, Attempted};
use super::{Webhooks, endpoint, sign};
use crate::clock::Timestamp;
use crate::features::events;
use crate::id::{DeliveryId, Id as _};
use crate::metrics::KindLabel;
use crate::platform::jobs::{self, Job};
use crate::platform::net::{Answer, HttpFailure, HttpsUrl, Outgoing, TlsMin};
use crate::platform::store::{OrgTx, StoreError};
use crate::platform::vault::{VaultError, random};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use std::sync::Arc;
use std::time::Duration;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
/// Waits after the first, second, … failed attempt; after the last of them the delivery has failed.
const WAITS_S: [u64; 6] = [MINUTE, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 8 * HOUR, 24 * HOUR];
/// Waits are longer by up to this part, so that deliveries that failed together do not come back together.
const JITTER_PERCENT: u64 = 10;
const USER_AGENT: &str = concat!("Sealwright-Webhooks/", env!("CARGO_PKG_VERSION"));

/// Why a delivery could not be tried at all.
#[derive(Debug, thiserror::Error)]
enum DispatchError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Vault(#[from] VaultError),
}

struct Parcel {
    delivery: DeliveryId,
    target: store::Target,
    event: events::Stored,
    url: HttpsUrl,
    headers: HeaderMap,
    body: Bytes,
}

impl Webhooks {
    pub(super) async fn dispatch(self: Arc<Self>, job: Job) {
        let now = self.platform.clock.now();
        match self.parcel(&job, now).await {
            Ok(Some(parcel)) => {
                let outgoing = Outgoing {
                    url: &parcel.url,
                    headers: parcel.headers.clone(),
                    body: parcel.body.clone(),
                    timeout: self.options.timeout,
                    min_tls: TlsMin::V1_3,
                };
                let answer = self.http.post(outgoing).await;
                self.record(job, &parcel, &answer).await;
            }
            Ok(None) => {
                let dropped = job.clone();
                let unit = async move |tx: &OrgTx| jobs::finish(tx, &dropped).await;
                jobs::settle(&self.platform, &job.org, "webhook_nothing_left", unit).await;
            }
            Err(error) => {
                tracing::error!(delivery = %job.reference, %error, "a webhook could not be prepared; trying again");
                let (postponed, due_at) = (job.clone(), now.plus(Duration::from_secs(MINUTE)));
                let unit = async move |tx: &OrgTx| jobs::put_back(tx, &postponed, due_at).await;
                jobs::settle(&self.platform, &job.org, "webhook_put_back", unit).await;
            }
        }
    }

    /// What is to be posted; `None` when the endpoint or the event is gone, or the endpoint is disabled.
    async fn parcel(&self, job: &Job, now: Timestamp) -> Result<Option<Parcel>, DispatchError> {
        let Some(delivery) = DeliveryId::parse(&job.reference) else {
            return Ok(None);
        };
        let wanted = delivery.clone();
        let unit = async move |tx: &OrgTx| {
            let Some(target) = store::target(tx, &wanted).await? else {
                return Ok::<_, StoreError>(None);
            };
            let event = events::get(tx, &target.event).await?;
            Ok(event.map(|event| (target, event)))
        };
        let found = self
            .platform
            .store
            .org(&job.org)
            .read("webhook_parcel", unit)
            .await?;
        let Some((target, event)) = found.filter(|(target, _)| target.status != Health::Disabled.name())
        else {
            return Ok(None);
        };
        let vault = self.platform.vault.org(&job.org).await?;
        let url = vault
            .open(endpoint::url_cell(&target.webhook), &target.url_sealed)
            .await?;
        let secret = vault
            .open(endpoint::secret_cell(&target.webhook), &target.secret_sealed)
            .await?;
        let body = match event.body(&vault).await {
            Ok(body) => Bytes::from(body),
            Err(VaultError::Forgotten) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let Ok(url) = HttpsUrl::parse(&String::from_utf8_lossy(&url)) else {
            return Ok(None);
        };
        let signatures = sign::sign(&String::from_utf8_lossy(&secret), &event.id, now, &body);
        Ok(Some(Parcel {
            headers: headers(&event, &signatures),
            delivery,
            target,
            event,
            url,
            body,
        }))
    }

    async fn record(&self, job: Job, parcel: &Parcel, answer: &Result<Answer, HttpFailure>) {
        let now = self.platform.clock.now();
        let recorded = recorded(answer);
        let kind = if recorded.is_success {
            "succeeded"
        } else {
            "failed"
        };
        self.platform
            .metrics
            .webhook_requests
            .get_or_create(&KindLabel { kind })
            .inc();
        let due_at = if recorded.is_success || recorded.is_gone {
            None
        } else {
            next(job.attempt + 1, now)
        };
        if !recorded.is_success {
            let (code, error) = (recorded.code, recorded.error.as_deref());
            tracing::info!(delivery = %parcel.delivery, event = %parcel.event.id, code, error, again = due_at.is_some(), "a webhook was not taken");
        }
        let (delivery, webhook, org) = (
            parcel.delivery.clone(),
            parcel.target.webhook.clone(),
            job.org.clone(),
        );
        let unit = async move |tx: &OrgTx| {
            // The fence first, as in delivery: a unit that is run again after an unknown commit stops here.
            match due_at {
                Some(due_at) => jobs::postpone(tx, &job, due_at).await?,
                None => jobs::finish(tx, &job).await?,
            }
            Ok(store::record(tx, &delivery, &webhook, &recorded, due_at.is_none(), now).await?)
        };
        jobs::settle(&self.platform, &org, "webhook_record", unit).await;
    }
}

/// When a delivery is tried again after its attempt-th attempt; `None` after the last.
fn next(attempt: i64, now: Timestamp) -> Option<Timestamp> {
    let index = usize::try_from(attempt.saturating_sub(1)).unwrap_or(0);
    let planned_ms = WAITS_S.get(index)? * 1000;
    let chance = u64::from_ne_bytes(random());
    Some(now.plus(Duration::from_millis(
        planned_ms + chance % (planned_ms * JITTER_PERCENT / 100 + 1),
    )))
}

fn recorded(answer: &Result<Answer, HttpFailure>) -> Attempted {
    match answer {
        Ok(answer) => Attempted {
            is_success: answer.status.is_success(),
            is_gone: answer.status == StatusCode::GONE,
            code: Some(answer.status.as_u16().into()),
            error: (!answer.status.is_success()).then(|| "unexpected_status".to_owned()),
        },
        Err(failure) => Attempted {
            is_success: false,
            is_gone: false,
            code: None,
            error: Some(failure.code().to_owned()),
        },
    }
}

fn headers(event: &events::Stored, signatures: &sign::Signatures) -> HeaderMap {
    let values = [
        ("content-type", "application/json"),
        ("user-agent", USER_AGENT),
        ("lettr-signature", &signatures.lettr),
        ("webhook-id", event.id.as_str()),
        ("webhook-timestamp", &signatures.timestamp),
        ("webhook-signature", &signatures.standard),
        ("x-mailpipe-signature", &signatures.mailpipe),
    ];
    let pair = |(name, value): (&'static str, &str)| {
        Some((HeaderName::from_static(name), HeaderValue::from_str(value).ok()?))
    };
    values.into_iter().filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_is_tried_seven_times_over_a_day_and_a_half() {
        let now = Timestamp::from_micros(0);
        let waits: Vec<_> = (1..=7)
            .map(|attempt| next(attempt, now).map(|at| at.seconds()))
            .collect();
        for (wait, planned) in waits.iter().zip([60, 300, 1_800, 7_200, 28_800, 86_400]) {
            assert!(
                wait.is_some_and(|wait| (planned..=planned * 11 / 10).contains(&wait)),
                "{waits:?}"
            );
        }
        assert_eq!(waits.last(), Some(&None));
    }
}
