//! Mail to an organization's security contact about events that it must not miss.
//!
//! A notice is a job with the id of an event, or of the audit entry of a change of settings. It becomes an e-mail like any other, sent by
//! the installation: from the sender, and by the organization that owns the sender's domain, which the operator has set. A notice may run
//! twice; that id is its idempotency key. Of each kind there are only so many a day; what was sent is counted in the audit log.

mod words;

use crate::features::audit::{self, Act, Origin};
use crate::features::domains::Tls;
use crate::features::emails::{self, Accepted, Draft, Fresh, Idempotency, SendError, Stream};
use crate::features::events::{self, Metadata};
use crate::features::keys::{Actor, Caller};
use crate::features::orgs::{self, SettingsError};
use crate::id::{Id as _, OrgId};
use crate::limits::NOTICES_PER_DAY_MAX;
use crate::metrics::KindLabel;
use crate::platform::Platform;
use crate::platform::jobs::{self, Job, JobError, Kind, Stop, Worker};
use crate::platform::store::{OrgTx, StatementText, StoreError};
use crate::platform::vault::VaultError;
use crate::secret::Personal;
use aws_lc_rs::digest;
use sealwright_mail::address::Mailbox;
use sealwright_mail::header::{HeaderName, HeaderText};
use std::sync::Arc;
use std::time::Duration;
use words::Words;

/// It keeps no rows of its own.
pub const STATEMENTS: &[StatementText] = &[];

/// Notices are rare.
const CONCURRENCY_MAX: usize = 8;
const AFTER_ERROR: Duration = Duration::from_secs(60);
/// How today's last notice of its kind ends.
fn last_words() -> String {
    format!(
        "\nThere are at most {NOTICES_PER_DAY_MAX} mails of this kind a day (UTC), and this is today's last.\n"
    )
}

/// Who sends notices.
#[derive(Debug, Clone)]
pub struct Sender {
    /// The organization that owns the sender's domain.
    pub org: OrgId,
    /// The sender.
    pub from: Mailbox,
}

/// The worker that sends notices.
pub struct Notices {
    platform: Platform,
    fresh: Arc<Fresh>,
    sender: Option<Sender>,
    poll: Duration,
}

#[derive(Debug, thiserror::Error)]
enum NoticeError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Send(#[from] SendError),
}

impl Notices {
    /// A worker that is not running yet; without a sender it says in the log what it can't tell anybody else.
    pub fn new(platform: Platform, fresh: Arc<Fresh>, sender: Option<Sender>, poll: Duration) -> Arc<Self> {
        Arc::new(Self {
            platform,
            fresh,
            sender,
            poll,
        })
    }

    /// Sends notices until stopped.
    pub async fn run(self: Arc<Self>, stop: Stop) {
        let worker = Worker {
            platform: self.platform.clone(),
            kind: Kind::Notice,
            concurrency_max: CONCURRENCY_MAX,
            poll: self.poll,
        };
        worker
            .run_each(stop, move |job| Arc::clone(&self).notify(job))
            .await;
    }

    async fn notify(self: Arc<Self>, job: Job) {
        let org = job.org.clone();
        match self.try_notify(&job).await {
            Ok(outcome) => {
                let label = KindLabel { kind: outcome };
                self.platform.metrics.notices.get_or_create(&label).inc();
                let unit = async move |tx: &OrgTx| jobs::finish(tx, &job).await;
                jobs::settle(&self.platform, &org, "notice_finish", unit).await;
            }
            Err(error) => {
                tracing::error!(reference = %job.reference, %error, "a notice could not be sent; trying again");
                let due_at = self.platform.clock.now().plus(AFTER_ERROR);
                let unit = async move |tx: &OrgTx| -> Result<(), JobError> {
                    jobs::postpone(tx, &job, due_at).await
                };
                jobs::settle(&self.platform, &org, "notice_postpone", unit).await;
            }
        }
    }

    /// Returns what became of it, as the metric names it.
    async fn try_notify(&self, job: &Job) -> Result<&'static str, NoticeError> {
        let Some(notice) = self.read(job).await? else {
            return Ok("gone");
        };
        let Some(sender) = self.sender.as_ref().filter(|_| !notice.to.is_empty()) else {
            tracing::warn!(org = %job.org, reference = %job.reference, kind = notice.words.counted_as,
                "nobody is told of this: set the organization's security contact and notices.from");
            return Ok("nobody");
        };
        let Some(number) = self.number(job, &notice.words).await? else {
            tracing::warn!(org = %job.org, reference = %job.reference, kind = notice.words.counted_as,
                "the security contact is not told of this: it had as many notices of this kind today as it may");
            return Ok("capped");
        };
        let is_last = number >= NOTICES_PER_DAY_MAX;
        let mut outcome = "nobody";
        for (place, contact) in notice.to.iter().enumerate() {
            if let Some(draft) = draft(sender, contact, &notice.words, is_last) {
                let key = format!("notice-{}-{place}", job.reference);
                self.send(sender, draft, key, &notice.source).await?;
                outcome = "sent";
            }
        }
        Ok(outcome)
    }

    /// The event or the audit entry of a job, in words, and who is to read them; `None` when it is there no more.
    async fn read(&self, job: &Job) -> Result<Option<Notice>, NoticeError> {
        let vault = self.platform.vault.org(&job.org).await?;
        let scope = self.platform.store.org(&job.org);
        if let Some(id) = audit::id_of(&job.reference) {
            let read = async move |tx: &OrgTx| audit::get(tx, &id).await;
            let Some(entry) = scope.read("notice_entry", read).await? else {
                return Ok(None);
            };
            let Some([old, new]) = orgs::settings_changed(&vault, &entry).await? else {
                return Ok(None);
            };
            let words = words::of_settings(&entry, &old, &new);
            let mut to: Vec<_> = [old, new]
                .into_iter()
                .filter_map(|settings| settings.security_contact)
                .collect();
            to.dedup();
            let source = job.reference.as_bytes().to_vec();
            return Ok(Some(Notice { words, to, source }));
        }
        let Some(id) = events::id_of(&job.reference) else {
            return Ok(None);
        };
        let read = async move |tx: &OrgTx| events::get(tx, &id).await;
        let Some(event) = scope.read("notice_event", read).await? else {
            return Ok(None);
        };
        let source = match event.body(&vault).await {
            Ok(body) => body,
            Err(VaultError::Forgotten) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let settings = orgs::settings(&self.platform, &job.org).await?;
        let to = settings.security_contact.into_iter().collect();
        Ok(words::of_event(&event.kind, &source).map(|words| Notice { words, to, source }))
    }

    /// Which of today's notices of its kind this one is, however often it is tried; `None` past [`NOTICES_PER_DAY_MAX`]. Whoever can
    /// cause what is told of must not be able to fill a mailbox, and who may change settings can name anybody's.
    async fn number(&self, job: &Job, words: &Words) -> Result<Option<usize>, NoticeError> {
        let now = self.platform.clock.now();
        let today = now.minus(Duration::from_secs(
            now.seconds().rem_euclid(86_400).unsigned_abs(),
        ));
        let act = Act {
            actor: Actor::System.as_str(),
            action: words.counted_as,
            target: &job.reference,
            origin: &Origin::default(),
            detail: (),
        };
        let vault = self.platform.vault.org(&job.org).await?;
        let entry = audit::prepare(&vault, now, act).await?;
        let (action, reference) = (words.counted_as, job.reference.clone());
        let unit = async move |tx: &OrgTx| {
            orgs::lock(tx).await?;
            let told = audit::targets_since(tx, action, today).await?;
            if let Some(place) = told.iter().position(|target| *target == reference) {
                return Ok::<_, StoreError>(Some(place + 1));
            }
            if told.len() >= NOTICES_PER_DAY_MAX {
                return Ok(None);
            }
            audit::record(tx, &entry).await?;
            Ok(Some(told.len() + 1))
        };
        Ok(self
            .platform
            .store
            .org(&job.org)
            .write("notice_count", unit)
            .await?)
    }

    /// Sends a notice once, however often it is tried.
    async fn send(
        &self,
        sender: &Sender,
        draft: Draft,
        key: String,
        source: &[u8],
    ) -> Result<(), NoticeError> {
        let mut request_digest = [0; 32];
        request_digest.copy_from_slice(digest::digest(&digest::SHA256, source).as_ref());
        let once = Idempotency { key, request_digest };
        let caller = Caller::system(sender.org.clone());
        let answer = |accepted: &Accepted| accepted.id.as_str().as_bytes().to_vec();
        emails::send(&self.platform, &self.fresh, &caller, draft, Some(once), answer).await?;
        Ok(())
    }
}

/// What is told, to whom, and what it was made from.
struct Notice {
    words: Words,
    to: Vec<Personal<String>>,
    source: Vec<u8>,
}

/// A mail to this contact; `None` when it is no address.
fn draft(sender: &Sender, contact: &Personal<String>, words: &Words, is_last: bool) -> Option<Draft> {
    let mut text = words.text.clone();
    if is_last {
        text += &last_words();
    }
    Some(Draft {
        from: sender.from.clone(),
        to: vec![Mailbox::parse(contact.expose()).ok()?],
        subject: HeaderText::parse(&words.subject).ok()?,
        text: Some(text),
        tags: vec!["security".to_owned()],
        cc: Vec::new(),
        bcc: Vec::new(),
        reply_to: Vec::new(),
        html: None,
        amp: None,
        // So that nobody's holiday answers it (RFC 3834 §5).
        headers: vec![(
            HeaderName::parse("Auto-Submitted").ok()?,
            HeaderText::parse("auto-generated").ok()?,
        )],
        metadata: Metadata::default(),
        attachments: Vec::new(),
        scheduled_at: None,
        stream: Stream::Transactional,
        tls: Tls::Opportunistic,
    })
}
