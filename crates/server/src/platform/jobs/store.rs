//! The rows of jobs and nodes.

use super::queue::{Found, Group, Selection, Taken};
use super::{Backlog, Job, Kind, Lease, Priority};
use crate::clock::Timestamp;
use crate::id::{Id as _, NodeId, OrgId};
use crate::limits::COUNT_MAX;
use crate::platform::store::{OrgTx, Purpose, Row, Store, StoreError, SystemTx, Value, params, statements};
use std::time::Duration;

statements! {
    org ENQUEUE = "INSERT INTO jobs (org_id, kind, ref, part, priority, due_at, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT DO NOTHING";
    /// $4 the references, of one part.
    org ENQUEUE_ALL =
        sqlite "INSERT INTO jobs (org_id, kind, ref, part, priority, due_at, created_at)
            SELECT $1, $2, value, $3, 0, $5, $5 FROM json_each($4) WHERE true ON CONFLICT DO NOTHING"
        postgres "INSERT INTO jobs (org_id, kind, ref, part, priority, due_at, created_at)
            SELECT $1, $2, ref, $3::bigint, 0, $5::bigint, $5::bigint FROM unnest($4::text[]) ref ON CONFLICT DO NOTHING";
    /// The lease of whoever works on it is lost, so that nothing of what was planned before is written.
    org RESCHEDULE = "INSERT INTO jobs (org_id, kind, ref, part, due_at, created_at) VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (org_id, kind, ref, part) DO UPDATE SET due_at = excluded.due_at, lease_owner = NULL, started_attempt = NULL,
            started_via = NULL, epoch = jobs.epoch + 1";
    org START = "UPDATE jobs SET started_attempt = $6, started_via = $7
        WHERE org_id = $1 AND kind = $2 AND ref = $3 AND part = $4 AND epoch = $5";
    org FINISH = "DELETE FROM jobs WHERE org_id = $1 AND kind = $2 AND ref = $3 AND part = $4 AND epoch = $5";
    /// $3 the leases, each as an object of reference, part and epoch.
    org FINISH_ALL =
        sqlite "DELETE FROM jobs WHERE rowid IN (SELECT jobs.rowid FROM json_each($3) lease CROSS JOIN jobs
            WHERE jobs.org_id = $1 AND jobs.kind = $2 AND jobs.ref = lease.value ->> 'ref' AND jobs.part = lease.value ->> 'part'
            AND jobs.epoch = lease.value ->> 'epoch')"
        postgres "DELETE FROM jobs USING (SELECT text::jsonb AS value FROM unnest($3::text[]) text) lease
            WHERE jobs.org_id = $1 AND jobs.kind = $2 AND jobs.ref = lease.value ->> 'ref' AND jobs.part = (lease.value ->> 'part')::bigint
            AND jobs.epoch = (lease.value ->> 'epoch')::bigint";
    /// The epoch moves too: when this commit's outcome is unknown, trying again finds that it went through.
    org POSTPONE = "UPDATE jobs SET lease_owner = NULL, started_attempt = NULL, started_via = $7, due_at = $6, attempt = attempt + 1,
            epoch = epoch + 1
        WHERE org_id = $1 AND kind = $2 AND ref = $3 AND part = $4 AND epoch = $5";
    /// Keeps the mark: whoever leases the job next has to know that its effect may have happened.
    org PUT_BACK = "UPDATE jobs SET lease_owner = NULL, due_at = $6, epoch = epoch + 1
        WHERE org_id = $1 AND kind = $2 AND ref = $3 AND part = $4 AND epoch = $5";
    /// As if the operator had held it.
    org PARK = "UPDATE jobs SET lease_owner = NULL, held_at = $6, epoch = epoch + 1
        WHERE org_id = $1 AND kind = $2 AND ref = $3 AND part = $4 AND epoch = $5";
    /// It is first due then, whenever it was added; who holds a lease keeps it.
    org REDATE = "UPDATE jobs SET due_at = $4, created_at = $4 WHERE org_id = $1 AND kind = $2 AND ref = $3";
    /// Only what waits for a later date, and nobody works on.
    org HASTEN = "UPDATE jobs SET due_at = $4 WHERE org_id = $1 AND kind = $2 AND ref = $3 AND due_at > $4 AND lease_owner IS NULL";
    org DUE_AT = "SELECT max(due_at) FROM jobs WHERE org_id = $1 AND kind = $2 AND ref = $3";
    org WITHDRAW = "DELETE FROM jobs WHERE org_id = $1 AND kind = $2 AND ref = $3";
    /// Whoever leases it and has not marked an attempt loses the lease, so that nothing leaves any more; a marked one runs to its end.
    org HOLD = "UPDATE jobs SET held_at = $5,
            epoch = CASE WHEN lease_owner IS NULL OR started_attempt IS NOT NULL THEN epoch ELSE epoch + 1 END,
            lease_owner = CASE WHEN started_attempt IS NULL THEN NULL ELSE lease_owner END
        WHERE org_id = $1 AND kind = $2 AND ref = $3 AND part = $4 AND held_at IS NULL AND created_at <= $5";
    org HURRY = "UPDATE jobs SET due_at = $5, held_at = NULL
        WHERE org_id = $1 AND kind = $2 AND ref = $3 AND part = $4 AND lease_owner IS NULL AND created_at <= $5";
    /// A marked attempt of somebody who holds the lease is under way: its outcome is about to be known.
    org TAKE = "DELETE FROM jobs WHERE org_id = $1 AND kind = $2 AND ref = $3 AND part = $4 AND epoch = $5
        AND (lease_owner IS NULL OR started_attempt IS NULL) RETURNING started_attempt";
    /// Like PUT_BACK, for many jobs of many organizations: none of them was begun.
    system PUT_OFF = "UPDATE jobs SET lease_owner = NULL, due_at = $6, epoch = epoch + 1
        WHERE org_id = $1 AND kind = $2 AND ref = $3 AND part = $4 AND epoch = $5";
    /// The same lease on both engines; PostgreSQL skips rows that another node is leasing at this moment.
    system LEASE =
        sqlite "UPDATE jobs SET lease_owner = $1, epoch = epoch + 1
            WHERE rowid IN (SELECT rowid FROM jobs WHERE kind = $2 AND priority = $5 AND lease_owner IS NULL AND held_at IS NULL AND due_at <= $3
                ORDER BY due_at LIMIT $4)
            RETURNING org_id, ref, part, priority, attempt, epoch, started_attempt, started_via, created_at"
        postgres "WITH due AS (
                SELECT org_id, kind, ref, part FROM jobs WHERE kind = $2 AND priority = $5 AND lease_owner IS NULL AND held_at IS NULL AND due_at <= $3
                ORDER BY due_at LIMIT $4 FOR UPDATE SKIP LOCKED)
            UPDATE jobs SET lease_owner = $1, epoch = epoch + 1 FROM due
            WHERE jobs.org_id = due.org_id AND jobs.kind = due.kind AND jobs.ref = due.ref AND jobs.part = due.part
            RETURNING jobs.org_id, jobs.ref, jobs.part, jobs.priority, jobs.attempt, jobs.epoch, jobs.started_attempt, jobs.started_via,
                jobs.created_at";
    /// Liveness is judged by one clock: that of the only process, or that of the database, never by two machines' clocks.
    /// $1 node, $2 microseconds it is alive for, $3 now by this process's clock, which PostgreSQL is told and does not use.
    system ALIVE =
        sqlite "INSERT INTO nodes (id, alive_until) VALUES ($1, $2 + $3)
            ON CONFLICT (id) DO UPDATE SET alive_until = excluded.alive_until"
        postgres "INSERT INTO nodes (id, alive_until)
            VALUES ($1, $2::bigint + (extract(epoch FROM clock_timestamp()) * 1000000)::bigint + 0 * $3::bigint)
            ON CONFLICT (id) DO UPDATE SET alive_until = excluded.alive_until";
    system FORGET_DEAD =
        sqlite "DELETE FROM nodes WHERE alive_until < $1"
        postgres "DELETE FROM nodes
            WHERE alive_until < (extract(epoch FROM clock_timestamp()) * 1000000)::bigint + 0 * $1::bigint";
    system TAKE_FROM_DEAD = "UPDATE jobs SET lease_owner = NULL
        WHERE lease_owner IS NOT NULL AND lease_owner NOT IN (SELECT id FROM nodes)";
    system LEASED = "SELECT org_id, kind, ref, part, epoch FROM jobs WHERE lease_owner = $1 ORDER BY due_at LIMIT $2";
    system RELEASE_STRAY = "UPDATE jobs SET lease_owner = NULL, epoch = epoch + 1
        WHERE org_id = $1 AND kind = $2 AND ref = $3 AND part = $4 AND epoch = $5";
    system RELEASE = "UPDATE jobs SET lease_owner = NULL WHERE lease_owner = $1";
    system LEAVE = "DELETE FROM nodes WHERE id = $1";
    system FORGET_OTHERS = "DELETE FROM nodes WHERE id <> $1";
    system BACKLOG = "SELECT count(*), min(due_at) FROM
        (SELECT due_at FROM jobs WHERE kind = $1 AND priority = $4 AND lease_owner IS NULL AND held_at IS NULL AND due_at <= $2
            ORDER BY due_at LIMIT $3) AS waiting";
    /// What waits, in numbers for each part, and the job of it that was tried most often. $1 kind, $2 now; $3 organization, $4 reference,
    /// $5/$6 parts, all parts if $5 is empty; $7 limit.
    system GROUPS = "SELECT crowd.part, due, leased, later, held, oldest_at, next_at, org_id, ref FROM
        (SELECT part, count(*) AS size,
            sum(CASE WHEN lease_owner IS NULL AND held_at IS NULL AND due_at <= $2 THEN 1 ELSE 0 END) AS due,
            sum(CASE WHEN lease_owner IS NULL THEN 0 ELSE 1 END) AS leased,
            sum(CASE WHEN lease_owner IS NULL AND held_at IS NULL AND due_at > $2 THEN 1 ELSE 0 END) AS later,
            sum(CASE WHEN lease_owner IS NULL AND held_at IS NOT NULL THEN 1 ELSE 0 END) AS held,
            min(created_at) AS oldest_at,
            min(CASE WHEN lease_owner IS NULL AND held_at IS NULL THEN due_at END) AS next_at
            FROM jobs WHERE kind = $1 AND created_at <= $2 AND (org_id = $3 OR $3 IS NULL) AND (ref = $4 OR $4 IS NULL)
            AND (part IN ($5, $6) OR $5 IS NULL)
            GROUP BY part ORDER BY size DESC, part LIMIT $7) AS crowd
        JOIN (SELECT part, org_id, ref, row_number() OVER (PARTITION BY part ORDER BY attempt DESC, due_at DESC, ref) AS place
            FROM jobs WHERE kind = $1 AND created_at <= $2 AND (org_id = $3 OR $3 IS NULL) AND (ref = $4 OR $4 IS NULL)
            AND (part IN ($5, $6) OR $5 IS NULL)) AS tried
        ON tried.part = crowd.part AND tried.place = 1
        ORDER BY crowd.size DESC, crowd.part";
    /// $3 to $6 as in GROUPS; $7 to $9 the last one that was read, $10 limit. The whole key is compared, so that each page begins where
    /// the one before it ended. SQLite must not know that there is one kind only: it would sort anew what the key has in order.
    system FIND = "SELECT org_id, ref, part, epoch FROM jobs WHERE kind || '' = $1 AND created_at <= $2
        AND (org_id = $3 OR $3 IS NULL) AND (ref = $4 OR $4 IS NULL) AND (part IN ($5, $6) OR $5 IS NULL)
        AND (org_id, kind, ref, part) > ($7, $1, $8, $9) ORDER BY org_id, kind, ref, part LIMIT $10";
}

pub(super) async fn enqueue(
    tx: &OrgTx,
    kind: Kind,
    reference: &str,
    part: i64,
    priority: Priority,
    due_at: Timestamp,
    now: Timestamp,
) -> Result<(), StoreError> {
    let row = params![kind.name(), reference, part, priority.stored(), due_at, now];
    tx.execute(&ENQUEUE, row).await.map(drop)
}

pub(super) async fn enqueue_all(
    tx: &OrgTx,
    kind: Kind,
    references: Vec<String>,
    part: i64,
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.execute(&ENQUEUE_ALL, params![kind.name(), part, references, now])
        .await
        .map(drop)
}

/// Of one kind; returns how many still were theirs who hold them.
pub(super) async fn finish_all(tx: &OrgTx, kind: Kind, jobs: &[Job]) -> Result<u64, StoreError> {
    let lease = |job: &Job| {
        serde_json::json!({"ref": job.reference, "part": job.part, "epoch": job.epoch}).to_string()
    };
    let leases: Vec<String> = jobs.iter().map(lease).collect();
    tx.execute(&FINISH_ALL, params![kind.name(), leases]).await
}

pub(super) async fn hasten(
    tx: &OrgTx,
    kind: Kind,
    reference: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.execute(&HASTEN, params![kind.name(), reference, now])
        .await
        .map(drop)
}

pub(super) async fn due_at(tx: &OrgTx, kind: Kind, reference: &str) -> Result<Option<Timestamp>, StoreError> {
    let row = tx.query_opt(&DUE_AT, params![kind.name(), reference]).await?;
    row.map_or(Ok(None), |row| row.reader().next())
}

pub(super) async fn reschedule(
    tx: &OrgTx,
    kind: Kind,
    reference: &str,
    part: i64,
    due_at: Timestamp,
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.execute(&RESCHEDULE, params![kind.name(), reference, part, due_at, now])
        .await
        .map(drop)
}

pub(super) async fn start(tx: &OrgTx, job: &Job, attempt: &str, via: &str) -> Result<u64, StoreError> {
    tx.execute(
        &START,
        params![job.kind.name(), &job.reference, job.part, job.epoch, attempt, via],
    )
    .await
}

pub(super) async fn finish(tx: &OrgTx, job: &Job) -> Result<u64, StoreError> {
    tx.execute(
        &FINISH,
        params![job.kind.name(), &job.reference, job.part, job.epoch],
    )
    .await
}

pub(super) async fn postpone(
    tx: &OrgTx,
    job: &Job,
    due_at: Timestamp,
    via: Option<&str>,
) -> Result<u64, StoreError> {
    let via = via.map(str::to_owned);
    tx.execute(
        &POSTPONE,
        params![job.kind.name(), &job.reference, job.part, job.epoch, due_at, via],
    )
    .await
}

pub(super) async fn park(tx: &OrgTx, job: &Job, now: Timestamp) -> Result<u64, StoreError> {
    let row = params![job.kind.name(), &job.reference, job.part, job.epoch, now];
    tx.execute(&PARK, row).await
}

pub(super) async fn put_back(tx: &OrgTx, job: &Job, due_at: Timestamp) -> Result<u64, StoreError> {
    tx.execute(
        &PUT_BACK,
        params![job.kind.name(), &job.reference, job.part, job.epoch, due_at],
    )
    .await
}

pub(super) async fn redate(
    tx: &OrgTx,
    kind: Kind,
    reference: &str,
    due_at: Timestamp,
) -> Result<(), StoreError> {
    tx.execute(&REDATE, params![kind.name(), reference, due_at])
        .await
        .map(drop)
}

pub(super) async fn withdraw(tx: &OrgTx, kind: Kind, reference: &str) -> Result<(), StoreError> {
    tx.execute(&WITHDRAW, params![kind.name(), reference])
        .await
        .map(drop)
}

pub(super) async fn hold(tx: &OrgTx, found: &Found, now: Timestamp) -> Result<u64, StoreError> {
    tx.execute(&HOLD, key(found, now)).await
}

pub(super) async fn hurry(tx: &OrgTx, found: &Found, now: Timestamp) -> Result<u64, StoreError> {
    tx.execute(&HURRY, key(found, now)).await
}

pub(super) async fn take(tx: &OrgTx, found: &Found) -> Result<Option<Taken>, StoreError> {
    let key = params![found.kind.name(), &found.reference, found.part, found.epoch];
    let row = tx.query_opt(&TAKE, key).await?;
    row.map(|row| {
        let started_attempt = row.reader().next()?;
        Ok(Taken { started_attempt })
    })
    .transpose()
}

fn key(found: &Found, now: Timestamp) -> Vec<Value> {
    params![found.kind.name(), &found.reference, found.part, now]
}

pub(super) async fn groups(
    store: &Store,
    selection: Selection,
    limit: i64,
    now: Timestamp,
) -> Result<Vec<Group>, StoreError> {
    let unit = async move |tx: &SystemTx| {
        let group = |row: Row| {
            let mut row = row.reader();
            Ok(Group {
                part: row.next()?,
                due: row.next()?,
                leased: row.next()?,
                later: row.next()?,
                held: row.next()?,
                oldest_at: row.next()?,
                next_at: row.next()?,
                org: row.next()?,
                reference: row.next()?,
            })
        };
        let mut wanted = selected(&selection, now);
        wanted.push(limit.into());
        tx.query(&GROUPS, wanted).await?.into_iter().map(group).collect()
    };
    store.system(Purpose::Queue).read("queue_groups", unit).await
}

pub(super) async fn find(
    store: &Store,
    selection: Selection,
    after: Option<&Found>,
    limit: i64,
    now: Timestamp,
) -> Result<Vec<Found>, StoreError> {
    let kind = selection.kind;
    let (org, reference, part) = match after {
        Some(found) => (found.org.as_str().to_owned(), found.reference.clone(), found.part),
        None => (String::new(), String::new(), i64::MIN),
    };
    let unit = async move |tx: &SystemTx| {
        let found = |row: Row| {
            let mut row = row.reader();
            Ok(Found {
                org: row.next()?,
                kind,
                reference: row.next()?,
                part: row.next()?,
                epoch: row.next()?,
            })
        };
        let mut wanted = selected(&selection, now);
        wanted.extend(params![&org, &reference, part, limit]);
        tx.query(&FIND, wanted).await?.into_iter().map(found).collect()
    };
    store.system(Purpose::Queue).read("queue_find", unit).await
}

fn selected(selection: &Selection, now: Timestamp) -> Vec<Value> {
    let (first, second) = match selection.parts {
        Some([first, second]) => (Some(first), Some(second)),
        None => (None, None),
    };
    params![
        selection.kind.name(),
        now,
        selection.org.as_ref().map(|org| org.as_str().to_owned()),
        selection.reference.clone(),
        first,
        second
    ]
}

/// Says that the node is alive; with `takes_over`, also takes the leases of those that are not.
pub(super) async fn heartbeat(
    store: &Store,
    node: &NodeId,
    now: Timestamp,
    alive_for: Duration,
    takes_over: bool,
) -> Result<u64, StoreError> {
    let node = node.clone();
    let alive_for = i64::try_from(alive_for.as_micros()).unwrap_or(i64::MAX);
    let unit = async move |tx: &SystemTx| {
        tx.execute(&ALIVE, params![&node, alive_for, now]).await?;
        if !takes_over {
            return Ok(0);
        }
        tx.execute(&FORGET_DEAD, params![now]).await?;
        tx.execute(&TAKE_FROM_DEAD, params![]).await
    };
    store.system(Purpose::Jobs).write("jobs_heartbeat", unit).await
}

/// Everything that a node has leased, up to [`COUNT_MAX`].
pub(super) async fn leased(store: &Store, node: &NodeId) -> Result<Vec<Lease>, StoreError> {
    let node = node.as_str().to_owned();
    let unit = async move |tx: &SystemTx| {
        let lease = |row: Row| {
            let mut row = row.reader();
            let (org, kind) = (row.next()?, row.next()?);
            Ok(Lease {
                org,
                kind,
                reference: row.next()?,
                part: row.next()?,
                epoch: row.next()?,
            })
        };
        tx.query(&LEASED, params![&node, COUNT_MAX])
            .await?
            .into_iter()
            .map(lease)
            .collect()
    };
    store.system(Purpose::Jobs).read("jobs_leased", unit).await
}

pub(super) async fn release_strays(store: &Store, strays: Vec<Lease>) -> Result<(), StoreError> {
    let unit = async move |tx: &SystemTx| {
        for stray in &strays {
            let key = params![&stray.org, &stray.kind, &stray.reference, stray.part, stray.epoch];
            tx.execute(&RELEASE_STRAY, key).await?;
        }
        Ok(())
    };
    store
        .system(Purpose::Jobs)
        .write("jobs_release_strays", unit)
        .await
}

pub(super) async fn put_back_all(store: &Store, dated: Vec<(Job, Timestamp)>) -> Result<(), StoreError> {
    let unit = async move |tx: &SystemTx| {
        for (job, due_at) in &dated {
            let row = params![
                &job.org,
                job.kind.name(),
                &job.reference,
                job.part,
                job.epoch,
                *due_at
            ];
            tx.execute(&PUT_OFF, row).await?;
        }
        Ok(())
    };
    store.system(Purpose::Jobs).write("jobs_put_off", unit).await
}

pub(super) async fn bury_others(store: &Store, node: &NodeId) -> Result<(), StoreError> {
    let node = node.clone();
    let unit = async move |tx: &SystemTx| {
        tx.execute(&FORGET_OTHERS, params![&node]).await?;
        tx.execute(&TAKE_FROM_DEAD, params![]).await.map(drop)
    };
    store.system(Purpose::Jobs).write("jobs_bury_others", unit).await
}

pub(super) async fn lease(
    store: &Store,
    node: &NodeId,
    kind: Kind,
    limit: usize,
    reserved: usize,
    now: Timestamp,
) -> Result<Vec<Job>, StoreError> {
    let node = node.as_str().to_owned();
    let unit = async move |tx: &SystemTx| {
        let mut jobs: Vec<Job> = Vec::new();
        for priority in kind.priorities() {
            let kept_back = if *priority == Priority::First { reserved } else { 0 };
            let room = limit.saturating_sub(jobs.len() + kept_back);
            if room == 0 {
                continue;
            }
            let room = i64::try_from(room).unwrap_or(i64::MAX);
            let row = params![&node, kind.name(), now, room, priority.stored()];
            for row in tx.query(&LEASE, row).await? {
                jobs.push(job(kind, row)?);
            }
        }
        Ok(jobs)
    };
    store.system(Purpose::Jobs).write("jobs_lease", unit).await
}

fn job(kind: Kind, row: Row) -> Result<Job, StoreError> {
    let mut row = row.reader();
    Ok(Job {
        org: row.next::<OrgId>()?,
        kind,
        reference: row.next()?,
        part: row.next()?,
        priority: Priority::from_stored(row.next()?),
        attempt: row.next()?,
        epoch: row.next()?,
        started_attempt: row.next()?,
        started_via: row.next::<Option<String>>()?.map(String::into_boxed_str),
        created_at: row.next()?,
    })
}

pub(super) async fn leave(store: &Store, node: &NodeId) -> Result<(), StoreError> {
    let node = node.as_str().to_owned();
    let unit = async move |tx: &SystemTx| {
        tx.execute(&RELEASE, params![&node]).await?;
        tx.execute(&LEAVE, params![&node]).await.map(drop)
    };
    store.system(Purpose::Jobs).write("jobs_leave", unit).await
}

pub(super) async fn backlog(store: &Store, now: Timestamp) -> Result<Vec<Backlog>, StoreError> {
    let unit = async move |tx: &SystemTx| {
        let mut all = Vec::with_capacity(Kind::ALL.len());
        for kind in Kind::ALL {
            let mut backlog = Backlog {
                kind,
                due: 0,
                oldest_due_at: None,
            };
            for priority in kind.priorities() {
                let row = params![kind.name(), now, COUNT_MAX, priority.stored()];
                let Some(row) = tx.query_opt(&BACKLOG, row).await? else {
                    continue;
                };
                let mut row = row.reader();
                backlog.due += row.next::<i64>()?;
                let oldest: Option<Timestamp> = row.next()?;
                backlog.oldest_due_at = backlog.oldest_due_at.into_iter().chain(oldest).min();
            }
            all.push(backlog);
        }
        Ok(all)
    };
    store.system(Purpose::Jobs).read("jobs_backlog", unit).await
}
