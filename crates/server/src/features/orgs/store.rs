//! The rows of organizations.

use super::{Org, Plan};
use crate::platform::store::{OrgTx, Purpose, Row, Store, StoreError, SystemTx, params, statements};
use bytes::Bytes;

statements! {
    system INSERT = "INSERT INTO orgs (org_id, name, plan, rate_per_second, region, created_at) VALUES ($1, $2, $3, $4, $5, $6)";
    system LIST = "SELECT org_id, name, plan, rate_per_second, region, created_at FROM orgs ORDER BY created_at, org_id";
    org PLAN = "SELECT plan, rate_per_second FROM orgs WHERE org_id = $1";
    org SET_PLAN = "UPDATE orgs SET plan = $2, rate_per_second = $3 WHERE org_id = $1";
    org LOCK = "UPDATE orgs SET listeners = listeners WHERE org_id = $1";
    org SET_LISTENERS = "UPDATE orgs SET listeners = $2 WHERE org_id = $1";
    org SETTINGS = "SELECT security_contact_sealed, key_exposure_policy, key_max_age_days, browser_origins FROM orgs WHERE org_id = $1";
    org SET_SETTINGS = "UPDATE orgs SET security_contact_sealed = $2, key_exposure_policy = $3, key_max_age_days = $4, browser_origins = $5
        WHERE org_id = $1";
}

pub(super) async fn insert(store: &Store, org: Org) -> Result<(), StoreError> {
    let unit = async move |tx: &SystemTx| {
        let row = params![
            &org.id,
            &org.name,
            org.plan.name(),
            org.rate_per_second,
            &org.region,
            org.created_at
        ];
        tx.execute(&INSERT, row).await.map(drop)
    };
    store.system(Purpose::Operator).write("org_create", unit).await
}

pub(super) async fn list(store: &Store) -> Result<Vec<Org>, StoreError> {
    let unit = async move |tx: &SystemTx| tx.query(&LIST, params![]).await?.into_iter().map(org).collect();
    store.system(Purpose::Operator).read("org_list", unit).await
}

fn org(row: Row) -> Result<Org, StoreError> {
    let mut row = row.reader();
    Ok(Org {
        id: row.next()?,
        name: row.next()?,
        plan: Plan::parse(&row.next::<String>()?).ok_or(StoreError::Shape {
            statement: LIST.text().name,
            column: 2,
        })?,
        rate_per_second: row
            .next::<Option<i64>>()?
            .and_then(|rate| u32::try_from(rate).ok()),
        region: row.next()?,
        created_at: row.next()?,
    })
}

/// The plan's name and the rate of its own; `None` when there is no such organization.
pub(super) async fn plan(tx: &OrgTx) -> Result<Option<(String, Option<i64>)>, StoreError> {
    let Some(row) = tx.query_opt(&PLAN, params![]).await? else {
        return Ok(None);
    };
    let mut row = row.reader();
    Ok(Some((row.next()?, row.next()?)))
}

pub(super) async fn set_plan(tx: &OrgTx, plan: Plan, rate_per_second: Option<u32>) -> Result<(), StoreError> {
    tx.execute(&SET_PLAN, params![plan.name(), rate_per_second])
        .await
        .map(drop)
}

pub(super) async fn lock(tx: &OrgTx) -> Result<(), StoreError> {
    tx.execute(&LOCK, params![]).await.map(drop)
}

pub(super) async fn set_listeners(tx: &OrgTx, listeners: i64) -> Result<(), StoreError> {
    tx.execute(&SET_LISTENERS, params![listeners]).await.map(drop)
}

/// The columns of an organization's settings.
#[derive(Clone, PartialEq)]
pub(super) struct SettingsRow {
    pub(super) security_contact_sealed: Option<Bytes>,
    pub(super) exposure_policy: String,
    pub(super) key_max_age_days: Option<i64>,
    pub(super) browser_origins: String,
}

pub(super) async fn settings(tx: &OrgTx) -> Result<SettingsRow, StoreError> {
    let gone = || StoreError::Shape {
        statement: SETTINGS.text().name,
        column: 0,
    };
    let mut row = tx
        .query_opt(&SETTINGS, params![])
        .await?
        .ok_or_else(gone)?
        .reader();
    Ok(SettingsRow {
        security_contact_sealed: row.next()?,
        exposure_policy: row.next()?,
        key_max_age_days: row.next()?,
        browser_origins: row.next()?,
    })
}

pub(super) async fn set_settings(tx: &OrgTx, row: &SettingsRow) -> Result<(), StoreError> {
    let row = params![
        row.security_contact_sealed.as_ref(),
        &row.exposure_policy,
        row.key_max_age_days,
        &row.browser_origins
    ];
    tx.execute(&SET_SETTINGS, row).await.map(drop)
}
