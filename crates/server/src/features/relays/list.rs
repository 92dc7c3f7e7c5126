//! Shows relays, without their credentials.

use super::{Relay, RelayError, store};
use crate::features::keys::Caller;
use crate::id::RelayId;
use crate::platform::Platform;
use crate::platform::store::OrgTx;

/// One of the organization's relays.
pub async fn get(platform: &Platform, caller: &Caller, id: &RelayId) -> Result<Relay, RelayError> {
    let wanted = id.clone();
    let unit = async move |tx: &OrgTx| store::get(tx, &wanted).await;
    let found = platform.store.org(&caller.org).read("relay_get", unit).await?;
    found.map(|sealed| sealed.relay).ok_or(RelayError::Unknown)
}

/// The organization's relays by priority, the oldest first; there are at most [`RELAYS_MAX`](crate::limits::RELAYS_MAX).
pub async fn list(platform: &Platform, caller: &Caller) -> Result<Vec<Relay>, RelayError> {
    let unit = async move |tx: &OrgTx| store::list(tx).await;
    let rows = platform.store.org(&caller.org).read("relay_list", unit).await?;
    Ok(rows.into_iter().map(|sealed| sealed.relay).collect())
}
