//! The rows of what came back.

use super::receive::Outcome;
use super::tls_reports::{Bounds, Kept, Proved, TlsSessions};
use crate::clock::Timestamp;
use crate::id::OrgId;
use crate::platform::store::{OrgTx, Purpose, Row, Store, StoreError, SystemTx, params, statements};

statements! {
    org INSERT = "INSERT INTO returns (org_id, id, email_id, position, kind, report_sealed, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
    system TLS_EXPIRE_REPORTS = "DELETE FROM tls_reports WHERE day < $1";
    system TLS_EXPIRE_SESSIONS = "DELETE FROM tls_report_sessions WHERE day < $1";
    system TLS_KNOWN = "SELECT count(*) FROM tls_reports WHERE reporter = $1 AND report = $2";
    system TLS_RECENT = "SELECT count(*), coalesce(sum(CASE WHEN reporter = $1 THEN 1 ELSE 0 END), 0) FROM tls_reports
        WHERE received_at >= $2";
    system TLS_REPORTERS = "SELECT count(DISTINCT reporter) FROM tls_reports WHERE reporter <> $1";
    system TLS_INSERT = "INSERT INTO tls_reports (reporter, report, day, received_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
    system TLS_ADD = "INSERT INTO tls_report_sessions (day, reporter, policy, result, sessions) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (day, reporter, policy, result) DO UPDATE SET sessions = tls_report_sessions.sessions + excluded.sessions";
    system TLS_SHOW = "SELECT day, reporter, policy, result, sessions FROM tls_report_sessions WHERE day >= $1
        ORDER BY day DESC, reporter, policy, result LIMIT $2";
    system BY_END = "SELECT org_id FROM orgs WHERE substr(org_id, 21) = $1";
}

/// `false` when the same came back of this recipient before.
pub(super) async fn insert(tx: &OrgTx, new: &Outcome) -> Result<bool, StoreError> {
    let row = params![
        &new.id,
        &new.email,
        new.position,
        new.kind.name(),
        &new.report_sealed,
        new.at
    ];
    Ok(tx.execute(&INSERT, row).await? == 1)
}

/// The organizations whose id ends so: hardly ever more than one.
pub(super) async fn orgs_by_end(store: &Store, end: &str) -> Result<Vec<OrgId>, StoreError> {
    let end = end.to_owned();
    let unit = async move |tx: &SystemTx| {
        let rows = tx.query(&BY_END, params![end.as_str()]).await?;
        rows.into_iter().map(|row: Row| row.reader().next()).collect()
    };
    store.system(Purpose::Returns).read("return_org", unit).await
}

/// Counts a report, unless it was counted or there are too many; forgets what is too old.
pub(super) async fn keep_tls_report(
    store: &Store,
    report: Proved,
    bounds: Bounds,
) -> Result<Kept, StoreError> {
    let unit = async move |tx: &SystemTx| {
        tx.execute(&TLS_EXPIRE_REPORTS, params![bounds.oldest_day])
            .await?;
        tx.execute(&TLS_EXPIRE_SESSIONS, params![bounds.oldest_day])
            .await?;
        let (reporter, id) = (report.reporter.as_str(), report.id.as_str());
        if number(tx.query_opt(&TLS_KNOWN, params![reporter, id]).await?)? > 0 {
            return Ok(Kept::Known);
        }
        let today = Timestamp::of_day(report.at.day());
        let recent = tx.query_opt(&TLS_RECENT, params![reporter, today]).await?;
        let (of_all, of_reporter) = match recent {
            Some(row) => {
                let mut row = row.reader();
                (row.next::<i64>()?, row.next::<i64>()?)
            }
            None => (0, 0),
        };
        let others = number(tx.query_opt(&TLS_REPORTERS, params![reporter]).await?)?;
        let is_full = of_all >= bounds.of_day || of_reporter >= bounds.of_reporter;
        if is_full || others >= bounds.reporters {
            return Ok(Kept::TooMany);
        }
        let row = params![reporter, id, report.day, report.at];
        if tx.execute(&TLS_INSERT, row).await? == 0 {
            return Ok(Kept::Known);
        }
        for ((policy, result), sessions) in &report.sessions {
            let row = params![report.day, reporter, *policy, *result, *sessions];
            tx.execute(&TLS_ADD, row).await?;
        }
        Ok(Kept::New)
    };
    store.system(Purpose::Returns).write("tls_report", unit).await
}

fn number(row: Option<Row>) -> Result<i64, StoreError> {
    row.map_or(Ok(0), |row| row.reader().next())
}

/// What was reported of days since this one, the newest first.
pub(super) async fn tls_sessions(
    store: &Store,
    since: i64,
    most: i64,
) -> Result<Vec<TlsSessions>, StoreError> {
    let unit = async move |tx: &SystemTx| {
        let rows = tx.query(&TLS_SHOW, params![since, most]).await?;
        let read = |row: Row| {
            let mut row = row.reader();
            Ok(TlsSessions {
                day: Timestamp::of_day(row.next()?).date(),
                reporter: row.next()?,
                policy: row.next()?,
                result: row.next()?,
                sessions: row.next()?,
            })
        };
        rows.into_iter().map(read).collect()
    };
    store.system(Purpose::Returns).read("tls_sessions", unit).await
}
