//! The rows of members and of issuers.

use super::issuers::{Algorithm, Issuer};
use super::roles::Role;
use crate::clock::Timestamp;
use crate::features::orgs::Plan;
use crate::id::{Id as _, IssuerId, MemberId};
use crate::platform::store::{OrgTx, Row, RowReader, StatementText, StoreError, params, statements};
use bytes::Bytes;

statements! {
    org INSERT_ISSUER = "INSERT INTO session_issuers
        (org_id, id, name, audience, algorithm, jwks_url, requires_nbf, created_at, secret_sealed)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    org ISSUERS = "SELECT id, name, audience, algorithm, jwks_url, requires_nbf, created_at FROM session_issuers
        WHERE org_id = $1 ORDER BY created_at, id";
    org ISSUER = "SELECT id, name, audience, algorithm, jwks_url, requires_nbf, created_at FROM session_issuers
        WHERE org_id = $1 AND id = $2";
    org TRUSTED = "SELECT i.id, i.name, i.audience, i.algorithm, i.jwks_url, i.requires_nbf, i.created_at, i.secret_sealed,
            o.plan, o.rate_per_second, o.browser_origins
        FROM session_issuers i JOIN orgs o ON o.org_id = i.org_id WHERE i.org_id = $1 AND i.name = $2";
    org DELETE_ISSUER = "DELETE FROM session_issuers WHERE org_id = $1 AND id = $2";
    org INSERT_MEMBER = "INSERT INTO members (org_id, id, issuer_id, subject_sealed, role, created_at, subject_index)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    org COUNT_MEMBERS = "SELECT count(*) FROM members WHERE org_id = $1";
    org MEMBER = "SELECT id, issuer_id, subject_sealed, role, created_at FROM members WHERE org_id = $1 AND id = $2";
    org MEMBERS = "SELECT id, issuer_id, subject_sealed, role, created_at FROM members
        WHERE org_id = $1 AND ($2 = '' OR (created_at, id) > (SELECT created_at, id FROM members WHERE org_id = $1 AND id = $2))
        ORDER BY created_at, id LIMIT $3";
    org ROLE_OF = "SELECT id, role FROM members WHERE org_id = $1 AND issuer_id = $2 AND subject_index = $3";
    org ROLES_OF_ISSUER = "SELECT DISTINCT role FROM members WHERE org_id = $1 AND issuer_id = $2";
    org SET_ROLE = "UPDATE members SET role = $3 WHERE org_id = $1 AND id = $2";
    org DELETE_MEMBER = "DELETE FROM members WHERE org_id = $1 AND id = $2";
    org DELETE_MEMBERS_OF = "DELETE FROM members WHERE org_id = $1 AND issuer_id = $2";
}

/// An issuer with its secret.
pub(super) struct IssuerRow {
    pub(super) issuer: Issuer,
    pub(super) secret_sealed: Option<Bytes>,
}

/// An issuer with what its organization says about sessions.
pub(super) struct TrustedRow {
    pub(super) row: IssuerRow,
    pub(super) terms: Terms,
}

pub(super) struct Terms {
    pub(super) plan: Plan,
    pub(super) rate_per_second: Option<i64>,
    pub(super) browser_origins: Vec<String>,
}

fn unfit(statement: StatementText, column: usize) -> StoreError {
    StoreError::Shape {
        statement: statement.name,
        column,
    }
}

/// The columns that every query of issuers begins with.
fn read_issuer(row: &mut RowReader) -> Result<Issuer, StoreError> {
    Ok(Issuer {
        id: row.next()?,
        name: row.next()?,
        audience: row.next()?,
        algorithm: Algorithm::parse(&row.next::<String>()?).ok_or_else(|| unfit(ISSUER.text(), 3))?,
        jwks_url: row.next()?,
        requires_nbf: row.next()?,
        created_at: row.next()?,
    })
}

pub(super) async fn insert_issuer(tx: &OrgTx, row: &IssuerRow) -> Result<(), StoreError> {
    let issuer = &row.issuer;
    let params = params![
        &issuer.id,
        &issuer.name,
        &issuer.audience,
        issuer.algorithm.name(),
        issuer.jwks_url.as_ref(),
        issuer.requires_nbf,
        issuer.created_at,
        row.secret_sealed.as_ref()
    ];
    tx.execute(&INSERT_ISSUER, params).await.map(drop)
}

pub(super) async fn issuers(tx: &OrgTx) -> Result<Vec<Issuer>, StoreError> {
    let rows = tx.query(&ISSUERS, params![]).await?;
    rows.into_iter()
        .map(|row| read_issuer(&mut row.reader()))
        .collect()
}

pub(super) async fn issuer(tx: &OrgTx, id: &IssuerId) -> Result<Option<Issuer>, StoreError> {
    let row = tx.query_opt(&ISSUER, params![id]).await?;
    row.map(|row| read_issuer(&mut row.reader())).transpose()
}

pub(super) async fn trusted(tx: &OrgTx, name: &str) -> Result<Option<TrustedRow>, StoreError> {
    let Some(row) = tx.query_opt(&TRUSTED, params![name]).await? else {
        return Ok(None);
    };
    let mut row = row.reader();
    let row_of_issuer = IssuerRow {
        issuer: read_issuer(&mut row)?,
        secret_sealed: row.next()?,
    };
    let terms = Terms {
        // A plan that this program does not know is answered with the strictest that it knows.
        plan: Plan::parse(&row.next::<String>()?).unwrap_or(Plan::Free),
        rate_per_second: row.next()?,
        browser_origins: row
            .next::<String>()?
            .split_whitespace()
            .map(str::to_owned)
            .collect(),
    };
    Ok(Some(TrustedRow {
        row: row_of_issuer,
        terms,
    }))
}

pub(super) async fn delete_issuer(tx: &OrgTx, id: &IssuerId) -> Result<bool, StoreError> {
    Ok(tx.execute(&DELETE_ISSUER, params![id]).await? == 1)
}

/// A member as it is kept.
pub(super) struct MemberRow {
    pub(super) id: MemberId,
    pub(super) issuer: IssuerId,
    pub(super) subject_sealed: Bytes,
    pub(super) role: Role,
    pub(super) created_at: Timestamp,
}

/// A role that this program does not know is nobody's here: the row is refused rather than read as a weaker or a stronger one.
fn read_role(statement: StatementText, column: usize, text: &str) -> Result<Role, StoreError> {
    Role::parse(text).ok_or_else(|| unfit(statement, column))
}

fn read_member(row: Row) -> Result<MemberRow, StoreError> {
    let mut row = row.reader();
    Ok(MemberRow {
        id: row.next()?,
        issuer: row.next()?,
        subject_sealed: row.next()?,
        role: read_role(MEMBER.text(), 3, &row.next::<String>()?)?,
        created_at: row.next()?,
    })
}

pub(super) async fn insert_member(tx: &OrgTx, row: &MemberRow, index: &[u8]) -> Result<(), StoreError> {
    let params = params![
        &row.id,
        &row.issuer,
        &row.subject_sealed,
        row.role.name(),
        row.created_at,
        index
    ];
    tx.execute(&INSERT_MEMBER, params).await.map(drop)
}

pub(super) async fn count_members(tx: &OrgTx) -> Result<i64, StoreError> {
    let row = tx.query_opt(&COUNT_MEMBERS, params![]).await?;
    row.map_or(Ok(0), |row| row.reader().next())
}

pub(super) async fn member(tx: &OrgTx, id: &MemberId) -> Result<Option<MemberRow>, StoreError> {
    let row = tx.query_opt(&MEMBER, params![id]).await?;
    row.map(read_member).transpose()
}

/// Up to `limit` members, oldest first, from the one after `after`.
pub(super) async fn members(
    tx: &OrgTx,
    after: Option<&MemberId>,
    limit: i64,
) -> Result<Vec<MemberRow>, StoreError> {
    let after = after.map_or("", |id| id.as_str());
    let rows = tx.query(&MEMBERS, params![after, limit]).await?;
    rows.into_iter().map(read_member).collect()
}

pub(super) async fn role_of(
    tx: &OrgTx,
    issuer: &IssuerId,
    index: &[u8],
) -> Result<Option<(MemberId, Role)>, StoreError> {
    let Some(row) = tx.query_opt(&ROLE_OF, params![issuer, index]).await? else {
        return Ok(None);
    };
    let mut row = row.reader();
    let id = row.next()?;
    Ok(Some((id, read_role(ROLE_OF.text(), 1, &row.next::<String>()?)?)))
}

pub(super) async fn roles_of_issuer(tx: &OrgTx, issuer: &IssuerId) -> Result<Vec<Role>, StoreError> {
    let rows = tx.query(&ROLES_OF_ISSUER, params![issuer]).await?;
    rows.into_iter()
        .map(|row| read_role(ROLES_OF_ISSUER.text(), 0, &row.reader().next::<String>()?))
        .collect()
}

pub(super) async fn set_role(tx: &OrgTx, id: &MemberId, role: Role) -> Result<(), StoreError> {
    tx.execute(&SET_ROLE, params![id, role.name()]).await.map(drop)
}

pub(super) async fn delete_member(tx: &OrgTx, id: &MemberId) -> Result<(), StoreError> {
    tx.execute(&DELETE_MEMBER, params![id]).await.map(drop)
}

pub(super) async fn delete_members_of(tx: &OrgTx, issuer: &IssuerId) -> Result<(), StoreError> {
    tx.execute(&DELETE_MEMBERS_OF, params![issuer]).await.map(drop)
}
