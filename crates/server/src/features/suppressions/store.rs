//! The rows of suppressions.

use super::Type;
use super::add::Prepared;
use crate::clock::Timestamp;
use crate::id::{EmailId, SuppressionId};
use crate::limits::COUNT_MAX;
use crate::mode::Mode;
use crate::platform::store::{OrgTx, Row, StatementText, StoreError, params, statements};
use bytes::Bytes;
use std::collections::BTreeMap;

statements! {
    org INSERT = "INSERT INTO suppressions
        (org_id, id, mode, type, address_index, address_sealed, reason_sealed, email_id, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (org_id, mode, address_index) DO NOTHING";
    /// $3 is a list of indexes in hexadecimal digits: the engines share no other list. As an array, and not as rows to join with, it is
    /// looked up in the unique index however many suppressions there are.
    org OF = sqlite "SELECT address_index, type FROM suppressions
            WHERE org_id = $1 AND mode = $2 AND address_index IN (SELECT unhex(value) FROM json_each($3))"
        postgres "SELECT address_index, type FROM suppressions
            WHERE org_id = $1 AND mode = $2 AND address_index = ANY (ARRAY(SELECT decode(digits, 'hex') FROM unnest($3::text[]) digits))";
    org GET = "SELECT id, type, address_sealed, reason_sealed, email_id, created_at FROM suppressions
        WHERE org_id = $1 AND mode = $2 AND id = $3";
    org BY_ADDRESS = "SELECT id, type, address_sealed, reason_sealed, email_id, created_at FROM suppressions
        WHERE org_id = $1 AND mode = $2 AND address_index = $3";
    org LIST = "SELECT id, type, address_sealed, reason_sealed, email_id, created_at FROM suppressions
        WHERE org_id = $1 AND mode = $2 AND (type = $3 OR $3 IS NULL) AND (id < $4 OR $4 IS NULL)
        ORDER BY id DESC LIMIT $5";
    org COUNT = "SELECT count(*) FROM (SELECT 1 FROM suppressions
        WHERE org_id = $1 AND mode = $2 AND (type = $3 OR $3 IS NULL) LIMIT $4) AS counted";
    org DELETE = "DELETE FROM suppressions WHERE org_id = $1 AND id = $2";
}

/// `false` when the address is suppressed already.
pub(super) async fn insert(tx: &OrgTx, new: &Prepared) -> Result<bool, StoreError> {
    let row = params![
        &new.id,
        new.mode.name(),
        new.kind.name(),
        new.address_index.as_slice(),
        &new.address_sealed,
        new.reason_sealed.as_ref(),
        new.email.as_ref(),
        new.at
    ];
    Ok(tx.execute(&INSERT, row).await? == 1)
}

/// Which of these addresses, by their blind indexes, are not to be written to, and why.
pub async fn of(tx: &OrgTx, mode: Mode, addresses: &[&[u8]]) -> Result<BTreeMap<Vec<u8>, Type>, StoreError> {
    let digits = |bytes: &&[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let listed: Vec<String> = addresses.iter().map(digits).collect();
    let read = |row: Row| {
        let mut row = row.reader();
        let index: Bytes = row.next()?;
        Ok((index.to_vec(), kind(&row.next::<String>()?, OF.text(), 1)?))
    };
    let rows = tx.query(&OF, params![mode.name(), listed]).await?;
    rows.into_iter().map(read).collect()
}

fn kind(text: &str, statement: StatementText, column: usize) -> Result<Type, StoreError> {
    Type::parse(text).ok_or(StoreError::Shape {
        statement: statement.name,
        column,
    })
}

/// A suppression's row.
#[derive(Debug, Clone)]
pub(super) struct SuppressionRow {
    pub(super) id: SuppressionId,
    pub(super) kind: Type,
    pub(super) address_sealed: Bytes,
    pub(super) reason_sealed: Option<Bytes>,
    pub(super) email: Option<EmailId>,
    pub(super) created_at: Timestamp,
}

fn suppression(row: Row) -> Result<SuppressionRow, StoreError> {
    let mut row = row.reader();
    Ok(SuppressionRow {
        id: row.next()?,
        kind: kind(&row.next::<String>()?, GET.text(), 1)?,
        address_sealed: row.next()?,
        reason_sealed: row.next()?,
        email: row.next()?,
        created_at: row.next()?,
    })
}

pub(super) async fn get(
    tx: &OrgTx,
    mode: Mode,
    id: &SuppressionId,
) -> Result<Option<SuppressionRow>, StoreError> {
    let row = tx.query_opt(&GET, params![mode.name(), id]).await?;
    row.map(suppression).transpose()
}

pub(super) async fn by_address(
    tx: &OrgTx,
    mode: Mode,
    index: &[u8],
) -> Result<Option<SuppressionRow>, StoreError> {
    let row = tx.query_opt(&BY_ADDRESS, params![mode.name(), index]).await?;
    row.map(suppression).transpose()
}

pub(super) async fn list(
    tx: &OrgTx,
    mode: Mode,
    kind: Option<Type>,
    after: Option<&SuppressionId>,
    limit: i64,
) -> Result<Vec<SuppressionRow>, StoreError> {
    let asked = params![mode.name(), kind.map(Type::name), after, limit];
    let rows = tx.query(&LIST, asked).await?;
    rows.into_iter().map(suppression).collect()
}

/// How many there are, counted up to one past [`COUNT_MAX`].
pub(super) async fn count(tx: &OrgTx, mode: Mode, kind: Option<Type>) -> Result<i64, StoreError> {
    let asked = params![mode.name(), kind.map(Type::name), COUNT_MAX + 1];
    let row = tx.query_opt(&COUNT, asked).await?;
    row.map_or(Ok(0), |row| row.reader().next())
}

pub(super) async fn delete(tx: &OrgTx, id: &SuppressionId) -> Result<bool, StoreError> {
    Ok(tx.execute(&DELETE, params![id]).await? == 1)
}
