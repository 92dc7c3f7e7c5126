//! When a key was last used, and from where it was refused: gathered in memory, written in batches.
//!
//! A request must not cost a write. What a process that dies had not written yet is lost: up to [`WRITE_EVERY`] of last uses.

use super::{Actor, Caller, store};
use crate::clock::Timestamp;
use crate::features::audit::{self, Act, Entry, Origin};
use crate::id::{Id as _, KeyId, OrgId};
use crate::platform::Platform;
use crate::platform::jobs::Stop;
use crate::platform::store::{OrgTx, StoreError};
use crate::platform::vault::{Cell, Class, VaultError};
use crate::secret::Personal;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How often uses are written down.
const WRITE_EVERY: Duration = Duration::from_secs(5);
/// Keys that are gathered between two writes; further ones are left out.
const GATHERED_MAX: usize = 10_000;

/// Uses that are not written down yet.
#[derive(Default)]
pub struct Usage {
    gathered: Mutex<Gathered>,
}

#[derive(Default)]
struct Gathered {
    used: HashMap<KeyId, Used>,
    refused: HashMap<KeyId, Refusals>,
}

struct Used {
    org: OrgId,
    at: Timestamp,
    origin: Origin,
}

struct Refusals {
    org: OrgId,
    at: Timestamp,
    origin: Origin,
    count: u64,
}

/// Where a key was last used from.
#[derive(Debug, Clone, Default)]
pub(super) struct LastUse {
    pub(super) address: Option<Personal<IpAddr>>,
    pub(super) agent: Option<Personal<String>>,
}

/// The same as it is sealed.
#[derive(Default, Serialize, Deserialize)]
struct Sealed {
    ip: Option<IpAddr>,
    agent: Option<String>,
}

impl LastUse {
    fn to_json(&self) -> Vec<u8> {
        let sealed = Sealed {
            ip: self.address.map(|address| *address.expose()),
            agent: self.agent.as_ref().map(|agent| agent.expose().clone()),
        };
        // Only text: this can't fail.
        serde_json::to_vec(&sealed).unwrap_or_default()
    }

    /// What was sealed; nothing where it does not read back.
    pub(super) fn from_json(json: &[u8]) -> Self {
        let sealed: Sealed = serde_json::from_slice(json).unwrap_or_default();
        Self {
            address: sealed.ip.map(Personal::new),
            agent: sealed.agent.map(Personal::new),
        }
    }
}

pub(super) fn cell(key: &KeyId) -> Cell<'_> {
    Cell {
        table: "api_keys",
        column: "last_used_sealed",
        row: key.as_str(),
    }
}

impl Usage {
    /// Notes a use.
    pub(super) fn used(&self, caller: &Caller, at: Timestamp) {
        let Actor::Key(key) = &caller.actor else { return };
        let mut gathered = self.gathered.lock().unwrap_or_else(PoisonError::into_inner);
        if gathered.used.len() >= GATHERED_MAX && !gathered.used.contains_key(key) {
            return;
        }
        let used = Used {
            org: caller.org.clone(),
            at,
            origin: caller.origin.clone(),
        };
        gathered.used.insert(key.clone(), used);
    }

    /// Notes that a key was refused for the address that it came from; of several addresses the first is kept, and all are counted.
    pub(super) fn refused(&self, caller: &Caller, at: Timestamp) {
        let Actor::Key(key) = &caller.actor else { return };
        let mut gathered = self.gathered.lock().unwrap_or_else(PoisonError::into_inner);
        if gathered.refused.len() >= GATHERED_MAX && !gathered.refused.contains_key(key) {
            return;
        }
        let first = || Refusals {
            org: caller.org.clone(),
            at,
            origin: caller.origin.clone(),
            count: 0,
        };
        gathered.refused.entry(key.clone()).or_insert_with(first).count += 1;
    }

    /// Writes down what was gathered, every few seconds and once more at the stop.
    pub async fn run(&self, platform: &Platform, mut stop: Stop) {
        while !stop.is_set() {
            tokio::select! {
                () = tokio::time::sleep(WRITE_EVERY) => {}
                () = stop.wait() => {}
            }
            self.write(platform).await;
        }
    }

    /// Writes down the use of one key now.
    pub async fn write_one(&self, platform: &Platform, key: &KeyId) {
        let used = self
            .gathered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .used
            .remove(key);
        let Some(used) = used else { return };
        let (org, mut gathered) = (used.org.clone(), Gathered::default());
        gathered.used.insert(key.clone(), used);
        if let Err(error) = write_org(platform, &org, gathered).await {
            tracing::warn!(%error, %org, "the last use of a key could not be written down");
        }
    }

    /// Writes down what was gathered, one unit for each organization.
    pub async fn write(&self, platform: &Platform) {
        let gathered = std::mem::take(&mut *self.gathered.lock().unwrap_or_else(PoisonError::into_inner));
        let mut orgs: HashMap<OrgId, Gathered> = HashMap::new();
        for (key, used) in gathered.used {
            let org = orgs.entry(used.org.clone()).or_default();
            org.used.insert(key, used);
        }
        for (key, refusals) in gathered.refused {
            let org = orgs.entry(refusals.org.clone()).or_default();
            org.refused.insert(key, refusals);
        }
        for (org, gathered) in orgs {
            if let Err(error) = write_org(platform, &org, gathered).await {
                tracing::warn!(%error, %org, "the last uses of keys could not be written down");
            }
        }
    }
}

#[derive(Serialize)]
struct RefusedDetail {
    reason: &'static str,
    count: u64,
}

#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Vault(#[from] VaultError),
}

async fn write_org(platform: &Platform, org: &OrgId, gathered: Gathered) -> Result<(), WriteError> {
    let vault = platform.vault.org(org).await?;
    let mut uses = Vec::with_capacity(gathered.used.len());
    for (key, used) in gathered.used {
        let last = LastUse {
            address: used.origin.address,
            agent: used.origin.agent,
        };
        let sealed = vault
            .seal(Class::Secrets, used.at, cell(&key), &last.to_json())
            .await?;
        uses.push((key, used.at, sealed));
    }
    let mut entries: Vec<Entry> = Vec::with_capacity(gathered.refused.len());
    for (key, refusals) in gathered.refused {
        let act = Act {
            actor: key.as_str(),
            action: "api_key.refused",
            target: key.as_str(),
            origin: &refusals.origin,
            detail: RefusedDetail {
                reason: "ip_not_allowed",
                count: refusals.count,
            },
        };
        entries.push(audit::prepare(&vault, refusals.at, act).await?);
    }
    let unit = async move |tx: &OrgTx| {
        for (key, at, sealed) in &uses {
            store::set_used(tx, key, *at, sealed).await?;
        }
        for entry in &entries {
            audit::record(tx, entry).await?;
        }
        Ok::<_, StoreError>(())
    };
    Ok(platform.store.org(org).write("key_usage", unit).await?)
}
