//! The rows of the audit log.

use super::Entry;
use crate::platform::store::{OrgTx, StoreError, params, statements};

statements! {
    org INSERT = "INSERT INTO audit_entries (org_id, id, actor, action, target, detail_sealed, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
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
