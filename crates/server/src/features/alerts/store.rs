//! The rows of alerts that go on.

use crate::clock::Timestamp;
use crate::platform::store::{OrgTx, StoreError, params, statements};

statements! {
    org FIRED_AT = "SELECT fired_at FROM alerts WHERE org_id = $1 AND name = $2";
    org INSERT = "INSERT INTO alerts (org_id, name, fired_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    org DELETE = "DELETE FROM alerts WHERE org_id = $1 AND name = $2";
}

pub(super) async fn fired_at(tx: &OrgTx, name: &str) -> Result<Option<Timestamp>, StoreError> {
    let row = tx.query_opt(&FIRED_AT, params![name]).await?;
    row.map(|row| row.reader().next()).transpose()
}

/// `false` when it goes on already.
pub(super) async fn insert(tx: &OrgTx, name: &str, at: Timestamp) -> Result<bool, StoreError> {
    Ok(tx.execute(&INSERT, params![name, at]).await? == 1)
}

/// `false` when it was over already.
pub(super) async fn delete(tx: &OrgTx, name: &str) -> Result<bool, StoreError> {
    Ok(tx.execute(&DELETE, params![name]).await? == 1)
}
