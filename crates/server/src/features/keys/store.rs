//! The rows of API keys.

use super::{Caller, Mode, NewKey, Permissions};
use crate::clock::Timestamp;
use crate::id::KeyId;
use crate::platform::store::{OrgTx, Purpose, Store, StoreError, SystemTx, params, statements};
use bytes::Bytes;

statements! {
    system FIND = "SELECT org_id, id, mode, digest_sealed, permissions, expires_at, revoked_at FROM api_keys WHERE lookup = $1";
    org INSERT = "INSERT INTO api_keys
        (org_id, id, name, mode, prefix, last_four, lookup, digest_sealed, permissions, created_at, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
}

pub(super) struct FoundRow {
    pub(super) caller: Caller,
    pub(super) digest_sealed: Bytes,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) revoked_at: Option<Timestamp>,
}

pub(super) struct NewRow {
    pub(super) id: KeyId,
    pub(super) lookup: Vec<u8>,
    pub(super) digest_sealed: Vec<u8>,
    pub(super) prefix: &'static str,
    pub(super) last_four: String,
    pub(super) created_at: Timestamp,
    pub(super) new: NewKey,
}

pub(super) async fn find(store: &Store, lookup: Vec<u8>) -> Result<Option<FoundRow>, StoreError> {
    let unit = async move |tx: &SystemTx| {
        let Some(row) = tx.query_opt(&FIND, params![lookup.as_slice()]).await? else {
            return Ok(None);
        };
        let mut row = row.reader();
        let (org, key) = (row.next()?, row.next()?);
        let mode = row.next::<String>()?;
        let mode = Mode::parse(&mode).ok_or(StoreError::Shape {
            statement: FIND.text().name,
            column: 2,
        })?;
        let digest_sealed = row.next()?;
        let permissions = Permissions::from_stored(&row.next::<String>()?);
        let caller = Caller {
            org,
            key,
            mode,
            permissions,
        };
        Ok(Some(FoundRow {
            caller,
            digest_sealed,
            expires_at: row.next()?,
            revoked_at: row.next()?,
        }))
    };
    store.system(Purpose::KeyLookup).read("key_find", unit).await
}

pub(super) async fn insert(tx: &OrgTx, row: &NewRow) -> Result<(), StoreError> {
    let new = &row.new;
    let params = params![
        &row.id,
        &new.name,
        new.mode.name(),
        row.prefix,
        &row.last_four,
        row.lookup.as_slice(),
        row.digest_sealed.as_slice(),
        new.permissions.stored(),
        row.created_at,
        new.expires_at
    ];
    tx.execute(&INSERT, params).await.map(drop)
}
