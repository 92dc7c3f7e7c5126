//! Policies that were fetched, and results of TLS that are to be told of. They belong to the installation: what protects a domain protects
//! it for every sender, and a domain is told of all of them together.

use crate::clock::Timestamp;
use crate::platform::store::{Purpose, Row, Store, StoreError, SystemTx, params, statements};
use bytes::Bytes;

/// Domains and days that are looked at in one turn, at most. Not all of them are due at once.
const OPEN_MAX: i64 = 20_000;

statements! {
    system STS_GET = "SELECT policy_sealed FROM sts_policies WHERE destination = $1 AND expires_at > $2";
    system STS_PUT = "INSERT INTO sts_policies (destination, policy_sealed, expires_at) VALUES ($1, $2, $3)
        ON CONFLICT (destination) DO UPDATE SET policy_sealed = excluded.policy_sealed, expires_at = excluded.expires_at";
    system STS_EXPIRE = "DELETE FROM sts_policies WHERE expires_at <= $1";
    system RESULT_ADD = "INSERT INTO tls_results (day, destination, result, result_sealed, sessions) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (day, destination, result) DO UPDATE SET sessions = tls_results.sessions + excluded.sessions";
    system RESULTS_OPEN = "SELECT DISTINCT day, destination FROM tls_results WHERE day < $1 ORDER BY day, destination LIMIT $2";
    system RESULTS = "SELECT result, result_sealed, sessions FROM tls_results WHERE day = $1 AND destination = $2 ORDER BY result";
    system RESULTS_FORGET = "DELETE FROM tls_results WHERE day = $1 AND destination = $2";
}

pub(super) async fn policy(
    store: &Store,
    destination: i64,
    now: Timestamp,
) -> Result<Option<Bytes>, StoreError> {
    let unit = async move |tx: &SystemTx| {
        let row = tx.query_opt(&STS_GET, params![destination, now]).await?;
        row.map(|row| row.reader().next()).transpose()
    };
    store.system(Purpose::Transport).read("sts_policy", unit).await
}

pub(super) async fn keep_policy(
    store: &Store,
    destination: i64,
    sealed: Bytes,
    expires_at: Timestamp,
    now: Timestamp,
) -> Result<(), StoreError> {
    let unit = async move |tx: &SystemTx| {
        tx.execute(&STS_EXPIRE, params![now]).await?;
        let row = params![destination, &sealed, expires_at];
        tx.execute(&STS_PUT, row).await.map(drop)
    };
    store
        .system(Purpose::Transport)
        .write("sts_keep_policy", unit)
        .await
}

/// The sum of one result at one domain on one day.
pub(super) struct ResultRow {
    pub(super) day: i64,
    pub(super) destination: i64,
    pub(super) result: i64,
    pub(super) sealed: Bytes,
    pub(super) sessions: i64,
}

/// A domain that is to be told of a day.
#[derive(Clone, Copy)]
pub(super) struct Open {
    pub(super) day: i64,
    pub(super) destination: i64,
}

pub(super) async fn add_results(store: &Store, rows: Vec<ResultRow>) -> Result<(), StoreError> {
    let unit = async move |tx: &SystemTx| {
        for row in &rows {
            let row = params![row.day, row.destination, row.result, &row.sealed, row.sessions];
            tx.execute(&RESULT_ADD, row).await?;
        }
        Ok(())
    };
    let scope = store.system(Purpose::Transport);
    scope.write("tls_results_add", unit).await
}

/// Domains that are to be told of days before this one, the earliest days first.
pub(super) async fn open_results(store: &Store, day: i64) -> Result<Vec<Open>, StoreError> {
    let unit = async move |tx: &SystemTx| {
        let open = |row: Row| {
            let mut row = row.reader();
            Ok(Open {
                day: row.next()?,
                destination: row.next()?,
            })
        };
        let rows = tx.query(&RESULTS_OPEN, params![day, OPEN_MAX]).await?;
        rows.into_iter().map(open).collect()
    };
    store
        .system(Purpose::Transport)
        .read("tls_results_open", unit)
        .await
}

pub(super) async fn results(store: &Store, of: Open) -> Result<Vec<ResultRow>, StoreError> {
    let unit = async move |tx: &SystemTx| {
        let result = |row: Row| {
            let mut row = row.reader();
            Ok(ResultRow {
                day: of.day,
                destination: of.destination,
                result: row.next()?,
                sealed: row.next()?,
                sessions: row.next()?,
            })
        };
        let rows = tx.query(&RESULTS, params![of.day, of.destination]).await?;
        rows.into_iter().map(result).collect()
    };
    store.system(Purpose::Transport).read("tls_results", unit).await
}

pub(super) async fn forget_results(store: &Store, of: Open) -> Result<(), StoreError> {
    let unit = async move |tx: &SystemTx| {
        let key = params![of.day, of.destination];
        tx.execute(&RESULTS_FORGET, key).await.map(drop)
    };
    store
        .system(Purpose::Transport)
        .write("tls_results_forget", unit)
        .await
}
