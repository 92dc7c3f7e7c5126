//! Commits what has already happened, however long the store takes to come back.

use super::JobError;
use crate::id::OrgId;
use crate::platform::Platform;
use crate::platform::store::OrgTx;
use std::sync::Arc;
use std::time::Duration;

/// First wait after a failed commit; doubled up to [`WAIT_MAX`].
const WAIT_FIRST: Duration = Duration::from_millis(100);
const WAIT_MAX: Duration = Duration::from_secs(5);

/// How a fact came to rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It is on disk.
    Committed,
    /// The job belongs to somebody else.
    LeaseLost,
}

/// Runs a unit until it is committed or the lease is lost. An unknown commit is tried again: if it went through, the fence answers
/// `LeaseLost`. If the process dies first, the attempt is in doubt, as it should be.
pub async fn settle<F>(platform: &Platform, org: &OrgId, name: &'static str, unit: F) -> Settled
where
    F: AsyncFn(&OrgTx) -> Result<(), JobError> + Send + Sync + 'static,
{
    let unit = Arc::new(unit);
    let mut wait = WAIT_FIRST;
    loop {
        let again = Arc::clone(&unit);
        let error = match platform
            .store
            .org(org)
            .write(name, async move |tx: &OrgTx| again(tx).await)
            .await
        {
            Ok(()) => return Settled::Committed,
            Err(JobError::LeaseLost) => return Settled::LeaseLost,
            Err(JobError::Store(error)) => error,
        };
        tracing::error!(unit = name, %error, "an outcome could not be committed; trying again");
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(WAIT_MAX);
    }
}
