//! Mail to an organization's security contact about events that it must not miss.
//!
//! A notice is a job with an event's id. It becomes an e-mail like any other, sent by the installation: from the sender, and by the
//! organization that owns the sender's domain, which the operator has set. A notice may run twice; the event's id is its idempotency key.

use crate::features::emails::{self, Draft, Fresh, Idempotency, SendError};
use crate::features::events::{self, Metadata};
use crate::features::keys::Caller;
use crate::features::orgs::{self, SettingsError};
use crate::id::{Id as _, OrgId};
use crate::metrics::KindLabel;
use crate::platform::Platform;
use crate::platform::jobs::{self, Job, JobError, Kind, Stop, Worker};
use crate::platform::store::{OrgTx, StatementText, StoreError};
use crate::platform::vault::VaultError;
use aws_lc_rs::digest;
use sealwright_mail::address::Mailbox;
use sealwright_mail::header::HeaderText;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// It keeps no rows of its own.
pub const STATEMENTS: &[StatementText] = &[];

/// Notices are rare.
const CONCURRENCY_MAX: usize = 8;
const AFTER_ERROR: Duration = Duration::from_secs(60);

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
                tracing::error!(event = %job.reference, %error, "a notice could not be sent; trying again");
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
        let Some(id) = events::id_of(&job.reference) else {
            return Ok("gone");
        };
        let read = async move |tx: &OrgTx| events::get(tx, &id).await;
        let event = self
            .platform
            .store
            .org(&job.org)
            .read("notice_event", read)
            .await?;
        let Some(event) = event else { return Ok("gone") };
        let body = match event.body(&self.platform.vault.org(&job.org).await?).await {
            Ok(body) => body,
            Err(VaultError::Forgotten) => return Ok("gone"),
            Err(error) => return Err(error.into()),
        };
        let settings = orgs::settings(&self.platform, &job.org).await?;
        let (Some(sender), Some(contact)) = (&self.sender, settings.security_contact) else {
            tracing::warn!(org = %job.org, event = %job.reference, kind = event.kind,
                "nobody is told of this event: set the organization's security contact and notices.from");
            return Ok("nobody");
        };
        let Some(draft) = draft(sender, contact.expose(), &event.kind, &body) else {
            return Ok("nobody");
        };
        let mut request_digest = [0; 32];
        request_digest.copy_from_slice(digest::digest(&digest::SHA256, &body).as_ref());
        let once = Idempotency {
            key: format!("notice-{}", job.reference),
            request_digest,
        };
        let caller = Caller::system(sender.org.clone());
        emails::send(
            &self.platform,
            &self.fresh,
            &caller,
            draft,
            Some(once),
            |accepted| accepted.id.as_str().as_bytes().to_vec(),
        )
        .await?;
        Ok("sent")
    }
}

fn draft(sender: &Sender, contact: &str, kind: &str, body: &[u8]) -> Option<Draft> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let (subject, text) = words(kind, &body["data"])?;
    Some(Draft {
        from: sender.from.clone(),
        to: vec![Mailbox::parse(contact).ok()?],
        subject: HeaderText::parse(&subject).ok()?,
        text: Some(text),
        tags: vec!["security".to_owned()],
        cc: Vec::new(),
        bcc: Vec::new(),
        reply_to: Vec::new(),
        html: None,
        headers: Vec::new(),
        metadata: Metadata::default(),
        attachments: Vec::new(),
    })
}

/// Subject and text of a notice; `None` for events that nobody is told of by mail.
fn words(kind: &str, data: &Value) -> Option<(String, String)> {
    let field = |name: &str| data[name].as_str().unwrap_or_default();
    // Not its name, which is anybody's text: a notice must not be a way to send words to a contact in our name.
    let key = format!(
        "{}…{} ({})",
        field("keyPrefix"),
        field("lastFour"),
        field("keyId")
    );
    match kind {
        "api_key.exposed" => {
            let place = match field("channel") {
                "url" => "in the URL of a request",
                "plaintext_http" => "on a connection without TLS",
                "browser" => "in a request of a browser",
                "mail" => "in an e-mail that was being sent",
                _ => "by somebody who reported it",
            };
            let fate = match field("action") {
                "revoked" => "It was revoked and works no more.".to_owned(),
                "expires" => format!("It still works until {}.", field("expiresAt")),
                _ => "It still works: the organization's settings ask for notice only.".to_owned(),
            };
            let text = format!(
                "The API key {key} was seen {place}.\n\n{fate}\n\nMake a new key, put it in the place of the old one, and find out how the \
                 old one got there. The audit log has the address that it came from.\n"
            );
            Some(("An API key was exposed".to_owned(), text))
        }
        "api_key.rotation_due" => {
            let days = data["ageDays"].as_u64().unwrap_or_default();
            let text = format!(
                "The API key {key} is {days} days old. Keys should be replaced every 90 days.\n\nRotate it: the new key may do the same, \
                 and the old one goes on working for as long as you choose, so that nothing stands still.\n"
            );
            Some((format!("An API key is {days} days old"), text))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_notice_names_the_key_and_never_shows_it() {
        let data = json!({"keyId": "key_1", "name": "Production", "keyPrefix": "le_", "lastFour": "x9Zq", "channel": "url",
            "action": "expires", "expiresAt": "2026-11-25T00:00:00.000Z"});
        let told = words("api_key.exposed", &data).map(|(_, text)| text);
        let told = told.unwrap_or_default();
        assert!(
            told.contains("le_…x9Zq (key_1)") && !told.contains("Production"),
            "{told}"
        );
        assert!(
            told.contains("in the URL") && told.contains("until 2026-11-25"),
            "{told}"
        );
        assert!(words("email.sent", &data).is_none());
    }
}
