//! E-mails: accepted, sealed, listed, shown.
//!
//! Life of an e-mail: a [`Draft`] is checked at a door; [`send`] composes the message, seals it, and stores it in one commit with its
//! recipients, its delivery jobs, its idempotency record and its `email.sent` event. Recipients that are suppressed are recorded as such and
//! have no job. Delivery then moves each of the others from `queued` through `deferred` to `delivered`, `bounced`, `failed` or
//! `suppressed`, and the e-mail's own status follows; what was delivered may still bounce when the next host sends it back. The stored
//! content is the message itself, byte for byte as it is signed and sent on every attempt.
//!
//! Mail may wait for its time first (`schedule`): it is `scheduled` with all its recipients that are not suppressed until it is cancelled or
//! its time has come and delivery lets it go. From then on it is like mail that was accepted at that moment: date, signature, expiry and
//! bucket key are those of its release.
//!
//! A send may bring templates, or name one (`fill`): they have their values before anything else is done, so what is accepted, scheduled and
//! stored is always the finished e-mail.
//!
//! Not here: how mail leaves (that is delivery), who is suppressed, what templates say.

mod batch;
mod draft;
mod fill;
mod fresh;
mod idempotency;
mod inline;
mod link;
mod outcome;
mod read;
mod schedule;
mod send;
mod store;
mod suppressed;
mod text;
mod told;

pub use batch::{send_all, send_batch};
pub use draft::{Attachment, Draft, DraftError, Stream};
pub use fill::{Filling, fill, share_attachments};
pub use fresh::Fresh;
pub use idempotency::{Idempotency, replayed};
pub use link::{Fetcher, Link};
pub use outcome::{AttemptOutcome, Outcome, RecipientOutcome, record, record_bounce};
pub use read::{
    Attempt, Detail, Filter, Page, ReadError, Recipient, Summary, attempts, content, facts_cell, get, list,
    timeline,
};
pub use read::{Destined, Mailed, Reached, SentTo, destined, last_facts, message, sent_to};
pub use schedule::{Due, Release, ScheduleError, cancel, due, release, reschedule, scheduled_for};
pub use send::{Accepted, SendError, Sent, destination, message_id, send};
pub use store::{ALL as STATEMENTS, NewAttempt, mark_in_doubt, start_attempt};
pub use told::recipient_event;

use crate::features::events::Metadata;
use serde::{Deserialize, Serialize};

/// Status of an e-mail or of one recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Waiting for its time.
    Scheduled,
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
    /// Taken back before its time came.
    Cancelled,
}

impl Status {
    /// All statuses.
    pub const ALL: [Status; 9] = [
        Self::Scheduled,
        Self::Queued,
        Self::Deferred,
        Self::Sent,
        Self::Delivered,
        Self::Bounced,
        Self::Failed,
        Self::Suppressed,
        Self::Cancelled,
    ];

    /// The status as it is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Queued => "queued",
            Self::Deferred => "deferred",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Bounced => "bounced",
            Self::Failed => "failed",
            Self::Suppressed => "suppressed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Reads a stored or asked-for status.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == text)
    }

    /// Whether nothing more will happen.
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Scheduled | Self::Queued | Self::Deferred | Self::Sent => false,
            Self::Delivered | Self::Bounced | Self::Failed | Self::Suppressed | Self::Cancelled => true,
        }
    }

    /// The status of an e-mail from those of its recipients.
    pub fn of_all(recipients: &[Status]) -> Status {
        let any = |wanted: Status| recipients.contains(&wanted);
        if recipients.iter().all(|status| status.is_terminal()) {
            let ends = [
                Self::Delivered,
                Self::Bounced,
                Self::Failed,
                Self::Cancelled,
                Self::Suppressed,
            ];
            ends.into_iter().find(|end| any(*end)).unwrap_or(Self::Failed)
        } else if any(Self::Scheduled) {
            // Its recipients are let go together.
            Self::Scheduled
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
    use super::Status::{
        Bounced, Cancelled, Deferred, Delivered, Failed, Queued, Scheduled, Sent, Suppressed,
    };
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
            (&[Scheduled, Scheduled], Scheduled),
            (&[Suppressed, Scheduled], Scheduled),
            (&[Suppressed, Cancelled], Cancelled),
            (&[Failed], Failed),
            (&[Suppressed], Suppressed),
            (&[Suppressed, Failed], Failed),
            (&[Suppressed, Queued], Sent),
        ] {
            assert_eq!(Status::of_all(recipients), status);
        }
    }
}
