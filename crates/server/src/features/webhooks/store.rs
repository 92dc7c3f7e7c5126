//! The rows of endpoints and deliveries.

use super::endpoint::{DeliveryStatus, Disabled, Health, LastDelivery};
use super::log::Delivery;
use super::replay::Replay;
use crate::clock::Timestamp;
use crate::id::{DeliveryId, EmailId, EventId, WebhookId};
use crate::limits::COUNT_MAX;
use crate::platform::store::{OrgTx, Row, StoreError, params, statements};
use bytes::Bytes;
use serde::Serialize;
use std::collections::HashMap;

statements! {
    org INSERT = "INSERT INTO webhooks (org_id, id, mode, url_sealed, description, events, secret_sealed, request_sealed, min_tls,
            is_ordered, status, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'active', $11)";
    org COUNT = "SELECT count(*) FROM webhooks WHERE org_id = $1";
    /// $3 one of them, or all of a mode.
    org GET = "SELECT w.id, w.url_sealed, w.events, w.description, w.status, w.failure_count, w.created_at, w.min_tls, w.is_ordered,
            w.request_sealed, w.previous_until, w.sequence, w.failing_since, w.disabled_reason, w.replay_at, d.updated_at, d.status,
            (SELECT min(p.created_at) FROM webhook_deliveries p
                WHERE p.org_id = w.org_id AND p.webhook_id = w.id AND p.status = 'pending')
        FROM webhooks w LEFT JOIN webhook_deliveries d ON d.org_id = w.org_id AND d.id =
            (SELECT id FROM webhook_deliveries l WHERE l.org_id = w.org_id AND l.webhook_id = w.id ORDER BY l.updated_at DESC LIMIT 1)
        WHERE w.org_id = $1 AND w.mode = $2 AND (w.id = $3 OR $3 IS NULL) ORDER BY w.created_at, w.id";
    /// $3 URL, $4 description, $5 events, $6 least TLS, $7 order, $8 request.
    org CHANGE = "UPDATE webhooks SET url_sealed = $3, description = $4, events = $5, min_tls = $6, is_ordered = $7, request_sealed = $8
        WHERE org_id = $1 AND id = $2";
    org ENABLE = "UPDATE webhooks SET status = 'active', failure_count = 0, failing_since = NULL, disabled_reason = NULL
        WHERE org_id = $1 AND id = $2 AND status <> 'active'";
    org DISABLE = "UPDATE webhooks SET status = 'disabled', disabled_reason = $3 WHERE org_id = $1 AND id = $2 AND status <> 'disabled'";
    org DELETE = "DELETE FROM webhooks WHERE org_id = $1 AND mode = $2 AND id = $3";
    org DELETE_DELIVERIES = "DELETE FROM webhook_deliveries WHERE org_id = $1 AND webhook_id = $2";
    org DELETE_ATTEMPTS = "DELETE FROM webhook_attempts WHERE org_id = $1 AND webhook_id = $2";
    org SECRET = "SELECT secret_sealed, previous_until FROM webhooks WHERE org_id = $1 AND mode = $2 AND id = $3";
    /// $4 what signs as well until $5.
    org ROTATE = "UPDATE webhooks SET secret_sealed = $3, previous_secret_sealed = $4, previous_until = $5 WHERE org_id = $1 AND id = $2";
    org LISTENING = "SELECT id, mode, events FROM webhooks WHERE org_id = $1 AND status <> 'disabled' ORDER BY id";
    /// Takes the row's lock: numbers are given one after the other.
    org NUMBER = "UPDATE webhooks SET sequence = sequence + $3 WHERE org_id = $1 AND id = $2 RETURNING sequence";
    /// Events of these e-mails that were not handed over yet.
    org NOT_HANDED_OVER =
        sqlite "SELECT e.email_id, e.id FROM json_each($2) wanted CROSS JOIN events e ON e.org_id = $1 AND e.email_id = wanted.value
            WHERE EXISTS (SELECT 1 FROM jobs j WHERE j.org_id = $1 AND j.kind = 'event' AND j.ref = e.id)"
        postgres "SELECT e.email_id, e.id FROM events e WHERE e.org_id = $1 AND e.email_id = ANY ($2)
            AND EXISTS (SELECT 1 FROM jobs j WHERE j.org_id = $1 AND j.kind = 'event' AND j.ref = e.id)";
    /// $3 the deliveries as objects, $4 now.
    org INSERT_DELIVERIES =
        sqlite "INSERT INTO webhook_deliveries (org_id, id, webhook_id, event_id, email_id, type, sequence, status, created_at, updated_at)
            SELECT $1, value ->> 'id', $2, value ->> 'event', value ->> 'email', value ->> 'type', value ->> 'sequence', 'pending', $4, $4
            FROM json_each($3)"
        postgres "INSERT INTO webhook_deliveries (org_id, id, webhook_id, event_id, email_id, type, sequence, status, created_at, updated_at)
            SELECT $1, value ->> 'id', $2, value ->> 'event', value ->> 'email', value ->> 'type', (value ->> 'sequence')::bigint, 'pending',
                $4::bigint, $4::bigint
            FROM (SELECT text::jsonb AS value FROM unnest($3::text[]) text) new";
    org TARGET = "SELECT w.id, w.status, w.url_sealed, w.secret_sealed, w.previous_secret_sealed, w.previous_until, w.request_sealed, w.min_tls,
            w.is_ordered, w.failing_since, d.event_id, d.email_id, d.sequence, d.attempts
        FROM webhook_deliveries d JOIN webhooks w ON w.org_id = d.org_id AND w.id = d.webhook_id WHERE d.org_id = $1 AND d.id = $2";
    /// The first delivery about an e-mail that is not at its end.
    org FIRST_PENDING = "SELECT id, sequence FROM webhook_deliveries
        WHERE org_id = $1 AND webhook_id = $2 AND email_id = $3 AND status = 'pending' ORDER BY sequence LIMIT 1";
    org DELIVERY = "SELECT id, event_id, type, status, sequence, attempts, response_code, error, created_at, updated_at,
            (SELECT max(due_at) FROM jobs j WHERE j.org_id = d.org_id AND j.kind = 'webhook' AND j.ref = d.id)
        FROM webhook_deliveries d WHERE org_id = $1 AND webhook_id = $2 AND id = $3";
    /// $3 status, $4 type, $5 the number that they come before, $6 limit.
    org DELIVERIES = "SELECT id, event_id, type, status, sequence, attempts, response_code, error, created_at, updated_at,
            (SELECT max(due_at) FROM jobs j WHERE j.org_id = d.org_id AND j.kind = 'webhook' AND j.ref = d.id)
        FROM webhook_deliveries d WHERE org_id = $1 AND webhook_id = $2 AND (status = $3 OR $3 IS NULL) AND (type = $4 OR $4 IS NULL)
            AND (sequence < $5 OR $5 IS NULL) ORDER BY sequence DESC LIMIT $6";
    /// $3 status, $4 type, $5 where to stop counting.
    org COUNT_DELIVERIES = "SELECT count(*) FROM (SELECT 1 FROM webhook_deliveries
        WHERE org_id = $1 AND webhook_id = $2 AND (status = $3 OR $3 IS NULL) AND (type = $4 OR $4 IS NULL) LIMIT $5) counted";
    org DELIVERIES_OF =
        sqlite "SELECT event_id, id, status FROM webhook_deliveries WHERE org_id = $1 AND webhook_id = $2
            AND event_id IN (SELECT value FROM json_each($3))"
        postgres "SELECT event_id, id, status FROM webhook_deliveries WHERE org_id = $1 AND webhook_id = $2 AND event_id = ANY ($3)";
    org RESET = "UPDATE webhook_deliveries SET status = 'pending', error = NULL, updated_at = $3 WHERE org_id = $1 AND id = $2";
    org ATTEMPTS = "SELECT number, started_at, finished_at, response_code, error, log_sealed FROM webhook_attempts
        WHERE org_id = $1 AND delivery_id = $2 ORDER BY number";
    org START_REPLAY = "UPDATE webhooks SET replay_at = $3, replay_until = $4, replay_of = $5
        WHERE org_id = $1 AND id = $2 AND replay_at IS NULL";
    org REPLAY = "SELECT replay_at, replay_until, replay_of, mode, events FROM webhooks
        WHERE org_id = $1 AND id = $2 AND replay_at IS NOT NULL AND status <> 'disabled'";
    org MOVE_REPLAY = "UPDATE webhooks SET replay_at = $3 WHERE org_id = $1 AND id = $2";
    /// The same, and whoever brings it to its end comes before or after this unit.
    org HOLD_FIRST_PENDING =
        sqlite "SELECT id, sequence FROM webhook_deliveries
            WHERE org_id = $1 AND webhook_id = $2 AND email_id = $3 AND status = 'pending' ORDER BY sequence LIMIT 1"
        postgres "SELECT id, sequence FROM webhook_deliveries
            WHERE org_id = $1 AND webhook_id = $2 AND email_id = $3 AND status = 'pending' ORDER BY sequence LIMIT 1 FOR UPDATE";
    org RECORD = "UPDATE webhook_deliveries SET status = $3, attempts = $4, response_code = $5, error = $6, updated_at = $7
        WHERE org_id = $1 AND id = $2";
    org SKIP = "UPDATE webhook_deliveries SET status = 'failed', error = $3, updated_at = $4 WHERE org_id = $1 AND id = $2 AND status = 'pending'";
    org INSERT_ATTEMPT = "INSERT INTO webhook_attempts (org_id, day, delivery_id, number, webhook_id, started_at, finished_at, response_code, error,
            log_sealed)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    /// Writes only when there is something to forget: a healthy endpoint's row is never locked by its deliveries.
    org RECOVERED = "UPDATE webhooks SET failure_count = 0, failing_since = NULL,
            status = CASE WHEN status = 'disabled' THEN status ELSE 'active' END
        WHERE org_id = $1 AND id = $2 AND failure_count > 0";
    org FAILING = "UPDATE webhooks SET failure_count = failure_count + 1, failing_since = coalesce(failing_since, $4),
            status = CASE WHEN status = 'active' THEN $3 ELSE status END
        WHERE org_id = $1 AND id = $2";
}

/// An endpoint as it is stored, without its id and its times.
pub(super) struct Settings {
    pub(super) url_sealed: Vec<u8>,
    pub(super) events: String,
    pub(super) description: Option<String>,
    pub(super) min_tls: &'static str,
    pub(super) is_ordered: bool,
    pub(super) request_sealed: Option<Vec<u8>>,
}

pub(super) struct NewWebhook {
    pub(super) id: WebhookId,
    pub(super) mode: &'static str,
    pub(super) settings: Settings,
    pub(super) secret_sealed: Vec<u8>,
    pub(super) created_at: Timestamp,
}

pub(super) async fn insert(tx: &OrgTx, new: &NewWebhook) -> Result<(), StoreError> {
    let settings = &new.settings;
    let row = params![
        &new.id,
        new.mode,
        settings.url_sealed.as_slice(),
        settings.description.clone(),
        &settings.events,
        new.secret_sealed.as_slice(),
        settings.request_sealed.clone().map(Bytes::from),
        settings.min_tls,
        i64::from(settings.is_ordered),
        new.created_at
    ];
    tx.execute(&INSERT, row).await.map(drop)
}

pub(super) async fn change(tx: &OrgTx, id: &WebhookId, settings: &Settings) -> Result<(), StoreError> {
    let row = params![
        id,
        settings.url_sealed.as_slice(),
        settings.description.clone(),
        &settings.events,
        settings.min_tls,
        i64::from(settings.is_ordered),
        settings.request_sealed.clone().map(Bytes::from)
    ];
    tx.execute(&CHANGE, row).await.map(drop)
}

pub(super) async fn enable(tx: &OrgTx, id: &WebhookId) -> Result<(), StoreError> {
    tx.execute(&ENABLE, params![id]).await.map(drop)
}

/// `false` when it was disabled before.
pub(super) async fn disable(tx: &OrgTx, id: &WebhookId, reason: Disabled) -> Result<bool, StoreError> {
    Ok(tx.execute(&DISABLE, params![id, reason.name()]).await? == 1)
}

pub(super) async fn count(tx: &OrgTx) -> Result<i64, StoreError> {
    tx.query_opt(&COUNT, params![])
        .await?
        .map_or(Ok(0), |row| row.reader().next())
}

pub(super) struct WebhookRow {
    pub(super) id: WebhookId,
    pub(super) url_sealed: Bytes,
    pub(super) events: String,
    pub(super) description: Option<String>,
    pub(super) status: String,
    pub(super) failure_count: i64,
    pub(super) created_at: Timestamp,
    pub(super) min_tls: String,
    pub(super) is_ordered: bool,
    pub(super) request_sealed: Option<Bytes>,
    pub(super) previous_until: Option<Timestamp>,
    pub(super) sequence: i64,
    pub(super) failing_since: Option<Timestamp>,
    pub(super) disabled_reason: Option<String>,
    pub(super) is_replaying: bool,
    pub(super) last_delivery: Option<LastDelivery>,
    pub(super) oldest_pending_at: Option<Timestamp>,
}

fn webhook(row: Row) -> Result<WebhookRow, StoreError> {
    let mut row = row.reader();
    Ok(WebhookRow {
        id: row.next()?,
        url_sealed: row.next()?,
        events: row.next()?,
        description: row.next()?,
        status: row.next()?,
        failure_count: row.next()?,
        created_at: row.next()?,
        min_tls: row.next()?,
        is_ordered: row.next()?,
        request_sealed: row.next()?,
        previous_until: row.next()?,
        sequence: row.next()?,
        failing_since: row.next()?,
        disabled_reason: row.next()?,
        is_replaying: row.next::<Option<String>>()?.is_some(),
        last_delivery: {
            let last: (Option<Timestamp>, Option<String>) = (row.next()?, row.next()?);
            last.0.zip(last.1).map(|(at, status)| LastDelivery { at, status })
        },
        oldest_pending_at: row.next()?,
    })
}

/// One endpoint of a mode, or all of them, oldest first.
pub(super) async fn get(
    tx: &OrgTx,
    mode: &str,
    id: Option<&WebhookId>,
) -> Result<Vec<WebhookRow>, StoreError> {
    tx.query(&GET, params![mode, id])
        .await?
        .into_iter()
        .map(webhook)
        .collect()
}

pub(super) async fn delete(tx: &OrgTx, mode: &str, id: &WebhookId) -> Result<bool, StoreError> {
    if tx.execute(&DELETE, params![mode, id]).await? == 0 {
        return Ok(false);
    }
    tx.execute(&DELETE_ATTEMPTS, params![id]).await?;
    tx.execute(&DELETE_DELIVERIES, params![id]).await.map(|_| true)
}

/// The secret that signs, and until when the one before it signs, too.
pub(super) async fn secret(
    tx: &OrgTx,
    mode: &str,
    id: &WebhookId,
) -> Result<Option<(Bytes, Option<Timestamp>)>, StoreError> {
    let Some(row) = tx.query_opt(&SECRET, params![mode, id]).await? else {
        return Ok(None);
    };
    let mut row = row.reader();
    Ok(Some((row.next()?, row.next()?)))
}

pub(super) async fn rotate(
    tx: &OrgTx,
    id: &WebhookId,
    secret_sealed: &[u8],
    previous: Option<(&[u8], Timestamp)>,
) -> Result<(), StoreError> {
    let (sealed, until) = previous.unzip();
    let row = params![id, secret_sealed, sealed.map(Bytes::copy_from_slice), until];
    tx.execute(&ROTATE, row).await.map(drop)
}

pub(super) struct Listening {
    pub(super) id: WebhookId,
    pub(super) mode: String,
    pub(super) events: String,
}

pub(super) async fn listening(tx: &OrgTx) -> Result<Vec<Listening>, StoreError> {
    let listening = |row: Row| {
        let mut row = row.reader();
        Ok(Listening {
            id: row.next()?,
            mode: row.next()?,
            events: row.next()?,
        })
    };
    let rows = tx.query(&LISTENING, params![]).await?;
    rows.into_iter().map(listening).collect()
}

/// Takes the next `count` numbers of an endpoint; returns the first of them.
pub(super) async fn number(tx: &OrgTx, id: &WebhookId, count: usize) -> Result<i64, StoreError> {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let row = tx.query_opt(&NUMBER, params![id, count]).await?;
    let last: i64 = row.map_or(Ok(0), |row| row.reader().next())?;
    Ok(last - count + 1)
}

/// E-mail and event of each that was not handed over yet.
pub(super) async fn not_handed_over(
    tx: &OrgTx,
    emails: Vec<String>,
) -> Result<Vec<(String, String)>, StoreError> {
    let pair = |row: Row| {
        let mut row = row.reader();
        Ok((row.next()?, row.next()?))
    };
    if emails.is_empty() {
        return Ok(Vec::new());
    }
    let rows = tx.query(&NOT_HANDED_OVER, params![emails]).await?;
    rows.into_iter().map(pair).collect()
}

#[derive(Serialize)]
pub(super) struct NewDelivery {
    pub(super) id: DeliveryId,
    pub(super) event: EventId,
    pub(super) email: Option<EmailId>,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) sequence: i64,
}

pub(super) async fn insert_deliveries(
    tx: &OrgTx,
    webhook: &WebhookId,
    new: &[NewDelivery],
    at: Timestamp,
) -> Result<(), StoreError> {
    let object = |new: &NewDelivery| serde_json::to_string(new).unwrap_or_default();
    let objects: Vec<String> = new.iter().map(object).collect();
    tx.execute(&INSERT_DELIVERIES, params![webhook, objects, at])
        .await
        .map(drop)
}

/// A delivery with what its endpoint says of how it is made.
pub(super) struct Target {
    pub(super) webhook: WebhookId,
    pub(super) status: String,
    pub(super) url_sealed: Bytes,
    pub(super) secret_sealed: Bytes,
    pub(super) previous: Option<(Bytes, Timestamp)>,
    pub(super) request_sealed: Option<Bytes>,
    pub(super) min_tls: String,
    pub(super) is_ordered: bool,
    pub(super) failing_since: Option<Timestamp>,
    pub(super) event: EventId,
    pub(super) email: Option<EmailId>,
    pub(super) sequence: i64,
    pub(super) attempts: i64,
}

pub(super) async fn target(tx: &OrgTx, delivery: &DeliveryId) -> Result<Option<Target>, StoreError> {
    let Some(row) = tx.query_opt(&TARGET, params![delivery]).await? else {
        return Ok(None);
    };
    let mut row = row.reader();
    Ok(Some(Target {
        webhook: row.next()?,
        status: row.next()?,
        url_sealed: row.next()?,
        secret_sealed: row.next()?,
        previous: {
            let (sealed, until): (Option<Bytes>, Option<Timestamp>) = (row.next()?, row.next()?);
            sealed.zip(until)
        },
        request_sealed: row.next()?,
        min_tls: row.next()?,
        is_ordered: row.next()?,
        failing_since: row.next()?,
        event: row.next()?,
        email: row.next()?,
        sequence: row.next()?,
        attempts: row.next()?,
    }))
}

/// The first delivery of an endpoint about an e-mail that is not at its end, and its number.
pub(super) async fn first_pending(
    tx: &OrgTx,
    webhook: &WebhookId,
    email: &EmailId,
) -> Result<Option<(DeliveryId, i64)>, StoreError> {
    pending(tx.query_opt(&FIRST_PENDING, params![webhook, email]).await?)
}

/// The same, held until the unit's commit: it comes to its end before this is read, or after the commit.
pub(super) async fn hold_first_pending(
    tx: &OrgTx,
    webhook: &WebhookId,
    email: &EmailId,
) -> Result<Option<(DeliveryId, i64)>, StoreError> {
    pending(tx.query_opt(&HOLD_FIRST_PENDING, params![webhook, email]).await?)
}

fn pending(row: Option<Row>) -> Result<Option<(DeliveryId, i64)>, StoreError> {
    let Some(row) = row else {
        return Ok(None);
    };
    let mut row = row.reader();
    Ok(Some((row.next()?, row.next()?)))
}

/// A delivery ends without an attempt.
pub(super) async fn skip(
    tx: &OrgTx,
    delivery: &DeliveryId,
    error: &str,
    at: Timestamp,
) -> Result<(), StoreError> {
    tx.execute(&SKIP, params![delivery, error, at]).await.map(drop)
}

/// How an attempt ended.
pub(super) struct Attempted {
    pub(super) delivery: DeliveryId,
    pub(super) webhook: WebhookId,
    /// The number of this attempt, from 1.
    pub(super) number: i64,
    pub(super) status: DeliveryStatus,
    pub(super) code: Option<i64>,
    pub(super) error: Option<&'static str>,
    pub(super) started_at: Timestamp,
    pub(super) finished_at: Timestamp,
    pub(super) log_sealed: Bytes,
}

/// Writes an attempt's end to the delivery, and to the endpoint if its health changed.
pub(super) async fn record(tx: &OrgTx, attempt: &Attempted) -> Result<(), StoreError> {
    let (delivery, webhook, error) = (
        &attempt.delivery,
        &attempt.webhook,
        attempt.error.map(str::to_owned),
    );
    let attempt_row = params![
        attempt.started_at.day(),
        delivery,
        attempt.number,
        webhook,
        attempt.started_at,
        attempt.finished_at,
        attempt.code,
        error.clone(),
        &attempt.log_sealed
    ];
    tx.execute(&INSERT_ATTEMPT, attempt_row).await?;
    let row = params![
        delivery,
        attempt.status.name(),
        attempt.number,
        attempt.code,
        error,
        attempt.finished_at
    ];
    tx.execute(&RECORD, row).await?;
    let health = match attempt.status {
        DeliveryStatus::Succeeded => return tx.execute(&RECOVERED, params![webhook]).await.map(drop),
        DeliveryStatus::Pending => Health::Active,
        DeliveryStatus::Failed => Health::Failing,
    };
    let row = params![webhook, health.name(), attempt.finished_at];
    tx.execute(&FAILING, row).await.map(drop)
}

fn shown(row: Row) -> Result<Delivery, StoreError> {
    let mut row = row.reader();
    Ok(Delivery {
        id: row.next()?,
        event: row.next()?,
        kind: row.next()?,
        status: row.next()?,
        sequence: row.next()?,
        attempts: row.next()?,
        code: row.next()?,
        error: row.next()?,
        created_at: row.next()?,
        updated_at: row.next()?,
        due_at: row.next()?,
    })
}

pub(super) async fn delivery(
    tx: &OrgTx,
    webhook: &WebhookId,
    id: &DeliveryId,
) -> Result<Option<Delivery>, StoreError> {
    let row = tx.query_opt(&DELIVERY, params![webhook, id]).await?;
    row.map(shown).transpose()
}

pub(super) async fn deliveries(
    tx: &OrgTx,
    webhook: &WebhookId,
    status: Option<&'static str>,
    kind: Option<String>,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<Delivery>, StoreError> {
    let filter = params![webhook, status, kind, before, limit];
    let rows = tx.query(&DELIVERIES, filter).await?;
    rows.into_iter().map(shown).collect()
}

/// Counts no further than one past [`COUNT_MAX`].
pub(super) async fn count_deliveries(
    tx: &OrgTx,
    webhook: &WebhookId,
    status: Option<&'static str>,
    kind: Option<String>,
) -> Result<i64, StoreError> {
    let row = tx.query_opt(&COUNT_DELIVERIES, params![webhook, status, kind, COUNT_MAX + 1]);
    row.await?.map_or(Ok(0), |row| row.reader().next())
}

/// The deliveries of these events, and what has become of them.
pub(super) async fn deliveries_of(
    tx: &OrgTx,
    webhook: &WebhookId,
    events: Vec<String>,
) -> Result<HashMap<EventId, (DeliveryId, String)>, StoreError> {
    let entry = |row: Row| {
        let mut row = row.reader();
        Ok((row.next()?, (row.next()?, row.next()?)))
    };
    let rows = tx.query(&DELIVERIES_OF, params![webhook, events]).await?;
    rows.into_iter().map(entry).collect()
}

/// What became of it before is over.
pub(super) async fn reset(tx: &OrgTx, id: &DeliveryId, at: Timestamp) -> Result<(), StoreError> {
    tx.execute(&RESET, params![id, at]).await.map(drop)
}

pub(super) struct AttemptRow {
    pub(super) number: i64,
    pub(super) started_at: Timestamp,
    pub(super) finished_at: Timestamp,
    pub(super) code: Option<i64>,
    pub(super) error: Option<String>,
    pub(super) log_sealed: Bytes,
}

pub(super) async fn attempts(tx: &OrgTx, delivery: &DeliveryId) -> Result<Vec<AttemptRow>, StoreError> {
    let attempt = |row: Row| {
        let mut row = row.reader();
        Ok(AttemptRow {
            number: row.next()?,
            started_at: row.next()?,
            finished_at: row.next()?,
            code: row.next()?,
            error: row.next()?,
            log_sealed: row.next()?,
        })
    };
    let rows = tx.query(&ATTEMPTS, params![delivery]).await?;
    rows.into_iter().map(attempt).collect()
}

/// `false` when one is under way.
pub(super) async fn start_replay(
    tx: &OrgTx,
    webhook: &WebhookId,
    after: &EventId,
    until: &EventId,
    scope: &'static str,
) -> Result<bool, StoreError> {
    Ok(tx
        .execute(&START_REPLAY, params![webhook, after, until, scope])
        .await?
        == 1)
}

pub(super) async fn replay(tx: &OrgTx, webhook: &WebhookId) -> Result<Option<Replay>, StoreError> {
    let Some(row) = tx.query_opt(&REPLAY, params![webhook]).await? else {
        return Ok(None);
    };
    let mut row = row.reader();
    Ok(Some(Replay {
        at: row.next()?,
        until: row.next()?,
        scope: row.next()?,
        mode: row.next()?,
        events: row.next()?,
    }))
}

/// Up to where a replay has come; `None` ends it.
pub(super) async fn move_replay(
    tx: &OrgTx,
    webhook: &WebhookId,
    at: Option<&EventId>,
) -> Result<(), StoreError> {
    tx.execute(&MOVE_REPLAY, params![webhook, at]).await.map(drop)
}
