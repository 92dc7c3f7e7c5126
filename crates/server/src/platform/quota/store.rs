//! The rows of shared buckets.
//!
//! Only PostgreSQL has any: an embedded store has one process, whose memory is enough. Time is the database's, as for the liveness of
//! nodes: the clocks of several machines would lend and take with every lease.

use super::held::{Ask, Grant};
use super::table::Key;
use crate::platform::store::{Purpose, Row, Store, StoreError, SystemTx, params, statements};
use std::time::Duration;

statements! {
    /// One slice, in one statement: GCRA over the row's instant. $2 tokens wanted, $3 nanoseconds from one to the next, $4 microseconds
    /// that an empty bucket takes to be full, $5 microseconds for what was admitted without asking. `full_at` is rounded up.
    system LEASE =
        sqlite "SELECT 0, 0 WHERE FALSE"
        postgres "UPDATE quotas SET (full_at, granted, leased_at) = (
                SELECT base + (given * $3::bigint + 999) / 1000, given, now FROM (
                    SELECT now, base, greatest(0, least($2::bigint, (now + $4::bigint - base) * 1000 / $3::bigint)) AS given FROM (
                        SELECT now, least(greatest(quotas.full_at, now) + $5::bigint, now + $4::bigint) AS base FROM (
                            SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now) AS clock) AS bucket) AS slice)
            WHERE bucket = $1 RETURNING granted, full_at - leased_at";
    /// A new bucket is full.
    system OPEN = "INSERT INTO quotas (bucket, full_at, granted, leased_at) VALUES ($1, 0, 0, 0) ON CONFLICT DO NOTHING";
    /// Buckets that are full again are as good as absent. Those that are being leased from are skipped: they would not be full.
    system FORGET_FULL =
        sqlite "SELECT 0 WHERE $1 < 0"
        postgres "DELETE FROM quotas WHERE bucket IN (SELECT bucket FROM quotas
            WHERE full_at < (extract(epoch FROM clock_timestamp()) * 1000000)::bigint LIMIT $1 FOR UPDATE SKIP LOCKED)";
    system NODES =
        sqlite "SELECT count(*) FROM nodes"
        postgres "SELECT count(*) FROM nodes WHERE alive_until >= (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
}

/// Rows that one sweep deletes, at most.
const FORGET_MAX: i64 = 1000;

/// Leases from several buckets in one commit. In the order of their keys, so that two nodes never wait for each other in a circle.
pub(super) async fn lease(
    store: &Store,
    mut asks: Vec<(Key, Ask)>,
) -> Result<Vec<(Key, Ask, Grant)>, StoreError> {
    asks.sort_unstable_by_key(|(key, _)| *key);
    let unit = async move |tx: &SystemTx| {
        let mut grants = Vec::with_capacity(asks.len());
        for (key, ask) in &asks {
            let row = match tx.query_opt(&LEASE, lease_params(key, ask)).await? {
                Some(row) => Some(row),
                None => {
                    tx.execute(&OPEN, params![key.as_slice()]).await?;
                    tx.query_opt(&LEASE, lease_params(key, ask)).await?
                }
            };
            // Gone once more: another node swept it in between. The next lease finds it.
            if let Some(row) = row {
                grants.push((*key, *ask, grant(row)?));
            }
        }
        Ok(grants)
    };
    store.system(Purpose::Quota).write("quota_lease", unit).await
}

fn lease_params(key: &Key, ask: &Ask) -> Vec<crate::platform::store::Value> {
    let micros = |nanos: i64| nanos / 1000 + i64::from(nanos % 1000 != 0);
    params![
        key.as_slice(),
        ask.wanted,
        ask.pace.interval,
        micros(ask.pace.span()),
        micros(ask.pace.cost(ask.unpaid))
    ]
}

fn grant(row: Row) -> Result<Grant, StoreError> {
    let mut row = row.reader();
    let (tokens, full_in): (i64, i64) = (row.next()?, row.next()?);
    Ok(Grant {
        tokens: u32::try_from(tokens).unwrap_or(0),
        full_in: Duration::from_micros(u64::try_from(full_in).unwrap_or(0)),
    })
}

/// Nodes that are alive.
pub(super) async fn nodes(store: &Store) -> Result<i64, StoreError> {
    let unit = async move |tx: &SystemTx| match tx.query_opt(&NODES, params![]).await? {
        Some(row) => row.reader().next(),
        None => Ok(0),
    };
    store.system(Purpose::Quota).read("quota_nodes", unit).await
}

/// Deletes rows of full buckets; returns how many.
pub(super) async fn forget_full(store: &Store) -> Result<u64, StoreError> {
    let unit = async move |tx: &SystemTx| tx.execute(&FORGET_FULL, params![FORGET_MAX]).await;
    store
        .system(Purpose::Quota)
        .write("quota_forget_full", unit)
        .await
}
