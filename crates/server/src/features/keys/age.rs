//! Reminds of keys that grow old: at 75, 90 and 120 days, by event, audit entry and mail to the security contact.
//!
//! One job for each key, added with it, walks through the dates. A key that has ended, or was replaced, is left alone.

use super::Actor;
use super::store::{self, KeyRow};
use crate::clock::Timestamp;
use crate::features::audit::{self, Act, Entry, Origin};
use crate::features::events::{self, About, Event, Type};
use crate::id::{Id as _, KeyId};
use crate::mode::Mode;
use crate::platform::Platform;
use crate::platform::jobs::{self, Job, JobError, Kind, Stop, Worker};
use crate::platform::store::{OrgTx, StoreError};
use crate::platform::vault::VaultError;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);
/// When a key should have been replaced.
pub const ROTATION_DUE_AFTER: Duration = Duration::from_secs(90 * 86_400);
/// Ages at which is reminded.
const REMINDED_AT: [Duration; 3] = [
    Duration::from_secs(75 * 86_400),
    ROTATION_DUE_AFTER,
    Duration::from_secs(120 * 86_400),
];
const AFTER_ERROR: Duration = Duration::from_secs(60);
/// Reminders are rare and not urgent.
const CONCURRENCY_MAX: usize = 4;
const POLL: Duration = Duration::from_secs(5);

/// Adds the job that looks after a new key.
pub(super) async fn watch(tx: &OrgTx, row: &KeyRow) -> Result<(), StoreError> {
    let first = row.created_at.plus(REMINDED_AT[0]);
    jobs::enqueue(tx, Kind::KeyAge, row.id.as_str(), 0, first, row.created_at).await
}

/// The worker that reminds.
pub struct Ages {
    platform: Platform,
}

#[derive(Debug, thiserror::Error)]
enum AgeError {
    #[error(transparent)]
    Job(#[from] JobError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl Ages {
    /// A worker that is not running yet.
    pub fn new(platform: Platform) -> Arc<Self> {
        Arc::new(Self { platform })
    }

    /// Reminds until stopped.
    pub async fn run(self: Arc<Self>, stop: Stop) {
        let worker = Worker {
            platform: self.platform.clone(),
            kind: Kind::KeyAge,
            concurrency_max: CONCURRENCY_MAX,
            poll: POLL,
        };
        worker
            .run_each(stop, move |job| Arc::clone(&self).remind(job))
            .await;
    }

    async fn remind(self: Arc<Self>, job: Job) {
        match self.try_remind(&job).await {
            Ok(()) | Err(AgeError::Job(JobError::LeaseLost)) => {}
            Err(error) => {
                tracing::error!(key = %job.reference, %error, "the age of a key could not be looked at; trying again");
                let (org, due_at) = (job.org.clone(), self.platform.clock.now().plus(AFTER_ERROR));
                let unit = async move |tx: &OrgTx| jobs::put_back(tx, &job, due_at).await;
                jobs::settle(&self.platform, &org, "key_age_put_back", unit).await;
            }
        }
    }

    async fn try_remind(&self, job: &Job) -> Result<(), AgeError> {
        let now = self.platform.clock.now();
        let wanted = KeyId::parse(&job.reference);
        let read = async move |tx: &OrgTx| match &wanted {
            Some(id) => store::get(tx, id).await,
            None => Ok(None),
        };
        let scope = self.platform.store.org(&job.org);
        let row = scope.read("key_get", read).await?.filter(|row| is_live(row, now));
        let told = match &row {
            Some(row) => Some(self.told(job, row, now).await?),
            None => None,
        };
        let next = row.and_then(|row| {
            let dates = REMINDED_AT.map(|age| row.created_at.plus(age));
            dates.into_iter().find(|date| *date > now)
        });
        let job = job.clone();
        let unit = async move |tx: &OrgTx| -> Result<bool, JobError> {
            match next {
                Some(date) => jobs::postpone(tx, &job, date).await?,
                None => jobs::finish(tx, &job).await?,
            }
            let Some((event, entry)) = &told else {
                return Ok(false);
            };
            audit::record(tx, entry).await?;
            jobs::enqueue(tx, Kind::Notice, event.id.as_str(), event.id.day(), now, now).await?;
            Ok(events::append(tx, event).await?)
        };
        if scope.write("key_remind", unit).await? {
            self.platform.hints.wake(Kind::Event);
        }
        self.platform.hints.wake(Kind::Notice);
        Ok(())
    }

    /// The event and the audit entry of a reminder.
    async fn told(&self, job: &Job, row: &KeyRow, now: Timestamp) -> Result<(Event, Entry), VaultError> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Data<'a> {
            key_id: &'a KeyId,
            name: &'a str,
            key_prefix: &'a str,
            last_four: &'a str,
            age_days: u64,
            rotation_due_at: String,
        }
        let data = Data {
            key_id: &row.id,
            name: &row.name,
            key_prefix: &row.prefix,
            last_four: &row.last_four,
            age_days: now.since(row.created_at).as_secs() / DAY.as_secs(),
            rotation_due_at: row.created_at.plus(ROTATION_DUE_AFTER).rfc3339(),
        };
        let about = About {
            kind: Type::ApiKeyRotationDue,
            mode: Mode::Live,
            email: None,
            at: now,
        };
        let act = Act {
            actor: Actor::System.as_str(),
            action: "api_key.rotation_due",
            target: row.id.as_str(),
            origin: &Origin::default(),
            detail: &data,
        };
        let vault = self.platform.vault.org(&job.org).await?;
        Ok((
            events::prepare(&vault, about, &data).await?,
            audit::prepare(&vault, now, act).await?,
        ))
    }
}

fn is_live(row: &KeyRow, now: Timestamp) -> bool {
    row.revoked_at.is_none()
        && row.replaced_by.is_none()
        && row.restrictions.expires_at.is_none_or(|at| at > now)
}
