//! E-mails: accepted, sealed, listed, shown.
//!
//! Life of an e-mail: a [`Draft`] is checked at a door; [`send`] composes the message, seals it, and stores it in one commit with its
//! recipients, its delivery jobs, its idempotency record and its `email.sent` event. Recipients that are suppressed are recorded as such and
//! have no job. Delivery then moves each of the others from `queued` through `deferred` to `delivered`, `bounced`, `failed` or
//! `suppressed`, and the e-mail's own status follows; what was delivered may still bounce when the next host sends it back. The stored
//! content is the message itself, byte for byte as it is signed and sent on every attempt.
//!
//! Not here: how mail leaves (that is delivery), who is suppressed, scheduling, templates.

mod draft;
mod fresh;
mod outcome;
mod read;
mod send;
mod store;
mod suppressed;
mod text;
mod told;

pub use draft::{Attachment, Draft, DraftError};
pub use fresh::Fresh;
pub use outcome::{AttemptOutcome, Outcome, RecipientOutcome, record, record_bounce};
pub use read::{
    Attempt, Detail, Filter, Page, ReadError, Recipient, Summary, attempts, facts_cell, get, list,
};
pub use read::{Destined, Mailed, Reached, SentTo, destined, message, sent_to};
pub use send::{Accepted, Idempotency, SendError, Sent, send};
pub use store::{ALL as STATEMENTS, NewAttempt, mark_in_doubt, start_attempt};
pub use told::recipient_event;

use crate::features::events::Metadata;
use serde::{Deserialize, Serialize};

/// Status of an e-mail or of one recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Waiting for its first attempt.
    Queued,
    /// Tried, not taken yet, will be tried again.
    Deferred,
    /// On its way: some recipients are done, others are not. Only of e-mails.
    Sent,
    /// Taken by the receiving host.
    Delivered,
    /// Refused for good by the receiving host.
    Bounced,
    /// Given up.
    Failed,
    /// Not tried, because mail to the recipient is suppressed.
    Suppressed,
}

impl Status {
    /// All statuses.
    pub const ALL: [Status; 7] = [
        Self::Queued,
        Self::Deferred,
        Self::Sent,
        Self::Delivered,
        Self::Bounced,
        Self::Failed,
        Self::Suppressed,
    ];

    /// The status as it is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Deferred => "deferred",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Bounced => "bounced",
            Self::Failed => "failed",
            Self::Suppressed => "suppressed",
        }
    }

    /// Reads a stored or asked-for status.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == text)
    }

    /// Whether nothing more will happen.
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Queued | Self::Deferred | Self::Sent => false,
            Self::Delivered | Self::Bounced | Self::Failed | Self::Suppressed => true,
        }
    }

    /// The status of an e-mail from those of its recipients.
    pub fn of_all(recipients: &[Status]) -> Status {
        let any = |wanted: Status| recipients.contains(&wanted);
        if recipients.iter().all(|status| status.is_terminal()) {
            [Self::Delivered, Self::Bounced, Self::Failed, Self::Suppressed]
                .into_iter()
                .find(|s| any(*s))
                .unwrap_or(Self::Failed)
        } else if recipients.iter().any(|status| status.is_terminal()) {
            Self::Sent
        } else if any(Self::Deferred) {
            Self::Deferred
        } else {
            Self::Queued
        }
    }
}

/// How a recipient was named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// In `To`.
    To,
    /// In `Cc`.
    Cc,
    /// Only in the envelope.
    Bcc,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 3] = [Self::To, Self::Cc, Self::Bcc];

    /// The kind as it is stored.
    pub fn name(self) -> &'static str {
        match self {
            Self::To => "to",
            Self::Cc => "cc",
            Self::Bcc => "bcc",
        }
    }
}

/// How far an attempt to deliver has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptState {
    /// The content is about to leave, or has left.
    Started,
    /// There was a reply.
    Finished,
    /// The content left and no reply was recorded.
    InDoubt,
}

impl AttemptState {
    /// All states.
    pub const ALL: [AttemptState; 3] = [Self::Started, Self::Finished, Self::InDoubt];

    /// The state as it is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Finished => "finished",
            Self::InDoubt => "in_doubt",
        }
    }
}

/// What is kept of an e-mail beside its content, sealed as metadata.
#[derive(Clone, Serialize, Deserialize)]
pub struct Head {
    /// `Name <address>`.
    pub from: String,
    /// Where replies go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reply_to: Vec<String>,
    /// The subject.
    pub subject: String,
    /// Tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The caller's metadata.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
}

#[cfg(test)]
mod tests {
    use super::Status::{Bounced, Deferred, Delivered, Failed, Queued, Sent, Suppressed};
    use super::*;

    #[test]
    fn the_status_of_an_email_follows_its_recipients() {
        for (recipients, status) in [
            (&[Queued][..], Queued),
            (&[Queued, Deferred], Deferred),
            (&[Queued, Delivered], Sent),
            (&[Deferred, Bounced], Sent),
            (&[Delivered, Bounced], Delivered),
            (&[Bounced, Failed], Bounced),
            (&[Failed], Failed),
            (&[Suppressed], Suppressed),
            (&[Suppressed, Failed], Failed),
            (&[Suppressed, Queued], Sent),
        ] {
            assert_eq!(Status::of_all(recipients), status);
        }
    }
}
