//! Suppresses addresses.

use super::manage::{Which, find};
use super::{Suppression, SuppressionError, Type, store};
use crate::clock::Timestamp;
use crate::features::audit::{self, Act};
use crate::features::events::{self, About, Event};
use crate::features::keys::Caller;
use crate::id::{EmailId, Id as _, SuppressionId};
use crate::limits::{SUPPRESSION_REASON_CHARS_MAX, SUPPRESSIONS_IMPORTED_MAX};
use crate::mode::Mode;
use crate::platform::Platform;
use crate::platform::jobs::Kind;
use crate::platform::store::{OrgTx, StoreError};
use crate::platform::vault::{Cell, Class, OrgVault, VaultError, random};
use bytes::Bytes;
use sealwright_mail::address::Address;
use serde::Serialize;

/// Suppressions of an import that share a commit: few enough that others' commits don't wait for them.
const IMPORTED_AT_ONCE: usize = 100;

/// Whom to suppress, and why.
#[derive(Debug, Clone, Copy)]
pub struct Suppress<'a> {
    /// For live or for test mail.
    pub mode: Mode,
    /// Who.
    pub address: &'a Address,
    /// Why.
    pub kind: Type,
    /// Why, in words. What is longer than [`SUPPRESSION_REASON_CHARS_MAX`] is cut.
    pub reason: Option<&'a str>,
    /// The e-mail whose outcome it is.
    pub email: Option<&'a EmailId>,
    /// Since when.
    pub at: Timestamp,
}

/// A suppression, sealed and ready to be added.
#[derive(Debug, Clone)]
pub struct Prepared {
    pub(super) id: SuppressionId,
    pub(super) mode: Mode,
    pub(super) kind: Type,
    pub(super) address_index: Vec<u8>,
    pub(super) address_sealed: Bytes,
    pub(super) reason_sealed: Option<Bytes>,
    pub(super) email: Option<EmailId>,
    pub(super) at: Timestamp,
    event: Event,
}

/// The blind index of an address: the same that recipients have.
pub(super) fn address_index(vault: &OrgVault, address: &Address) -> Vec<u8> {
    vault.blind_index("address", &address.canonical())
}

pub(super) fn address_cell(id: &SuppressionId) -> Cell<'_> {
    Cell {
        table: "suppressions",
        column: "address_sealed",
        row: id.as_str(),
    }
}

pub(super) fn reason_cell(id: &SuppressionId) -> Cell<'_> {
    Cell {
        table: "suppressions",
        column: "reason_sealed",
        row: id.as_str(),
    }
}

/// Seals a suppression and the event that tells of it: before the unit of work that adds it.
pub async fn prepare(vault: &OrgVault, new: Suppress<'_>) -> Result<Prepared, VaultError> {
    let id = SuppressionId::generate(new.at, random());
    let reason: Option<String> = new
        .reason
        .map(|reason| reason.chars().take(SUPPRESSION_REASON_CHARS_MAX).collect());
    // No class of a shorter life: whoever is not to be written to stays so when the mail that it began with is forgotten.
    let address = new.address.as_str().as_bytes();
    let address_sealed = vault
        .seal(Class::Secrets, new.at, address_cell(&id), address)
        .await?;
    let reason_sealed = match &reason {
        Some(reason) => {
            let cell = reason_cell(&id);
            Some(
                vault
                    .seal(Class::Secrets, new.at, cell, reason.as_bytes())
                    .await?,
            )
        }
        None => None,
    };
    let told = Told {
        email: new.address.as_str(),
        kind: new.kind.name(),
        reason: reason.as_deref(),
        email_id: new.email,
        created_at: new.at.rfc3339(),
    };
    let event = told.event(vault, events::Type::SuppressionCreated, new.mode, new.at);
    Ok(Prepared {
        event: event.await?,
        mode: new.mode,
        kind: new.kind,
        address_index: address_index(vault, new.address),
        address_sealed: address_sealed.into(),
        reason_sealed: reason_sealed.map(Bytes::from),
        email: new.email.cloned(),
        at: new.at,
        id,
    })
}

/// What an event tells of a suppression.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Told<'a> {
    pub(super) email: &'a str,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) email_id: Option<&'a EmailId>,
    pub(super) created_at: String,
}

impl Told<'_> {
    /// The event, which is of no e-mail's timeline: a suppression outlives it.
    pub(super) async fn event(
        &self,
        vault: &OrgVault,
        kind: events::Type,
        mode: Mode,
        at: Timestamp,
    ) -> Result<Event, VaultError> {
        let about = About {
            kind,
            mode,
            email: None,
            at,
        };
        events::prepare(vault, about, self).await
    }
}

/// Adds a suppression to the unit's commit, with its event; `false` when the address is suppressed already, and nothing is changed.
pub async fn add(tx: &OrgTx, new: &Prepared) -> Result<bool, StoreError> {
    let is_new = store::insert(tx, new).await?;
    if is_new {
        events::append(tx, &new.event).await?;
    }
    Ok(is_new)
}

/// One address that a caller wants suppressed.
#[derive(Debug, Clone)]
pub struct Entry {
    address: Address,
    kind: Type,
    reason: Option<String>,
}

impl Entry {
    /// Reads the parts of an entry. Without a type it is [`Type::Manual`]; an empty reason is none.
    pub fn parse(email: &str, kind: Option<Type>, reason: Option<String>) -> Result<Self, SuppressionError> {
        let reason = reason.filter(|reason| !reason.is_empty());
        let is_unfit = |text: &String| {
            text.chars().count() > SUPPRESSION_REASON_CHARS_MAX || text.chars().any(char::is_control)
        };
        if reason.as_ref().is_some_and(is_unfit) {
            return Err(SuppressionError::Reason);
        }
        Ok(Self {
            address: Address::parse(email)?,
            kind: kind.unwrap_or(Type::Manual),
            reason,
        })
    }

    async fn prepare(&self, vault: &OrgVault, mode: Mode, at: Timestamp) -> Result<Prepared, VaultError> {
        let new = Suppress {
            mode,
            address: &self.address,
            kind: self.kind,
            reason: self.reason.as_deref(),
            email: None,
            at,
        };
        prepare(vault, new).await
    }
}

/// What the audit log says of one suppression.
#[derive(Serialize)]
pub(super) struct Detail<'a> {
    pub(super) mode: &'static str,
    pub(super) email: &'a str,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
}

/// Suppresses an address; one that is suppressed already stays as it is. Returns what holds for it now.
pub async fn create(
    platform: &Platform,
    caller: &Caller,
    entry: Entry,
) -> Result<Suppression, SuppressionError> {
    let now = platform.clock.now();
    let vault = platform.vault.org(&caller.org).await?;
    let new = entry.prepare(&vault, caller.mode, now).await?;
    let act = Act {
        actor: caller.actor.as_str(),
        action: "suppression.created",
        target: new.id.as_str(),
        origin: &caller.origin,
        detail: Detail {
            mode: caller.mode.name(),
            email: entry.address.as_str(),
            kind: entry.kind.name(),
        },
    };
    let audited = audit::prepare(&vault, now, act).await?;
    let unit = async move |tx: &OrgTx| {
        if add(tx, &new).await? {
            audit::record(tx, &audited).await?;
        }
        Ok::<_, StoreError>(())
    };
    platform
        .store
        .org(&caller.org)
        .write("suppression_create", unit)
        .await?;
    platform.hints.wake(Kind::Event);
    let found = find(platform, caller, Which::Address(entry.address)).await?;
    // Somebody took it away in between; for whoever asked to suppress it, that is a failure.
    found.ok_or(SuppressionError::Unknown)
}

/// What an import came to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Imported {
    /// Addresses that were not suppressed before.
    pub created: usize,
    /// Addresses that were, which stay as they are.
    pub existing: usize,
}

#[derive(Serialize)]
struct ImportDetail {
    mode: &'static str,
    entries: usize,
}

/// Suppresses many addresses, in parts: one that fails leaves what came before it, and can be sent again as a whole.
pub async fn import(
    platform: &Platform,
    caller: &Caller,
    entries: &[Entry],
) -> Result<Imported, SuppressionError> {
    if entries.len() > SUPPRESSIONS_IMPORTED_MAX {
        return Err(SuppressionError::TooMany);
    }
    let mut imported = Imported::default();
    for part in entries.chunks(IMPORTED_AT_ONCE) {
        let created = import_part(platform, caller, part).await?;
        imported.created += created;
        imported.existing += part.len() - created;
    }
    Ok(imported)
}

/// Returns how many are new.
async fn import_part(
    platform: &Platform,
    caller: &Caller,
    part: &[Entry],
) -> Result<usize, SuppressionError> {
    let now = platform.clock.now();
    let vault = platform.vault.org(&caller.org).await?;
    let mut all = Vec::with_capacity(part.len());
    for entry in part {
        all.push(entry.prepare(&vault, caller.mode, now).await?);
    }
    let act = Act {
        actor: caller.actor.as_str(),
        action: "suppression.imported",
        target: all.first().map_or("", |new| new.id.as_str()),
        origin: &caller.origin,
        detail: ImportDetail {
            mode: caller.mode.name(),
            entries: part.len(),
        },
    };
    let audited = audit::prepare(&vault, now, act).await?;
    let unit = async move |tx: &OrgTx| {
        let mut created = 0;
        for new in &all {
            created += usize::from(add(tx, new).await?);
        }
        if created > 0 {
            audit::record(tx, &audited).await?;
        }
        Ok::<_, StoreError>(created)
    };
    let created = platform
        .store
        .org(&caller.org)
        .write("suppression_import", unit)
        .await?;
    platform.hints.wake(Kind::Event);
    Ok(created)
}
