//! The rows of the audit log.

use super::{Entry, Recorded};
use crate::id::AuditId;
use crate::platform::store::{OrgTx, StoreError, params, statements};

statements! {
    org INSERT = "INSERT INTO audit_entries (org_id, id, actor, action, target, detail_sealed, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    org GET = "SELECT id, actor, action, created_at, detail_sealed FROM audit_entries WHERE org_id = $1 AND id = $2";
    org TARGETS_SINCE = "SELECT target FROM audit_entries WHERE org_id = $1 AND id >= $2 AND action = $3 ORDER BY id";
}

pub(super) async fn insert(tx: &OrgTx, entry: &Entry) -> Result<(), StoreError> {
    let row = params![
        &entry.id,
        &entry.actor,
        entry.action,
        &entry.target,
        entry.detail_sealed.as_slice(),
        entry.at
    ];
    tx.execute(&INSERT, row).await.map(drop)
}

pub(super) async fn get(tx: &OrgTx, id: &AuditId) -> Result<Option<Recorded>, StoreError> {
    let Some(row) = tx.query_opt(&GET, params![id]).await? else {
        return Ok(None);
    };
    let mut row = row.reader();
    Ok(Some(Recorded {
        id: row.next()?,
        actor: row.next()?,
        action: row.next()?,
        at: row.next()?,
        detail_sealed: row.next()?,
    }))
}

pub(super) async fn targets_since(
    tx: &OrgTx,
    action: &str,
    from: &AuditId,
) -> Result<Vec<String>, StoreError> {
    let rows = tx.query(&TARGETS_SINCE, params![from, action]).await?;
    rows.into_iter().map(|row| row.reader().next()).collect()
}
