//! Verifies domains: asks the DNS, writes down what it shows, and lets keys take their turns. On demand, and again by itself.

use super::keys::{self, SIGNS_FOR, take_turn};
use super::look::{Finding, Resolvers, Shows, look};
use super::{Algorithm, DkimKey, Domain, DomainError, Names, Status, manage, records, store};
use crate::clock::Timestamp;
use crate::features::events::{self, About, Event, Type};
use crate::features::orgs;
use crate::id::{DomainId, Id as _, OrgId};
use crate::limits::{VERIFICATIONS_MAX, VERIFY_AGAIN_AFTER};
use crate::mode::Mode;
use crate::platform::Platform;
use crate::platform::jobs::{self, Job, JobError, Kind, Stop, Worker};
use crate::platform::net::Net;
use crate::platform::store::OrgTx;
use crate::platform::vault::random;
use sealwright_mail::dkim::SIGNATURE_LIFETIME_S;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

const DAY: Duration = Duration::from_secs(86_400);
const HOUR: Duration = Duration::from_secs(3_600);
const MINUTE: Duration = Duration::from_secs(60);
/// How long the key of a verified domain may be out of sight.
const MISSING_MAX: Duration = Duration::from_secs(3 * 86_400);
/// How long a new domain may take to publish its records.
const PENDING_MAX: Duration = Duration::from_secs(30 * 86_400);
/// How long a deleted domain's keys are kept: mail that was accepted before has long left or failed, and what it bears is verified.
pub(super) const PURGED_AFTER: Duration = Duration::from_secs(SIGNATURE_LIFETIME_S.unsigned_abs());
/// Looks are slow, and not urgent.
const CONCURRENCY_MAX: usize = 16;
const POLL: Duration = Duration::from_secs(5);
const AFTER_ERROR: Duration = Duration::from_secs(60);
/// Looks vary by up to this part, so that domains that were added together don't come back together.
const JITTER_PERCENT: u64 = 10;

/// Looks at every domain again and again.
pub struct Checks {
    platform: Platform,
    resolvers: Resolvers,
    names: Names,
    permits: Semaphore,
}

/// What one look came to, ready to be written.
struct Outcome {
    domain: Domain,
    status: Status,
    findings: Vec<Finding>,
    missing_since: Option<Timestamp>,
    event: Option<Event>,
    /// Keys that take over, each from the one that signs now.
    turns: Vec<(Option<DkimKey>, DkimKey)>,
    at: Timestamp,
}

impl Outcome {
    /// Writes it, if the domain is still as it was; tells whether there is an event.
    async fn write(&self, tx: &OrgTx) -> Result<bool, DomainError> {
        orgs::lock(tx).await?;
        let is_verified = self.status == Status::Verified;
        let checked = store::Checked {
            before: self.domain.status,
            now: self.status,
            at: self.at,
            findings: &self.findings,
            verified_at: self.domain.verified_at.or(is_verified.then_some(self.at)),
            missing_since: self.missing_since,
        };
        if !store::set_checked(tx, &self.domain.id, checked).await? {
            return Ok(false);
        }
        // The second signature may have been switched off since.
        let there = store::get(tx, &self.domain.id).await?;
        let is_wanted = |key: &DkimKey| {
            there
                .as_ref()
                .is_some_and(|domain| domain.signs_by(key.algorithm))
        };
        for (old, new) in self.turns.iter().filter(|(_, new)| is_wanted(new)) {
            match old {
                Some(old) => take_turn(tx, old, new, self.at).await?,
                None => store::sign(tx, &new.id, self.at).await.map(drop)?,
            }
        }
        let Some(event) = &self.event else {
            return Ok(false);
        };
        if self.status == Status::Failed {
            jobs::enqueue(
                tx,
                Kind::Notice,
                event.id.as_str(),
                event.id.day(),
                self.at,
                self.at,
            )
            .await?;
        }
        events::append(tx, event).await?;
        Ok(true)
    }

    /// When to look again: soon after it was added, then ever more rarely; daily once it is settled, hourly when something is amiss.
    fn next_look(&self) -> Duration {
        let age = self.at.since(self.domain.created_at);
        let wait = match (self.status, self.missing_since) {
            (Status::Verified, Some(_)) => HOUR,
            (Status::Pending, _) => (age / 10).clamp(MINUTE, 6 * HOUR),
            (Status::Verified, None) | (Status::Failed, _) => DAY,
        };
        let spread = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX) * JITTER_PERCENT / 100;
        wait + Duration::from_millis(u64::from_ne_bytes(random()) % (spread + 1))
    }
}

impl Checks {
    /// A worker that is not running yet.
    pub fn new(platform: Platform, net: &Net, names: Names) -> Arc<Self> {
        let resolvers = Resolvers {
            recursive: net.dns.clone(),
            guard: net.guard.clone(),
        };
        Arc::new(Self {
            platform,
            resolvers,
            names,
            permits: Semaphore::new(VERIFICATIONS_MAX),
        })
    }

    /// Asks the DNS about a domain because somebody wants to know, and answers what became of it. There may be
    /// [`VERIFICATIONS_MAX`] at a time, and what was seen within [`VERIFY_AGAIN_AFTER`] is the answer.
    pub async fn verify(&self, org: &OrgId, id: &DomainId) -> Result<Domain, DomainError> {
        let domain = manage::get(&self.platform, org, id).await?;
        let now = self.platform.clock.now();
        let is_fresh = domain
            .checked_at
            .is_some_and(|at| now.since(at) < VERIFY_AGAIN_AFTER);
        let is_seen = |record: &records::Record| domain.finding(record).is_some();
        if is_fresh && domain.records(&self.names).iter().all(is_seen) {
            return Ok(domain);
        }
        let _permit = self.permits.try_acquire().map_err(|_| DomainError::Overloaded)?;
        self.ask(org, id).await
    }

    /// Asks the DNS about a domain now.
    pub async fn ask(&self, org: &OrgId, id: &DomainId) -> Result<Domain, DomainError> {
        let domain = manage::get(&self.platform, org, id).await?;
        if domain.is_assumed {
            return Ok(domain);
        }
        let domain = keys::complete(&self.platform, org, domain).await?;
        let outcome = self.outcome(org, &domain).await?;
        let unit = async move |tx: &OrgTx| outcome.write(tx).await;
        if self.platform.store.org(org).write("domain_verify", unit).await? {
            self.platform.hints.wake(Kind::Event);
            self.platform.hints.wake(Kind::Notice);
        }
        manage::get(&self.platform, org, id).await
    }

    /// Looks until stopped.
    pub async fn run(self: Arc<Self>, stop: Stop) {
        let worker = Worker {
            platform: self.platform.clone(),
            kind: Kind::DomainCheck,
            concurrency_max: CONCURRENCY_MAX,
            poll: POLL,
        };
        worker
            .run_each(stop, move |job| Arc::clone(&self).check(job))
            .await;
    }

    async fn check(self: Arc<Self>, job: Job) {
        match self.try_check(&job).await {
            Ok(()) => {}
            Err(error) => {
                tracing::error!(domain = %job.reference, %error, "a domain could not be looked at; trying again");
                let (org, due_at) = (job.org.clone(), self.platform.clock.now().plus(AFTER_ERROR));
                let unit = async move |tx: &OrgTx| jobs::put_back(tx, &job, due_at).await;
                jobs::settle(&self.platform, &org, "domain_put_back", unit).await;
            }
        }
    }

    async fn try_check(&self, job: &Job) -> Result<(), DomainError> {
        let now = self.platform.clock.now();
        let wanted = DomainId::parse(&job.reference);
        let read = async move |tx: &OrgTx| match &wanted {
            Some(id) => store::get(tx, id).await,
            None => Ok(None),
        };
        let scope = self.platform.store.org(&job.org);
        let domain = scope.read("domain_get", read).await?;
        let kept = job.clone();
        let Some(domain) = domain.filter(|domain| !domain.is_assumed || domain.deleted_at.is_some()) else {
            return ended(
                scope
                    .write("domain_check_end", async move |tx: &OrgTx| {
                        jobs::finish(tx, &kept).await
                    })
                    .await,
            );
        };
        if let Some(deleted_at) = domain.deleted_at {
            let purged_at = deleted_at.plus(PURGED_AFTER);
            let unit = async move |tx: &OrgTx| {
                if now < purged_at {
                    return jobs::postpone(tx, &kept, purged_at).await;
                }
                jobs::finish(tx, &kept).await?;
                Ok(store::purge(tx, &domain.id).await?)
            };
            return ended(scope.write("domain_purge", unit).await);
        }
        let domain = keys::complete(&self.platform, &job.org, domain).await?;
        let outcome = self.outcome(&job.org, &domain).await?;
        let next = self.platform.clock.now().plus(outcome.next_look());
        let unit = async move |tx: &OrgTx| -> Result<bool, DomainError> {
            match jobs::postpone(tx, &kept, next).await {
                Ok(()) => outcome.write(tx).await,
                Err(JobError::LeaseLost) => Ok(false),
                Err(JobError::Store(error)) => Err(error.into()),
            }
        };
        if scope.write("domain_check", unit).await? {
            self.platform.hints.wake(Kind::Event);
            self.platform.hints.wake(Kind::Notice);
        }
        Ok(())
    }

    async fn outcome(&self, org: &OrgId, before: &Domain) -> Result<Outcome, DomainError> {
        let findings = look(&self.resolvers, &self.names, before).await;
        let at = self.platform.clock.now();
        let domain = Domain {
            findings,
            ..before.clone()
        };
        let (status, missing_since) = judged(&domain, at);
        let kind = match (before.status, status) {
            (Status::Pending | Status::Failed, Status::Verified) => Some(Type::DomainVerified),
            (Status::Pending | Status::Verified, Status::Failed) => Some(Type::DomainFailed),
            _ => None,
        };
        let event = match kind {
            Some(kind) => Some(self.event(org, &domain, kind, at).await?),
            None => None,
        };
        Ok(Outcome {
            status,
            findings: domain.findings.clone(),
            missing_since,
            event,
            turns: turns(&domain, status, at),
            at,
            domain: before.clone(),
        })
    }

    async fn event(
        &self,
        org: &OrgId,
        domain: &Domain,
        kind: Type,
        at: Timestamp,
    ) -> Result<Event, DomainError> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Data<'a> {
            domain_id: &'a DomainId,
            name: &'a str,
            #[serde(skip_serializing_if = "Vec::is_empty")]
            missing_records: Vec<&'a str>,
        }
        let is_required = |finding: &&Finding| {
            finding.purpose == records::RecordPurpose::Dkim.name() && finding.shows != Shows::Verified
        };
        let data = Data {
            domain_id: &domain.id,
            name: &domain.name,
            missing_records: domain
                .findings
                .iter()
                .filter(is_required)
                .map(|finding| finding.host.as_str())
                .collect(),
        };
        let about = About {
            kind,
            mode: Mode::Live,
            email: None,
            at,
        };
        let vault = self.platform.vault.org(org).await?;
        Ok(events::prepare(&vault, about, &data).await?)
    }
}

/// A job that belongs to somebody else by now is no error.
fn ended(outcome: Result<(), JobError>) -> Result<(), DomainError> {
    match outcome {
        Ok(()) | Err(JobError::LeaseLost) => Ok(()),
        Err(JobError::Store(error)) => Err(error.into()),
    }
}

/// What a domain is, by what the DNS shows of the key that signs; and since when that key is out of sight.
fn judged(domain: &Domain, now: Timestamp) -> (Status, Option<Timestamp>) {
    match (domain.status, domain.dkim_now()) {
        (_, Shows::Verified) => (Status::Verified, None),
        // Nobody knows: everything stays as it is, and the time since the look before does not count.
        (status, Shows::Pending) => {
            let unknown_for = domain.checked_at.map_or(Duration::ZERO, |at| now.since(at));
            (status, domain.missing_since.map(|since| since.plus(unknown_for)))
        }
        (Status::Verified, Shows::Missing | Shows::Failed) => {
            let since = domain.missing_since.unwrap_or(now);
            let is_over = now.since(since) >= MISSING_MAX;
            (
                if is_over { Status::Failed } else { Status::Verified },
                Some(since),
            )
        }
        (Status::Pending, _) if now.since(domain.created_at) >= PENDING_MAX => (Status::Failed, None),
        (status, _) => (status, None),
    }
}

/// The keys that take over now: those whose predecessor has signed for long enough, and the first Ed25519 key once it is shown.
fn turns(domain: &Domain, status: Status, now: Timestamp) -> Vec<(Option<DkimKey>, DkimKey)> {
    if status != Status::Verified {
        return Vec::new();
    }
    let turn = |algorithm: Algorithm| {
        let old = domain.signing(algorithm);
        let is_due = match old {
            Some(key) => key
                .signing_since
                .is_some_and(|since| since.plus(SIGNS_FOR) <= now),
            None => algorithm == Algorithm::Ed25519 && domain.has_ed25519,
        };
        let new = is_due.then(|| domain.successor(algorithm).ok()).flatten()?;
        Some((old.cloned(), new.clone()))
    };
    Algorithm::ALL.into_iter().filter_map(turn).collect()
}
