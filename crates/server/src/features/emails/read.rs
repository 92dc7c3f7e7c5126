//! Reads e-mails back: lists, details with their timeline, and what delivery needs.

use super::send::{content_cell, recipient_cell, recipient_row};
use super::store::{self, AttemptRow, EmailRow, RecipientRow};
use super::{Head, Status};
use crate::clock::Timestamp;
use crate::features::domains::Tls;
use crate::features::events;
use crate::features::keys::Caller;
use crate::features::suppressions;
use crate::id::{AttemptId, EmailId, Id as _, OrgId};
use crate::limits::COUNT_MAX;
use crate::mode::Mode;
use crate::platform::Platform;
use crate::platform::store::{OrgTx, StoreError};
use crate::platform::vault::{Cell, OrgVault, VaultError};
use bytes::Bytes;
use sealwright_mail::address::{Address, Mailbox};

/// Which e-mails a list holds.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Rows of a page.
    pub limit: i64,
    /// Older than this one.
    pub starting_after: Option<EmailId>,
    /// Newer than this one.
    pub ending_before: Option<EmailId>,
    /// In this status.
    pub status: Option<Status>,
    /// Accepted at or after.
    pub from: Option<Timestamp>,
    /// Accepted before.
    pub until: Option<Timestamp>,
    /// Blind index of a recipient's address.
    pub address_index: Option<Vec<u8>>,
    /// Blind index of a tag.
    pub tag_index: Option<Vec<u8>>,
}

/// Why an e-mail can't be shown.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is none with this id (in this mode).
    #[error("there is no such e-mail")]
    Unknown,
    /// A page was to begin after an e-mail that there is not.
    #[error("there is no e-mail with this id for a page to begin at")]
    After,
    /// A page was to end before an e-mail that there is not.
    #[error("there is no e-mail with this id for a page to end at")]
    Before,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The vault failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// One recipient.
pub struct Recipient {
    /// Its place.
    pub position: i64,
    /// `to`, `cc` or `bcc`.
    pub kind: String,
    /// `Name <address>`.
    pub mailbox: String,
    /// Its status.
    pub status: String,
    /// Since when.
    pub updated_at: Timestamp,
}

/// An e-mail in a list.
pub struct Summary {
    /// Its id.
    pub id: EmailId,
    /// Live or test.
    pub mode: String,
    /// Its status.
    pub status: String,
    /// What it is about.
    pub head: Head,
    /// To whom it goes.
    pub recipients: Vec<Recipient>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it is to leave, or left, if that was not at once.
    pub scheduled_at: Option<Timestamp>,
}

/// One page of a list.
pub struct Page {
    /// The e-mails, newest first.
    pub emails: Vec<Summary>,
    /// Whether there are more beyond.
    pub has_more: bool,
    /// How many match; at most [`COUNT_MAX`].
    pub total: i64,
    /// Whether counting stopped there.
    pub is_capped: bool,
}

/// An attempt to deliver, for the timeline.
pub struct Attempt {
    /// Its id.
    pub id: AttemptId,
    /// The how-manieth to its destination.
    pub number: i64,
    /// `started`, `finished`, `in_doubt`.
    pub state: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Steps, replies, TLS: JSON.
    pub facts: Option<Vec<u8>>,
}

/// Everything about one e-mail.
pub struct Detail {
    /// The summary.
    pub summary: Summary,
    /// The message; `None` once its content was forgotten.
    pub message: Option<Vec<u8>>,
    /// The public JSON of its events, oldest first.
    pub events: Vec<Vec<u8>>,
}

/// A page of a caller's e-mails.
pub async fn list(platform: &Platform, caller: &Caller, filter: Filter) -> Result<Page, ReadError> {
    let mode = caller.mode.name();
    let unit = async move |tx: &OrgTx| {
        for (edge, missing) in [
            (&filter.starting_after, ReadError::After),
            (&filter.ending_before, ReadError::Before),
        ] {
            if let Some(id) = edge
                && store::get(tx, id).await?.is_none_or(|row| row.mode != mode)
            {
                return Err(missing);
            }
        }
        let (rows, has_more) = store::list(tx, mode, &filter).await?;
        let mut emails = Vec::with_capacity(rows.len());
        for row in rows {
            let recipients = store::recipients(tx, &row.id).await?;
            emails.push((row, recipients));
        }
        Ok((emails, has_more, store::count(tx, mode, &filter).await?))
    };
    let (rows, has_more, total) = platform.store.org(&caller.org).read("email_list", unit).await?;
    let vault = platform.vault.org(&caller.org).await?;
    let mut emails = Vec::with_capacity(rows.len());
    for (row, recipients) in rows {
        emails.push(summary(&vault, row, recipients).await?);
    }
    Ok(Page {
        emails,
        has_more,
        total: total.min(COUNT_MAX),
        is_capped: total > COUNT_MAX,
    })
}

/// One of a caller's e-mails.
pub async fn get(platform: &Platform, caller: &Caller, id: &EmailId) -> Result<Detail, ReadError> {
    let (mode, wanted) = (caller.mode.name(), id.clone());
    let unit = async move |tx: &OrgTx| {
        let row = store::get(tx, &wanted)
            .await?
            .filter(|row| row.mode == mode)
            .ok_or(ReadError::Unknown)?;
        let recipients = store::recipients(tx, &wanted).await?;
        let content = store::content(tx, &wanted, row.released_at()).await?;
        Ok::<_, ReadError>((row, recipients, content, events::of_email(tx, &wanted).await?))
    };
    let (row, recipients, content, stored) = platform.store.org(&caller.org).read("email_get", unit).await?;
    let vault = platform.vault.org(&caller.org).await?;
    let message = match content {
        Some(sealed) => forgotten_is_none(vault.open(content_cell(id), &sealed).await)?,
        None => None,
    };
    Ok(Detail {
        summary: summary(&vault, row, recipients).await?,
        message,
        events: bodies(&vault, stored).await?,
    })
}

/// The message of one of a caller's e-mails.
///
/// # Errors
/// [`VaultError::Forgotten`] once its content was forgotten.
pub async fn content(platform: &Platform, caller: &Caller, id: &EmailId) -> Result<Vec<u8>, ReadError> {
    let (mode, wanted) = (caller.mode.name(), id.clone());
    let unit = async move |tx: &OrgTx| {
        let row = store::get(tx, &wanted).await?.filter(|row| row.mode == mode);
        let released_at = row.ok_or(ReadError::Unknown)?.released_at();
        Ok::<_, ReadError>(store::content(tx, &wanted, released_at).await?)
    };
    let sealed = platform
        .store
        .org(&caller.org)
        .read("email_content", unit)
        .await?;
    let vault = platform.vault.org(&caller.org).await?;
    let sealed = sealed.ok_or(VaultError::Forgotten)?;
    Ok(vault.open(content_cell(id), &sealed).await?)
}

/// The public JSON of what happened to one of a caller's e-mails, oldest first.
pub async fn timeline(platform: &Platform, caller: &Caller, id: &EmailId) -> Result<Vec<Vec<u8>>, ReadError> {
    let (mode, wanted) = (caller.mode.name(), id.clone());
    let unit = async move |tx: &OrgTx| {
        let row = store::get(tx, &wanted).await?.filter(|row| row.mode == mode);
        row.ok_or(ReadError::Unknown)?;
        Ok::<_, ReadError>(events::of_email(tx, &wanted).await?)
    };
    let stored = platform.store.org(&caller.org).read("email_events", unit).await?;
    let vault = platform.vault.org(&caller.org).await?;
    bodies(&vault, stored).await
}

async fn bodies(vault: &OrgVault, stored: Vec<events::Stored>) -> Result<Vec<Vec<u8>>, ReadError> {
    let mut bodies = Vec::with_capacity(stored.len());
    for event in stored {
        bodies.push(event.body(vault).await?);
    }
    Ok(bodies)
}

/// An e-mail without its content, whatever its mode; `None` when it is gone.
pub(super) async fn summary_of(
    platform: &Platform,
    vault: &OrgVault,
    org: &OrgId,
    id: &EmailId,
) -> Result<Option<Summary>, ReadError> {
    match rows_of(platform, org, id).await? {
        Some((row, recipients)) => Ok(Some(summary(vault, row, recipients).await?)),
        None => Ok(None),
    }
}

async fn rows_of(
    platform: &Platform,
    org: &OrgId,
    id: &EmailId,
) -> Result<Option<(EmailRow, Vec<RecipientRow>)>, StoreError> {
    let wanted = id.clone();
    let unit = async move |tx: &OrgTx| {
        let Some(row) = store::get(tx, &wanted).await? else {
            return Ok::<_, StoreError>(None);
        };
        Ok(Some((row, store::recipients(tx, &wanted).await?)))
    };
    platform.store.org(org).read("email_rows", unit).await
}

/// The attempts to deliver one of a caller's e-mails, oldest first.
pub async fn attempts(platform: &Platform, caller: &Caller, id: &EmailId) -> Result<Vec<Attempt>, ReadError> {
    let (mode, wanted) = (caller.mode.name(), id.clone());
    let unit = async move |tx: &OrgTx| {
        store::get(tx, &wanted)
            .await?
            .filter(|row| row.mode == mode)
            .ok_or(ReadError::Unknown)?;
        Ok::<_, ReadError>(store::attempts(tx, &wanted).await?)
    };
    let rows = platform
        .store
        .org(&caller.org)
        .read("email_attempts", unit)
        .await?;
    let vault = platform.vault.org(&caller.org).await?;
    let mut attempts = Vec::with_capacity(rows.len());
    for row in rows {
        attempts.push(attempt(&vault, row).await?);
    }
    Ok(attempts)
}

async fn attempt(vault: &OrgVault, row: AttemptRow) -> Result<Attempt, VaultError> {
    let facts = match &row.facts_sealed {
        Some(sealed) => Some(vault.open(facts_cell(&row.id), sealed).await?),
        None => None,
    };
    let AttemptRow {
        id,
        number,
        state,
        started_at,
        finished_at,
        ..
    } = row;
    Ok(Attempt {
        id,
        number,
        state,
        started_at,
        finished_at,
        facts,
    })
}

/// Where the facts of an attempt are sealed.
pub fn facts_cell(id: &AttemptId) -> Cell<'_> {
    Cell {
        table: "attempts",
        column: "facts_sealed",
        row: id.as_str(),
    }
}

fn forgotten_is_none(opened: Result<Vec<u8>, VaultError>) -> Result<Option<Vec<u8>>, VaultError> {
    match opened {
        Ok(value) => Ok(Some(value)),
        Err(VaultError::Forgotten) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn summary(vault: &OrgVault, row: EmailRow, rows: Vec<RecipientRow>) -> Result<Summary, VaultError> {
    let head = open_head(vault, &row.id, &row.head_sealed).await?;
    let mut recipients = Vec::with_capacity(rows.len());
    for recipient in rows {
        let mailbox = open_mailbox(vault, &row.id, &recipient).await?;
        let RecipientRow {
            position,
            kind,
            status,
            updated_at,
            ..
        } = recipient;
        recipients.push(Recipient {
            position,
            kind,
            mailbox,
            status,
            updated_at,
        });
    }
    Ok(Summary {
        id: row.id,
        mode: row.mode,
        status: row.status,
        head,
        recipients,
        created_at: row.created_at,
        scheduled_at: row.scheduled_at,
    })
}

async fn open_head(vault: &OrgVault, id: &EmailId, sealed: &Bytes) -> Result<Head, VaultError> {
    let json = vault
        .open(
            Cell {
                table: "emails",
                column: "head_sealed",
                row: id.as_str(),
            },
            sealed,
        )
        .await?;
    serde_json::from_slice(&json).map_err(|_| VaultError::Tampered {
        table: "emails",
        column: "head_sealed",
    })
}

async fn open_mailbox(vault: &OrgVault, id: &EmailId, row: &RecipientRow) -> Result<String, VaultError> {
    let name = recipient_row(id, usize::try_from(row.position).unwrap_or(usize::MAX));
    let opened = vault.open(recipient_cell(&name), &row.mailbox_sealed).await?;
    String::from_utf8(opened).map_err(|_| VaultError::Tampered {
        table: "recipients",
        column: "mailbox_sealed",
    })
}

/// An e-mail as delivery sees it.
pub struct Mailed {
    /// Live or test.
    pub mode: Mode,
    /// What it is about.
    pub head: Head,
    /// Its status; the mail of scheduled ones must not leave.
    pub status: Status,
    /// When it left or is to leave: signature and expiry count from there.
    pub released_at: Timestamp,
    /// The place of the destination's first recipient, done or not: it names the destination in a return path.
    pub first: i64,
    /// How it has to travel.
    pub tls: Tls,
    /// The recipients of the destination that are not done yet.
    pub recipients: Vec<Destined>,
}

impl Mailed {
    /// Whether it waits for its time.
    pub fn is_scheduled(&self) -> bool {
        self.status == Status::Scheduled
    }
}

/// A recipient that waits for delivery.
pub struct Destined {
    /// Its place.
    pub position: i64,
    /// `Name <address>`.
    pub mailbox: String,
    /// Scheduled, queued or deferred,
    pub status: Status,
    /// since then.
    pub since: Timestamp,
    /// Why it is not written to after all.
    pub suppressed: Option<suppressions::Type>,
    /// The blind index of its address.
    pub address_index: Bytes,
}

/// What is to be delivered to one destination; `None` when the e-mail is gone.
pub async fn destined(
    platform: &Platform,
    vault: &OrgVault,
    org: &OrgId,
    id: &EmailId,
    destination: i64,
) -> Result<Option<Mailed>, ReadError> {
    let wanted = id.clone();
    let unit = async move |tx: &OrgTx| {
        let Some(row) = store::get(tx, &wanted).await? else {
            return Ok::<_, StoreError>(None);
        };
        let mut rows = store::recipients(tx, &wanted).await?;
        rows.retain(|recipient| recipient.destination == destination);
        let indexes: Vec<&[u8]> = rows.iter().map(|row| row.address_index.as_ref()).collect();
        let suppressed = suppressions::of(tx, mode_of(&row), &indexes).await?;
        Ok(Some((row, rows, suppressed)))
    };
    let Some((row, rows, suppressed)) = platform.store.org(org).read("email_destined", unit).await? else {
        return Ok(None);
    };
    let mut recipients = Vec::new();
    let first = rows.first().map_or(0, |row| row.position);
    for recipient in &rows {
        let status = Status::parse(&recipient.status);
        let Some(status) = status.filter(|status| !status.is_terminal()) else {
            continue;
        };
        recipients.push(Destined {
            position: recipient.position,
            mailbox: open_mailbox(vault, id, recipient).await?,
            status,
            since: recipient.updated_at,
            suppressed: suppressed.get(recipient.address_index.as_ref()).copied(),
            address_index: recipient.address_index.clone(),
        });
    }
    let mode = mode_of(&row);
    let head = open_head(vault, id, &row.head_sealed).await?;
    Ok(Some(Mailed {
        mode,
        head,
        status: Status::parse(&row.status).unwrap_or(Status::Failed),
        released_at: row.released_at(),
        first,
        // What can't be read demands the most.
        tls: Tls::parse(&row.tls).unwrap_or(Tls::Required),
        recipients,
    }))
}

/// What is kept of the last attempt at a destination that ended, as JSON.
pub async fn last_facts(
    platform: &Platform,
    vault: &OrgVault,
    org: &OrgId,
    id: &EmailId,
    destination: i64,
) -> Result<Option<Vec<u8>>, ReadError> {
    let wanted = id.clone();
    let unit = async move |tx: &OrgTx| store::last_facts(tx, &wanted, destination).await;
    match platform.store.org(org).read("email_last_facts", unit).await? {
        Some((attempt, sealed)) => Ok(Some(vault.open(facts_cell(&attempt), &sealed).await?)),
        None => Ok(None),
    }
}

/// An e-mail as it went to one destination.
pub struct SentTo {
    /// Live or test.
    pub mode: Mode,
    /// What it is about.
    pub head: Head,
    /// All recipients of the destination.
    pub recipients: Vec<Reached>,
}

/// A recipient that mail went to.
pub struct Reached {
    /// Its place.
    pub position: i64,
    /// Its address.
    pub address: Address,
}

/// What went to the destination whose first recipient has this place; `None` when there is no such e-mail or place.
pub async fn sent_to(
    platform: &Platform,
    vault: &OrgVault,
    org: &OrgId,
    id: &EmailId,
    first: i64,
) -> Result<Option<SentTo>, ReadError> {
    let Some((row, rows)) = rows_of(platform, org, id).await? else {
        return Ok(None);
    };
    let Some(destination) = rows
        .iter()
        .find(|row| row.position == first)
        .map(|row| row.destination)
    else {
        return Ok(None);
    };
    let mut recipients = Vec::new();
    for recipient in rows.iter().filter(|row| row.destination == destination) {
        // It was one when it was stored.
        let Ok(mailbox) = Mailbox::parse(&open_mailbox(vault, id, recipient).await?) else {
            continue;
        };
        recipients.push(Reached {
            position: recipient.position,
            address: mailbox.address,
        });
    }
    Ok(Some(SentTo {
        mode: Mode::parse(&row.mode).unwrap_or(Mode::Test),
        head: open_head(vault, id, &row.head_sealed).await?,
        recipients,
    }))
}

fn mode_of(row: &EmailRow) -> Mode {
    Mode::parse(&row.mode).unwrap_or(Mode::Test)
}

/// The message of an e-mail that left then; `None` when its content was forgotten.
pub async fn message(
    platform: &Platform,
    vault: &OrgVault,
    org: &OrgId,
    id: &EmailId,
    released_at: Timestamp,
) -> Result<Option<Vec<u8>>, ReadError> {
    let wanted = id.clone();
    let unit = async move |tx: &OrgTx| store::content(tx, &wanted, released_at).await;
    match platform.store.org(org).read("email_message", unit).await? {
        Some(sealed) => Ok(forgotten_is_none(vault.open(content_cell(id), &sealed).await)?),
        None => Ok(None),
    }
}
