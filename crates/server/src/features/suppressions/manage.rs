//! Finds, lists and takes away suppressions.

use super::add::{Detail, Told, address_cell, address_index, reason_cell};
use super::store::{self, SuppressionRow};
use super::{Suppression, SuppressionError, Type};
use crate::features::audit::{self, Act};
use crate::features::events;
use crate::features::keys::Caller;
use crate::id::{Id as _, SuppressionId};
use crate::limits::COUNT_MAX;
use crate::platform::Platform;
use crate::platform::jobs::Kind;
use crate::platform::store::OrgTx;
use crate::platform::vault::{OrgVault, VaultError};
use crate::secret::Personal;
use sealwright_mail::address::Address;

/// How a suppression is named.
#[derive(Debug, Clone)]
pub enum Which {
    /// By its id.
    Id(SuppressionId),
    /// By the address that is suppressed.
    Address(Address),
}

/// One suppression of the caller's mode.
pub async fn find(
    platform: &Platform,
    caller: &Caller,
    which: Which,
) -> Result<Option<Suppression>, SuppressionError> {
    let (mode, vault) = (caller.mode, platform.vault.org(&caller.org).await?);
    let index = match &which {
        Which::Id(_) => Vec::new(),
        Which::Address(address) => address_index(&vault, address),
    };
    let unit = async move |tx: &OrgTx| match &which {
        Which::Id(id) => store::get(tx, mode, id).await,
        Which::Address(_) => store::by_address(tx, mode, &index).await,
    };
    let found = platform
        .store
        .org(&caller.org)
        .read("suppression_find", unit)
        .await?;
    match found {
        Some(row) => Ok(Some(opened(&vault, row).await?)),
        None => Ok(None),
    }
}

async fn opened(vault: &OrgVault, row: SuppressionRow) -> Result<Suppression, VaultError> {
    let text = |bytes: Vec<u8>| Personal::new(String::from_utf8_lossy(&bytes).into_owned());
    let address = vault.open(address_cell(&row.id), &row.address_sealed).await?;
    let reason = match &row.reason_sealed {
        Some(sealed) => Some(vault.open(reason_cell(&row.id), sealed).await?),
        None => None,
    };
    Ok(Suppression {
        address: text(address),
        kind: row.kind,
        reason: reason.map(text),
        email: row.email,
        created_at: row.created_at,
        id: row.id,
    })
}

/// A page of suppressions.
pub struct Page {
    /// The suppressions, newest first.
    pub suppressions: Vec<Suppression>,
    /// Whether there are more beyond.
    pub has_more: bool,
    /// How many there are in all, of this type; at most [`COUNT_MAX`].
    pub total: i64,
    /// Whether counting stopped there.
    pub is_capped: bool,
}

/// Up to `limit` suppressions of the caller's mode, newest first, from the one after `after`.
pub async fn list(
    platform: &Platform,
    caller: &Caller,
    kind: Option<Type>,
    limit: i64,
    after: Option<SuppressionId>,
) -> Result<Page, SuppressionError> {
    let mode = caller.mode;
    let unit = async move |tx: &OrgTx| {
        if let Some(after) = &after {
            let edge = store::get(tx, mode, after).await?;
            edge.ok_or(SuppressionError::After)?;
        }
        let rows = store::list(tx, mode, kind, after.as_ref(), limit + 1).await?;
        Ok::<_, SuppressionError>((rows, store::count(tx, mode, kind).await?))
    };
    let (mut rows, total) = platform
        .store
        .org(&caller.org)
        .read("suppression_list", unit)
        .await?;
    let limit = usize::try_from(limit).unwrap_or(0);
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let vault = platform.vault.org(&caller.org).await?;
    let mut suppressions = Vec::with_capacity(rows.len());
    for row in rows {
        suppressions.push(opened(&vault, row).await?);
        // A part of an export takes longer than others should wait.
        tokio::task::consume_budget().await;
    }
    Ok(Page {
        suppressions,
        has_more,
        total: total.min(COUNT_MAX),
        is_capped: total > COUNT_MAX,
    })
}

/// Takes a suppression away: its address may be written to again. Returns what it was.
pub async fn delete(
    platform: &Platform,
    caller: &Caller,
    which: Which,
) -> Result<Suppression, SuppressionError> {
    let found = find(platform, caller, which).await?;
    let old = found.ok_or(SuppressionError::Unknown)?;
    let now = platform.clock.now();
    let vault = platform.vault.org(&caller.org).await?;
    let told = Told {
        email: old.address.expose(),
        kind: old.kind.name(),
        reason: old.reason.as_ref().map(|reason| reason.expose().as_str()),
        email_id: old.email.as_ref(),
        created_at: old.created_at.rfc3339(),
    };
    let event = told
        .event(&vault, events::Type::SuppressionDeleted, caller.mode, now)
        .await?;
    let act = Act {
        actor: caller.actor.as_str(),
        action: "suppression.deleted",
        target: old.id.as_str(),
        origin: &caller.origin,
        detail: Detail {
            mode: caller.mode.name(),
            email: old.address.expose(),
            kind: old.kind.name(),
        },
    };
    let audited = audit::prepare(&vault, now, act).await?;
    let id = old.id.clone();
    let unit = async move |tx: &OrgTx| {
        if !store::delete(tx, &id).await? {
            return Err(SuppressionError::Unknown);
        }
        events::append(tx, &event).await?;
        Ok(audit::record(tx, &audited).await?)
    };
    platform
        .store
        .org(&caller.org)
        .write("suppression_delete", unit)
        .await?;
    platform.hints.wake(Kind::Event);
    Ok(old)
}
