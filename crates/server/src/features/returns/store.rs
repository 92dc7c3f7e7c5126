//! The rows of what came back.

use super::receive::Outcome;
use crate::id::OrgId;
use crate::platform::store::{OrgTx, Purpose, Row, Store, StoreError, SystemTx, params, statements};

statements! {
    org INSERT = "INSERT INTO returns (org_id, id, email_id, position, kind, report_sealed, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
    system BY_END = "SELECT org_id FROM orgs WHERE substr(org_id, 21) = $1";
}

/// `false` when the same came back of this recipient before.
pub(super) async fn insert(tx: &OrgTx, new: &Outcome) -> Result<bool, StoreError> {
    let row = params![
        &new.id,
        &new.email,
        new.position,
        new.kind.name(),
        &new.report_sealed,
        new.at
    ];
    Ok(tx.execute(&INSERT, row).await? == 1)
}

/// The organizations whose id ends so: hardly ever more than one.
pub(super) async fn orgs_by_end(store: &Store, end: &str) -> Result<Vec<OrgId>, StoreError> {
    let end = end.to_owned();
    let unit = async move |tx: &SystemTx| {
        let rows = tx.query(&BY_END, params![end.as_str()]).await?;
        rows.into_iter().map(|row: Row| row.reader().next()).collect()
    };
    store.system(Purpose::Returns).read("return_org", unit).await
}
