//! The rows of endpoints and deliveries.

use super::endpoint::{DeliveryStatus, Health, LastDelivery};
use crate::clock::Timestamp;
use crate::id::{DeliveryId, EventId, WebhookId};
use crate::platform::store::{OrgTx, Row, StoreError, params, statements};
use bytes::Bytes;

statements! {
    org INSERT = "INSERT INTO webhooks (org_id, id, mode, url_sealed, description, events, secret_sealed, status, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, 'active', $8)";
    org COUNT = "SELECT count(*) FROM webhooks WHERE org_id = $1";
    org GET = "SELECT w.id, w.url_sealed, w.events, w.description, w.status, w.failure_count, w.created_at, d.updated_at, d.status
        FROM webhooks w LEFT JOIN webhook_deliveries d ON d.org_id = w.org_id AND d.id =
            (SELECT id FROM webhook_deliveries l WHERE l.org_id = w.org_id AND l.webhook_id = w.id ORDER BY l.updated_at DESC LIMIT 1)
        WHERE w.org_id = $1 AND w.mode = $2 AND w.id = $3";
    org LIST = "SELECT w.id, w.url_sealed, w.events, w.description, w.status, w.failure_count, w.created_at, d.updated_at, d.status
        FROM webhooks w LEFT JOIN webhook_deliveries d ON d.org_id = w.org_id AND d.id =
            (SELECT id FROM webhook_deliveries l WHERE l.org_id = w.org_id AND l.webhook_id = w.id ORDER BY l.updated_at DESC LIMIT 1)
        WHERE w.org_id = $1 AND w.mode = $2 ORDER BY w.created_at, w.id";
    org DELETE = "DELETE FROM webhooks WHERE org_id = $1 AND mode = $2 AND id = $3";
    org DELETE_DELIVERIES = "DELETE FROM webhook_deliveries WHERE org_id = $1 AND webhook_id = $2";
    org LISTENING = "SELECT id, events FROM webhooks WHERE org_id = $1 AND mode = $2 AND status <> 'disabled'";
    org INSERT_DELIVERY = "INSERT INTO webhook_deliveries (org_id, id, webhook_id, event_id, status, created_at, updated_at)
        VALUES ($1, $2, $3, $4, 'pending', $5, $5) ON CONFLICT DO NOTHING";
    org TARGET = "SELECT w.id, w.status, w.url_sealed, w.secret_sealed, d.event_id FROM webhook_deliveries d
        JOIN webhooks w ON w.org_id = d.org_id AND w.id = d.webhook_id WHERE d.org_id = $1 AND d.id = $2";
    org RECORD = "UPDATE webhook_deliveries SET status = $3, attempts = attempts + 1, response_code = $4, error = $5, updated_at = $6
        WHERE org_id = $1 AND id = $2";
    /// Writes only when there is something to forget: a healthy endpoint's row is never locked by its deliveries.
    org RECOVERED = "UPDATE webhooks SET failure_count = 0, status = CASE WHEN status = 'disabled' THEN status ELSE 'active' END
        WHERE org_id = $1 AND id = $2 AND failure_count > 0";
    org FAILING = "UPDATE webhooks SET failure_count = failure_count + 1, status = CASE WHEN status = 'active' THEN $3 ELSE status END
        WHERE org_id = $1 AND id = $2";
    org DISABLE = "UPDATE webhooks SET status = 'disabled' WHERE org_id = $1 AND id = $2";
}

pub(super) struct NewWebhook {
    pub(super) id: WebhookId,
    pub(super) mode: &'static str,
    pub(super) url_sealed: Vec<u8>,
    pub(super) secret_sealed: Vec<u8>,
    pub(super) events: String,
    pub(super) description: Option<String>,
    pub(super) created_at: Timestamp,
}

pub(super) async fn insert(tx: &OrgTx, new: &NewWebhook) -> Result<(), StoreError> {
    let (url, secret) = (new.url_sealed.as_slice(), new.secret_sealed.as_slice());
    let row = params![
        &new.id,
        new.mode,
        url,
        new.description.clone(),
        &new.events,
        secret,
        new.created_at
    ];
    tx.execute(&INSERT, row).await.map(drop)
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
    pub(super) last_delivery: Option<LastDelivery>,
}

fn webhook(row: Row) -> Result<WebhookRow, StoreError> {
    let mut row = row.reader();
    let (id, url_sealed, events, description) = (row.next()?, row.next()?, row.next()?, row.next()?);
    let (status, failure_count, created_at) = (row.next()?, row.next()?, row.next()?);
    let last: (Option<Timestamp>, Option<String>) = (row.next()?, row.next()?);
    let last_delivery = last.0.zip(last.1).map(|(at, status)| LastDelivery { at, status });
    Ok(WebhookRow {
        id,
        url_sealed,
        events,
        description,
        status,
        failure_count,
        created_at,
        last_delivery,
    })
}

pub(super) async fn get(tx: &OrgTx, mode: &str, id: &WebhookId) -> Result<Option<WebhookRow>, StoreError> {
    tx.query_opt(&GET, params![mode, id])
        .await?
        .map(webhook)
        .transpose()
}

pub(super) async fn list(tx: &OrgTx, mode: &str) -> Result<Vec<WebhookRow>, StoreError> {
    tx.query(&LIST, params![mode])
        .await?
        .into_iter()
        .map(webhook)
        .collect()
}

pub(super) async fn delete(tx: &OrgTx, mode: &str, id: &WebhookId) -> Result<bool, StoreError> {
    if tx.execute(&DELETE, params![mode, id]).await? == 0 {
        return Ok(false);
    }
    tx.execute(&DELETE_DELIVERIES, params![id]).await.map(|_| true)
}

pub(super) struct Listening {
    pub(super) id: WebhookId,
    pub(super) events: String,
}

pub(super) async fn listening(tx: &OrgTx, mode: &str) -> Result<Vec<Listening>, StoreError> {
    let listening = |row: Row| {
        let mut row = row.reader();
        Ok(Listening {
            id: row.next()?,
            events: row.next()?,
        })
    };
    tx.query(&LISTENING, params![mode])
        .await?
        .into_iter()
        .map(listening)
        .collect()
}

/// `false` when this event was handed to this endpoint before.
pub(super) async fn insert_delivery(
    tx: &OrgTx,
    id: &DeliveryId,
    webhook: &WebhookId,
    event: &EventId,
    at: Timestamp,
) -> Result<bool, StoreError> {
    Ok(tx
        .execute(&INSERT_DELIVERY, params![id, webhook, event, at])
        .await?
        == 1)
}

pub(super) struct Target {
    pub(super) webhook: WebhookId,
    pub(super) status: String,
    pub(super) url_sealed: Bytes,
    pub(super) secret_sealed: Bytes,
    pub(super) event: EventId,
}

pub(super) async fn target(tx: &OrgTx, delivery: &DeliveryId) -> Result<Option<Target>, StoreError> {
    let Some(row) = tx.query_opt(&TARGET, params![delivery]).await? else {
        return Ok(None);
    };
    let mut row = row.reader();
    let (webhook, status, url_sealed, secret_sealed) = (row.next()?, row.next()?, row.next()?, row.next()?);
    Ok(Some(Target {
        webhook,
        status,
        url_sealed,
        secret_sealed,
        event: row.next()?,
    }))
}

/// How an attempt ended.
pub(super) struct Attempted {
    pub(super) is_success: bool,
    /// The endpoint said that it will never take anything again (410).
    pub(super) is_gone: bool,
    pub(super) code: Option<i64>,
    pub(super) error: Option<String>,
}

/// Writes an attempt's end to the delivery, and to the endpoint if its health changed.
pub(super) async fn record(
    tx: &OrgTx,
    delivery: &DeliveryId,
    webhook: &WebhookId,
    result: &Attempted,
    is_last: bool,
    at: Timestamp,
) -> Result<(), StoreError> {
    let status = match (result.is_success, is_last) {
        (true, _) => DeliveryStatus::Succeeded,
        (false, true) => DeliveryStatus::Failed,
        (false, false) => DeliveryStatus::Pending,
    };
    tx.execute(
        &RECORD,
        params![delivery, status.name(), result.code, result.error.clone(), at],
    )
    .await?;
    if result.is_success {
        tx.execute(&RECOVERED, params![webhook]).await?;
    } else {
        let health = if is_last { Health::Failing } else { Health::Active };
        tx.execute(&FAILING, params![webhook, health.name()]).await?;
    }
    if result.is_gone {
        tx.execute(&DISABLE, params![webhook]).await?;
    }
    Ok(())
}
