//! Mail that waits for its time: let go, moved, taken back.
//!
//! One row decides: whoever lets an e-mail go, moves it or cancels it first takes its lock, and finds it `scheduled` or comes too late.
//! Its delivery jobs only say when to look. A worker that holds one of them while the e-mail is moved or cancelled finds the new time, or
//! its lease lost.

use super::read::{self, ReadError, Summary};
use super::send::content_cell;
use super::told::{self, Told};
use super::{DraftError, Status, store};
use crate::clock::Timestamp;
use crate::features::domains;
use crate::features::events::{self, Event};
use crate::features::keys::Caller;
use crate::id::{EmailId, Id as _, OrgId};
use crate::limits::{SCHEDULE_AHEAD_MAX, SCHEDULE_AHEAD_MIN};
use crate::platform::Platform;
use crate::platform::jobs::{self, Kind};
use crate::platform::store::{OrgTx, StoreError};
use crate::platform::vault::{Class, OrgVault, VaultError};
use bytes::Bytes;
use sealwright_mail::address::Mailbox;
use sealwright_mail::compose;

/// Why a scheduled e-mail can't be moved or cancelled.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    /// There is none with this id (in this mode).
    #[error("there is no such e-mail")]
    Unknown,
    /// It never was scheduled, or is no longer.
    #[error(
        "this e-mail is not scheduled (any more), so it can't be moved or cancelled; its status says what became of it"
    )]
    NotScheduled,
    /// The time is refused.
    #[error(transparent)]
    Time(#[from] DraftError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The vault failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl From<ReadError> for ScheduleError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Unknown | ReadError::After | ReadError::Before => Self::Unknown,
            ReadError::Store(error) => error.into(),
            ReadError::Vault(error) => error.into(),
        }
    }
}

/// Refuses times that are too near or too far.
pub(super) fn check(at: Timestamp, now: Timestamp) -> Result<(), DraftError> {
    let (earliest, latest) = (now.plus(SCHEDULE_AHEAD_MIN), now.plus(SCHEDULE_AHEAD_MAX));
    if (earliest..=latest).contains(&at) {
        return Ok(());
    }
    let (seconds, days) = (
        SCHEDULE_AHEAD_MIN.as_secs(),
        SCHEDULE_AHEAD_MAX.as_secs() / 86_400,
    );
    let reason = format!(
        "mail is scheduled {seconds} seconds to {days} days ahead; by the server's clock it is {now}"
    );
    Err(DraftError::new("scheduledAt", reason))
}

/// Gives a scheduled e-mail another time.
pub async fn reschedule(
    platform: &Platform,
    caller: &Caller,
    id: &EmailId,
    to: Timestamp,
) -> Result<Summary, ScheduleError> {
    let now = platform.clock.now();
    check(to, now)?;
    let detail = read::get(platform, caller, id).await?;
    let summary = scheduled(detail.summary)?;
    let message = detail.message.ok_or(VaultError::Forgotten)?;
    let message = compose::with_date(&message, to.seconds());
    let vault = platform.vault.org(&caller.org).await?;
    let sealed = vault.seal(Class::Content, to, content_cell(id), &message).await?;
    let sealed = Bytes::from(sealed);
    let event = told::event_of(&vault, &summary, Told::Scheduled(to), now).await?;
    let id = id.clone();
    let unit = async move |tx: &OrgTx| {
        let old = store::hold(tx, &id, now)
            .await?
            .ok_or(ScheduleError::NotScheduled)?;
        store::move_to(tx, &id, old, to, &sealed).await?;
        jobs::redate(tx, Kind::Deliver, id.as_str(), to).await?;
        Ok::<_, ScheduleError>(events::append(tx, &event).await?)
    };
    tell(platform, &caller.org, "email_reschedule", unit).await?;
    Ok(Summary {
        scheduled_at: Some(to),
        ..summary
    })
}

/// Takes a scheduled e-mail back.
pub async fn cancel(platform: &Platform, caller: &Caller, id: &EmailId) -> Result<(), ScheduleError> {
    let now = platform.clock.now();
    let summary = scheduled(read::get(platform, caller, id).await?.summary)?;
    let vault = platform.vault.org(&caller.org).await?;
    let event = told::event_of(&vault, &summary, Told::Cancelled, now).await?;
    let id = id.clone();
    let unit = async move |tx: &OrgTx| {
        store::hold(tx, &id, now)
            .await?
            .ok_or(ScheduleError::NotScheduled)?;
        store::end_schedule(tx, &id, Status::Cancelled, now).await?;
        jobs::withdraw(tx, Kind::Deliver, id.as_str()).await?;
        Ok::<_, ScheduleError>(events::append(tx, &event).await?)
    };
    tell(platform, &caller.org, "email_cancel", unit).await
}

fn scheduled(summary: Summary) -> Result<Summary, ScheduleError> {
    let is_scheduled = summary.status == Status::Scheduled.name();
    is_scheduled.then_some(summary).ok_or(ScheduleError::NotScheduled)
}

/// Runs a unit that says whether it left an event to somebody.
async fn tell<F>(platform: &Platform, org: &OrgId, name: &'static str, unit: F) -> Result<(), ScheduleError>
where
    F: AsyncFn(&OrgTx) -> Result<bool, ScheduleError> + Send + 'static,
{
    if platform.store.org(org).write(name, unit).await? {
        platform.hints.wake(Kind::Event);
    }
    Ok(())
}

/// A scheduled e-mail that is looked at because its time may have come.
pub struct Due {
    id: EmailId,
    sender_domain: String,
    event: Event,
    at: Timestamp,
}

/// What a look at it came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// It is scheduled no longer: let go now or a moment ago, or cancelled.
    Over,
    /// Its time is then.
    Later(Timestamp),
    /// Its domain may not send any more.
    Unverified,
}

/// Reads what has to be known to let an e-mail go; `None` when it is gone.
pub async fn due(
    platform: &Platform,
    vault: &OrgVault,
    org: &OrgId,
    id: &EmailId,
    at: Timestamp,
) -> Result<Option<Due>, ReadError> {
    let Some(summary) = read::summary_of(platform, vault, org, id).await? else {
        return Ok(None);
    };
    let sender = Mailbox::parse(&summary.head.from);
    Ok(Some(Due {
        id: id.clone(),
        // A sender that can't be read has no domain that may send.
        sender_domain: sender.map_or_else(
            |_| String::new(),
            |from| from.address.domain().as_str().to_owned(),
        ),
        event: told::event_of(vault, &summary, Told::Sent, at).await?,
        at,
    }))
}

/// The time that a scheduled e-mail is scheduled for, with its lock.
pub async fn scheduled_for(tx: &OrgTx, id: &EmailId, at: Timestamp) -> Result<Option<Timestamp>, StoreError> {
    store::hold(tx, id, at).await
}

/// Lets a scheduled e-mail go if its time has come and its domain may still send: its recipients are queued, and `email.sent` is told.
/// What the key that sent it was restricted to counted when it was accepted.
pub async fn release(tx: &OrgTx, due: &Due) -> Result<Release, StoreError> {
    let Some(scheduled_at) = store::hold(tx, &due.id, due.at).await? else {
        return Ok(Release::Over);
    };
    if scheduled_at > due.at {
        return Ok(Release::Later(scheduled_at));
    }
    if domains::may_send(tx, &due.sender_domain).await?.is_none() {
        return Ok(Release::Unverified);
    }
    store::end_schedule(tx, &due.id, Status::Queued, due.at).await?;
    events::append(tx, &due.event).await?;
    Ok(Release::Over)
}
