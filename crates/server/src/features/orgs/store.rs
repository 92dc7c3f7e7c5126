//! The rows of organizations.

use super::Org;
use crate::platform::store::{OrgTx, Purpose, Store, StoreError, SystemTx, params, statements};

statements! {
    system INSERT = "INSERT INTO orgs (org_id, name, plan, region, created_at) VALUES ($1, $2, $3, $4, $5)";
    system LIST = "SELECT org_id, name, plan, region, created_at FROM orgs ORDER BY created_at, org_id";
    org LOCK = "UPDATE orgs SET listeners = listeners WHERE org_id = $1";
    org SET_LISTENERS = "UPDATE orgs SET listeners = $2 WHERE org_id = $1";
}

pub(super) async fn insert(store: &Store, org: Org) -> Result<(), StoreError> {
    let unit = async move |tx: &SystemTx| {
        tx.execute(
            &INSERT,
            params![&org.id, &org.name, &org.plan, &org.region, org.created_at],
        )
        .await
        .map(drop)
    };
    store.system(Purpose::Operator).write("org_create", unit).await
}

pub(super) async fn list(store: &Store) -> Result<Vec<Org>, StoreError> {
    let unit = async move |tx: &SystemTx| {
        let rows = tx.query(&LIST, params![]).await?;
        let org = |row: crate::platform::store::Row| {
            let mut row = row.reader();
            Ok(Org {
                id: row.next()?,
                name: row.next()?,
                plan: row.next()?,
                region: row.next()?,
                created_at: row.next()?,
            })
        };
        rows.into_iter().map(org).collect()
    };
    store.system(Purpose::Operator).read("org_list", unit).await
}

pub(super) async fn lock(tx: &OrgTx) -> Result<(), StoreError> {
    tx.execute(&LOCK, params![]).await.map(drop)
}

pub(super) async fn set_listeners(tx: &OrgTx, listeners: i64) -> Result<(), StoreError> {
    tx.execute(&SET_LISTENERS, params![listeners]).await.map(drop)
}
