//! The rows of domains and DKIM keys.

use super::keys::NewKey;
use super::{Algorithm, DkimKey, Domain, Finding, Route, Sender, Status, Tls};
use crate::clock::Timestamp;
use crate::id::{DkimKeyId, DomainId, Id as _};
use crate::platform::store::{
    OrgTx, Purpose, Row, StatementText, Store, StoreError, SystemTx, params, statements,
};
use bytes::Bytes;

statements! {
    /// A domain that was deleted comes back as it was, but unverified.
    org INSERT = "INSERT INTO domains (org_id, id, name, status, created_at) VALUES ($1, $2, $3, 'pending', $4)
        ON CONFLICT (org_id, name) DO UPDATE SET status = 'pending', created_at = excluded.created_at,
            checked_at = NULL, findings = '[]', missing_since = NULL, is_assumed = 0, tls = 'opportunistic', deleted_at = NULL
        WHERE domains.deleted_at IS NOT NULL
        RETURNING id";
    org INSERT_KEY = "INSERT INTO dkim_keys
        (org_id, id, domain_id, selector, algorithm, public_record, private_sealed, created_at, signing_since)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    org COUNT = "SELECT count(*) FROM domains WHERE org_id = $1 AND deleted_at IS NULL";
    org COUNT_DELETED = "SELECT count(*) FROM domains WHERE org_id = $1 AND deleted_at IS NOT NULL";
    org KNOWN = "SELECT id, deleted_at FROM domains WHERE org_id = $1 AND name = $2";
    org COUNT_OF = "SELECT count(*) FROM domains WHERE org_id = $1 AND (status = $2 OR $2 IS NULL) AND deleted_at IS NULL";
    org STATUS = "SELECT status, id, tls FROM domains WHERE org_id = $1 AND name = $2 AND deleted_at IS NULL";
    org GET = "SELECT id, name, status, verified_at, checked_at, findings, missing_since, is_assumed, has_ed25519, tls, route, created_at,
            deleted_at
        FROM domains WHERE org_id = $1 AND id = $2";
    org LIST = "SELECT id, name, status, verified_at, checked_at, findings, missing_since, is_assumed, has_ed25519, tls, route, created_at,
            deleted_at
        FROM domains WHERE org_id = $1 AND (status = $2 OR $2 IS NULL) AND deleted_at IS NULL
        AND ($3 = '' OR (created_at, id) < (SELECT created_at, id FROM domains WHERE org_id = $1 AND id = $3))
        ORDER BY created_at DESC, id DESC LIMIT $4";
    org KEYS = "SELECT id, selector, algorithm, public_record, signing_since, retired_at FROM dkim_keys
        WHERE org_id = $1 AND domain_id = $2 ORDER BY selector";
    /// Also of a domain that was deleted: mail from it may still be under way.
    org SIGNING_KEYS = "SELECT k.id, k.selector, k.algorithm, k.public_record, k.private_sealed, k.signing_since, k.retired_at FROM domains d
        JOIN dkim_keys k ON k.org_id = d.org_id AND k.domain_id = d.id
        WHERE d.org_id = $1 AND d.name = $2 AND k.signing_since IS NOT NULL ORDER BY k.algorithm DESC, k.signing_since DESC";
    org FINDINGS = "SELECT findings, route FROM domains WHERE org_id = $1 AND name = $2 AND deleted_at IS NULL";
    org DELETE_KEY = "DELETE FROM dkim_keys WHERE org_id = $1 AND id = $2";
    org RETIRE = "UPDATE dkim_keys SET retired_at = $3 WHERE org_id = $1 AND id = $2 AND signing_since IS NOT NULL AND retired_at IS NULL";
    org RETIRE_ED25519 = "UPDATE dkim_keys SET retired_at = $3
        WHERE org_id = $1 AND domain_id = $2 AND algorithm = 'ed25519' AND signing_since IS NOT NULL AND retired_at IS NULL";
    org DELETE_WAITING_ED25519 = "DELETE FROM dkim_keys
        WHERE org_id = $1 AND domain_id = $2 AND algorithm = 'ed25519' AND signing_since IS NULL";
    org SIGN = "UPDATE dkim_keys SET signing_since = $3 WHERE org_id = $1 AND id = $2 AND signing_since IS NULL";
    org ASSUME = "UPDATE domains SET status = 'verified', verified_at = $3, missing_since = NULL, is_assumed = 1
        WHERE org_id = $1 AND id = $2 AND deleted_at IS NULL";
    org SET_ED25519 = "UPDATE domains SET has_ed25519 = $3 WHERE org_id = $1 AND id = $2 AND has_ed25519 <> $3 AND deleted_at IS NULL";
    org SET_TLS = "UPDATE domains SET tls = $3 WHERE org_id = $1 AND id = $2 AND deleted_at IS NULL";
    org SET_ROUTE = "UPDATE domains SET route = $3 WHERE org_id = $1 AND id = $2 AND deleted_at IS NULL";
    org MARK_DELETED = "UPDATE domains SET deleted_at = $3 WHERE org_id = $1 AND id = $2 AND deleted_at IS NULL";
    org DELETE_KEYS = "DELETE FROM dkim_keys WHERE org_id = $1 AND domain_id = $2";
    org DELETE = "DELETE FROM domains WHERE org_id = $1 AND id = $2 AND deleted_at IS NOT NULL";
    /// $3 status as it was looked at, $4 status now, $5 when, $6 findings, $7 verified since, $8 missing since.
    org SET_CHECKED = "UPDATE domains SET status = $4, checked_at = $5, findings = $6, verified_at = $7, missing_since = $8
        WHERE org_id = $1 AND id = $2 AND status = $3 AND deleted_at IS NULL";
    system ALL_KEYS = "SELECT domain_id, selector, public_record FROM dkim_keys ORDER BY domain_id, selector";
}

/// The id of the row: a new one, or the one that comes back. `None` when the organization has the domain.
pub(super) async fn insert(
    tx: &OrgTx,
    id: &DomainId,
    name: &str,
    at: Timestamp,
) -> Result<Option<DomainId>, StoreError> {
    let row = tx.query_opt(&INSERT, params![id, name, at]).await?;
    row.map(|row| row.reader().next()).transpose()
}

pub(super) async fn insert_key(
    tx: &OrgTx,
    domain: &DomainId,
    new: &NewKey,
    at: Timestamp,
) -> Result<(), StoreError> {
    let NewKey { key, private_sealed } = new;
    let row = params![
        &key.id,
        domain,
        &key.selector,
        key.algorithm.name(),
        &key.public_record,
        private_sealed.as_slice(),
        at,
        key.signing_since
    ];
    tx.execute(&INSERT_KEY, row).await.map(drop)
}

pub(super) async fn count(tx: &OrgTx) -> Result<i64, StoreError> {
    let row = tx.query_opt(&COUNT, params![]).await?;
    row.map_or(Ok(0), |row| row.reader().next())
}

/// Those that were deleted and are not purged yet.
pub(super) async fn count_deleted(tx: &OrgTx) -> Result<i64, StoreError> {
    let row = tx.query_opt(&COUNT_DELETED, params![]).await?;
    row.map_or(Ok(0), |row| row.reader().next())
}

/// The organization's domain of this name, and since when it is deleted, if it is.
pub(super) async fn known(
    tx: &OrgTx,
    name: &str,
) -> Result<Option<(DomainId, Option<Timestamp>)>, StoreError> {
    let Some(row) = tx.query_opt(&KNOWN, params![name]).await? else {
        return Ok(None);
    };
    let mut row = row.reader();
    Ok(Some((row.next()?, row.next()?)))
}

pub(super) async fn count_of(tx: &OrgTx, status: Option<Status>) -> Result<i64, StoreError> {
    let row = tx.query_opt(&COUNT_OF, params![status.map(Status::name)]).await?;
    row.map_or(Ok(0), |row| row.reader().next())
}

pub(super) async fn sender(tx: &OrgTx, name: &str) -> Result<Option<(Status, Sender)>, StoreError> {
    let Some(row) = tx.query_opt(&STATUS, params![name]).await? else {
        return Ok(None);
    };
    let mut row = row.reader();
    let status = Status::parse(&row.next::<String>()?).ok_or_else(|| unfit(STATUS.text(), 0))?;
    let id = row.next()?;
    let tls = Tls::parse(&row.next::<String>()?).ok_or_else(|| unfit(STATUS.text(), 2))?;
    Ok(Some((status, Sender { id, tls })))
}

fn unfit(statement: StatementText, column: usize) -> StoreError {
    StoreError::Shape {
        statement: statement.name,
        column,
    }
}

fn read(row: Row) -> Result<Domain, StoreError> {
    let mut row = row.reader();
    Ok(Domain {
        id: row.next()?,
        name: row.next()?,
        status: Status::parse(&row.next::<String>()?).ok_or_else(|| unfit(GET.text(), 2))?,
        verified_at: row.next()?,
        checked_at: row.next()?,
        // What an older program wrote in another shape is looked at again.
        findings: serde_json::from_str(&row.next::<String>()?).unwrap_or_default(),
        missing_since: row.next()?,
        is_assumed: row.next()?,
        has_ed25519: row.next()?,
        tls: Tls::parse(&row.next::<String>()?).ok_or_else(|| unfit(GET.text(), 9))?,
        route: Route::parse(&row.next::<String>()?).ok_or_else(|| unfit(GET.text(), 10))?,
        keys: Vec::new(),
        created_at: row.next()?,
        deleted_at: row.next()?,
    })
}

/// A domain with its keys, also a deleted one.
pub(super) async fn get(tx: &OrgTx, id: &DomainId) -> Result<Option<Domain>, StoreError> {
    let Some(row) = tx.query_opt(&GET, params![id]).await? else {
        return Ok(None);
    };
    let keys = keys(tx, id).await?;
    Ok(Some(Domain { keys, ..read(row)? }))
}

pub(super) async fn list(
    tx: &OrgTx,
    status: Option<Status>,
    after: Option<&DomainId>,
    limit: i64,
) -> Result<Vec<Domain>, StoreError> {
    let after = after.map_or("", |id| id.as_str());
    let rows = tx
        .query(&LIST, params![status.map(Status::name), after, limit])
        .await?;
    let mut domains = Vec::with_capacity(rows.len());
    for row in rows {
        let domain = read(row)?;
        let keys = keys(tx, &domain.id).await?;
        domains.push(Domain { keys, ..domain });
    }
    Ok(domains)
}

fn algorithm(statement: StatementText, text: &str) -> Result<Algorithm, StoreError> {
    Algorithm::parse(text).ok_or_else(|| unfit(statement, 2))
}

pub(super) async fn keys(tx: &OrgTx, domain: &DomainId) -> Result<Vec<DkimKey>, StoreError> {
    let read = |row: Row| {
        let mut row = row.reader();
        Ok(DkimKey {
            id: row.next()?,
            selector: row.next()?,
            algorithm: algorithm(KEYS.text(), &row.next::<String>()?)?,
            public_record: row.next()?,
            signing_since: row.next()?,
            retired_at: row.next()?,
        })
    };
    let rows = tx.query(&KEYS, params![domain]).await?;
    rows.into_iter().map(read).collect()
}

/// A key that signs or signed, with its private half.
pub(super) struct SigningRow {
    pub(super) id: DkimKeyId,
    pub(super) selector: String,
    pub(super) algorithm: Algorithm,
    pub(super) public_record: String,
    pub(super) private_sealed: Bytes,
    pub(super) since: Timestamp,
    pub(super) until: Option<Timestamp>,
}

/// RSA before Ed25519, the newest of each first.
pub(super) async fn signing_keys(tx: &OrgTx, name: &str) -> Result<Vec<SigningRow>, StoreError> {
    let read = |row: Row| {
        let mut row = row.reader();
        Ok(SigningRow {
            id: row.next()?,
            selector: row.next()?,
            algorithm: algorithm(SIGNING_KEYS.text(), &row.next::<String>()?)?,
            public_record: row.next()?,
            private_sealed: row.next()?,
            since: row.next()?,
            until: row.next()?,
        })
    };
    let rows = tx.query(&SIGNING_KEYS, params![name]).await?;
    rows.into_iter().map(read).collect()
}

/// What the DNS shows of a domain, and which way its mail leaves; nothing of one that was deleted, whose mail leaves directly.
pub(super) async fn findings(tx: &OrgTx, name: &str) -> Result<(Vec<Finding>, Route), StoreError> {
    let Some(row) = tx.query_opt(&FINDINGS, params![name]).await? else {
        return Ok((Vec::new(), Route::Direct));
    };
    let mut row = row.reader();
    // As in `read`.
    let findings = serde_json::from_str(&row.next::<String>()?).unwrap_or_default();
    let route = Route::parse(&row.next::<String>()?).ok_or_else(|| unfit(FINDINGS.text(), 1))?;
    Ok((findings, route))
}

pub(super) async fn delete_key(tx: &OrgTx, id: &DkimKeyId) -> Result<(), StoreError> {
    tx.execute(&DELETE_KEY, params![id]).await.map(drop)
}

pub(super) async fn retire(tx: &OrgTx, id: &DkimKeyId, at: Timestamp) -> Result<bool, StoreError> {
    Ok(tx.execute(&RETIRE, params![id, at]).await? == 1)
}

pub(super) async fn retire_ed25519(tx: &OrgTx, domain: &DomainId, at: Timestamp) -> Result<(), StoreError> {
    tx.execute(&RETIRE_ED25519, params![domain, at]).await.map(drop)
}

pub(super) async fn delete_waiting_ed25519(tx: &OrgTx, domain: &DomainId) -> Result<(), StoreError> {
    tx.execute(&DELETE_WAITING_ED25519, params![domain])
        .await
        .map(drop)
}

pub(super) async fn sign(tx: &OrgTx, id: &DkimKeyId, at: Timestamp) -> Result<bool, StoreError> {
    Ok(tx.execute(&SIGN, params![id, at]).await? == 1)
}

pub(super) async fn assume_verified(tx: &OrgTx, id: &DomainId, at: Timestamp) -> Result<bool, StoreError> {
    Ok(tx.execute(&ASSUME, params![id, at]).await? == 1)
}

/// `false` when it was so before.
pub(super) async fn set_ed25519(tx: &OrgTx, id: &DomainId, has: bool) -> Result<bool, StoreError> {
    Ok(tx.execute(&SET_ED25519, params![id, has]).await? == 1)
}

pub(super) async fn set_tls(tx: &OrgTx, id: &DomainId, tls: Tls) -> Result<bool, StoreError> {
    Ok(tx.execute(&SET_TLS, params![id, tls.name()]).await? == 1)
}

pub(super) async fn set_route(tx: &OrgTx, id: &DomainId, route: Route) -> Result<bool, StoreError> {
    Ok(tx.execute(&SET_ROUTE, params![id, route.name()]).await? == 1)
}

pub(super) async fn mark_deleted(tx: &OrgTx, id: &DomainId, at: Timestamp) -> Result<bool, StoreError> {
    Ok(tx.execute(&MARK_DELETED, params![id, at]).await? == 1)
}

/// Destroys a deleted domain and its keys.
pub(super) async fn purge(tx: &OrgTx, id: &DomainId) -> Result<(), StoreError> {
    if tx.execute(&DELETE, params![id]).await? == 1 {
        tx.execute(&DELETE_KEYS, params![id]).await?;
    }
    Ok(())
}

/// What a look came to.
pub(super) struct Checked<'a> {
    pub(super) before: Status,
    pub(super) now: Status,
    pub(super) at: Timestamp,
    pub(super) findings: &'a [Finding],
    pub(super) verified_at: Option<Timestamp>,
    pub(super) missing_since: Option<Timestamp>,
}

/// `false` when the domain is no longer as it was looked at.
pub(super) async fn set_checked(tx: &OrgTx, id: &DomainId, checked: Checked<'_>) -> Result<bool, StoreError> {
    // Only text: this can't fail.
    let findings = serde_json::to_string(checked.findings).unwrap_or_default();
    let row = params![
        id,
        checked.before.name(),
        checked.now.name(),
        checked.at,
        findings.as_str(),
        checked.verified_at,
        checked.missing_since
    ];
    Ok(tx.execute(&SET_CHECKED, row).await? == 1)
}

/// Domain, selector and record of every key of every organization: what the installation's zone shows.
pub(super) async fn all_keys(store: &Store) -> Result<Vec<(DomainId, String, String)>, StoreError> {
    let unit = async move |tx: &SystemTx| {
        let rows = tx.query(&ALL_KEYS, params![]).await?;
        let read = |row: Row| {
            let mut row = row.reader();
            Ok((row.next()?, row.next()?, row.next()?))
        };
        rows.into_iter().map(read).collect()
    };
    store.system(Purpose::Zone).read("domain_zone", unit).await
}
