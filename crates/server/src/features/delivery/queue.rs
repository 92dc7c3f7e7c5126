//! The queue as the operator sees and changes it: what waits for each destination, tried at once, held, or dropped.
//!
//! Whose mail waits for whom is sealed, so destinations are told apart by their keyed hash, and one recipient of each is opened to name
//! it. Mail that is scheduled for later is not meant: until its time has come it is its sender's.

use super::lanes::Lanes;
use crate::clock::Timestamp;
use crate::features::alerts::{self, Alert, AlertError};
use crate::features::audit::{self, Act, Origin};
use crate::features::emails::{self, Mailed, Outcome, ReadError, RecipientOutcome, Status};
use crate::features::events::{About, Event, Type};
use crate::id::{AttemptId, EmailId, Id as _, OrgId};
use crate::limits::REASON_CHARS_MAX;
use crate::metrics::KindLabel;
use crate::mode::Mode;
use crate::platform::Platform;
use crate::platform::jobs::{self, Found, Group, Jobs, Kind, Selection};
use crate::platform::store::{OrgTx, StoreError};
use crate::platform::vault::{OrgVault, VaultError};
use crate::secret::Personal;
use sealwright_mail::address::{Domain, Mailbox};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Destinations that are shown at once, those with most mail.
const DESTINATIONS_SHOWN_MAX: usize = 200;
/// Jobs that are read, and changed in one commit, at once.
const FOUND_MAX: i64 = 200;
/// What senders are told of mail that was dropped.
const DROPPED: &str = "dropped by the operator";

/// Which mail is meant; what is `None` narrows nothing.
#[derive(Debug, Clone, Default)]
pub struct Chosen {
    /// To this domain.
    pub destination: Option<Domain>,
    /// Of this organization.
    pub org: Option<OrgId>,
    /// This e-mail.
    pub email: Option<EmailId>,
}

/// What may be done to mail that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is due now, and no longer held; its destination is open.
    Retry,
    /// It stays until it is tried again by hand.
    Hold,
    /// It fails.
    Drop,
}

impl Change {
    /// What the audit log calls it.
    fn action(self) -> &'static str {
        match self {
            Self::Retry => "queue.retried",
            Self::Hold => "queue.held",
            Self::Drop => "queue.dropped",
        }
    }
}

/// How much was changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Changed {
    /// Deliveries that were: an e-mail has one for each domain of its recipients.
    pub changed: u64,
    /// Deliveries that were not, because they are under way, or were so already.
    pub left: u64,
}

/// What waits for one destination.
#[derive(Debug, Clone)]
pub struct Destination {
    /// The domain; `None` once everything that names it was forgotten.
    pub domain: Option<Personal<String>>,
    /// Live or test.
    pub mode: Mode,
    /// Deliveries that are due.
    pub due: i64,
    /// Deliveries under way, or about to be.
    pub in_flight: i64,
    /// Deliveries whose next date has not come.
    pub deferred: i64,
    /// Deliveries that are held.
    pub held: i64,
    /// Since when the oldest waits.
    pub oldest_at: Timestamp,
    /// When the next is due.
    pub next_at: Option<Timestamp>,
    /// Until when this process leaves the destination alone.
    pub closed_until: Option<Timestamp>,
    /// What was last answered to the mail that was tried most often.
    pub last_reply: Option<Personal<String>>,
}

/// Why the queue was not shown or changed.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// Everything at once is nobody's intention.
    #[error("say which mail is meant: a destination, an organization or an e-mail")]
    Everything,
    /// Holding and dropping are explained to whoever reads the audit log.
    #[error("say why, in 1 to {REASON_CHARS_MAX} characters")]
    Reason,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The vault failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// An e-mail could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The end of an alert could not be told.
    #[error(transparent)]
    Alert(#[from] AlertError),
}

/// What the audit log says of a change.
#[derive(Serialize)]
struct Detail<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination: Option<&'a str>,
    /// The e-mails that it was about.
    emails: Vec<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Failed {
    reason: &'static str,
    failed_at: String,
}

/// The operator's hand on the queue. Without lanes, those of other processes stay as they are.
#[derive(Clone)]
pub struct Queue {
    platform: Platform,
    /// Whom alerts are told, if anybody.
    alerts_to: Option<OrgId>,
    lanes: Option<Arc<Lanes>>,
}

impl Queue {
    /// The queue of a process that delivers nothing itself.
    pub fn of_others(platform: Platform, alerts_to: Option<OrgId>) -> Self {
        Self::new(platform, alerts_to, None)
    }

    pub(super) fn new(platform: Platform, alerts_to: Option<OrgId>, lanes: Option<Arc<Lanes>>) -> Self {
        Self {
            platform,
            alerts_to,
            lanes,
        }
    }

    /// What waits, by destination; tells also whether there are more than are shown.
    pub async fn view(&self, chosen: &Chosen) -> Result<(Vec<Destination>, bool), QueueError> {
        let now = self.platform.clock.now();
        let limit = i64::try_from(DESTINATIONS_SHOWN_MAX).unwrap_or(i64::MAX);
        let mut groups = self
            .jobs()
            .groups(self.selection(chosen), limit.saturating_add(1), now)
            .await?;
        let has_more = groups.len() > DESTINATIONS_SHOWN_MAX;
        groups.truncate(DESTINATIONS_SHOWN_MAX);
        let mut destinations = Vec::with_capacity(groups.len());
        for group in groups {
            destinations.push(self.destination(group, now).await?);
        }
        Ok((destinations, has_more))
    }

    async fn destination(&self, group: Group, now: Timestamp) -> Result<Destination, QueueError> {
        let (domain, mode, last_reply) = match self.named(&group).await {
            Ok(named) => named,
            // Numbers are worth showing also where nobody can say whose they are any more.
            Err(QueueError::Read(ReadError::Vault(VaultError::Forgotten))) => (None, Mode::Live, None),
            Err(error) => return Err(error),
        };
        let lanes = self.lanes.as_ref();
        Ok(Destination {
            domain: domain.map(Personal::new),
            mode,
            due: group.due,
            in_flight: group.leased,
            deferred: group.later,
            held: group.held,
            oldest_at: group.oldest_at,
            next_at: group.next_at,
            closed_until: lanes.and_then(|lanes| lanes.closed_until(group.part, now)),
            last_reply: last_reply.map(Personal::new),
        })
    }

    /// The domain of a group, its mode, and what was last answered.
    async fn named(&self, group: &Group) -> Result<(Option<String>, Mode, Option<String>), QueueError> {
        #[derive(Deserialize)]
        struct Facts {
            recipients: Vec<Said>,
        }
        #[derive(Deserialize)]
        struct Said {
            reply: String,
        }
        let Some(email) = EmailId::parse(&group.reference) else {
            return Ok((None, Mode::Live, None));
        };
        let vault = self.platform.vault.org(&group.org).await?;
        let mailed = emails::destined(&self.platform, &vault, &group.org, &email, group.part).await?;
        let facts = emails::last_facts(&self.platform, &vault, &group.org, &email, group.part).await?;
        let said = facts.and_then(|facts| serde_json::from_slice::<Facts>(&facts).ok());
        let reply = said.and_then(|facts| Some(facts.recipients.into_iter().next()?.reply));
        let mode = mailed.as_ref().map_or(Mode::Live, |mailed| mailed.mode);
        let first = mailed.and_then(|mailed| mailed.recipients.into_iter().next());
        let mailbox = first.and_then(|recipient| Mailbox::parse(&recipient.mailbox).ok());
        let domain = mailbox.map(|mailbox| mailbox.address.domain().as_str().to_owned());
        Ok((domain, mode, reply))
    }

    /// Changes what is meant, and leaves an audit entry with each organization whose mail it is.
    pub async fn change(
        &self,
        change: Change,
        chosen: &Chosen,
        reason: Option<&str>,
    ) -> Result<Changed, QueueError> {
        let is_everything = chosen.destination.is_none() && chosen.org.is_none() && chosen.email.is_none();
        if is_everything {
            return Err(QueueError::Everything);
        }
        let is_fit = |reason: &str| (1..=REASON_CHARS_MAX).contains(&reason.trim().chars().count());
        if !reason.map_or(change == Change::Retry, is_fit) {
            return Err(QueueError::Reason);
        }
        let now = self.platform.clock.now();
        let detail = Detail {
            reason,
            destination: chosen.destination.as_ref().map(Domain::as_str),
            emails: Vec::new(),
        };
        let (mut all, mut after) = (Changed::default(), None);
        loop {
            let selection = self.selection(chosen);
            let found = self
                .jobs()
                .find(selection, after.as_ref(), FOUND_MAX, now)
                .await?;
            for of_org in found.chunk_by(|one, next| one.org == next.org) {
                let changed = match change {
                    Change::Retry | Change::Hold => self.put(change, of_org, &detail, now).await?,
                    Change::Drop => self.drop_each(of_org, &detail, now).await?,
                };
                all.changed += changed;
                all.left += (of_org.len() as u64).saturating_sub(changed);
            }
            after = found.into_iter().next_back();
            if after.is_none() {
                break;
            }
        }
        if let (Change::Retry | Change::Drop, Some(org)) = (change, &self.alerts_to) {
            // Whoever decides about what waits has seen what is held, and is told anew if it is held again.
            alerts::clear(&self.platform, org, Alert::MailHeld).await?;
        }
        self.wake(change);
        Ok(all)
    }

    /// Makes jobs of one organization due, or holds them, in one commit.
    async fn put(
        &self,
        change: Change,
        found: &[Found],
        detail: &Detail<'_>,
        now: Timestamp,
    ) -> Result<u64, QueueError> {
        let Some(first) = found.first() else { return Ok(0) };
        if change == Change::Retry {
            let lanes = self.lanes.iter();
            lanes.for_each(|lanes| found.iter().for_each(|job| lanes.open(job.part, now)));
        }
        let entry = self.entry(change, found, detail, now).await?;
        let jobs = found.to_vec();
        let unit = async move |tx: &OrgTx| {
            let mut changed = 0;
            for job in &jobs {
                changed += u64::from(match change {
                    Change::Retry => jobs::hurry(tx, job, now).await?,
                    Change::Hold | Change::Drop => jobs::hold(tx, job, now).await?,
                });
            }
            if changed > 0 {
                audit::record(tx, &entry).await?;
            }
            Ok::<_, StoreError>(changed)
        };
        Ok(self
            .platform
            .store
            .org(&first.org)
            .write("queue_put", unit)
            .await?)
    }

    async fn drop_each(
        &self,
        found: &[Found],
        detail: &Detail<'_>,
        now: Timestamp,
    ) -> Result<u64, QueueError> {
        let mut dropped = 0;
        for job in found {
            match self.drop_one(job, detail, now).await {
                Ok(is_dropped) => dropped += u64::from(is_dropped),
                // One that can't be read must not keep the others.
                Err(QueueError::Read(error)) => {
                    tracing::error!(email = %job.reference, %error, "a delivery could not be dropped");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(dropped)
    }

    /// Ends one delivery: its recipients have failed, and their sender is told so.
    async fn drop_one(&self, job: &Found, detail: &Detail<'_>, now: Timestamp) -> Result<bool, QueueError> {
        let Some(email) = EmailId::parse(&job.reference) else {
            return Ok(false);
        };
        let vault = self.platform.vault.org(&job.org).await?;
        let mailed = emails::destined(&self.platform, &vault, &job.org, &email, job.part).await?;
        let entry = self
            .entry(Change::Drop, std::slice::from_ref(job), detail, now)
            .await?;
        let outcome = match &mailed {
            Some(mailed) => Some(failed(&vault, &email, mailed, now).await?),
            None => None,
        };
        let recipients = outcome.as_ref().map_or(0, |outcome| outcome.recipients.len());
        let taken = job.clone();
        let unit = async move |tx: &OrgTx| {
            let Some(taken) = jobs::take(tx, &taken).await? else {
                return Ok::<_, StoreError>(None);
            };
            let doubted = taken.started_attempt.as_deref().and_then(AttemptId::parse);
            let is_in_doubt = match &doubted {
                Some(attempt) => emails::mark_in_doubt(tx, attempt).await?,
                None => false,
            };
            if let Some(outcome) = &outcome {
                emails::record(tx, outcome).await?;
            }
            audit::record(tx, &entry).await?;
            Ok(Some(is_in_doubt))
        };
        let Some(is_in_doubt) = self
            .platform
            .store
            .org(&job.org)
            .write("queue_drop", unit)
            .await?
        else {
            return Ok(false);
        };
        let metrics = &self.platform.metrics;
        metrics.in_doubt.inc_by(u64::from(is_in_doubt));
        let kind = Status::Failed.name();
        metrics
            .outcomes
            .get_or_create(&KindLabel { kind })
            .inc_by(recipients as u64);
        Ok(true)
    }

    async fn entry(
        &self,
        change: Change,
        found: &[Found],
        detail: &Detail<'_>,
        now: Timestamp,
    ) -> Result<audit::Entry, QueueError> {
        let [first, ..] = found else {
            return Err(QueueError::Everything);
        };
        let act = Act {
            actor: "operator",
            action: change.action(),
            target: match found {
                [one] => one.reference.as_str(),
                _ => first.org.as_str(),
            },
            origin: &Origin::default(),
            detail: Detail {
                emails: found.iter().map(|job| job.reference.as_str()).collect(),
                ..*detail
            },
        };
        let vault = self.platform.vault.org(&first.org).await?;
        Ok(audit::prepare(&vault, now, act).await?)
    }

    fn wake(&self, change: Change) {
        match change {
            Change::Retry => self.platform.hints.wake(Kind::Deliver),
            Change::Drop => self.platform.hints.wake(Kind::Event),
            Change::Hold => {}
        }
    }

    fn jobs(&self) -> Jobs {
        Jobs::new(self.platform.store.clone(), self.platform.node.clone())
    }

    fn selection(&self, chosen: &Chosen) -> Selection {
        let vault = &self.platform.vault;
        let both = |domain: &Domain| {
            [Mode::Live, Mode::Test].map(|mode| emails::destination(vault, mode, domain.as_str()))
        };
        Selection {
            kind: Kind::Deliver,
            org: chosen.org.clone(),
            reference: chosen.email.as_ref().map(|email| email.as_str().to_owned()),
            parts: chosen.destination.as_ref().map(both),
        }
    }
}

/// What is recorded and told of recipients whose mail is dropped.
async fn failed(
    vault: &OrgVault,
    email: &EmailId,
    mailed: &Mailed,
    now: Timestamp,
) -> Result<Outcome, VaultError> {
    let mut events: Vec<Event> = Vec::with_capacity(mailed.recipients.len());
    for recipient in &mailed.recipients {
        let about = About {
            kind: Type::EmailFailed,
            mode: mailed.mode,
            email: Some(email),
            at: now,
        };
        let address = Mailbox::parse(&recipient.mailbox).map(|mailbox| mailbox.address.as_str().to_owned());
        let to = address.as_deref().unwrap_or(&recipient.mailbox);
        let what = Failed {
            reason: DROPPED,
            failed_at: now.rfc3339(),
        };
        events.push(emails::recipient_event(vault, about, &mailed.head, to, &what).await?);
    }
    let failed = |position| RecipientOutcome {
        position,
        status: Status::Failed,
    };
    let positions = mailed.recipients.iter().map(|recipient| recipient.position);
    Ok(Outcome {
        email: email.clone(),
        attempt: None,
        recipients: positions.map(failed).collect(),
        events,
        suppressions: Vec::new(),
        at: now,
    })
}
