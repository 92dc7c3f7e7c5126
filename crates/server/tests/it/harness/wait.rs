//! Patience with an end: what is waited for is looked at again and again, never slept for.

use std::time::Duration;

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Looks until there is something to see; panics with `what` when patience ends.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    match tokio::time::timeout(PATIENCE, looking).await {
        Ok(seen) => seen,
        Err(_) => panic!("waited {PATIENCE:?} in vain: {what}"),
    }
}

/// Looks for a while and panics with `what` as soon as the condition no longer holds: for things that must not happen.
pub(crate) async fn stays(what: &str, looks: u32, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..looks {
        assert!(holds().await, "{what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
