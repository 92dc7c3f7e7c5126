//! From the text in a request to a [`Caller`]: all policy about keys on one screen.

use super::format::Key;
use super::{Caller, Recent, Usage, store};
use crate::features::audit::Origin;
use crate::id::Id as _;
use crate::platform::Platform;
use crate::platform::store::StoreError;
use crate::platform::vault::{Cell, VaultError};
use subtle::ConstantTimeEq as _;

/// Why a key was not accepted. Callers are told the same for the first three.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Not the form of a key, or no such key.
    #[error("the API key is not valid")]
    Unknown,
    /// It was revoked.
    #[error("the API key was revoked")]
    Revoked,
    /// Its time is over, or it is older than the organization allows.
    #[error("the API key has expired")]
    Expired,
    /// It may not be used from this address.
    #[error("Access denied. Your IP address is not allowed.")]
    Network,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The vault failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// Knows the keys that were good a moment ago, and when each was used.
#[derive(Default)]
pub struct Authenticator {
    recent: Recent<Caller>,
    /// Uses that are not written down yet.
    pub usage: Usage,
}

impl Authenticator {
    /// Finds who calls with this key. A text that is not a key costs no query.
    pub async fn caller(&self, platform: &Platform, text: &str, origin: Origin) -> Result<Caller, Refused> {
        let key = Key::parse(text).ok_or(Refused::Unknown)?;
        let digest = key.digest();
        let lookup = platform.vault.key_lookup(&digest);
        let now = platform.clock.now();
        let caller = match self.recent.get(&lookup, now) {
            Some(caller) => caller,
            None => {
                let row = verified(platform, &key, &digest, lookup.clone()).await?;
                if row.revoked_at.is_some() {
                    return Err(Refused::Revoked);
                }
                if row.good_until.is_some_and(|until| until <= now) {
                    return Err(Refused::Expired);
                }
                self.recent.put(lookup, now, row.good_until, row.caller.clone());
                row.caller
            }
        };
        let caller = Caller { origin, ..caller };
        let address = caller.origin.address.map(|address| *address.expose());
        if !caller.restrictions.networks.allow(address) {
            self.usage.refused(&caller, now);
            return Err(Refused::Network);
        }
        self.usage.used(&caller, now);
        Ok(caller)
    }
}

/// The row of this very key, good or not: the sealed digest must be that of the text, the mode that of its prefix.
pub(super) async fn verified(
    platform: &Platform,
    key: &Key,
    digest: &[u8; 32],
    lookup: Vec<u8>,
) -> Result<store::FoundRow, Refused> {
    let row = store::find(&platform.store, lookup)
        .await?
        .ok_or(Refused::Unknown)?;
    let vault = platform.vault.org(&row.caller.org).await?;
    let cell = Cell {
        table: "api_keys",
        column: "digest_sealed",
        row: row.key.as_str(),
    };
    let kept = vault.open(cell, &row.digest_sealed).await?;
    if bool::from(kept.as_slice().ct_eq(digest)) && row.caller.mode == key.mode() {
        Ok(row)
    } else {
        Err(Refused::Unknown)
    }
}
