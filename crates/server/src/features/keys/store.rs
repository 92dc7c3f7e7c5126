//! The rows of API keys.

use super::{Actor, Caller, Networks, Permissions, Rate, Restrictions};
use crate::clock::Timestamp;
use crate::features::audit::Origin;
use crate::features::orgs::{ExposurePolicy, Plan};
use crate::id::{Id as _, KeyId, OrgId};
use crate::mode::Mode;
use crate::platform::store::{
    OrgTx, Purpose, Row, RowReader, Store, StoreError, SystemTx, params, statements,
};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

statements! {
    system FIND = "SELECT k.org_id, k.id, k.mode, k.digest_sealed, k.permissions, k.domain_restrictions, k.ip_restrictions,
            k.rate_requests, k.rate_period_s, k.created_at, k.expires_at, k.revoked_at, o.plan, o.rate_per_second, o.key_max_age_days,
            o.key_exposure_policy
        FROM api_keys k JOIN orgs o ON o.org_id = k.org_id WHERE k.lookup = $1";
    org INSERT = "INSERT INTO api_keys
        (org_id, id, name, mode, prefix, last_four, lookup, digest_sealed, permissions, domain_restrictions, ip_restrictions,
         rate_requests, rate_period_s, created_at, expires_at, replaces)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)";
    org COUNT = "SELECT count(*) FROM api_keys WHERE org_id = $1 AND revoked_at IS NULL";
    org COUNT_SEEN = "SELECT count(*) FROM api_keys WHERE org_id = $1 AND ($2 = '' OR mode = $2)";
    org GET = "SELECT id, name, mode, prefix, last_four, permissions, domain_restrictions, ip_restrictions, rate_requests, rate_period_s,
            created_at, expires_at, revoked_at, replaces, replaced_by, exposed_at, last_used_at, last_used_sealed
        FROM api_keys WHERE org_id = $1 AND id = $2";
    org LIST_OLDER = "SELECT id, name, mode, prefix, last_four, permissions, domain_restrictions, ip_restrictions, rate_requests, rate_period_s,
            created_at, expires_at, revoked_at, replaces, replaced_by, exposed_at, last_used_at, last_used_sealed
        FROM api_keys WHERE org_id = $1 AND ($2 = '' OR mode = $2) AND ($3 = '' OR (created_at, id) <
            (SELECT created_at, id FROM api_keys WHERE org_id = $1 AND id = $3))
        ORDER BY created_at DESC, id DESC LIMIT $4";
    org LIST_NEWER = "SELECT id, name, mode, prefix, last_four, permissions, domain_restrictions, ip_restrictions, rate_requests, rate_period_s,
            created_at, expires_at, revoked_at, replaces, replaced_by, exposed_at, last_used_at, last_used_sealed
        FROM api_keys WHERE org_id = $1 AND ($2 = '' OR mode = $2) AND (created_at, id) >
            (SELECT created_at, id FROM api_keys WHERE org_id = $1 AND id = $3)
        ORDER BY created_at, id LIMIT $4";
    org UPDATE = "UPDATE api_keys SET name = $3, permissions = $4, domain_restrictions = $5, ip_restrictions = $6,
            rate_requests = $7, rate_period_s = $8, expires_at = $9
        WHERE org_id = $1 AND id = $2";
    org REPLACE = "UPDATE api_keys SET replaced_by = $3, expires_at = $4 WHERE org_id = $1 AND id = $2 AND replaced_by IS NULL";
    org BURN = "UPDATE api_keys SET exposed_at = $3, revoked_at = $4, expires_at = $5 WHERE org_id = $1 AND id = $2";
    org REVOKE = "UPDATE api_keys SET revoked_at = $3 WHERE org_id = $1 AND id = $2 AND revoked_at IS NULL";
    org DELETE = "DELETE FROM api_keys WHERE org_id = $1 AND id = $2";
    org SET_USED = "UPDATE api_keys SET last_used_at = $3, last_used_sealed = $4
        WHERE org_id = $1 AND id = $2 AND (last_used_at IS NULL OR last_used_at < $3)";
}

/// A key as authentication finds it.
pub(super) struct FoundRow {
    /// Without an origin.
    pub(super) caller: Caller,
    pub(super) key: KeyId,
    pub(super) digest_sealed: Bytes,
    pub(super) revoked_at: Option<Timestamp>,
    /// The key's own date or the organization's highest age, whichever comes first.
    pub(super) good_until: Option<Timestamp>,
    pub(super) exposure_policy: ExposurePolicy,
}

const DAY: Duration = Duration::from_secs(86_400);

pub(super) async fn find(store: &Store, lookup: Vec<u8>) -> Result<Option<FoundRow>, StoreError> {
    let unit = async move |tx: &SystemTx| {
        let row = tx.query_opt(&FIND, params![lookup.as_slice()]).await?;
        row.map(found).transpose()
    };
    store.system(Purpose::KeyLookup).read("key_find", unit).await
}

fn found(row: Row) -> Result<FoundRow, StoreError> {
    let mut row = row.reader();
    let (org, key): (OrgId, KeyId) = (row.next()?, row.next()?);
    let mode = mode(&FIND.text(), 2, &row.next::<String>()?)?;
    let digest_sealed = row.next()?;
    let permissions = Permissions::from_stored(&row.next::<String>()?);
    let mut restrictions = restrictions(&mut row)?;
    let created_at: Timestamp = row.next()?;
    restrictions.expires_at = row.next()?;
    let revoked_at = row.next()?;
    // A plan or a policy that this program does not know is answered with the strictest that it knows.
    let plan = Plan::parse(&row.next::<String>()?).unwrap_or(Plan::Free);
    let org_per_second = plan.per_second(row.next()?);
    let max_age = row
        .next::<Option<i64>>()?
        .and_then(|days| u32::try_from(days).ok())
        .map(|days| created_at.plus(DAY * days));
    let exposure_policy = ExposurePolicy::parse(&row.next::<String>()?).unwrap_or(ExposurePolicy::Revoke);
    Ok(FoundRow {
        good_until: [restrictions.expires_at, max_age].into_iter().flatten().min(),
        caller: Caller {
            org,
            actor: Actor::Key(key.clone()),
            mode,
            permissions,
            restrictions: Arc::new(restrictions),
            plan,
            org_per_second,
            origin: Origin::default(),
        },
        key,
        digest_sealed,
        revoked_at,
        exposure_policy,
    })
}

fn mode(
    statement: &crate::platform::store::StatementText,
    column: usize,
    text: &str,
) -> Result<Mode, StoreError> {
    Mode::parse(text).ok_or(StoreError::Shape {
        statement: statement.name,
        column,
    })
}

/// The three columns domain_restrictions, ip_restrictions, rate (two columns); without the date.
fn restrictions(row: &mut RowReader) -> Result<Restrictions, StoreError> {
    let words = |text: String| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let domains = words(row.next()?);
    let networks = words(row.next()?);
    // What does not read back is a restriction nobody passes, rather than none.
    let networks = Networks::parse(&networks).unwrap_or_else(|_| Networks::nobody());
    Ok(Restrictions {
        domains,
        networks,
        rate: Rate::from_stored(row.next()?, row.next()?),
        expires_at: None,
    })
}

/// A key as it is kept, and shown but for what is sealed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct KeyRow {
    pub(super) id: KeyId,
    pub(super) name: String,
    pub(super) mode: Mode,
    pub(super) prefix: String,
    pub(super) last_four: String,
    pub(super) permissions: Permissions,
    pub(super) restrictions: Restrictions,
    pub(super) created_at: Timestamp,
    pub(super) revoked_at: Option<Timestamp>,
    pub(super) replaces: Option<KeyId>,
    pub(super) replaced_by: Option<KeyId>,
    pub(super) exposed_at: Option<Timestamp>,
    pub(super) last_used_at: Option<Timestamp>,
    pub(super) last_used_sealed: Option<Bytes>,
}

impl KeyRow {
    /// Whether nothing but its last use has changed since `earlier`.
    pub(super) fn is_as_before(&self, earlier: &Self) -> bool {
        let unused = |row: &Self| Self {
            last_used_at: None,
            last_used_sealed: None,
            ..row.clone()
        };
        unused(self) == unused(earlier)
    }
}

fn key(row: Row) -> Result<KeyRow, StoreError> {
    let mut row = row.reader();
    let (id, name) = (row.next()?, row.next()?);
    let mode = mode(&GET.text(), 2, &row.next::<String>()?)?;
    let (prefix, last_four) = (row.next()?, row.next()?);
    let permissions = Permissions::from_stored(&row.next::<String>()?);
    let mut restrictions = restrictions(&mut row)?;
    let created_at = row.next()?;
    restrictions.expires_at = row.next()?;
    Ok(KeyRow {
        id,
        name,
        mode,
        prefix,
        last_four,
        permissions,
        restrictions,
        created_at,
        revoked_at: row.next()?,
        replaces: row.next()?,
        replaced_by: row.next()?,
        exposed_at: row.next()?,
        last_used_at: row.next()?,
        last_used_sealed: row.next()?,
    })
}

/// What a key is found by.
pub(super) struct Found {
    pub(super) lookup: Vec<u8>,
    pub(super) digest_sealed: Vec<u8>,
}

pub(super) async fn insert(tx: &OrgTx, row: &KeyRow, by: &Found) -> Result<(), StoreError> {
    let restrictions = &row.restrictions;
    let params = params![
        &row.id,
        &row.name,
        row.mode.name(),
        &row.prefix,
        &row.last_four,
        by.lookup.as_slice(),
        by.digest_sealed.as_slice(),
        row.permissions.stored(),
        restrictions.domains.join(" "),
        restrictions.networks.texts().join(" "),
        restrictions.rate.map(|rate| rate.requests.get()),
        restrictions.rate.map(|rate| rate.period.seconds()),
        row.created_at,
        restrictions.expires_at,
        row.replaces.as_ref()
    ];
    tx.execute(&INSERT, params).await.map(drop)
}

/// How many keys are not revoked.
pub(super) async fn count(tx: &OrgTx) -> Result<i64, StoreError> {
    let row = tx.query_opt(&COUNT, params![]).await?;
    row.map_or(Ok(0), |row| row.reader().next())
}

pub(super) async fn get(tx: &OrgTx, id: &KeyId) -> Result<Option<KeyRow>, StoreError> {
    let row = tx.query_opt(&GET, params![id]).await?;
    row.map(key).transpose()
}

/// Which way a page is read from a row.
#[derive(Debug, Clone)]
pub(super) enum From {
    /// From the newest key.
    Newest,
    /// Keys older than this one.
    OlderThan(KeyId),
    /// Keys newer than this one.
    NewerThan(KeyId),
}

/// Up to `limit` keys, newest first, and how many there are at all.
pub(super) async fn list(
    tx: &OrgTx,
    mode: Option<Mode>,
    from: &From,
    limit: i64,
) -> Result<(Vec<KeyRow>, i64), StoreError> {
    let mode = mode.map_or("", Mode::name);
    let total = tx.query_opt(&COUNT_SEEN, params![mode]).await?;
    let total = total.map_or(Ok(0), |row| row.reader().next())?;
    let (statement, id) = match from {
        From::Newest => (&LIST_OLDER, ""),
        From::OlderThan(id) => (&LIST_OLDER, id.as_str()),
        From::NewerThan(id) => (&LIST_NEWER, id.as_str()),
    };
    let rows = tx.query(statement, params![mode, id, limit]).await?;
    let rows: Result<Vec<_>, _> = rows.into_iter().map(key).collect();
    Ok((rows?, total))
}

pub(super) async fn update(tx: &OrgTx, row: &KeyRow) -> Result<(), StoreError> {
    let restrictions = &row.restrictions;
    let params = params![
        &row.id,
        &row.name,
        row.permissions.stored(),
        restrictions.domains.join(" "),
        restrictions.networks.texts().join(" "),
        restrictions.rate.map(|rate| rate.requests.get()),
        restrictions.rate.map(|rate| rate.period.seconds()),
        restrictions.expires_at
    ];
    tx.execute(&UPDATE, params).await.map(drop)
}

/// Whether the key was not replaced before.
pub(super) async fn replace(
    tx: &OrgTx,
    id: &KeyId,
    by: &KeyId,
    expires_at: Timestamp,
) -> Result<bool, StoreError> {
    Ok(tx.execute(&REPLACE, params![id, by, expires_at]).await? == 1)
}

pub(super) async fn burn(tx: &OrgTx, row: &KeyRow) -> Result<(), StoreError> {
    let params = params![
        &row.id,
        row.exposed_at,
        row.revoked_at,
        row.restrictions.expires_at
    ];
    tx.execute(&BURN, params).await.map(drop)
}

/// Whether the key was not revoked before.
pub(super) async fn revoke(tx: &OrgTx, id: &KeyId, at: Timestamp) -> Result<bool, StoreError> {
    Ok(tx.execute(&REVOKE, params![id, at]).await? == 1)
}

pub(super) async fn delete(tx: &OrgTx, id: &KeyId) -> Result<(), StoreError> {
    tx.execute(&DELETE, params![id]).await.map(drop)
}

pub(super) async fn set_used(tx: &OrgTx, id: &KeyId, at: Timestamp, sealed: &[u8]) -> Result<(), StoreError> {
    tx.execute(&SET_USED, params![id, at, sealed]).await.map(drop)
}
