//! Counts over the rows of e-mails, recipients, attempts and jobs. Nothing is written here.

use crate::clock::Timestamp;
use crate::id::EmailId;
use crate::mode::Mode;
use crate::platform::jobs::Kind;
use crate::platform::store::{OrgTx, Row, StoreError, params, statements};

statements! {
    /// $2 mode, $3/$4 the time of acceptance.
    org ACCEPTED = "SELECT created_at / 86400000000, count(*), CAST(sum(recipient_count) AS BIGINT) FROM emails
        WHERE org_id = $1 AND mode = $2 AND created_at >= $3 AND created_at < $4 GROUP BY 1 ORDER BY 1";
    /// A recipient that was tried and not heard of is in doubt until a later attempt settles it.
    org BECAME = "SELECT e.created_at / 86400000000, CASE WHEN r.status IN ('queued', 'deferred') AND EXISTS (SELECT 1 FROM attempts a
            WHERE a.org_id = $1 AND a.email_id = e.id AND a.destination = r.destination AND a.state = 'in_doubt')
            THEN 'in_doubt' ELSE r.status END, count(*)
        FROM emails e JOIN recipients r ON r.org_id = e.org_id AND r.email_id = e.id
        WHERE e.org_id = $1 AND e.mode = $2 AND e.created_at >= $3 AND e.created_at < $4 GROUP BY 1, 2";
    /// $2 after this e-mail, $3 how many, $4 the kind of jobs that deliver.
    org OPEN = "SELECT e.id, e.recipient_count - (SELECT count(*) FROM recipients r WHERE r.org_id = $1 AND r.email_id = e.id),
            (SELECT count(*) FROM recipients r WHERE r.org_id = $1 AND r.email_id = e.id AND r.status IN ('scheduled', 'queued', 'deferred')
                AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.org_id = $1 AND j.kind = $4 AND j.ref = r.email_id AND j.part = r.destination))
        FROM (SELECT id, recipient_count FROM emails WHERE org_id = $1 AND status IN ('scheduled', 'queued', 'deferred', 'sent')
            AND id > $2 ORDER BY id LIMIT $3) e ORDER BY e.id";
}

/// Of each day: the day, e-mails, and recipients accepted.
pub(super) async fn accepted(
    tx: &OrgTx,
    mode: Mode,
    from: Timestamp,
    until: Timestamp,
) -> Result<Vec<(i64, i64, i64)>, StoreError> {
    let rows = tx.query(&ACCEPTED, params![mode.name(), from, until]).await?;
    let read = |row: Row| {
        let mut row = row.reader();
        Ok((row.next()?, row.next()?, row.next()?))
    };
    rows.into_iter().map(read).collect()
}

/// Of each day and state: how many recipients. The state is a recipient's status, or `in_doubt`.
pub(super) async fn became(
    tx: &OrgTx,
    mode: Mode,
    from: Timestamp,
    until: Timestamp,
) -> Result<Vec<(i64, String, i64)>, StoreError> {
    let rows = tx.query(&BECAME, params![mode.name(), from, until]).await?;
    let read = |row: Row| {
        let mut row = row.reader();
        Ok((row.next()?, row.next()?, row.next()?))
    };
    rows.into_iter().map(read).collect()
}

/// An e-mail of which something is still to become.
pub(super) struct OpenRow {
    pub(super) email: EmailId,
    /// Recipients that were accepted and have no row.
    pub(super) missing: i64,
    /// Recipients that wait for a delivery that nothing will begin.
    pub(super) stranded: i64,
}

/// The next e-mails after this one, oldest first.
pub(super) async fn open(tx: &OrgTx, after: &str, limit: i64) -> Result<Vec<OpenRow>, StoreError> {
    let rows = tx
        .query(&OPEN, params![after, limit, Kind::Deliver.name()])
        .await?;
    let read = |row: Row| {
        let mut row = row.reader();
        Ok(OpenRow {
            email: row.next()?,
            missing: row.next()?,
            stranded: row.next()?,
        })
    };
    rows.into_iter().map(read).collect()
}
