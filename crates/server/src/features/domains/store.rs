//! The rows of domains and DKIM keys.

use super::Status;
use crate::clock::Timestamp;
use crate::id::{DkimKeyId, DomainId};
use crate::platform::store::{OrgTx, StoreError, params, statements};
use bytes::Bytes;

statements! {
    org INSERT = "INSERT INTO domains (org_id, id, name, status, created_at) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
    org INSERT_KEY = "INSERT INTO dkim_keys (org_id, id, domain_id, selector, public_record, private_sealed, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    org STATUS = "SELECT status FROM domains WHERE org_id = $1 AND name = $2";
    org KEY = "SELECT k.id, k.selector, k.public_record, k.private_sealed FROM domains d
        JOIN dkim_keys k ON k.org_id = d.org_id AND k.domain_id = d.id
        WHERE d.org_id = $1 AND d.name = $2 AND k.retired_at IS NULL ORDER BY k.created_at DESC LIMIT 1";
    org SET_VERIFIED = "UPDATE domains SET status = 'verified', verified_at = $3 WHERE org_id = $1 AND name = $2";
}

pub(super) struct NewDomain {
    pub(super) id: DomainId,
    pub(super) name: String,
    pub(super) key_id: DkimKeyId,
    pub(super) selector: &'static str,
    pub(super) public_record: String,
    pub(super) private_sealed: Vec<u8>,
    pub(super) created_at: Timestamp,
}

pub(super) struct KeyRow {
    pub(super) id: DkimKeyId,
    pub(super) selector: String,
    pub(super) public_record: String,
    pub(super) private_sealed: Bytes,
}

/// `false` when the organization has the domain already.
pub(super) async fn insert(tx: &OrgTx, new: &NewDomain) -> Result<bool, StoreError> {
    let at = new.created_at;
    let domain = params![&new.id, &new.name, Status::Pending.name(), at];
    if tx.execute(&INSERT, domain).await? == 0 {
        return Ok(false);
    }
    let private = new.private_sealed.as_slice();
    let key = params![
        &new.key_id,
        &new.id,
        new.selector,
        &new.public_record,
        private,
        at
    ];
    tx.execute(&INSERT_KEY, key).await.map(|_| true)
}

pub(super) async fn status(tx: &OrgTx, name: &str) -> Result<Option<String>, StoreError> {
    tx.query_opt(&STATUS, params![name])
        .await?
        .map(|row| row.reader().next())
        .transpose()
}

/// The key that signs now.
pub(super) async fn key(tx: &OrgTx, name: &str) -> Result<Option<KeyRow>, StoreError> {
    let Some(row) = tx.query_opt(&KEY, params![name]).await? else {
        return Ok(None);
    };
    let mut row = row.reader();
    Ok(Some(KeyRow {
        id: row.next()?,
        selector: row.next()?,
        public_record: row.next()?,
        private_sealed: row.next()?,
    }))
}

pub(super) async fn set_verified(tx: &OrgTx, name: &str, at: Timestamp) -> Result<bool, StoreError> {
    Ok(tx.execute(&SET_VERIFIED, params![name, at]).await? == 1)
}
