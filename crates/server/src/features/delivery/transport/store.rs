//! Policies that were fetched. They belong to the installation: what protects a domain protects it for every sender.

use crate::clock::Timestamp;
use crate::platform::store::{Purpose, Store, StoreError, SystemTx, params, statements};
use bytes::Bytes;

statements! {
    system STS_GET = "SELECT policy_sealed FROM sts_policies WHERE destination = $1 AND expires_at > $2";
    system STS_PUT = "INSERT INTO sts_policies (destination, policy_sealed, expires_at) VALUES ($1, $2, $3)
        ON CONFLICT (destination) DO UPDATE SET policy_sealed = excluded.policy_sealed, expires_at = excluded.expires_at";
    system STS_EXPIRE = "DELETE FROM sts_policies WHERE expires_at <= $1";
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
