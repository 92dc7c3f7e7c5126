//! The rows of relays.

use super::{Kind, Relay};
use crate::clock::Timestamp;
use crate::id::RelayId;
use crate::platform::store::{OrgTx, Row, StoreError, params, statements};
use bytes::Bytes;

statements! {
    org INSERT = "INSERT INTO relays (org_id, id, name, provider, region, sending_domain, priority, weight, domains, is_enabled,
            credentials_sealed, created_at, feed_secret_sealed)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    org COUNT = "SELECT count(*) FROM relays WHERE org_id = $1";
    org GET = "SELECT id, name, provider, region, sending_domain, priority, weight, domains, is_enabled, failing_since, created_at,
            credentials_sealed, feed_secret_sealed
        FROM relays WHERE org_id = $1 AND id = $2";
    org LIST = "SELECT id, name, provider, region, sending_domain, priority, weight, domains, is_enabled, failing_since, created_at,
            credentials_sealed, feed_secret_sealed
        FROM relays WHERE org_id = $1 ORDER BY priority, created_at, id";
    org UPDATE = "UPDATE relays SET name = $3, priority = $4, weight = $5, domains = $6, is_enabled = $7 WHERE org_id = $1 AND id = $2";
    /// Whether the new ones are taken is not known yet.
    org REPLACE = "UPDATE relays SET credentials_sealed = $3, failing_since = NULL WHERE org_id = $1 AND id = $2";
    org SET_FEED = "UPDATE relays SET feed_secret_sealed = $3 WHERE org_id = $1 AND id = $2";
    org FAILING = "UPDATE relays SET failing_since = $3 WHERE org_id = $1 AND id = $2 AND failing_since IS NULL";
    org RECOVERED = "UPDATE relays SET failing_since = NULL WHERE org_id = $1 AND id = $2";
    org DELETE = "DELETE FROM relays WHERE org_id = $1 AND id = $2";
}

/// A relay with its credentials and the secret of its feed, sealed.
pub(super) struct Sealed {
    pub(super) relay: Relay,
    pub(super) credentials_sealed: Bytes,
    pub(super) feed_secret_sealed: Option<Bytes>,
}

pub(super) async fn insert(tx: &OrgTx, new: &Sealed) -> Result<(), StoreError> {
    let relay = &new.relay;
    let row = params![
        &relay.id,
        &relay.name,
        relay.kind.name(),
        relay.region.clone(),
        relay.sending_domain.clone(),
        relay.priority,
        relay.weight,
        relay.domains.join(" ").as_str(),
        relay.is_enabled,
        &new.credentials_sealed,
        relay.created_at,
        new.feed_secret_sealed.clone()
    ];
    tx.execute(&INSERT, row).await.map(drop)
}

pub(super) async fn count(tx: &OrgTx) -> Result<i64, StoreError> {
    let row = tx.query_opt(&COUNT, params![]).await?;
    row.map_or(Ok(0), |row| row.reader().next())
}

fn read(row: Row) -> Result<Sealed, StoreError> {
    let mut row = row.reader();
    let (id, name, provider): (_, _, String) = (row.next()?, row.next()?, row.next()?);
    let relay = Relay {
        id,
        name,
        kind: Kind::parse(&provider).ok_or_else(|| StoreError::Shape {
            statement: GET.text().name,
            column: 2,
        })?,
        region: row.next()?,
        sending_domain: row.next()?,
        priority: row.next()?,
        weight: row.next()?,
        domains: row
            .next::<String>()?
            .split_whitespace()
            .map(str::to_owned)
            .collect(),
        is_enabled: row.next()?,
        failing_since: row.next()?,
        created_at: row.next()?,
    };
    Ok(Sealed {
        relay,
        credentials_sealed: row.next()?,
        feed_secret_sealed: row.next()?,
    })
}

pub(super) async fn get(tx: &OrgTx, id: &RelayId) -> Result<Option<Sealed>, StoreError> {
    tx.query_opt(&GET, params![id]).await?.map(read).transpose()
}

/// By priority, then the oldest first.
pub(super) async fn list(tx: &OrgTx) -> Result<Vec<Sealed>, StoreError> {
    tx.query(&LIST, params![]).await?.into_iter().map(read).collect()
}

pub(super) async fn update(tx: &OrgTx, relay: &Relay) -> Result<(), StoreError> {
    let row = params![
        &relay.id,
        &relay.name,
        relay.priority,
        relay.weight,
        relay.domains.join(" ").as_str(),
        relay.is_enabled
    ];
    tx.execute(&UPDATE, row).await.map(drop)
}

pub(super) async fn replace_credentials(tx: &OrgTx, id: &RelayId, sealed: &Bytes) -> Result<(), StoreError> {
    tx.execute(&REPLACE, params![id, sealed]).await.map(drop)
}

pub(super) async fn set_feed(tx: &OrgTx, id: &RelayId, sealed: &Bytes) -> Result<(), StoreError> {
    tx.execute(&SET_FEED, params![id, sealed]).await.map(drop)
}

/// Since when its credentials are not taken; `None` when they are.
pub(super) async fn set_failing(
    tx: &OrgTx,
    id: &RelayId,
    since: Option<Timestamp>,
) -> Result<(), StoreError> {
    match since {
        Some(at) => tx.execute(&FAILING, params![id, at]).await.map(drop),
        None => tx.execute(&RECOVERED, params![id]).await.map(drop),
    }
}

pub(super) async fn delete(tx: &OrgTx, id: &RelayId) -> Result<bool, StoreError> {
    Ok(tx.execute(&DELETE, params![id]).await? == 1)
}
