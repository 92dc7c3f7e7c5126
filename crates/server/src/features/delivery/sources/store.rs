//! What new addresses were given, by day and provider. It is the installation's own.

use crate::platform::store::{Purpose, Store, StoreError, SystemTx, params, statements};

/// Days that are kept.
const KEPT_DAYS: i64 = 7;

statements! {
    /// $4 as many more, of $5 in all.
    system TAKE = "INSERT INTO source_days (day, source, provider, taken) VALUES ($1, $2, $3, $4)
        ON CONFLICT (day, source, provider) DO UPDATE SET taken = source_days.taken + excluded.taken
        WHERE source_days.taken + excluded.taken <= $5";
    system FORGET = "DELETE FROM source_days WHERE day < $1";
}

/// Takes some of a day's allowance; `false` when so much is not left.
pub(super) async fn take(
    store: &Store,
    day: i64,
    source: &str,
    provider: &str,
    [count, allowed]: [i64; 2],
) -> Result<bool, StoreError> {
    let (source, provider) = (source.to_owned(), provider.to_owned());
    let unit = async move |tx: &SystemTx| {
        tx.execute(&FORGET, params![day - KEPT_DAYS]).await?;
        let row = params![day, &source, &provider, count, allowed];
        Ok(tx.execute(&TAKE, row).await? == 1)
    };
    let scope = store.system(Purpose::Transport);
    scope.write("source_take", unit).await
}
