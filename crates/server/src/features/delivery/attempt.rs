//! One job from lease to commit.

use super::Delivery;
use super::exchange::{Exchange, Fate};
use super::facts::{self, Facts, Told};
use super::ways::{Answered, Way, still_in_doubt};
use super::{schedule, simulate};
use crate::clock::Timestamp;
use crate::features::emails::{
    self, AttemptOutcome, Destined, Mailed, NewAttempt, Outcome, ReadError, RecipientOutcome, Release, Status,
};
use crate::features::suppressions;
use crate::id::{AttemptId, EmailId, Id as _};
use crate::metrics::KindLabel;
use crate::mode::Mode;
use crate::platform::jobs::{self, Job, JobError, Kind, Settled, settle};
use crate::platform::store::{OrgTx, StoreError};
use crate::platform::vault::{Class, OrgVault, VaultError, random};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Why an attempt could not be made at all; the job stays and is tried again.
#[derive(Debug, thiserror::Error)]
pub(super) enum AttemptError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error(transparent)]
    Domain(#[from] crate::features::domains::DomainError),
    #[error(transparent)]
    Relay(#[from] crate::features::relays::RelayError),
    #[error("{0}")]
    Other(&'static str),
}

/// Why an attempt was not marked as started; nothing was sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotStarted {
    #[error(transparent)]
    Job(#[from] JobError),
    #[error("recipients were suppressed meanwhile")]
    Suppressed(BTreeMap<Vec<u8>, suppressions::Type>),
}

impl From<StoreError> for NotStarted {
    fn from(error: StoreError) -> Self {
        Self::Job(error.into())
    }
}

/// What an attempt works on.
pub(super) struct Work {
    pub(super) job: Job,
    pub(super) vault: OrgVault,
    pub(super) email: EmailId,
    pub(super) mailed: Mailed,
    pub(super) attempt: NewAttempt,
    /// The way that may have taken it in an earlier attempt.
    pub(super) doubt: Option<Way>,
    /// The way that was tried last in this one.
    pub(super) tried: Option<(Way, Answered)>,
    /// Why it must not leave at all.
    refusal: Option<&'static str>,
}

/// How an attempt begins.
enum Begun {
    Work(Box<Work>),
    /// Nobody of this destination is left.
    NothingLeft,
    /// The e-mail was moved to a later time, and the job with it.
    Moved,
}

const UNVERIFIED: &str = "when its time came, its domain was not verified for sending";

impl Work {
    /// The recipients that may be written to.
    pub(super) fn open(&self) -> impl Iterator<Item = &Destined> {
        let recipients = self.mailed.recipients.iter();
        recipients.filter(|recipient| recipient.suppressed.is_none())
    }

    /// Leaves these recipients out from now on.
    pub(super) fn suppress(&mut self, found: &BTreeMap<Vec<u8>, suppressions::Type>) {
        for recipient in &mut self.mailed.recipients {
            let kind = found.get(recipient.address_index.as_ref()).copied();
            recipient.suppressed = recipient.suppressed.or(kind);
        }
    }
}

impl Delivery {
    /// Makes one attempt and sees it recorded. Never fails: what goes wrong becomes a later attempt.
    pub(super) async fn attempt(self: Arc<Self>, job: Job) {
        let now = self.platform.clock.now();
        match self.begin(&job, now).await {
            Ok(Begun::Work(work)) => self.carry_out(*work).await,
            Ok(Begun::NothingLeft) => self.drop_job(&job).await,
            Ok(Begun::Moved) => {}
            Err(error) => {
                tracing::error!(email = %job.reference, %error, "a delivery could not be attempted");
                self.put_back(&job, now).await;
            }
        }
    }

    async fn begin(&self, job: &Job, now: Timestamp) -> Result<Begun, AttemptError> {
        let email = EmailId::parse(&job.reference).ok_or(AttemptError::Other("the job names no e-mail"))?;
        self.note_doubt(job, &email).await?;
        let vault = self.platform.vault.org(&job.org).await?;
        let destined = async || emails::destined(&self.platform, &vault, &job.org, &email, job.part).await;
        let (mut mailed, mut refusal) = (destined().await?, None);
        if mailed.as_ref().is_some_and(Mailed::is_scheduled) {
            match self.release(job, &vault, &email, now).await? {
                Release::Over => mailed = destined().await?,
                Release::Unverified => refusal = Some(UNVERIFIED),
                Release::Later(_) => return Ok(Begun::Moved),
            }
        }
        let Some(mailed) = mailed.filter(|mailed| !mailed.recipients.is_empty()) else {
            return Ok(Begun::NothingLeft);
        };
        let attempt = NewAttempt {
            id: AttemptId::generate(now, random()),
            email: email.clone(),
            destination: job.part,
            number: job.attempt + 1,
            started_at: now,
        };
        Ok(Begun::Work(Box::new(Work {
            job: job.clone(),
            vault,
            email,
            mailed,
            attempt,
            doubt: Way::in_doubt(job.started_attempt.is_some(), job.started_via.as_deref()),
            tried: None,
            refusal,
        })))
    }

    /// Lets a scheduled e-mail go, all its destinations together; the job of one that was moved waits on, in the same commit.
    async fn release(
        &self,
        job: &Job,
        vault: &OrgVault,
        email: &EmailId,
        now: Timestamp,
    ) -> Result<Release, AttemptError> {
        let Some(due) = emails::due(&self.platform, vault, &job.org, email, now).await? else {
            return Ok(Release::Over);
        };
        let (scope, job) = (self.platform.store.org(&job.org), job.clone());
        let unit = async move |tx: &OrgTx| {
            let release = emails::release(tx, &due).await?;
            if let Release::Later(at) = release {
                jobs::put_back(tx, &job, at).await?;
            }
            Ok::<_, JobError>(release)
        };
        match scope.write("email_release", unit).await {
            Ok(release) => {
                self.platform.hints.wake(Kind::Event);
                Ok(release)
            }
            // Cancelled, or moved, or somebody else's: this worker has nothing to do with it any more.
            Err(JobError::LeaseLost) => Ok(Release::Later(now)),
            Err(JobError::Store(error)) => Err(error.into()),
        }
    }

    /// The last holder of this job marked an attempt as started and recorded no outcome: the mail may have been taken. It is not
    /// tried again before this is on record.
    async fn note_doubt(&self, job: &Job, email: &EmailId) -> Result<(), StoreError> {
        let Some(attempt) = job.started_attempt.as_deref().and_then(AttemptId::parse) else {
            return Ok(());
        };
        let id = attempt.clone();
        let unit = async move |tx: &OrgTx| emails::mark_in_doubt(tx, &id).await;
        if self
            .platform
            .store
            .org(&job.org)
            .write("attempt_in_doubt", unit)
            .await?
        {
            self.platform.metrics.in_doubt.inc();
            tracing::warn!(%email, %attempt, "an attempt is in doubt: it was started and its outcome was never recorded; it is tried again");
        }
        Ok(())
    }

    async fn carry_out(self: Arc<Self>, mut work: Work) {
        let exchange = match (work.refusal, work.mailed.mode) {
            (Some(reason), _) => {
                let reason = reason.to_owned();
                Ok(Exchange::of_all(
                    work.mailed.recipients.len(),
                    &Fate::Failed { reason },
                ))
            }
            (None, Mode::Test) => Ok(simulate::exchange(&work)),
            (None, Mode::Live) => self.exchange(&mut work).await,
        };
        if let (Mode::Live, Some(heard)) = (
            work.mailed.mode,
            exchange.as_ref().ok().and_then(|exchange| exchange.heard),
        ) {
            self.lanes
                .heard(&work.job.org, work.job.part, heard, self.platform.clock.now());
        }
        match exchange {
            Ok(Exchange { is_lost: true, .. }) => {}
            Ok(exchange) => self.conclude(work, exchange).await,
            Err(error) => {
                tracing::error!(email = %work.email, %error, "a delivery could not be attempted");
                let now = self.platform.clock.now();
                if now <= work.mailed.released_at.plus(self.options.expire_after) {
                    return self.put_back(&work.job, now).await;
                }
                let reason = "the e-mail expired while it could not be attempted".to_owned();
                let recipients = work.mailed.recipients.len();
                self.conclude(work, Exchange::of_all(recipients, &Fate::Failed { reason }))
                    .await;
            }
        }
    }

    /// Turns fates into statuses, events and the job's end or next date, and commits them together.
    async fn conclude(self: Arc<Self>, work: Work, exchange: Exchange) {
        let now = self.platform.clock.now();
        let told = self.tell(&work, &exchange, now);
        let next = told.iter().filter_map(|told| told.next).min();
        let outcome = match outcome(&work, &exchange, &told, now).await {
            Ok(outcome) => Arc::new(outcome),
            Err(error) => {
                tracing::error!(email = %work.email, %error, "an outcome could not be sealed");
                return self.put_back(&work.job, now).await;
            }
        };
        let (job, is_refused) = (work.job.clone(), work.refusal.is_some());
        let is_held = exchange
            .fates
            .iter()
            .any(|fate| matches!(fate, Fate::Held { .. }));
        let tried = work.tried.as_ref().map(|(way, answered)| (way, *answered));
        let doubt = still_in_doubt(work.doubt.as_ref(), tried);
        let unit = {
            let outcome = Arc::clone(&outcome);
            async move |tx: &OrgTx| {
                // It was still scheduled when it was refused, and may have been moved since: then that holds.
                if is_refused
                    && let Some(at) = emails::scheduled_for(tx, &outcome.email, outcome.at).await?
                    && at > outcome.at
                {
                    return jobs::put_back(tx, &job, at).await;
                }
                // The fence first: run again after an unknown commit, the unit must stop here and not at a row that it wrote.
                match next {
                    _ if is_held => jobs::park(tx, &job, outcome.at).await?,
                    Some(due_at) if outcome.attempt.is_some() => {
                        let via = doubt.as_ref().map(Way::word);
                        jobs::postpone_in_doubt(tx, &job, due_at, via).await?;
                    }
                    // Nothing was tried, so the next attempt keeps its number.
                    Some(due_at) => jobs::put_back(tx, &job, due_at).await?,
                    None => jobs::finish(tx, &job).await?,
                }
                Ok(emails::record(tx, &outcome).await?)
            }
        };
        if settle(&self.platform, &work.job.org, "email_outcome", unit).await == Settled::Committed {
            self.count(&outcome.recipients);
            self.platform.hints.wake(Kind::Event);
        }
    }

    /// What becomes of each recipient by its fate and the dates that are left.
    fn tell<'a>(&self, work: &'a Work, exchange: &'a Exchange, now: Timestamp) -> Vec<Told<'a>> {
        let planned = schedule::after(&work.attempt);
        let tell = |(recipient, fate): (&'a Destined, &'a Fate)| {
            let wait = fate.wait(planned);
            // What is left of a wait was reckoned when the attempt began.
            let from = match fate {
                Fate::Waiting { .. } => work.attempt.started_at,
                _ => now,
            };
            let next =
                wait.and_then(|wait| schedule::date(&work.mailed, wait, from, self.options.expire_after));
            Told {
                work,
                recipient,
                fate,
                status: status_of(fate, recipient, next),
                next,
                now,
            }
        };
        let recipients = work.mailed.recipients.iter();
        recipients.zip(&exchange.fates).map(tell).collect()
    }

    fn count(&self, recipients: &[RecipientOutcome]) {
        for recipient in recipients {
            let kind = recipient.status.name();
            self.platform
                .metrics
                .outcomes
                .get_or_create(&KindLabel { kind })
                .inc();
        }
    }

    async fn drop_job(&self, job: &Job) {
        let dropped = job.clone();
        let unit = async move |tx: &OrgTx| jobs::finish(tx, &dropped).await;
        settle(&self.platform, &job.org, "delivery_nothing_left", unit).await;
    }

    async fn put_back(&self, job: &Job, now: Timestamp) {
        let (postponed, due_at) = (job.clone(), now.plus(schedule::AFTER_INTERNAL_ERROR));
        let unit = async move |tx: &OrgTx| jobs::put_back(tx, &postponed, due_at).await;
        settle(&self.platform, &job.org, "delivery_put_back", unit).await;
    }

    /// The unit that marks an attempt as started; the dot may leave once it is committed. Whoever is suppressed by then is not written to:
    /// asked here, because no later moment is left to ask at.
    pub(super) async fn mark_started(&self, work: &Work, way: &Way) -> Result<(), NotStarted> {
        let via = way.word().to_owned();
        let (job, attempt, mode) = (work.job.clone(), work.attempt.clone(), work.mailed.mode);
        let indexes: Vec<_> = work.open().map(|open| open.address_index.clone()).collect();
        let unit = async move |tx: &OrgTx| {
            let indexes: Vec<&[u8]> = indexes.iter().map(AsRef::as_ref).collect();
            let suppressed = suppressions::of(tx, mode, &indexes).await?;
            if !suppressed.is_empty() {
                return Err(NotStarted::Suppressed(suppressed));
            }
            jobs::start(tx, &job, attempt.id.as_str(), &via).await?;
            Ok(emails::start_attempt(tx, &attempt).await?)
        };
        self.platform
            .store
            .org(&work.job.org)
            .write("attempt_started", unit)
            .await
    }
}

/// Seals what is recorded of an attempt and prepares what is told of it.
async fn outcome(
    work: &Work,
    exchange: &Exchange,
    told: &[Told<'_>],
    now: Timestamp,
) -> Result<Outcome, VaultError> {
    let mut events = Vec::with_capacity(told.len());
    let mut recipients = Vec::with_capacity(told.len());
    let mut suppressions = Vec::new();
    for told in told.iter().filter(|told| told.is_news()) {
        events.extend(facts::events(told).await?);
        suppressions.extend(facts::suppression(told).await?);
        recipients.push(RecipientOutcome {
            position: told.recipient.position,
            status: told.status,
        });
    }
    let attempt = if exchange.fates.iter().any(Fate::is_tried) {
        let facts = Facts::of(exchange, &work.mailed.recipients).json();
        let cell = emails::facts_cell(&work.attempt.id);
        Some(AttemptOutcome {
            attempt: work.attempt.clone(),
            is_in_doubt: exchange.is_in_doubt,
            facts_sealed: work.vault.seal(Class::Metadata, now, cell, &facts).await?.into(),
        })
    } else {
        None
    };
    Ok(Outcome {
        email: work.email.clone(),
        attempt,
        recipients,
        events,
        suppressions,
        at: now,
    })
}

fn status_of(fate: &Fate, recipient: &Destined, next: Option<Timestamp>) -> Status {
    match (fate, next) {
        (Fate::Delivered { .. } | Fate::Complained { .. }, _) => Status::Delivered,
        (Fate::Bounced { .. }, _) => Status::Bounced,
        (Fate::Suppressed { .. }, _) => Status::Suppressed,
        (Fate::Deferred { .. }, Some(_)) | (Fate::Held { .. }, _) => Status::Deferred,
        (Fate::Waiting { .. }, Some(_)) => recipient.status,
        (Fate::Failed { .. }, _) | (Fate::Deferred { .. } | Fate::Waiting { .. }, None) => Status::Failed,
    }
}

/// The addresses of recipients, for the envelope.
pub(super) fn envelope_addresses<'a>(
    recipients: impl Iterator<Item = &'a Destined>,
) -> Result<Vec<sealwright_mail::address::Mailbox>, AttemptError> {
    let parse = |recipient: &Destined| sealwright_mail::address::Mailbox::parse(&recipient.mailbox);
    recipients
        .map(parse)
        .collect::<Result<_, _>>()
        .map_err(|_| AttemptError::Other("a stored recipient can't be read"))
}
