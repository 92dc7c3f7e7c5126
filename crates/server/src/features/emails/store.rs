//! The rows of e-mails, contents, recipients, tags, attempts and idempotency keys.

use super::idempotency::Kept;
use super::outcome::{AttemptOutcome, RecipientOutcome};
use super::read::Filter;
use super::send::Prepared;
use super::{AttemptState, Status};
use crate::clock::Timestamp;
use crate::features::domains::Sender;
use crate::id::{AttemptId, EmailId, Id as _};
use crate::limits::COUNT_MAX;
use crate::platform::store::{OrgTx, Row, StoreError, Value, params, statements};
use bytes::Bytes;

statements! {
    org INSERT = "INSERT INTO emails
        (org_id, id, mode, status, key_id, head_sealed, tls, created_at, updated_at, scheduled_at, recipient_count, domain_id)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9, $10, $11)";
    org INSERT_CONTENT = "INSERT INTO email_contents (org_id, day, email_id, content_sealed) VALUES ($1, $2, $3, $4)";
    org DELETE_CONTENT = "DELETE FROM email_contents WHERE org_id = $1 AND day = $2 AND email_id = $3";
    org INSERT_TAG = "INSERT INTO email_tags (org_id, tag_index, email_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    org INSERT_RECIPIENT = "INSERT INTO recipients
        (org_id, email_id, position, kind, destination, address_index, mailbox_sealed, status, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    org IDEMPOTENCY = "SELECT request_digest, body_sealed FROM idempotency WHERE org_id = $1 AND key_index = $2";
    org INSERT_IDEMPOTENCY = "INSERT INTO idempotency (org_id, key_index, request_digest, status, body_sealed, created_at)
        VALUES ($1, $2, $3, 200, $4, $5)";
    org GET = "SELECT id, mode, status, head_sealed, created_at, scheduled_at, tls FROM emails WHERE org_id = $1 AND id = $2";
    org CONTENT = "SELECT content_sealed FROM email_contents WHERE org_id = $1 AND day = $2 AND email_id = $3";
    org RECIPIENTS = "SELECT position, kind, destination, address_index, mailbox_sealed, status, updated_at FROM recipients
        WHERE org_id = $1 AND email_id = $2 ORDER BY position";
    org STATUSES = "SELECT status FROM recipients WHERE org_id = $1 AND email_id = $2";
    org TOUCH = "UPDATE emails SET updated_at = $3 WHERE org_id = $1 AND id = $2";
    /// Takes the row's lock: whoever cancels, moves or lets go an e-mail decides alone.
    org HOLD = "UPDATE emails SET updated_at = $3 WHERE org_id = $1 AND id = $2 AND status = 'scheduled' RETURNING scheduled_at";
    org SET_SCHEDULED_AT = "UPDATE emails SET scheduled_at = $3 WHERE org_id = $1 AND id = $2";
    org SET_STATUS = "UPDATE emails SET status = $3 WHERE org_id = $1 AND id = $2 AND status <> $3";
    org SET_SCHEDULED_RECIPIENTS = "UPDATE recipients SET status = $3, updated_at = $4
        WHERE org_id = $1 AND email_id = $2 AND status = 'scheduled'";
    /// A bounce may come back before the reply to the dot is recorded; it stays.
    org SET_RECIPIENT = "UPDATE recipients SET status = $4, updated_at = $5
        WHERE org_id = $1 AND email_id = $2 AND position = $3 AND status <> 'bounced'";
    org SET_RETURNED = "UPDATE recipients SET status = 'bounced', updated_at = $4
        WHERE org_id = $1 AND email_id = $2 AND position = $3 AND status IN ('queued', 'deferred', 'delivered')";
    org START_ATTEMPT = "INSERT INTO attempts (org_id, day, id, email_id, destination, number, state, started_at)
        VALUES ($1, $2, $3, $4, $5, $6, 'started', $7) ON CONFLICT DO NOTHING";
    org FINISH_ATTEMPT = "INSERT INTO attempts (org_id, day, id, email_id, destination, number, state, started_at, finished_at, facts_sealed)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        ON CONFLICT (org_id, day, id) DO UPDATE SET state = excluded.state, finished_at = excluded.finished_at, facts_sealed = excluded.facts_sealed";
    org IN_DOUBT = "UPDATE attempts SET state = 'in_doubt' WHERE org_id = $1 AND day = $2 AND id = $3 AND state = 'started'";
    org ATTEMPTS = "SELECT id, number, state, started_at, finished_at, facts_sealed FROM attempts
        WHERE org_id = $1 AND email_id = $2 ORDER BY started_at, id";
    org LAST_FACTS = "SELECT id, facts_sealed FROM attempts
        WHERE org_id = $1 AND email_id = $2 AND destination = $3 AND facts_sealed IS NOT NULL ORDER BY started_at DESC, id DESC LIMIT 1";
    /// `x = $n OR $n IS NULL`, in this order: PostgreSQL takes a parameter's type from its first use.
    /// $2 mode, $3 status, $4/$5 time range, $6 address, $7 tag, $8/$9 cursor, $10 limit.
    org LIST_OLDER = "SELECT id, mode, status, head_sealed, created_at, scheduled_at, tls FROM emails e
        WHERE org_id = $1 AND mode = $2 AND (status = $3 OR $3 IS NULL)
        AND (created_at >= $4 OR $4 IS NULL) AND (created_at < $5 OR $5 IS NULL)
        AND (EXISTS (SELECT 1 FROM recipients r WHERE r.org_id = $1 AND r.address_index = $6 AND r.email_id = e.id) OR $6 IS NULL)
        AND (EXISTS (SELECT 1 FROM email_tags t WHERE t.org_id = $1 AND t.tag_index = $7 AND t.email_id = e.id) OR $7 IS NULL)
        AND ((created_at, id) < ($8, $9) OR $8 IS NULL)
        ORDER BY created_at DESC, id DESC LIMIT $10";
    org LIST_NEWER = "SELECT id, mode, status, head_sealed, created_at, scheduled_at, tls FROM emails e
        WHERE org_id = $1 AND mode = $2 AND (status = $3 OR $3 IS NULL)
        AND (created_at >= $4 OR $4 IS NULL) AND (created_at < $5 OR $5 IS NULL)
        AND (EXISTS (SELECT 1 FROM recipients r WHERE r.org_id = $1 AND r.address_index = $6 AND r.email_id = e.id) OR $6 IS NULL)
        AND (EXISTS (SELECT 1 FROM email_tags t WHERE t.org_id = $1 AND t.tag_index = $7 AND t.email_id = e.id) OR $7 IS NULL)
        AND ((created_at, id) > ($8, $9) OR $8 IS NULL)
        ORDER BY created_at, id LIMIT $10";
    org COUNT = "SELECT count(*) FROM (SELECT 1 FROM emails e
        WHERE org_id = $1 AND mode = $2 AND (status = $3 OR $3 IS NULL)
        AND (created_at >= $4 OR $4 IS NULL) AND (created_at < $5 OR $5 IS NULL)
        AND (EXISTS (SELECT 1 FROM recipients r WHERE r.org_id = $1 AND r.address_index = $6 AND r.email_id = e.id) OR $6 IS NULL)
        AND (EXISTS (SELECT 1 FROM email_tags t WHERE t.org_id = $1 AND t.tag_index = $7 AND t.email_id = e.id) OR $7 IS NULL)
        LIMIT $8) AS counted";
}

pub(super) async fn insert(tx: &OrgTx, new: &Prepared, sender: &Sender) -> Result<(), StoreError> {
    let caller = &new.caller;
    tx.execute(
        &INSERT,
        params![
            &new.id,
            caller.mode.name(),
            new.status().name(),
            caller.actor.as_str(),
            &new.head_sealed,
            new.tls.max(sender.tls).name(),
            new.at,
            new.scheduled_at,
            i64::try_from(new.recipients.len()).unwrap_or(i64::MAX),
            &sender.id
        ],
    )
    .await?;
    insert_content(tx, &new.id, new.released_at(), &new.content_sealed).await?;
    for (recipient, position) in new.recipients.iter().zip(0_i64..) {
        let index = recipient.address_index.as_slice();
        let sealed = &recipient.mailbox_sealed;
        let row = params![
            &new.id,
            position,
            recipient.kind.name(),
            recipient.destination,
            index,
            sealed,
            recipient.status.name(),
            new.at
        ];
        tx.execute(&INSERT_RECIPIENT, row).await?;
    }
    for tag in &new.tag_indexes {
        tx.execute(&INSERT_TAG, params![tag.as_slice(), &new.id]).await?;
    }
    Ok(())
}

pub(super) async fn insert_idempotency(tx: &OrgTx, kept: &Kept, at: Timestamp) -> Result<(), StoreError> {
    let row = params![
        kept.key_index.as_slice(),
        &kept.request_digest,
        &kept.body_sealed,
        at
    ];
    tx.execute(&INSERT_IDEMPOTENCY, row).await.map(drop)
}

/// Content lies at the day on which it is to be sent.
async fn insert_content(
    tx: &OrgTx,
    id: &EmailId,
    released_at: Timestamp,
    sealed: &Bytes,
) -> Result<(), StoreError> {
    let row = params![released_at.day(), id, sealed];
    tx.execute(&INSERT_CONTENT, row).await.map(drop)
}

/// Takes the lock of a scheduled e-mail; `None` when it is not scheduled (any more), else the time it is scheduled for.
pub(super) async fn hold(tx: &OrgTx, id: &EmailId, at: Timestamp) -> Result<Option<Timestamp>, StoreError> {
    let row = tx.query_opt(&HOLD, params![id, at]).await?;
    row.map(|row| row.reader().next()).transpose()
}

/// Gives an e-mail that is held, and its content, another time.
pub(super) async fn move_to(
    tx: &OrgTx,
    id: &EmailId,
    old: Timestamp,
    new: Timestamp,
    content_sealed: &Bytes,
) -> Result<(), StoreError> {
    tx.execute(&DELETE_CONTENT, params![old.day(), id]).await?;
    insert_content(tx, id, new, content_sealed).await?;
    tx.execute(&SET_SCHEDULED_AT, params![id, new]).await.map(drop)
}

/// Gives an e-mail that is held, and those of its recipients that wait with it, another status.
pub(super) async fn end_schedule(
    tx: &OrgTx,
    id: &EmailId,
    status: Status,
    at: Timestamp,
) -> Result<(), StoreError> {
    set_status(tx, id, status).await?;
    let row = params![id, status.name(), at];
    tx.execute(&SET_SCHEDULED_RECIPIENTS, row).await.map(drop)
}

pub(super) struct Earlier {
    pub(super) request_digest: Bytes,
    pub(super) body_sealed: Bytes,
}

pub(super) async fn idempotency(tx: &OrgTx, key_index: &[u8]) -> Result<Option<Earlier>, StoreError> {
    let Some(row) = tx.query_opt(&IDEMPOTENCY, params![key_index]).await? else {
        return Ok(None);
    };
    let mut row = row.reader();
    Ok(Some(Earlier {
        request_digest: row.next()?,
        body_sealed: row.next()?,
    }))
}

/// An e-mail's row.
#[derive(Debug, Clone)]
pub(super) struct EmailRow {
    pub(super) id: EmailId,
    pub(super) mode: String,
    pub(super) status: String,
    pub(super) head_sealed: Bytes,
    pub(super) created_at: Timestamp,
    pub(super) scheduled_at: Option<Timestamp>,
    pub(super) tls: String,
}

impl EmailRow {
    /// When it left or is to leave.
    pub(super) fn released_at(&self) -> Timestamp {
        self.scheduled_at.unwrap_or(self.created_at)
    }
}

fn email(row: Row) -> Result<EmailRow, StoreError> {
    let mut row = row.reader();
    Ok(EmailRow {
        id: row.next()?,
        mode: row.next()?,
        status: row.next()?,
        head_sealed: row.next()?,
        created_at: row.next()?,
        scheduled_at: row.next()?,
        tls: row.next()?,
    })
}

pub(super) async fn get(tx: &OrgTx, id: &EmailId) -> Result<Option<EmailRow>, StoreError> {
    tx.query_opt(&GET, params![id]).await?.map(email).transpose()
}

pub(super) async fn content(
    tx: &OrgTx,
    id: &EmailId,
    released_at: Timestamp,
) -> Result<Option<Bytes>, StoreError> {
    tx.query_opt(&CONTENT, params![released_at.day(), id])
        .await?
        .map(|row| row.reader().next())
        .transpose()
}

#[derive(Debug, Clone)]
pub(super) struct RecipientRow {
    pub(super) position: i64,
    pub(super) kind: String,
    pub(super) destination: i64,
    pub(super) address_index: Bytes,
    pub(super) mailbox_sealed: Bytes,
    pub(super) status: String,
    pub(super) updated_at: Timestamp,
}

pub(super) async fn recipients(tx: &OrgTx, id: &EmailId) -> Result<Vec<RecipientRow>, StoreError> {
    let recipient = |row: Row| {
        let mut row = row.reader();
        Ok(RecipientRow {
            position: row.next()?,
            kind: row.next()?,
            destination: row.next()?,
            address_index: row.next()?,
            mailbox_sealed: row.next()?,
            status: row.next()?,
            updated_at: row.next()?,
        })
    };
    tx.query(&RECIPIENTS, params![id])
        .await?
        .into_iter()
        .map(recipient)
        .collect()
}

pub(super) async fn recipient_statuses(tx: &OrgTx, id: &EmailId) -> Result<Vec<Status>, StoreError> {
    let status = |row: Row| {
        let text = row.reader().next::<String>()?;
        Status::parse(&text).ok_or(StoreError::Shape {
            statement: STATUSES.text().name,
            column: 0,
        })
    };
    tx.query(&STATUSES, params![id])
        .await?
        .into_iter()
        .map(status)
        .collect()
}

pub(super) async fn touch(tx: &OrgTx, id: &EmailId, at: Timestamp) -> Result<(), StoreError> {
    tx.execute(&TOUCH, params![id, at]).await.map(drop)
}

pub(super) async fn set_status(tx: &OrgTx, id: &EmailId, status: Status) -> Result<(), StoreError> {
    tx.execute(&SET_STATUS, params![id, status.name()])
        .await
        .map(drop)
}

pub(super) async fn set_recipient(
    tx: &OrgTx,
    id: &EmailId,
    recipient: RecipientOutcome,
    at: Timestamp,
) -> Result<(), StoreError> {
    tx.execute(
        &SET_RECIPIENT,
        params![id, recipient.position, recipient.status.name(), at],
    )
    .await
    .map(drop)
}

/// `false` when nothing was on its way to the recipient, or it had bounced.
pub(super) async fn set_returned(
    tx: &OrgTx,
    id: &EmailId,
    position: i64,
    at: Timestamp,
) -> Result<bool, StoreError> {
    Ok(tx.execute(&SET_RETURNED, params![id, position, at]).await? == 1)
}

/// An attempt as it begins.
#[derive(Debug, Clone)]
pub struct NewAttempt {
    /// Its id.
    pub id: AttemptId,
    /// The e-mail.
    pub email: EmailId,
    /// To which destination.
    pub destination: i64,
    /// The how-manieth.
    pub number: i64,
    /// When it began.
    pub started_at: Timestamp,
}

/// Records that an attempt is about to become irrevocable: before its final dot.
pub async fn start_attempt(tx: &OrgTx, new: &NewAttempt) -> Result<(), StoreError> {
    let row = params![
        new.id.day(),
        &new.id,
        &new.email,
        new.destination,
        new.number,
        new.started_at
    ];
    tx.execute(&START_ATTEMPT, row).await.map(drop)
}

pub(super) async fn finish_attempt(
    tx: &OrgTx,
    outcome: &AttemptOutcome,
    at: Timestamp,
) -> Result<(), StoreError> {
    let new = &outcome.attempt;
    let state = if outcome.is_in_doubt {
        AttemptState::InDoubt
    } else {
        AttemptState::Finished
    };
    let (destination, number, facts) = (new.destination, new.number, &outcome.facts_sealed);
    let row = params![
        new.id.day(),
        &new.id,
        &new.email,
        destination,
        number,
        state.name(),
        new.started_at,
        at,
        facts
    ];
    tx.execute(&FINISH_ATTEMPT, row).await.map(drop)
}

/// Marks an attempt whose outcome was never recorded; `false` if it was recorded after all.
pub async fn mark_in_doubt(tx: &OrgTx, id: &AttemptId) -> Result<bool, StoreError> {
    Ok(tx.execute(&IN_DOUBT, params![id.day(), id]).await? == 1)
}

#[derive(Debug, Clone)]
pub(super) struct AttemptRow {
    pub(super) id: AttemptId,
    pub(super) number: i64,
    pub(super) state: String,
    pub(super) started_at: Timestamp,
    pub(super) finished_at: Option<Timestamp>,
    pub(super) facts_sealed: Option<Bytes>,
}

pub(super) async fn attempts(tx: &OrgTx, id: &EmailId) -> Result<Vec<AttemptRow>, StoreError> {
    let attempt = |row: Row| {
        let mut row = row.reader();
        Ok(AttemptRow {
            id: row.next()?,
            number: row.next()?,
            state: row.next()?,
            started_at: row.next()?,
            finished_at: row.next()?,
            facts_sealed: row.next()?,
        })
    };
    tx.query(&ATTEMPTS, params![id])
        .await?
        .into_iter()
        .map(attempt)
        .collect()
}

/// What is kept of the last attempt that ended, sealed.
pub(super) async fn last_facts(
    tx: &OrgTx,
    id: &EmailId,
    destination: i64,
) -> Result<Option<(AttemptId, Bytes)>, StoreError> {
    let row = tx.query_opt(&LAST_FACTS, params![id, destination]).await?;
    row.map(|row| {
        let mut row = row.reader();
        Ok((row.next()?, row.next()?))
    })
    .transpose()
}

fn filter_params(mode: &str, filter: &Filter) -> Vec<Value> {
    params![
        mode,
        filter.status.map(Status::name),
        filter.from,
        filter.until,
        filter.address_index.as_deref(),
        filter.tag_index.as_deref()
    ]
}

/// One page in the API's order (newest first), and whether there is more beyond it.
pub(super) async fn list(
    tx: &OrgTx,
    mode: &str,
    filter: &Filter,
) -> Result<(Vec<EmailRow>, bool), StoreError> {
    let cursor = filter.starting_after.as_ref().or(filter.ending_before.as_ref());
    let cursor_at = match cursor {
        // An id of the other mode says nothing, not even that it exists.
        Some(id) => {
            let row = get(tx, id).await?.filter(|row| row.mode == mode);
            row.map(|row| row.created_at)
        }
        None => None,
    };
    let is_newer = filter.ending_before.is_some() && filter.starting_after.is_none();
    let mut params = filter_params(mode, filter);
    params.extend(params![cursor_at, cursor_at.and(cursor), filter.limit + 1]);
    let statement = if is_newer { &LIST_NEWER } else { &LIST_OLDER };
    let mut rows = tx
        .query(statement, params)
        .await?
        .into_iter()
        .map(email)
        .collect::<Result<Vec<_>, _>>()?;
    let has_more = rows.len() as i64 > filter.limit;
    rows.truncate(usize::try_from(filter.limit).unwrap_or(0));
    if is_newer {
        rows.reverse();
    }
    Ok((rows, has_more))
}

/// How many match, counted up to one past [`COUNT_MAX`].
pub(super) async fn count(tx: &OrgTx, mode: &str, filter: &Filter) -> Result<i64, StoreError> {
    let mut params = filter_params(mode, filter);
    params.extend(params![COUNT_MAX + 1]);
    let row = tx.query_opt(&COUNT, params).await?;
    row.map_or(Ok(0), |row| row.reader().next())
}
