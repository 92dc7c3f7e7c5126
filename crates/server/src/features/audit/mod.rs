//! Who did what: an append-only record of changes and of refusals that matter.
//!
//! An entry is written in the commit of what it tells of, so there is no change without its entry and no entry without its change. What
//! tells about people (addresses, agents, values before and after) is sealed. Not here yet: reading it by API, signed checkpoints.

mod store;

pub use store::ALL as STATEMENTS;

use crate::clock::Timestamp;
use crate::id::{AuditId, ENTROPY_BYTES, Id as _, RequestId};
use crate::platform::store::{OrgTx, StoreError};
use crate::platform::vault::{Cell, Class, OrgVault, VaultError, random};
use crate::secret::Personal;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Where a request came from, as far as it is known.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// The client's address, behind trusted proxies.
    pub address: Option<Personal<IpAddr>>,
    /// The client's User-Agent, cut to [`AGENT_CHARS_MAX`](crate::limits::AGENT_CHARS_MAX).
    pub agent: Option<Personal<String>>,
    /// The request.
    pub request: Option<RequestId>,
}

/// What an entry says.
#[derive(Debug, Clone)]
pub struct Act<'a, D> {
    /// Who: a key, a member, `operator` or `system`.
    pub actor: &'a str,
    /// What, as `area.verb` in the past tense (`api_key.created`).
    pub action: &'static str,
    /// To what: an id.
    pub target: &'a str,
    /// From where.
    pub origin: &'a Origin,
    /// What changed, or why it was refused; never a secret.
    pub detail: D,
}

/// An entry, sealed and ready to be written.
#[derive(Debug, Clone)]
pub struct Entry {
    id: AuditId,
    at: Timestamp,
    actor: String,
    action: &'static str,
    target: String,
    detail_sealed: Vec<u8>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Sealed<'a, D> {
    #[serde(skip_serializing_if = "Option::is_none")]
    ip_address: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a RequestId>,
    detail: D,
}

fn cell(id: &AuditId) -> Cell<'_> {
    Cell {
        table: "audit_entries",
        column: "detail_sealed",
        row: id.as_str(),
    }
}

/// Seals an entry: before the unit of work that writes it.
pub async fn prepare<D: Serialize>(
    vault: &OrgVault,
    at: Timestamp,
    act: Act<'_, D>,
) -> Result<Entry, VaultError> {
    let id = AuditId::generate(at, random());
    let sealed = Sealed {
        ip_address: act.origin.address.map(|address| *address.expose()),
        user_agent: act.origin.agent.as_ref().map(|agent| agent.expose().as_str()),
        request_id: act.origin.request.as_ref(),
        detail: act.detail,
    };
    // Only maps with keys that are not strings and failing implementations of Serialize can fail; there are none.
    let json = serde_json::to_vec(&sealed).unwrap_or_default();
    // No class of a shorter life: evidence outlives what it is about.
    let detail_sealed = vault.seal(Class::Secrets, at, cell(&id), &json).await?;
    Ok(Entry {
        id,
        at,
        actor: act.actor.to_owned(),
        action: act.action,
        target: act.target.to_owned(),
        detail_sealed,
    })
}

impl Entry {
    /// Its id.
    pub fn id(&self) -> &AuditId {
        &self.id
    }
}

/// An entry as it was recorded.
#[derive(Debug, Clone)]
pub struct Recorded {
    id: AuditId,
    /// Who.
    pub actor: String,
    /// What.
    pub action: String,
    /// When.
    pub at: Timestamp,
    detail_sealed: Bytes,
}

impl Recorded {
    /// What changed, if it is of this form.
    pub async fn detail<D: DeserializeOwned>(&self, vault: &OrgVault) -> Result<Option<D>, VaultError> {
        #[derive(Deserialize)]
        struct Detailed<D> {
            detail: D,
        }
        let json = vault.open(cell(&self.id), &self.detail_sealed).await?;
        // An entry of another action has another form, which is no failure.
        let detailed: Option<Detailed<D>> = serde_json::from_slice(&json).ok();
        Ok(detailed.map(|detailed| detailed.detail))
    }
}

/// Reads the id of an entry from a job.
pub fn id_of(reference: &str) -> Option<AuditId> {
    AuditId::parse(reference)
}

/// One entry.
pub async fn get(tx: &OrgTx, id: &AuditId) -> Result<Option<Recorded>, StoreError> {
    store::get(tx, id).await
}

/// The targets of everything that was done by this name since then, oldest first.
pub async fn targets_since(
    tx: &OrgTx,
    action: &'static str,
    since: Timestamp,
) -> Result<Vec<String>, StoreError> {
    // Ids begin with their time, and entries lie in their order.
    store::targets_since(tx, action, &AuditId::generate(since, [0; ENTROPY_BYTES])).await
}

/// Writes an entry in the unit's commit.
pub async fn record(tx: &OrgTx, entry: &Entry) -> Result<(), StoreError> {
    store::insert(tx, entry).await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_origin_can_be_printed_and_tells_nobodys_address() {
        let origin = Origin {
            address: Some(Personal::new("203.0.113.7".parse().unwrap())),
            agent: Some(Personal::new("canary/1.0".to_owned())),
            request: None,
        };
        let text = format!("{origin:?}");
        assert!(
            !text.contains("203.0.113.7") && !text.contains("canary"),
            "{text}"
        );
    }
}
