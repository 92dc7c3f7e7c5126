//! The rows of templates and their versions.

use crate::clock::Timestamp;
use crate::id::TemplateId;
use crate::limits::{COUNT_MAX, TEMPLATE_VERSIONS_MAX};
use crate::platform::store::{OrgTx, Row, StoreError, params, statements};
use bytes::Bytes;

statements! {
    org INSERT = "INSERT INTO templates (org_id, id, name, active_version, latest_version, created_at, updated_at)
        VALUES ($1, $2, $3, 1, 1, $4, $4)";
    org INSERT_VERSION = "INSERT INTO template_versions (org_id, template_id, version, source_sealed, created_at)
        VALUES ($1, $2, $3, $4, $5)";
    org GET = "SELECT id, name, active_version, latest_version, created_at, updated_at FROM templates
        WHERE org_id = $1 AND id = $2";
    org LIST = "SELECT id, name, active_version, latest_version, created_at, updated_at FROM templates
        WHERE org_id = $1 AND (id < $2 OR $2 IS NULL) ORDER BY id DESC LIMIT $3";
    org COUNT = "SELECT count(*) FROM (SELECT 1 FROM templates WHERE org_id = $1 LIMIT $2) AS counted";
    org VERSIONS = "SELECT version, created_at FROM template_versions
        WHERE org_id = $1 AND template_id = $2 ORDER BY version DESC";
    org SOURCE = "SELECT source_sealed FROM template_versions WHERE org_id = $1 AND template_id = $2 AND version = $3";
    /// Nothing happens when the template is not as it was read.
    org UPDATE = "UPDATE templates SET name = $3, active_version = $4, latest_version = $5, updated_at = $6
        WHERE org_id = $1 AND id = $2 AND updated_at = $7 AND latest_version = $8";
    org FORGET_VERSIONS = "DELETE FROM template_versions
        WHERE org_id = $1 AND template_id = $2 AND version <= $3 AND version <> $4";
    org DELETE = "DELETE FROM templates WHERE org_id = $1 AND id = $2";
    org DELETE_VERSIONS = "DELETE FROM template_versions WHERE org_id = $1 AND template_id = $2";
}

/// A template's row.
#[derive(Debug, Clone)]
pub(super) struct TemplateRow {
    pub(super) id: TemplateId,
    pub(super) name: String,
    pub(super) active: i64,
    pub(super) latest: i64,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
}

fn template(row: Row) -> Result<TemplateRow, StoreError> {
    let mut row = row.reader();
    Ok(TemplateRow {
        id: row.next()?,
        name: row.next()?,
        active: row.next()?,
        latest: row.next()?,
        created_at: row.next()?,
        updated_at: row.next()?,
    })
}

/// Stores a new template with its first version.
pub(super) async fn insert(tx: &OrgTx, new: &TemplateRow, source_sealed: &Bytes) -> Result<(), StoreError> {
    tx.execute(&INSERT, params![&new.id, new.name.as_str(), new.created_at])
        .await?;
    insert_version(tx, &new.id, 1, source_sealed, new.created_at).await
}

pub(super) async fn insert_version(
    tx: &OrgTx,
    id: &TemplateId,
    version: i64,
    source_sealed: &Bytes,
    at: Timestamp,
) -> Result<(), StoreError> {
    tx.execute(&INSERT_VERSION, params![id, version, source_sealed, at])
        .await?;
    Ok(())
}

pub(super) async fn get(tx: &OrgTx, id: &TemplateId) -> Result<Option<TemplateRow>, StoreError> {
    tx.query_opt(&GET, params![id]).await?.map(template).transpose()
}

pub(super) async fn list(
    tx: &OrgTx,
    after: Option<&TemplateId>,
    limit: i64,
) -> Result<Vec<TemplateRow>, StoreError> {
    let rows = tx.query(&LIST, params![after, limit]).await?;
    rows.into_iter().map(template).collect()
}

pub(super) async fn count(tx: &OrgTx) -> Result<i64, StoreError> {
    let row = tx.query_opt(&COUNT, params![COUNT_MAX + 1]).await?;
    row.map_or(Ok(0), |row| row.reader().next())
}

/// The versions that are kept, latest first.
pub(super) async fn versions(tx: &OrgTx, id: &TemplateId) -> Result<Vec<(i64, Timestamp)>, StoreError> {
    let rows = tx.query(&VERSIONS, params![id]).await?;
    let read = |row: Row| {
        let mut row = row.reader();
        Ok((row.next()?, row.next()?))
    };
    rows.into_iter().map(read).collect()
}

pub(super) async fn source(tx: &OrgTx, id: &TemplateId, version: i64) -> Result<Option<Bytes>, StoreError> {
    let row = tx.query_opt(&SOURCE, params![id, version]).await?;
    row.map(|row| row.reader().next()).transpose()
}

/// `false` when `old` is not what is stored any more. Versions beyond those that are kept are forgotten.
pub(super) async fn update(tx: &OrgTx, old: &TemplateRow, new: &TemplateRow) -> Result<bool, StoreError> {
    let changed = params![
        &new.id,
        new.name.as_str(),
        new.active,
        new.latest,
        new.updated_at,
        old.updated_at,
        old.latest
    ];
    if tx.execute(&UPDATE, changed).await? == 0 {
        return Ok(false);
    }
    let oldest = new.latest - TEMPLATE_VERSIONS_MAX;
    tx.execute(&FORGET_VERSIONS, params![&new.id, oldest, new.active])
        .await?;
    Ok(true)
}

pub(super) async fn delete(tx: &OrgTx, id: &TemplateId) -> Result<bool, StoreError> {
    tx.execute(&DELETE_VERSIONS, params![id]).await?;
    Ok(tx.execute(&DELETE, params![id]).await? == 1)
}
