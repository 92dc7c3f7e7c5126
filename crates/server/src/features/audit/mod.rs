//! Who did what: an append-only record of changes and of refusals that matter.
//!
//! An entry is written in the commit of what it tells of, so there is no change without its entry and no entry without its change. What
//! tells about people (addresses, agents, values before and after) is sealed. Not here yet: reading it by API, signed checkpoints.

mod store;

pub use store::ALL as STATEMENTS;

use crate::clock::Timestamp;
use crate::id::{AuditId, Id as _, RequestId};
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
    let cell = Cell {
        table: "audit_entries",
        column: "detail_sealed",
        row: id.as_str(),
    };
    // No class of a shorter life: evidence outlives what it is about.
    let detail_sealed = vault.seal(Class::Secrets, at, cell, &json).await?;
    Ok(Entry {
        id,
        at,
        actor: act.actor.to_owned(),
        action: act.action,
        target: act.target.to_owned(),
        detail_sealed,
    })
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
