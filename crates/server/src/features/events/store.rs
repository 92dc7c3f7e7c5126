//! The rows of events.

use super::{Event, Heading, Stored};
use crate::id::{EmailId, EventId, Id as _};
use crate::platform::store::{OrgTx, Row, StoreError, params, statements};

statements! {
    org INSERT = "INSERT INTO events (org_id, day, id, email_id, mode, type, created_at, body_sealed)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    org HAS_LISTENERS = "SELECT 1 FROM orgs WHERE org_id = $1 AND listeners > 0";
    org GET = "SELECT id, type, mode, created_at, body_sealed FROM events WHERE org_id = $1 AND day = $2 AND id = $3";
    /// $2 and $3 the first and the last day, $4 the ids.
    org GET_ALL =
        sqlite "SELECT id, type, mode, email_id FROM events WHERE org_id = $1 AND day BETWEEN $2 AND $3
            AND id IN (SELECT value FROM json_each($4)) ORDER BY id"
        postgres "SELECT id, type, mode, email_id FROM events WHERE org_id = $1 AND day BETWEEN $2 AND $3 AND id = ANY ($4) ORDER BY id";
    /// After $2/$3 and up to $4/$5, $6 mode, $7 limit.
    org AFTER = "SELECT id, type, mode, email_id FROM events
        WHERE org_id = $1 AND (day, id) > ($2, $3) AND (day, id) <= ($4, $5) AND mode = $6 ORDER BY day, id LIMIT $7";
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

pub(super) async fn get_all(tx: &OrgTx, ids: &[EventId]) -> Result<Vec<Heading>, StoreError> {
    let days = ids.iter().map(EventId::day);
    let (first, last) = (days.clone().min().unwrap_or(0), days.max().unwrap_or(0));
    let ids: Vec<String> = ids.iter().map(|id| id.as_str().to_owned()).collect();
    let rows = tx.query(&GET_ALL, params![first, last, ids]).await?;
    rows.into_iter().map(heading).collect()
}

pub(super) async fn after(
    tx: &OrgTx,
    mode: &str,
    after: &EventId,
    until: &EventId,
    limit: i64,
) -> Result<Vec<Heading>, StoreError> {
    let range = params![after.day(), after, until.day(), until, mode, limit];
    let rows = tx.query(&AFTER, range).await?;
    rows.into_iter().map(heading).collect()
}

fn heading(row: Row) -> Result<Heading, StoreError> {
    let mut row = row.reader();
    Ok(Heading {
        id: row.next()?,
        kind: row.next()?,
        mode: row.next()?,
        email: row.next()?,
    })
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
