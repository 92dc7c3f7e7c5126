//! Accepts an e-mail: composed and sealed before the unit of work, stored in one commit.

use super::idempotency::{Idempotency, Kept, Replay};
use super::suppressed::{self, Suppressed};
use super::told::{Told, Whole};
use super::{Draft, DraftError, Fresh, Head, Kind, Status, Stream, schedule, store, text, told};
use crate::clock::Timestamp;
use crate::features::domains::{self, Tls};
use crate::features::events::{self, Event, Scalar};
use crate::features::keys::{self, Caller, Channel, ExposeError, Key};
use crate::features::suppressions;
use crate::id::{EmailId, Id as _};
use crate::limits::MESSAGE_BYTES_MAX;
use crate::metrics::KindLabel;
use crate::mode::Mode;
use crate::platform::Platform;
use crate::platform::jobs::{self, Kind as JobKind};
use crate::platform::store::{OrgTx, StoreError};
use crate::platform::vault::{Cell, Class, OrgVault, Vault, VaultError, random};
use bytes::Bytes;
use sealwright_mail::address::{Domain, Mailbox};
use sealwright_mail::compose;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Bytes that are searched for keys on the thread that answers; more are searched aside.
const SEARCHED_AT_ONCE: usize = 256 * 1024;
/// Layouts under way at once: the threads they run on sign mail, too.
pub(super) static DERIVING: Semaphore = Semaphore::const_new(2);

/// What was accepted: the first answer's facts.
#[derive(Clone)]
pub struct Accepted {
    /// The e-mail's id.
    pub id: EmailId,
    /// `Name <address>`.
    pub from: String,
    /// Recipients in `to`.
    pub to: Vec<String>,
    /// The subject.
    pub subject: String,
    /// Queued, scheduled, or suppressed.
    pub status: Status,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it is to leave, if not at once.
    pub scheduled_at: Option<Timestamp>,
    /// Why nobody is written to, if nobody is: of several reasons the first recipient's.
    pub suppressed: Option<suppressions::Type>,
}

/// How a send ended well.
pub enum Sent {
    /// Stored now; the bytes are the answer that was kept for replays.
    Accepted(Vec<u8>),
    /// The same request was accepted before; the bytes are the first answer.
    Replayed(Vec<u8>),
}

/// Why an e-mail was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// A field is refused.
    #[error(transparent)]
    Draft(#[from] DraftError),
    /// The sender's domain is not verified.
    #[error("the domain {0} is not verified for sending; add it, publish its records and verify it first")]
    DomainUnverified(String),
    /// The key is restricted to other domains.
    #[error("this API key may not send from the domain {0}; it is restricted to others")]
    DomainNotAllowed(String),
    /// An attachment could not be fetched.
    #[error("this attachment can't be fetched: {reason}")]
    Unreachable {
        /// Its place among the attachments.
        place: usize,
        /// Why; nothing of what was found there.
        reason: String,
    },
    /// The key was used for another request.
    #[error("this idempotency key was used for a different request; use a new key for a new e-mail")]
    IdempotencyConflict,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The vault failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl SendError {
    /// Whether it says nothing of the e-mail: the store or the vault failed.
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::Store(_) | Self::Vault(_))
    }
}

impl From<ExposeError> for SendError {
    fn from(error: ExposeError) -> Self {
        match error {
            ExposeError::Store(error) => error.into(),
            ExposeError::Vault(error) => error.into(),
        }
    }
}

/// Accepts an e-mail. `answer` renders what a replay of the same request shall be told.
pub async fn send(
    platform: &Platform,
    fresh: &Fresh,
    caller: &Caller,
    draft: Draft,
    idempotency: Option<Idempotency>,
    answer: impl Fn(&Accepted) -> Vec<u8> + Send,
) -> Result<Sent, SendError> {
    check(platform, caller, &draft).await?;
    let vault = platform.vault.org(&caller.org).await?;
    let (prepared, message) = prepare(platform, &vault, caller, draft).await?;
    let mut prepared = Arc::new(prepared);
    loop {
        let answer = answer(&prepared.accepted);
        let kept = match &idempotency {
            Some(key) => Some(Kept::new(&vault, caller, prepared.at, key, &answer).await?),
            None => None,
        };
        let unit = {
            let prepared = Arc::clone(&prepared);
            async move |tx: &OrgTx| accept(tx, &prepared, kept.as_ref()).await
        };
        match platform.store.org(&caller.org).write("email_send", unit).await? {
            Verdict::Accepted { has_listeners } => {
                committed(platform, fresh, &prepared, message, has_listeners);
                return Ok(Sent::Accepted(answer));
            }
            Verdict::Replay(replay) => return Ok(Sent::Replayed(replay.open(&vault).await?)),
            Verdict::Suppressed(found) => {
                let known = Arc::unwrap_or_clone(prepared);
                prepared = Arc::new(known.with_suppressed(&vault, found).await?);
            }
        }
    }
}

/// Refuses what need not be composed for that; keys that the mail tells are burned.
pub(super) async fn check(platform: &Platform, caller: &Caller, draft: &Draft) -> Result<(), SendError> {
    draft.check()?;
    if let Some(at) = draft.scheduled_at {
        schedule::check(at, platform.clock.now())?;
    }
    check_key(caller, draft)?;
    burn_keys_in(platform, caller, draft).await
}

fn check_key(caller: &Caller, draft: &Draft) -> Result<(), SendError> {
    let domain = draft.from.address.domain().as_str();
    if caller.restrictions.allow_domain(domain) {
        return Ok(());
    }
    Err(SendError::DomainNotAllowed(domain.to_owned()))
}

/// Refuses senders that may not send as things stand, before more is done for them than a commit. The commit asks again.
pub(super) async fn check_sender(
    platform: &Platform,
    caller: &Caller,
    draft: &Draft,
) -> Result<(), SendError> {
    check_key(caller, draft)?;
    let domain = draft.from.address.domain().as_str().to_owned();
    let unit = async move |tx: &OrgTx| match domains::may_send(tx, &domain).await?.is_some() {
        true => Ok(()),
        false => Err(SendError::DomainUnverified(domain.clone())),
    };
    platform.store.org(&caller.org).read("email_sender", unit).await
}

/// What follows from a commit: delivery finds the message at hand, and is woken.
pub(super) fn committed(
    platform: &Platform,
    fresh: &Fresh,
    prepared: &Prepared,
    message: Arc<[u8]>,
    has_listeners: bool,
) {
    // Nobody takes a test message out again, nor one that goes nowhere; and one that waits is not to lie in clear for so long.
    if prepared.caller.mode == Mode::Live && prepared.status() == Status::Queued {
        fresh.put(prepared.id.clone(), message);
    }
    if !prepared.suppressed.is_empty() {
        let kind = Status::Suppressed.name();
        let outcomes = &platform.metrics.outcomes;
        let count = prepared.suppressed_events.len() as u64;
        outcomes.get_or_create(&KindLabel { kind }).inc_by(count);
    }
    platform.hints.wake(JobKind::Deliver);
    if has_listeners {
        platform.hints.wake(JobKind::Event);
    }
    platform.metrics.emails_accepted.inc();
}

/// Whoever reads this mail, its archive or its log would have the key: it is burned before the mail is accepted, and the mail goes its way.
async fn burn_keys_in(platform: &Platform, caller: &Caller, draft: &Draft) -> Result<(), SendError> {
    let metadata = draft.metadata.iter().filter_map(|(_, value)| match value {
        Scalar::Text(text) => Some(text.as_str()),
        Scalar::Bool(_) | Scalar::Number(_) => None,
    });
    let headers = draft.headers.iter().map(|(_, value)| value.as_str());
    let parts = [
        Some(draft.subject.as_str()),
        draft.html.as_deref(),
        draft.text.as_deref(),
        draft.amp.as_deref(),
    ];
    let texts: Vec<&str> = parts
        .into_iter()
        .flatten()
        .chain(metadata)
        .chain(headers)
        .chain(draft.tags.iter().map(String::as_str))
        .collect();
    let found: Vec<Key> = if texts.iter().map(|text| text.len()).sum::<usize>() < SEARCHED_AT_ONCE {
        texts.iter().flat_map(|text| Key::find_all(text)).collect()
    } else {
        let text = texts.join("\n");
        let _one_of_few = DERIVING.acquire().await;
        let search = tokio::task::spawn_blocking(move || Key::find_all(&text).collect());
        // It can't panic; if it did, nothing was found.
        search.await.unwrap_or_default()
    };
    Ok(keys::expose_all(platform, found, Channel::Mail, &caller.origin).await?)
}

/// Everything that the unit of work stores.
#[derive(Clone)]
pub(super) struct Prepared {
    pub(super) id: EmailId,
    pub(super) caller: Caller,
    pub(super) at: Timestamp,
    pub(super) scheduled_at: Option<Timestamp>,
    pub(super) sender_domain: String,
    pub(super) stream: Stream,
    pub(super) tls: Tls,
    pub(super) head_sealed: Bytes,
    pub(super) content_sealed: Bytes,
    pub(super) recipients: Vec<PreparedRecipient>,
    pub(super) tag_indexes: Vec<Vec<u8>>,
    /// Who was suppressed when this was made.
    pub(super) suppressed: Suppressed,
    pub(super) suppressed_events: Vec<Event>,
    pub(super) head: Head,
    /// What is answered.
    pub(super) accepted: Accepted,
    event: Event,
}

impl Prepared {
    /// The status that it is accepted in.
    pub(super) fn status(&self) -> Status {
        let statuses: Vec<_> = self.recipients.iter().map(|recipient| recipient.status).collect();
        Status::of_all(&statuses)
    }

    /// The status of recipients that are to be written to.
    pub(super) fn open_status(&self) -> Status {
        open_status(self.scheduled_at)
    }

    /// When it is to leave.
    pub(super) fn released_at(&self) -> Timestamp {
        self.scheduled_at.unwrap_or(self.at)
    }
}

fn open_status(scheduled_at: Option<Timestamp>) -> Status {
    match scheduled_at {
        Some(_) => Status::Scheduled,
        None => Status::Queued,
    }
}

#[derive(Clone)]
pub(super) struct PreparedRecipient {
    pub(super) kind: Kind,
    pub(super) address: String,
    pub(super) status: Status,
    pub(super) destination: i64,
    pub(super) address_index: Vec<u8>,
    pub(super) mailbox_sealed: Bytes,
}

enum Verdict {
    Accepted {
        has_listeners: bool,
    },
    Replay(Replay),
    /// Others are suppressed than were known; nothing was stored.
    Suppressed(Suppressed),
}

/// The unit of work.
async fn accept(tx: &OrgTx, prepared: &Prepared, kept: Option<&Kept>) -> Result<Verdict, SendError> {
    if let Some(kept) = kept
        && let Some(replay) = kept.earlier(tx).await?
    {
        return Ok(Verdict::Replay(replay));
    }
    if let Some(found) = suppressed::news(tx, prepared).await? {
        return Ok(Verdict::Suppressed(found));
    }
    let has_listeners = take(tx, prepared).await?;
    if let Some(kept) = kept {
        store::insert_idempotency(tx, kept, prepared.at).await?;
    }
    Ok(Verdict::Accepted { has_listeners })
}

/// Stores one e-mail with its jobs and its events; answers whether somebody listens.
pub(super) async fn take(tx: &OrgTx, prepared: &Prepared) -> Result<bool, SendError> {
    let Some(sender) = domains::may_send(tx, &prepared.sender_domain).await? else {
        return Err(SendError::DomainUnverified(prepared.sender_domain.clone()));
    };
    store::insert(tx, prepared, &sender).await?;
    let destinations: BTreeSet<i64> = prepared
        .recipients
        .iter()
        .filter(|recipient| !recipient.status.is_terminal())
        .map(|recipient| recipient.destination)
        .collect();
    for destination in destinations {
        jobs::enqueue_by_priority(
            tx,
            JobKind::Deliver,
            prepared.id.as_str(),
            destination,
            prepared.stream.priority(),
            prepared.released_at(),
            // Its expiry counts from there, and not from when it was accepted.
            prepared.released_at(),
        )
        .await?;
    }
    let has_listeners = events::append(tx, &prepared.event).await?;
    for event in &prepared.suppressed_events {
        events::append(tx, event).await?;
    }
    Ok(has_listeners)
}

/// Composes and seals an e-mail: everything that the commit stores, and the message.
pub(super) async fn prepare(
    platform: &Platform,
    vault: &OrgVault,
    caller: &Caller,
    draft: Draft,
) -> Result<(Prepared, Arc<[u8]>), SendError> {
    let at = platform.clock.now();
    let id = EmailId::generate(at, random());
    let draft = with_text(draft).await?;
    let released_at = draft.scheduled_at.unwrap_or(at);
    let message: Arc<[u8]> = compose_message(&draft, &id, released_at)?.into();
    let accepted = Accepted {
        id: id.clone(),
        from: draft.from.to_display_string(),
        to: draft.to.iter().map(Mailbox::to_display_string).collect(),
        subject: draft.subject.as_str().to_owned(),
        status: open_status(draft.scheduled_at),
        created_at: at,
        scheduled_at: draft.scheduled_at,
        suppressed: None,
    };
    let head = head(&accepted, &draft);
    let whole = Whole {
        id: &id,
        mode: caller.mode,
        from: &accepted.from,
        to: &accepted.to,
        subject: &accepted.subject,
        tags: &draft.tags,
        metadata: &draft.metadata,
    };
    let what = draft.scheduled_at.map_or(Told::Sent, Told::Scheduled);
    let prepared = Prepared {
        caller: caller.clone(),
        at,
        scheduled_at: draft.scheduled_at,
        sender_domain: draft.from.address.domain().as_str().to_owned(),
        stream: draft.stream,
        tls: draft.tls,
        head_sealed: seal_head(vault, &id, at, &head).await?,
        content_sealed: vault
            .seal(Class::Content, released_at, content_cell(&id), &message)
            .await?
            .into(),
        recipients: seal_recipients(platform, vault, &id, (at, caller.mode), &draft).await?,
        tag_indexes: draft
            .tags
            .iter()
            .map(|tag| vault.blind_index("tag", tag))
            .collect(),
        event: told::event(vault, &whole, what, at).await?,
        suppressed: Suppressed::new(),
        suppressed_events: Vec::new(),
        head,
        accepted,
        id,
    };
    Ok((prepared, message))
}

/// Where the message of an e-mail is sealed.
pub(super) fn content_cell(id: &EmailId) -> Cell<'_> {
    Cell {
        table: "email_contents",
        column: "content_sealed",
        row: id.as_str(),
    }
}

/// Derives the text part from the HTML when the caller gave none: receivers and screen readers deserve one.
async fn with_text(mut draft: Draft) -> Result<Draft, SendError> {
    let (Some(html), None) = (&draft.html, &draft.text) else {
        return Ok(draft);
    };
    let html = html.clone();
    // Layout of a large page takes milliseconds, which is too long for a thread that answers requests.
    let _one_of_few = DERIVING.acquire().await;
    let derived = tokio::task::spawn_blocking(move || text::of_html(&html)).await;
    let refused = || {
        DraftError::new(
            "html",
            "no text can be derived from this html (it is larger than 1 MiB, nested too deep, or broken); send text as well",
        )
    };
    draft.text = Some(derived.ok().flatten().ok_or_else(refused)?);
    Ok(draft)
}

/// The `Message-ID` of an e-mail, without brackets.
pub fn message_id(id: &EmailId, domain: &Domain) -> String {
    format!("{}@{}", id.as_str(), domain.as_str())
}

fn compose_message(draft: &Draft, id: &EmailId, at: Timestamp) -> Result<Vec<u8>, SendError> {
    let message_id = message_id(id, draft.from.address.domain());
    let attachments: Vec<_> = draft
        .attachments
        .iter()
        .map(|attachment| compose::Attachment {
            filename: &attachment.filename,
            content_type: &attachment.content_type,
            content: &attachment.content,
            content_id: attachment.content_id.as_ref(),
        })
        .collect();
    let message = compose::compose(&compose::Draft {
        from: &draft.from,
        to: &draft.to,
        cc: &draft.cc,
        reply_to: &draft.reply_to,
        subject: &draft.subject,
        message_id: &message_id,
        date_unix_s: at.seconds(),
        headers: &draft.headers,
        text: draft.text.as_deref(),
        html: draft.html.as_deref(),
        amp: draft.amp.as_deref(),
        attachments: &attachments,
        boundary_seed: id.as_str(),
    });
    if message.bytes.len() > MESSAGE_BYTES_MAX {
        let reason = format!(
            "the composed message would have {} bytes, at most {MESSAGE_BYTES_MAX} are allowed",
            message.bytes.len()
        );
        return Err(DraftError::new("attachments", reason).into());
    }
    Ok(message.bytes)
}

fn head(accepted: &Accepted, draft: &Draft) -> Head {
    Head {
        from: accepted.from.clone(),
        reply_to: draft.reply_to.iter().map(Mailbox::to_display_string).collect(),
        subject: accepted.subject.clone(),
        tags: draft.tags.clone(),
        metadata: draft.metadata.clone(),
    }
}

async fn seal_head(vault: &OrgVault, id: &EmailId, at: Timestamp, head: &Head) -> Result<Bytes, VaultError> {
    let json = serde_json::to_vec(head).unwrap_or_default();
    let cell = Cell {
        table: "emails",
        column: "head_sealed",
        row: id.as_str(),
    };
    Ok(vault.seal(Class::Metadata, at, cell, &json).await?.into())
}

/// What is delivered together: one domain's recipients. Test mail has destinations of its own, so that no real host's state is its.
pub fn destination(vault: &Vault, mode: Mode, domain: &str) -> i64 {
    match mode {
        Mode::Live => vault.destination(domain),
        Mode::Test => vault.destination(&format!("test {domain}")),
    }
}

async fn seal_recipients(
    platform: &Platform,
    vault: &OrgVault,
    id: &EmailId,
    (at, mode): (Timestamp, Mode),
    draft: &Draft,
) -> Result<Vec<PreparedRecipient>, VaultError> {
    let named = |kind, mailboxes: &'_ [Mailbox]| {
        mailboxes
            .iter()
            .map(move |mailbox| (kind, mailbox.clone()))
            .collect::<Vec<_>>()
    };
    let all = [
        named(Kind::To, &draft.to),
        named(Kind::Cc, &draft.cc),
        named(Kind::Bcc, &draft.bcc),
    ]
    .concat();
    let mut seen = BTreeSet::new();
    let mut recipients = Vec::with_capacity(all.len());
    for (kind, mailbox) in all {
        // Nobody gets the same mail twice for being named twice.
        if !seen.insert(mailbox.address.canonical()) {
            continue;
        }
        let row = recipient_row(id, recipients.len());
        let text = mailbox.to_display_string();
        let mailbox_sealed = vault
            .seal(Class::Metadata, at, recipient_cell(&row), text.as_bytes())
            .await?
            .into();
        recipients.push(PreparedRecipient {
            kind,
            address: mailbox.address.as_str().to_owned(),
            status: open_status(draft.scheduled_at),
            destination: destination(&platform.vault, mode, mailbox.address.domain().as_str()),
            address_index: vault.blind_index("address", &mailbox.address.canonical()),
            mailbox_sealed,
        });
    }
    Ok(recipients)
}

pub(super) fn recipient_row(id: &EmailId, position: usize) -> String {
    format!("{}/{position}", id.as_str())
}

pub(super) fn recipient_cell(row: &str) -> Cell<'_> {
    Cell {
        table: "recipients",
        column: "mailbox_sealed",
        row,
    }
}
