//! The log of attempts: what was sent, what was answered, how long it took.

use super::dispatch::Heard;
use super::endpoint::{DeliveryStatus, WebhookError};
use super::request::RequestShown;
use super::{endpoint, sign, store};
use crate::clock::Timestamp;
use crate::features::events;
use crate::features::keys::Caller;
use crate::id::{DeliveryId, EventId, WebhookId};
use crate::limits::{COUNT_MAX, WEBHOOK_ANSWER_BYTES_KEPT};
use crate::platform::Platform;
use crate::platform::store::OrgTx;
use crate::platform::vault::{Cell, VaultError};
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is shown where a secret stood.
const HIDDEN: &str = "(hidden)";

/// What one attempt sent and heard.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Log {
    /// Header fields of the request; values of its owner's fields are not kept.
    pub request_headers: BTreeMap<String, String>,
    /// What was answered, if anything.
    pub answer: Option<Answered>,
}

/// What an endpoint answered.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Answered {
    /// Header fields.
    pub headers: BTreeMap<String, String>,
    /// The beginning of the body; what is no UTF-8 is replaced.
    pub body: String,
    /// Whether there was more of it.
    pub is_truncated: bool,
    /// The address that answered.
    pub remote: String,
    /// The version of TLS.
    pub tls: Option<String>,
    /// From the first step to the last byte, in microseconds.
    pub elapsed_us: u64,
    /// Resolving, connecting and the TLS handshake, in microseconds; none on a kept connection.
    pub opening_us: Option<[u64; 3]>,
}

impl Log {
    pub(super) fn of(sent: &HeaderMap, own: &RequestShown, heard: &Heard) -> Self {
        let mut request_headers = texts(sent);
        for name in &own.headers {
            request_headers.insert(name.to_ascii_lowercase(), HIDDEN.to_owned());
        }
        if own.auth.is_some() {
            request_headers.insert("authorization".to_owned(), HIDDEN.to_owned());
        }
        let us = |duration: std::time::Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let answer = heard.answer().map(|answer| {
            let kept = answer.body.get(..WEBHOOK_ANSWER_BYTES_KEPT);
            Answered {
                headers: texts(&answer.headers),
                body: String::from_utf8_lossy(kept.unwrap_or(&answer.body)).into_owned(),
                is_truncated: answer.truncated || kept.is_some(),
                remote: answer.remote.to_string(),
                tls: answer.tls_version.map(|version| version.as_str().to_owned()),
                elapsed_us: us(answer.elapsed),
                opening_us: answer
                    .opening
                    .map(|opening| [opening.resolve, opening.connect, opening.handshake].map(us)),
            }
        });
        Self {
            request_headers,
            answer,
        }
    }

    pub(super) fn json(&self) -> Vec<u8> {
        // Texts and numbers: nothing of it can fail to be written.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

fn texts(headers: &HeaderMap) -> BTreeMap<String, String> {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), text(value)))
        .collect()
}

/// The row of an attempt's log, for its seal.
pub(super) fn row(delivery: &DeliveryId, number: i64) -> String {
    format!("{delivery}/{number}")
}

pub(super) fn cell(row: &str) -> Cell<'_> {
    Cell {
        table: "webhook_attempts",
        column: "log_sealed",
        row,
    }
}

/// A delivery as it is shown.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Its id.
    pub id: DeliveryId,
    /// The event.
    pub event: EventId,
    /// The event's type.
    pub kind: String,
    /// The word of its [`DeliveryStatus`].
    pub status: String,
    /// Its number among the endpoint's deliveries, from 1 without a gap.
    pub sequence: i64,
    /// Attempts that ended.
    pub attempts: i64,
    /// The status code of the last answer.
    pub code: Option<i64>,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its last attempt ended.
    pub updated_at: Timestamp,
    /// When it is tried next.
    pub due_at: Option<Timestamp>,
}

/// Which deliveries to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// In this status.
    pub status: Option<DeliveryStatus>,
    /// Of events of this type.
    pub kind: Option<String>,
    /// Older than this one.
    pub after: Option<DeliveryId>,
    /// At most so many.
    pub limit: i64,
}

/// A page of deliveries.
pub struct Page {
    /// The deliveries, the latest first.
    pub deliveries: Vec<Delivery>,
    /// Whether there are more after them.
    pub has_more: bool,
    /// How many there are in all, exact up to [`COUNT_MAX`].
    pub total: i64,
    /// Whether there are more than that.
    pub is_capped: bool,
}

/// One attempt as it is shown.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Its number, from 1.
    pub number: i64,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
    /// The status code.
    pub code: Option<i64>,
    /// Why it failed.
    pub error: Option<String>,
    /// What was sent and answered, while it is kept.
    pub log: Option<Log>,
    /// What `Lettr-Signature` signs, while the event is kept.
    pub signed: Option<String>,
}

/// The deliveries of an endpoint, the latest first.
pub async fn deliveries(
    platform: &Platform,
    caller: &Caller,
    webhook: &WebhookId,
    filter: Filter,
) -> Result<Page, WebhookError> {
    endpoint::get(platform, caller, webhook).await?;
    let (wanted, limit) = (webhook.clone(), filter.limit);
    let unit = async move |tx: &OrgTx| {
        let before = match &filter.after {
            Some(after) => {
                let delivery = store::delivery(tx, &wanted, after).await?;
                Some(delivery.ok_or(WebhookError::UnknownDelivery)?.sequence)
            }
            None => None,
        };
        let (status, kind) = (filter.status.map(DeliveryStatus::name), filter.kind.clone());
        let total = store::count_deliveries(tx, &wanted, status, kind.clone()).await?;
        let found = store::deliveries(tx, &wanted, status, kind, before, limit + 1).await?;
        Ok::<_, WebhookError>((found, total))
    };
    let scope = platform.store.org(&caller.org);
    let (mut deliveries, total) = scope.read("webhook_deliveries", unit).await?;
    let limit = usize::try_from(limit).unwrap_or(0);
    let has_more = deliveries.len() > limit;
    deliveries.truncate(limit);
    Ok(Page {
        deliveries,
        has_more,
        total: total.min(COUNT_MAX),
        is_capped: total > COUNT_MAX,
    })
}

/// One delivery with its attempts, the first one first.
pub async fn delivery(
    platform: &Platform,
    caller: &Caller,
    webhook: &WebhookId,
    id: &DeliveryId,
) -> Result<(Delivery, Vec<Attempt>), WebhookError> {
    endpoint::get(platform, caller, webhook).await?;
    let (wanted, delivery) = (webhook.clone(), id.clone());
    let unit = async move |tx: &OrgTx| {
        let found = store::delivery(tx, &wanted, &delivery).await?;
        let found = found.ok_or(WebhookError::UnknownDelivery)?;
        let attempts = store::attempts(tx, &delivery).await?;
        let event = events::get(tx, &found.event).await?;
        Ok::<_, WebhookError>((found, attempts, event))
    };
    let scope = platform.store.org(&caller.org);
    let (found, rows, event) = scope.read("webhook_delivery", unit).await?;
    let vault = platform.vault.org(&caller.org).await?;
    let body = match event {
        Some(event) => match event.body(&vault).await {
            Ok(body) => Some(String::from_utf8_lossy(&body).into_owned()),
            Err(VaultError::Forgotten) => None,
            Err(error) => return Err(error.into()),
        },
        None => None,
    };
    let mut attempts = Vec::with_capacity(rows.len());
    for found in rows {
        let row = row(id, found.number);
        let log: Option<Log> = match vault.open(cell(&row), &found.log_sealed).await {
            Ok(log) => serde_json::from_slice(&log).ok(),
            Err(VaultError::Forgotten) => None,
            Err(error) => return Err(error.into()),
        };
        let sent_at = log
            .as_ref()
            .and_then(|log| log.request_headers.get("webhook-timestamp"));
        let signed = sent_at.zip(body.as_ref());
        attempts.push(Attempt {
            number: found.number,
            started_at: found.started_at,
            finished_at: found.finished_at,
            code: found.code,
            error: found.error,
            signed: signed.map(|(at, body)| sign::signed(at, body)),
            log,
        });
    }
    Ok((found, attempts))
}
