//! Providers' feeds: what a provider tells of mail after it took it, and how it is known that the provider tells it.
//!
//! A mail leaves with a [`TAG`] whose value only we can make: the local part of its return path, which names organization, e-mail and
//! destination. Every event about the mail brings it back, so that an event proves by itself what it is about. That it comes from the
//! provider proves the relay's feed secret (`signed`); what it says is read without touching anything (`told`). Not here: what becomes
//! of a recipient ([`crate::features::returns`]).

mod signed;
mod told;

pub use signed::{FeedKey, FeedRequest};
pub use told::{FeedEvent, Outcome, Whom, told};

use super::{Kind, RelayError, feed_cell, store};
use crate::id::{OrgId, RelayId};
use crate::platform::Platform;
use crate::platform::store::OrgTx;
use crate::secret::Secret;

/// What the tag is called at the provider: a tag, a custom argument, a variable or metadata.
pub(super) const TAG: &str = "sealwright";

/// The provider of an organization's relay and what its feed is checked with; `None` where there is no such relay, or no feed of it.
pub async fn feed(
    platform: &Platform,
    org: &OrgId,
    id: &RelayId,
) -> Result<Option<(Kind, FeedKey)>, RelayError> {
    let wanted = id.clone();
    let unit = async move |tx: &OrgTx| store::get(tx, &wanted).await;
    let found = platform.store.org(org).read("relay_feed", unit).await?;
    let Some((kind, sealed)) = found.and_then(|row| Some((row.relay.kind, row.feed_secret_sealed?))) else {
        return Ok(None);
    };
    let opened = platform
        .vault
        .org(org)
        .await?
        .open(feed_cell(id), &sealed)
        .await?;
    let secret = Secret::new(String::from_utf8_lossy(&opened).into_owned());
    Ok(Some((kind, FeedKey::of(kind, &secret)?)))
}

#[cfg(test)]
mod tests;
