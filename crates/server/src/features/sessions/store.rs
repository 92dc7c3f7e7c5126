//! The one look across organizations that sessions need.

use crate::platform::store::{Purpose, Store, StoreError, SystemTx, params, statements};
use std::collections::HashSet;

statements! {
    system ORIGINS = "SELECT browser_origins FROM orgs WHERE browser_origins <> ''";
}

/// Every web origin that some organization lists.
pub(super) async fn origins(store: &Store) -> Result<HashSet<String>, StoreError> {
    let unit = async move |tx: &SystemTx| {
        let mut origins = HashSet::new();
        for row in tx.query(&ORIGINS, params![]).await? {
            let listed: String = row.reader().next()?;
            origins.extend(listed.split_whitespace().map(str::to_owned));
        }
        Ok(origins)
    };
    store.system(Purpose::Origins).read("session_origins", unit).await
}
