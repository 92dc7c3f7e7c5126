//! The rows of events.

use super::{Event, Stored};
use crate::id::{EmailId, EventId, Id as _};
use crate::platform::store::{OrgTx, Row, StoreError, params, statements};

statements! {
    org INSERT = "INSERT INTO events (org_id, day, id, email_id, mode, type, created_at, body_sealed)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    org HAS_LISTENERS = "SELECT 1 FROM orgs WHERE org_id = $1 AND listeners > 0";
    org GET = "SELECT id, type, mode, created_at, body_sealed FROM events WHERE org_id = $1 AND day = $2 AND id = $3";
    org OF_EMAIL = "SELECT id, type, mode, created_at, body_sealed FROM events WHERE org_id = $1 AND email_id = $2 ORDER BY id";
}

pub(super) async fn insert(tx: &OrgTx, event: &Event) -> Result<(), StoreError> {
    let params = params![
        event.id.day(),
        &event.id,
        event.email.as_ref(),
        event.mode.name(),
        event.kind.name(),
        event.at,
        &event.body_sealed
    ];
    tx.execute(&INSERT, params).await.map(drop)
}

pub(super) async fn has_listeners(tx: &OrgTx) -> Result<bool, StoreError> {
    Ok(tx.query_opt(&HAS_LISTENERS, params![]).await?.is_some())
}

pub(super) async fn get(tx: &OrgTx, id: &EventId) -> Result<Option<Stored>, StoreError> {
    tx.query_opt(&GET, params![id.day(), id])
        .await?
        .map(stored)
        .transpose()
}

pub(super) async fn of_email(tx: &OrgTx, email: &EmailId) -> Result<Vec<Stored>, StoreError> {
    tx.query(&OF_EMAIL, params![email])
        .await?
        .into_iter()
        .map(stored)
        .collect()
}

fn stored(row: Row) -> Result<Stored, StoreError> {
    let mut row = row.reader();
    Ok(Stored {
        id: row.next()?,
        kind: row.next()?,
        mode: row.next()?,
        at: row.next()?,
        body_sealed: row.next()?,
    })
}
