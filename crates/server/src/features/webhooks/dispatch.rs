//! Brings one event to one endpoint.

use super::endpoint::{DeliveryStatus, Disabled, Health};
use super::gates::HANGS_AFTER;
use super::log::Log;
use super::request::{NoToken, Request};
use super::store::{self, Attempted};
use super::{Webhooks, endpoint, log, schedule, sign};
use crate::clock::Timestamp;
use crate::features::events;
use crate::id::{DeliveryId, Id as _, WebhookId};
use crate::metrics::KindLabel;
use crate::mode::Mode;
use crate::platform::jobs::{self, Job, JobError, Kind};
use crate::platform::net::{Answer, HttpFailure, HttpsUrl, Outgoing};
use crate::platform::store::{OrgTx, StoreError};
use crate::platform::vault::{Class, OrgVault, VaultError};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

const AFTER_ERROR: Duration = Duration::from_secs(60);
/// How often it is looked whether the delivery before this one has come to its end, when nobody says so.
const FOR_EARLIER: Duration = Duration::from_secs(1);
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
    vault: OrgVault,
    event: events::Stored,
    url: HttpsUrl,
    request: Request,
    headers: HeaderMap,
    body: Bytes,
}

/// What a delivery is found to be.
enum Found {
    Parcel(Box<Parcel>),
    /// One before it about the same e-mail is not at its end.
    TooEarly,
    /// Nothing can be sent any more, and why.
    Over(&'static str),
    /// The endpoint is deleted.
    Gone,
}

/// What an endpoint said, or why it said nothing.
pub(super) enum Heard {
    Answer(Answer),
    Failure(HttpFailure),
    NoToken,
}

impl Heard {
    pub(super) fn answer(&self) -> Option<&Answer> {
        match self {
            Self::Answer(answer) => Some(answer),
            Self::Failure(_) | Self::NoToken => None,
        }
    }

    fn status(&self) -> Option<StatusCode> {
        self.answer().map(|answer| answer.status)
    }

    fn error(&self) -> Option<&'static str> {
        match self {
            Self::Answer(answer) => (!answer.status.is_success()).then_some("unexpected_status"),
            Self::Failure(failure) => Some(failure.code()),
            Self::NoToken => Some("token_error"),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DisabledData<'a> {
    webhook_id: &'a WebhookId,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    failing_since: Option<String>,
}

impl Webhooks {
    pub(super) async fn dispatch(self: Arc<Self>, job: Job) {
        let now = self.platform.clock.now();
        let Some(delivery) = DeliveryId::parse(&job.reference) else {
            return self.finish(job, None, now).await;
        };
        let mut pass = match self.gates.enter(job.part, now).await {
            Ok(pass) => pass,
            Err(turn) => return self.put_off(job, turn).await,
        };
        // There may have been a wait for a slot.
        let now = self.platform.clock.now();
        match self.find(&job, &delivery, now).await {
            Ok(Found::Parcel(parcel)) => {
                let heard = {
                    let mut sending = std::pin::pin!(self.send(&parcel, now));
                    match timeout(HANGS_AFTER, sending.as_mut()).await {
                        Ok(heard) => heard,
                        Err(_) => {
                            pass.hang();
                            sending.await
                        }
                    }
                };
                let (is_taken, is_answered) = (heard.error().is_none(), heard.answer().is_some());
                self.gates.heard(job.part, is_taken, is_answered, now);
                self.record(job, *parcel, heard, now).await;
            }
            Ok(Found::TooEarly) => self.wait_for_earlier(job, delivery, now).await,
            Ok(Found::Over(error)) => self.finish(job, Some((delivery, error)), now).await,
            Ok(Found::Gone) => self.finish(job, None, now).await,
            Err(error) => {
                tracing::error!(%delivery, %error, "a webhook could not be prepared; trying again");
                self.put_off(job, now.plus(AFTER_ERROR)).await;
            }
        }
    }

    async fn find(&self, job: &Job, delivery: &DeliveryId, now: Timestamp) -> Result<Found, DispatchError> {
        let wanted = delivery.clone();
        let unit = async move |tx: &OrgTx| {
            let Some(target) = store::target(tx, &wanted).await? else {
                return Ok::<_, StoreError>(None);
            };
            let is_first = is_first(tx, &target, &wanted).await?;
            let event = events::get(tx, &target.event).await?;
            Ok(Some((target, is_first, event)))
        };
        let scope = self.platform.store.org(&job.org);
        let Some((target, is_first, event)) = scope.read("webhook_parcel", unit).await? else {
            return Ok(Found::Gone);
        };
        if target.status == Health::Disabled.name() {
            return Ok(Found::Over("endpoint_disabled"));
        }
        if !is_first {
            return Ok(Found::TooEarly);
        }
        let Some(event) = event else {
            return Ok(Found::Over("event_forgotten"));
        };
        let vault = self.platform.vault.org(&job.org).await?;
        let body = match event.body(&vault).await {
            Ok(body) => Bytes::from(body),
            Err(VaultError::Forgotten) => return Ok(Found::Over("event_forgotten")),
            Err(error) => return Err(error.into()),
        };
        let url = vault
            .open(endpoint::url_cell(&target.webhook), &target.url_sealed)
            .await?;
        let Ok(url) = HttpsUrl::parse(&String::from_utf8_lossy(&url)) else {
            return Ok(Found::Over("url_error"));
        };
        let request = Request::open(&vault, &target.webhook, target.request_sealed.as_deref()).await?;
        let secrets = secrets(&vault, &target, now).await?;
        let signatures = sign::sign(&secrets, &event.id, now, &body);
        Ok(Found::Parcel(Box::new(Parcel {
            headers: headers(&event, &signatures, target.sequence),
            delivery: delivery.clone(),
            target,
            vault,
            event,
            url,
            request,
            body,
        })))
    }

    async fn send(&self, parcel: &Parcel, now: Timestamp) -> Heard {
        let webhook = &parcel.target.webhook;
        let token = match self.token(&self.http, webhook, &parcel.request, now).await {
            Ok(token) => token,
            Err(NoToken) => return Heard::NoToken,
        };
        let mut headers = parcel.headers.clone();
        parcel.request.write(&mut headers, token.as_ref());
        let outgoing = Outgoing {
            url: &parcel.url,
            headers,
            body: parcel.body.clone(),
            timeout: self.options.timeout,
            min_tls: endpoint::min_tls(&parcel.target.min_tls),
        };
        match self.http.post(outgoing).await {
            Ok(answer) => {
                if answer.status == StatusCode::UNAUTHORIZED {
                    self.tokens.forget(webhook);
                }
                Heard::Answer(answer)
            }
            Err(failure) => Heard::Failure(failure),
        }
    }

    async fn record(&self, job: Job, parcel: Parcel, heard: Heard, started_at: Timestamp) {
        let now = self.platform.clock.now();
        let due_at = schedule::next(job.attempt + 1, &heard, now);
        let status = match (heard.error(), due_at) {
            (None, _) => DeliveryStatus::Succeeded,
            (Some(_), Some(_)) => DeliveryStatus::Pending,
            (Some(_), None) => DeliveryStatus::Failed,
        };
        self.count(&parcel, &heard, status);
        let disabled = self.disabled_by(&parcel, &heard, now).await;
        let number = parcel.target.attempts + 1;
        let log = Log::of(&parcel.headers, &parcel.request.shown(), &heard).json();
        let row = log::row(&parcel.delivery, number);
        let sealed = parcel
            .vault
            .seal(Class::Logs, started_at, log::cell(&row), &log)
            .await;
        let (Ok(log_sealed), Ok(disabled)) = (sealed, disabled) else {
            tracing::error!(delivery = %parcel.delivery, "what became of a webhook could not be sealed; it is sent again");
            return self.put_off(job, now.plus(AFTER_ERROR)).await;
        };
        let attempted = Attempted {
            delivery: parcel.delivery.clone(),
            webhook: parcel.target.webhook.clone(),
            number,
            status,
            code: heard.status().map(|status| status.as_u16().into()),
            error: heard.error(),
            started_at,
            finished_at: now,
            log_sealed: log_sealed.into(),
        };
        let (org, target) = (job.org.clone(), Arc::new(parcel.target));
        let unit = async move |tx: &OrgTx| {
            // The fence first, as in delivery: a unit that is run again after an unknown commit stops here.
            match due_at.filter(|_| disabled.is_none()) {
                Some(due_at) => jobs::postpone(tx, &job, due_at).await?,
                None => jobs::finish(tx, &job).await?,
            }
            store::record(tx, &attempted).await?;
            if let Some((reason, event)) = &disabled
                && store::disable(tx, &target.webhook, *reason).await?
            {
                events::append(tx, event).await?;
                jobs::enqueue(tx, Kind::Notice, event.id.as_str(), 0, now, now).await?;
            }
            if attempted.status != DeliveryStatus::Pending {
                let_next_go(tx, &target, now).await?;
            }
            Ok::<_, JobError>(())
        };
        jobs::settle(&self.platform, &org, "webhook_record", unit).await;
        self.platform.hints.wake(Kind::Webhook);
    }

    fn count(&self, parcel: &Parcel, heard: &Heard, status: DeliveryStatus) {
        let kind = match heard.error() {
            None => "succeeded",
            Some(_) => "failed",
        };
        let requests = &self.platform.metrics.webhook_requests;
        requests.get_or_create(&KindLabel { kind }).inc();
        if let Some(error) = heard.error() {
            let (code, again) = (
                heard.status().map(|status| status.as_u16()),
                status == DeliveryStatus::Pending,
            );
            tracing::info!(delivery = %parcel.delivery, event = %parcel.event.id, code, error, again, "a webhook was not taken");
        }
    }

    /// Why the endpoint gets nothing any more after this, if so, and the event that tells of it.
    async fn disabled_by(
        &self,
        parcel: &Parcel,
        heard: &Heard,
        now: Timestamp,
    ) -> Result<Option<(Disabled, events::Event)>, VaultError> {
        let target = &parcel.target;
        let fails_too_long = |since: &Timestamp| now.since(*since) >= self.options.pause_after;
        let reason = match heard.error() {
            None => return Ok(None),
            Some(_) if heard.status() == Some(StatusCode::GONE) => Disabled::Gone,
            Some(_) if target.failing_since.as_ref().is_some_and(fails_too_long) => Disabled::Failing,
            Some(_) => return Ok(None),
        };
        let about = events::About {
            kind: events::Type::WebhookDisabled,
            mode: Mode::parse(&parcel.event.mode).unwrap_or(Mode::Live),
            email: None,
            at: now,
        };
        let data = DisabledData {
            webhook_id: &target.webhook,
            reason: reason.name(),
            failing_since: target.failing_since.map(Timestamp::rfc3339),
        };
        let event = events::prepare(&parcel.vault, about, &data).await?;
        Ok(Some((reason, event)))
    }

    /// Gives a job back that was not begun.
    async fn put_off(&self, job: Job, due_at: Timestamp) {
        let org = job.org.clone();
        let unit = async move |tx: &OrgTx| jobs::put_back(tx, &job, due_at).await;
        jobs::settle(&self.platform, &org, "webhook_put_off", unit).await;
    }

    /// Gives a job back until the delivery before it has come to its end, unless it has meanwhile.
    async fn wait_for_earlier(&self, job: Job, delivery: DeliveryId, now: Timestamp) {
        let org = job.org.clone();
        let unit = async move |tx: &OrgTx| {
            let target = store::target(tx, &delivery).await?;
            let about = target
                .as_ref()
                .and_then(|target| Some((target, target.email.as_ref()?)));
            let first = match about {
                Some((target, email)) => store::hold_first_pending(tx, &target.webhook, email).await?,
                None => None,
            };
            let due_at = match first.filter(|(first, _)| *first != delivery) {
                Some((first, _)) => {
                    let due = jobs::due_at(tx, Kind::Webhook, first.as_str()).await?;
                    due.map_or(now, |due| due.max(now)).plus(FOR_EARLIER)
                }
                None => now,
            };
            jobs::put_back(tx, &job, due_at).await
        };
        jobs::settle(&self.platform, &org, "webhook_wait", unit).await;
    }

    /// Ends a job without an attempt, and its delivery with it.
    async fn finish(&self, job: Job, over: Option<(DeliveryId, &'static str)>, now: Timestamp) {
        let org = job.org.clone();
        let unit = async move |tx: &OrgTx| {
            jobs::finish(tx, &job).await?;
            if let Some((delivery, error)) = &over {
                store::skip(tx, delivery, error, now).await?;
                if let Some(target) = store::target(tx, delivery).await? {
                    let_next_go(tx, &target, now).await?;
                }
            }
            Ok::<_, JobError>(())
        };
        jobs::settle(&self.platform, &org, "webhook_nothing_left", unit).await;
    }
}

/// Whether no other delivery has to come to its end before this one.
async fn is_first(tx: &OrgTx, target: &store::Target, delivery: &DeliveryId) -> Result<bool, StoreError> {
    let Some(email) = target.email.as_ref().filter(|_| target.is_ordered) else {
        return Ok(true);
    };
    let first = store::first_pending(tx, &target.webhook, email).await?;
    Ok(first.is_none_or(|(first, sequence)| first == *delivery || sequence > target.sequence))
}

/// The delivery that waited for this one is due.
async fn let_next_go(tx: &OrgTx, target: &store::Target, now: Timestamp) -> Result<(), StoreError> {
    let Some(email) = target.email.as_ref().filter(|_| target.is_ordered) else {
        return Ok(());
    };
    match store::first_pending(tx, &target.webhook, email).await? {
        Some((next, _)) => jobs::hasten(tx, Kind::Webhook, next.as_str(), now).await,
        None => Ok(()),
    }
}

/// The secrets that sign now, the newest first: the first is what a receiver finds that looks at one signature only.
async fn secrets(
    vault: &OrgVault,
    target: &store::Target,
    now: Timestamp,
) -> Result<Vec<String>, VaultError> {
    // The cell of both: the old one was the present one when it was sealed.
    let cell = || endpoint::secret_cell(&target.webhook);
    let mut sealed = vec![&target.secret_sealed];
    sealed.extend(
        target
            .previous
            .as_ref()
            .filter(|(_, until)| now < *until)
            .map(|(sealed, _)| sealed),
    );
    let mut secrets = Vec::with_capacity(sealed.len());
    for sealed in sealed {
        let secret = vault.open(cell(), sealed).await?;
        secrets.push(String::from_utf8_lossy(&secret).into_owned());
    }
    Ok(secrets)
}

fn headers(event: &events::Stored, signatures: &sign::Signatures, sequence: i64) -> HeaderMap {
    let sequence = sequence.to_string();
    let values = [
        ("content-type", "application/json"),
        ("user-agent", USER_AGENT),
        ("lettr-signature", &signatures.lettr),
        ("webhook-id", event.id.as_str()),
        ("webhook-timestamp", &signatures.timestamp),
        ("webhook-signature", &signatures.standard),
        ("x-mailpipe-signature", &signatures.mailpipe),
        ("sealwright-sequence", &sequence),
    ];
    let pair = |(name, value): (&'static str, &str)| {
        Some((HeaderName::from_static(name), HeaderValue::from_str(value).ok()?))
    };
    values.into_iter().filter_map(pair).collect()
}
