//! Counts over the rows of e-mails, recipients and returns. Nothing is written here.

use crate::clock::Timestamp;
use crate::id::DomainId;
use crate::platform::store::{OrgTx, Row, StoreError, params, statements};

statements! {
    /// $2 domain, $3 and $4 where the long and the short period begin. A complaint never comes before its mail.
    org COUNT = "SELECT CASE WHEN e.created_at >= $4 THEN 1 ELSE 0 END, r.status, count(*)
            FROM emails e JOIN recipients r ON r.org_id = e.org_id AND r.email_id = e.id
            WHERE e.org_id = $1 AND e.domain_id = $2 AND e.mode = 'live' AND e.created_at >= $3
            AND r.status IN ('delivered', 'bounced', 'failed') GROUP BY 1, 2
        UNION ALL SELECT CASE WHEN e.created_at >= $4 THEN 1 ELSE 0 END, 'complained', count(*)
            FROM returns b JOIN emails e ON e.org_id = b.org_id AND e.id = b.email_id
            WHERE b.org_id = $1 AND b.kind = 'complained' AND b.created_at >= $3
            AND e.domain_id = $2 AND e.mode = 'live' AND e.created_at >= $3 GROUP BY 1";
}

/// Whether it is of the short period, what became of it, and how many recipients; the two parts of the long period are disjoint.
pub(super) async fn count(
    tx: &OrgTx,
    domain: &DomainId,
    [short, long]: [Timestamp; 2],
) -> Result<Vec<(bool, String, i64)>, StoreError> {
    let rows = tx.query(&COUNT, params![domain, long, short]).await?;
    let read = |row: Row| {
        let mut row = row.reader();
        Ok((row.next()?, row.next()?, row.next()?))
    };
    rows.into_iter().map(read).collect()
}
