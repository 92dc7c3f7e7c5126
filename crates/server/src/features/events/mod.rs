//! What happened, appended once.
//!
//! An event is written in the commit of what it tells of. Its public JSON is fixed then: webhooks sign and send exactly these bytes,
//! however often and however late. If the organization has webhook endpoints, the same commit adds the job that hands the event to them.

mod body;
mod store;

pub use body::{Metadata, Scalar, plain_number};
pub use store::ALL as STATEMENTS;

use crate::clock::Timestamp;
use crate::id::{EmailId, EventId, Id as _};
use crate::mode::Mode;
use crate::platform::jobs::{self, Kind};
use crate::platform::store::{OrgTx, StoreError};
use crate::platform::vault::{Cell, Class, OrgVault, VaultError, random};
use serde::Serialize;

/// The kinds of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// Accepted for a later time, or moved to another.
    EmailScheduled,
    /// Accepted for sending; of scheduled mail: let go.
    EmailSent,
    /// Taken back before its time came.
    EmailCancelled,
    /// A receiving host took the mail for this recipient.
    EmailDelivered,
    /// Not taken now; it will be tried again.
    EmailDeferred,
    /// Refused for good.
    EmailBounced,
    /// Given up after the last attempt.
    EmailFailed,
    /// The recipient complained.
    EmailComplained,
    /// Not sent because the recipient is suppressed.
    EmailSuppressed,
    /// An API key was seen where it must not be.
    ApiKeyExposed,
    /// An API key should be replaced.
    ApiKeyRotationDue,
    /// A domain may send.
    DomainVerified,
    /// A domain may send no more, or never could: its records are not to be seen.
    DomainFailed,
    /// An address is not written to any more.
    SuppressionCreated,
    /// An address may be written to again.
    SuppressionDeleted,
    /// Something is wrong with the installation.
    AlertFired,
    /// It is so no longer.
    AlertCleared,
    /// A webhook endpoint gets nothing any more.
    WebhookDisabled,
}

impl Type {
    /// All types.
    pub const ALL: [Type; 18] = [
        Self::EmailScheduled,
        Self::EmailSent,
        Self::EmailCancelled,
        Self::EmailDelivered,
        Self::EmailDeferred,
        Self::EmailBounced,
        Self::EmailFailed,
        Self::EmailComplained,
        Self::EmailSuppressed,
        Self::ApiKeyExposed,
        Self::ApiKeyRotationDue,
        Self::DomainVerified,
        Self::DomainFailed,
        Self::SuppressionCreated,
        Self::SuppressionDeleted,
        Self::AlertFired,
        Self::AlertCleared,
        Self::WebhookDisabled,
    ];

    /// The type of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The type as it is stored, shown and subscribed to.
    pub fn name(self) -> &'static str {
        match self {
            Self::EmailScheduled => "email.scheduled",
            Self::EmailSent => "email.sent",
            Self::EmailCancelled => "email.cancelled",
            Self::EmailDelivered => "email.delivered",
            Self::EmailDeferred => "email.deferred",
            Self::EmailBounced => "email.bounced",
            Self::EmailFailed => "email.failed",
            Self::EmailComplained => "email.complained",
            Self::EmailSuppressed => "email.suppressed",
            Self::ApiKeyExposed => "api_key.exposed",
            Self::ApiKeyRotationDue => "api_key.rotation_due",
            Self::DomainVerified => "domain.verified",
            Self::DomainFailed => "domain.failed",
            Self::SuppressionCreated => "suppression.created",
            Self::SuppressionDeleted => "suppression.deleted",
            Self::AlertFired => "alert.fired",
            Self::AlertCleared => "alert.cleared",
            Self::WebhookDisabled => "webhook.disabled",
        }
    }
}

/// An event, sealed and ready to be appended.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its id, the same on every delivery.
    pub id: EventId,
    kind: Type,
    mode: Mode,
    email: Option<EmailId>,
    at: Timestamp,
    body_sealed: bytes::Bytes,
}

/// What an event is about.
#[derive(Debug, Clone)]
pub struct About<'a> {
    /// Its type.
    pub kind: Type,
    /// Live or test.
    pub mode: Mode,
    /// The e-mail.
    pub email: Option<&'a EmailId>,
    /// When it happened.
    pub at: Timestamp,
}

/// Fixes an event's public JSON and seals it: before the unit of work that appends it.
pub async fn prepare(vault: &OrgVault, about: About<'_>, data: &impl Serialize) -> Result<Event, VaultError> {
    let id = EventId::generate(about.at, random());
    let body = body::json(&id, &about, data);
    let cell = Cell {
        table: "events",
        column: "body_sealed",
        row: id.as_str(),
    };
    let body_sealed = vault
        .seal(Class::Metadata, about.at, cell, body.as_bytes())
        .await?
        .into();
    Ok(Event {
        id,
        kind: about.kind,
        mode: about.mode,
        email: about.email.cloned(),
        at: about.at,
        body_sealed,
    })
}

/// Appends an event to the unit's commit, with the job that hands it to webhooks if any listen.
///
/// Returns whether there is such a job: then its worker should be woken after the commit.
pub async fn append(tx: &OrgTx, event: &Event) -> Result<bool, StoreError> {
    store::insert(tx, event).await?;
    let has_listeners = store::has_listeners(tx).await?;
    if has_listeners {
        jobs::enqueue(
            tx,
            Kind::Event,
            event.id.as_str(),
            event.id.day(),
            event.at,
            event.at,
        )
        .await?;
    }
    Ok(has_listeners)
}

/// Appends an event that nobody is told of but one: whoever appends it adds that delivery to the same commit.
pub async fn append_for_one(tx: &OrgTx, event: &Event) -> Result<(), StoreError> {
    store::insert(tx, event).await
}

/// An event as it was appended.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Its id.
    pub id: EventId,
    /// Its type's name.
    pub kind: String,
    /// Live or test.
    pub mode: String,
    /// When it happened.
    pub at: Timestamp,
    body_sealed: bytes::Bytes,
}

impl Stored {
    /// The public JSON, byte for byte as it was fixed.
    pub async fn body(&self, vault: &OrgVault) -> Result<Vec<u8>, VaultError> {
        let cell = Cell {
            table: "events",
            column: "body_sealed",
            row: self.id.as_str(),
        };
        vault.open(cell, &self.body_sealed).await
    }
}

/// What an event is, without what it says.
#[derive(Debug, Clone)]
pub struct Heading {
    /// Its id.
    pub id: EventId,
    /// Its type's name.
    pub kind: String,
    /// Live or test.
    pub mode: String,
    /// The e-mail that it is about.
    pub email: Option<EmailId>,
}

/// What these events are, oldest first; those that are gone are left out.
pub async fn headings(tx: &OrgTx, ids: &[EventId]) -> Result<Vec<Heading>, StoreError> {
    store::get_all(tx, ids).await
}

/// What the events of a mode are from the one after `after` up to `until`, oldest first, up to `limit` of them.
pub async fn headings_after(
    tx: &OrgTx,
    mode: &str,
    after: &EventId,
    until: &EventId,
    limit: i64,
) -> Result<Vec<Heading>, StoreError> {
    store::after(tx, mode, after, until, limit).await
}

/// One event.
pub async fn get(tx: &OrgTx, id: &EventId) -> Result<Option<Stored>, StoreError> {
    store::get(tx, id).await
}

/// The events of one e-mail, oldest first.
pub async fn of_email(tx: &OrgTx, email: &EmailId) -> Result<Vec<Stored>, StoreError> {
    store::of_email(tx, email).await
}

/// Reads an event's id from a job.
pub fn id_of(reference: &str) -> Option<EventId> {
    EventId::parse(reference)
}
