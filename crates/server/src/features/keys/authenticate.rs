//! From the text in a request to a [`Caller`]: all policy about keys on one screen.

use super::format::Key;
use super::{Caller, store};
use crate::clock::Timestamp;
use crate::platform::Platform;
use crate::platform::store::StoreError;
use crate::platform::vault::{Cell, VaultError};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use subtle::ConstantTimeEq as _;

/// How long a key that was found good is not asked for again. Bounds how long a revoked key still works: the promise is one second.
const REMEMBERED_FOR: Duration = Duration::from_millis(500);
/// Keys remembered at once; past it the memory starts anew.
const REMEMBERED_MAX: usize = 10_000;

/// Why a key was not accepted. Callers are told the same for all but the last two.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Not the form of a key, or no such key.
    #[error("the API key is not valid")]
    Unknown,
    /// It was revoked.
    #[error("the API key was revoked")]
    Revoked,
    /// Its time is over.
    #[error("the API key has expired")]
    Expired,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The vault failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// When a key was found good, and who calls with it.
type Remembered = (Timestamp, Arc<Caller>);

/// Knows the keys that were good a moment ago.
#[derive(Default)]
pub struct Authenticator {
    remembered: RwLock<HashMap<Vec<u8>, Remembered>>,
}

impl Authenticator {
    /// Finds who calls with this key. A text that is not a key costs no query.
    pub async fn caller(&self, platform: &Platform, text: &str) -> Result<Arc<Caller>, Refused> {
        let key = Key::parse(text).ok_or(Refused::Unknown)?;
        let digest = key.digest();
        let lookup = platform.vault.key_lookup(&digest);
        let now = platform.clock.now();
        if let Some(caller) = self.remembered(&lookup, now) {
            return Ok(caller);
        }
        let row = store::find(&platform.store, lookup.clone())
            .await?
            .ok_or(Refused::Unknown)?;
        let vault = platform.vault.org(&row.caller.org).await?;
        let cell = Cell {
            table: "api_keys",
            column: "digest_sealed",
            row: crate::id::Id::as_str(&row.caller.key),
        };
        let kept = vault.open(cell, &row.digest_sealed).await?;
        if !bool::from(kept.as_slice().ct_eq(&digest)) || row.caller.mode != key.mode() {
            return Err(Refused::Unknown);
        }
        if row.revoked_at.is_some_and(|at| at <= now) {
            return Err(Refused::Revoked);
        }
        if row.expires_at.is_some_and(|at| at <= now) {
            return Err(Refused::Expired);
        }
        let caller = Arc::new(row.caller);
        self.remember(lookup, now, Arc::clone(&caller));
        Ok(caller)
    }

    fn remembered(&self, lookup: &[u8], now: Timestamp) -> Option<Arc<Caller>> {
        let remembered = self.remembered.read().unwrap_or_else(PoisonError::into_inner);
        let (at, caller) = remembered.get(lookup)?;
        (*at <= now && now.since(*at) < REMEMBERED_FOR).then(|| Arc::clone(caller))
    }

    fn remember(&self, lookup: Vec<u8>, now: Timestamp, caller: Arc<Caller>) {
        let mut remembered = self.remembered.write().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= REMEMBERED_MAX {
            remembered.clear();
        }
        remembered.insert(lookup, (now, caller));
    }
}
