//! Records what became of some recipients of an e-mail.

use super::{Status, store};
use crate::clock::Timestamp;
use crate::features::events::{self, Event};
use crate::features::suppressions::{self, Prepared};
use crate::id::EmailId;
use crate::platform::store::{OrgTx, StoreError};
use bytes::Bytes;

/// What became of one recipient.
#[derive(Debug, Clone, Copy)]
pub struct RecipientOutcome {
    /// Its place among the e-mail's recipients.
    pub position: i64,
    /// Its status now.
    pub status: Status,
}

/// How an attempt ended.
pub struct AttemptOutcome {
    /// The attempt.
    pub attempt: store::NewAttempt,
    /// The dot left and no reply was read.
    pub is_in_doubt: bool,
    /// Steps, replies, TLS: sealed.
    pub facts_sealed: Bytes,
}

/// What a look at an e-mail's recipients of one destination came to.
pub struct Outcome {
    /// The e-mail.
    pub email: EmailId,
    /// The attempt; `None` when nobody was tried.
    pub attempt: Option<AttemptOutcome>,
    /// What became of whom.
    pub recipients: Vec<RecipientOutcome>,
    /// What is told of it.
    pub events: Vec<Event>,
    /// Who is not written to any more for it.
    pub suppressions: Vec<Prepared>,
    /// When it ended.
    pub at: Timestamp,
}

/// Writes an outcome: attempt, recipients, the e-mail's own status, events, in the unit's commit.
pub async fn record(tx: &OrgTx, outcome: &Outcome) -> Result<(), StoreError> {
    // First, because it takes the e-mail's row lock: two destinations that end at once must see each other's recipients.
    store::touch(tx, &outcome.email, outcome.at).await?;
    if let Some(attempt) = &outcome.attempt {
        store::finish_attempt(tx, attempt, outcome.at).await?;
    }
    for recipient in &outcome.recipients {
        store::set_recipient(tx, &outcome.email, *recipient, outcome.at).await?;
    }
    let statuses = store::recipient_statuses(tx, &outcome.email).await?;
    store::set_status(tx, &outcome.email, Status::of_all(&statuses)).await?;
    for event in &outcome.events {
        events::append(tx, event).await?;
    }
    for suppression in &outcome.suppressions {
        suppressions::add(tx, suppression).await?;
    }
    Ok(())
}

/// Writes that a recipient's mail came back, with the e-mail's own status and the event, in the unit's commit; `false` when it could not
/// have come back.
pub async fn record_bounce(
    tx: &OrgTx,
    email: &EmailId,
    position: i64,
    event: &Event,
    at: Timestamp,
) -> Result<bool, StoreError> {
    // First, as in `record`.
    store::touch(tx, email, at).await?;
    if !store::set_returned(tx, email, position, at).await? {
        return Ok(false);
    }
    let statuses = store::recipient_statuses(tx, email).await?;
    store::set_status(tx, email, Status::of_all(&statuses)).await?;
    events::append(tx, event).await?;
    Ok(true)
}
