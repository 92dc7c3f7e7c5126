//! Events that tell of an e-mail: as a whole (scheduled, sent, cancelled), or of one of its recipients.

use super::{Head, Kind, Summary};
use crate::clock::Timestamp;
use crate::features::events::{self, About, Event, Metadata, Type};
use crate::id::EmailId;
use crate::mode::Mode;
use crate::platform::vault::{OrgVault, VaultError};
use serde::Serialize;

/// What an event says of an e-mail.
pub(super) struct Whole<'a> {
    pub(super) id: &'a EmailId,
    pub(super) mode: Mode,
    pub(super) from: &'a str,
    pub(super) to: &'a [String],
    pub(super) subject: &'a str,
    pub(super) tags: &'a [String],
    pub(super) metadata: &'a Metadata,
}

/// What happened to it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Told {
    Scheduled(Timestamp),
    Sent,
    Cancelled,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    email_id: &'a EmailId,
    from: &'a str,
    to: &'a [String],
    subject: &'a str,
    #[serde(flatten)]
    when: When,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    tags: &'a [String],
    #[serde(skip_serializing_if = "Metadata::is_empty")]
    metadata: &'a Metadata,
}

#[derive(Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
enum When {
    Scheduled { scheduled_at: String },
    Sent { sent_at: String },
    Cancelled { cancelled_at: String },
}

/// The event of what happened at `at`.
pub(super) async fn event(
    vault: &OrgVault,
    whole: &Whole<'_>,
    told: Told,
    at: Timestamp,
) -> Result<Event, VaultError> {
    let now = at.rfc3339();
    let (kind, when) = match told {
        Told::Scheduled(scheduled_at) => {
            let scheduled_at = scheduled_at.rfc3339();
            (Type::EmailScheduled, When::Scheduled { scheduled_at })
        }
        Told::Sent => (Type::EmailSent, When::Sent { sent_at: now }),
        Told::Cancelled => (Type::EmailCancelled, When::Cancelled { cancelled_at: now }),
    };
    let data = Data {
        email_id: whole.id,
        from: whole.from,
        to: whole.to,
        subject: whole.subject,
        when,
        tags: whole.tags,
        metadata: whole.metadata,
    };
    let about = About {
        kind,
        mode: whole.mode,
        email: Some(whole.id),
        at,
    };
    events::prepare(vault, about, &data).await
}

/// The event of an e-mail that is read back.
pub(super) async fn event_of(
    vault: &OrgVault,
    summary: &Summary,
    told: Told,
    at: Timestamp,
) -> Result<Event, VaultError> {
    let recipients = summary.recipients.iter();
    let to: Vec<String> = recipients
        .filter(|recipient| recipient.kind == Kind::To.name())
        .map(|recipient| recipient.mailbox.clone())
        .collect();
    let head = &summary.head;
    let whole = Whole {
        id: &summary.id,
        mode: Mode::parse(&summary.mode).unwrap_or(Mode::Test),
        from: &head.from,
        to: &to,
        subject: &head.subject,
        tags: &head.tags,
        metadata: &head.metadata,
    };
    event(vault, &whole, told, at).await
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OfRecipient<'a, T> {
    email_id: Option<&'a EmailId>,
    to: &'a str,
    subject: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    tags: &'a [String],
    #[serde(skip_serializing_if = "Metadata::is_empty")]
    metadata: &'a Metadata,
    #[serde(flatten)]
    what: &'a T,
}

/// Fixes and seals an event about the recipient with this address; `what` is told beside what all of them tell.
pub async fn recipient_event(
    vault: &OrgVault,
    about: About<'_>,
    head: &Head,
    to: &str,
    what: &impl Serialize,
) -> Result<Event, VaultError> {
    let data = OfRecipient {
        email_id: about.email,
        to,
        subject: &head.subject,
        tags: &head.tags,
        metadata: &head.metadata,
        what,
    };
    events::prepare(vault, about, &data).await
}
