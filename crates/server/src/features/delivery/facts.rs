//! What an attempt tells: its facts for the timeline, and the event of each recipient.

use super::attempt::Work;
use super::exchange::{Exchange, Fate};
use super::wire::{Outcome, WireFailure};
use crate::clock::Timestamp;
use crate::features::emails::{Destined, Status};
use crate::features::events::{self, About, Event, Metadata, Type};
use crate::id::EmailId;
use crate::platform::vault::VaultError;
use sealwright_mail::address::Mailbox;
use serde::{Serialize, Serializer};
use std::time::Duration;

/// Why mail was refused, in the API's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Category {
    /// No such mailbox.
    InvalidAddress,
    /// No such domain, or it takes no mail.
    DomainNotFound,
    /// The content.
    ContentRejected,
    /// A policy.
    PolicyRelated,
    /// The sender or its address.
    Blocked,
    /// No room.
    MailboxFull,
    /// Anything else on the other side.
    ServerError,
}

impl Category {
    /// All categories.
    pub const ALL: [Category; 7] = [
        Self::InvalidAddress,
        Self::DomainNotFound,
        Self::ContentRejected,
        Self::PolicyRelated,
        Self::Blocked,
        Self::MailboxFull,
        Self::ServerError,
    ];

    /// The category as events name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidAddress => "invalid_address",
            Self::DomainNotFound => "domain_not_found",
            Self::ContentRejected => "content_rejected",
            Self::PolicyRelated => "policy_related",
            Self::Blocked => "blocked",
            Self::MailboxFull => "mailbox_full",
            Self::ServerError => "server_error",
        }
    }
}

impl Serialize for Category {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

/// RFC 3463: the subject and detail of an enhanced code, when there is one, say more than the reply code.
pub(super) fn category(code: Option<u16>, enhanced: Option<(u16, u16)>) -> Category {
    match (enhanced, code) {
        (Some((1, 2)), _) => Category::DomainNotFound,
        (Some((1, _)) | Some((2, 0 | 1)), _) => Category::InvalidAddress,
        (Some((2, 2)), _) | (None, Some(552)) => Category::MailboxFull,
        (Some((6, _)), _) => Category::ContentRejected,
        (Some((7, 1)), _) => Category::Blocked,
        (Some((7, _)), _) => Category::PolicyRelated,
        (None, Some(550 | 551 | 553)) => Category::InvalidAddress,
        (None, Some(554)) => Category::PolicyRelated,
        _ => Category::ServerError,
    }
}

/// Characters of a reply that are kept.
const REPLY_CHARS_MAX: usize = 512;

pub(super) fn fate_of(outcome: &Outcome) -> Fate {
    let said =
        |reply: &sealwright_mail::smtp::Reply| format!("{} {}", reply.code(), reply.text(REPLY_CHARS_MAX));
    match outcome {
        Outcome::Delivered(reply) => Fate::Delivered { reply: said(reply) },
        Outcome::Deferred(reason) => Fate::deferred(outcome.reply().map_or_else(|| reason.to_string(), said)),
        Outcome::Failed(reason) => {
            let reason = outcome.reply().map_or_else(|| reason.to_string(), said);
            let code = outcome.reply().map(sealwright_mail::smtp::Reply::code);
            let enhanced = outcome
                .enhanced()
                .map(|enhanced| (enhanced.subject, enhanced.detail));
            Fate::Bounced {
                reason,
                category: category(code, enhanced),
            }
        }
    }
}

pub(super) fn fate_of_failure(failure: &WireFailure) -> Fate {
    let reason = failure.reason.clone();
    if failure.permanent {
        Fate::Bounced {
            reason,
            category: Category::ServerError,
        }
    } else {
        Fate::deferred(reason)
    }
}

/// What is kept of an attempt, sealed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Facts<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<Tls<'a>>,
    steps: Vec<StepFacts<'a>>,
    recipients: Vec<RecipientFacts<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tls<'a> {
    version: &'a str,
    cipher: &'a str,
    verified: bool,
}

#[derive(Serialize)]
struct StepFacts<'a> {
    verb: &'a str,
    ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u16>,
    reply: &'a str,
}

#[derive(Serialize)]
struct RecipientFacts<'a> {
    recipient: &'a str,
    reply: &'a str,
}

impl<'a> Facts<'a> {
    pub(super) fn of(exchange: &'a Exchange, recipients: &'a [Destined]) -> Self {
        let step = |step: &'a super::wire::Step| StepFacts {
            verb: step.verb,
            ms: step.ms,
            code: step.code,
            reply: &step.reply,
        };
        let tls = exchange.tls.as_ref();
        Self {
            host: exchange.host.as_deref(),
            address: exchange.address.as_deref(),
            tls: tls.map(|tls| Tls {
                version: &tls.version,
                cipher: &tls.cipher,
                verified: tls.verified,
            }),
            steps: exchange.steps.iter().map(step).collect(),
            recipients: recipients
                .iter()
                .zip(&exchange.fates)
                .filter(|(_, fate)| fate.is_tried())
                .map(|(recipient, fate)| RecipientFacts {
                    recipient: &recipient.mailbox,
                    reply: fate.text(),
                })
                .collect(),
        }
    }

    pub(super) fn json(&self) -> Vec<u8> {
        // Only maps with keys that are not strings could fail; there are none.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// What is recorded and told of one recipient.
pub(super) struct Told<'a> {
    pub(super) work: &'a Work,
    pub(super) recipient: &'a Destined,
    pub(super) fate: &'a Fate,
    pub(super) status: Status,
    pub(super) next: Option<Timestamp>,
    pub(super) now: Timestamp,
}

impl Told<'_> {
    /// Whether anything has become of it; not while it waits.
    pub(super) fn is_news(&self) -> bool {
        !matches!((self.fate, self.next), (Fate::Waiting { .. }, Some(_)))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    email_id: &'a EmailId,
    to: &'a str,
    subject: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    tags: &'a [String],
    #[serde(skip_serializing_if = "Metadata::is_empty")]
    metadata: &'a Metadata,
    #[serde(flatten)]
    what: What<'a>,
}

#[derive(Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
enum What<'a> {
    Delivered {
        delivered_at: String,
        message: &'a str,
    },
    Deferred {
        reason: &'a str,
        retry_count: i64,
        next_retry_at: Option<String>,
    },
    Bounced {
        bounce_type: &'static str,
        bounce_category: Category,
        message: &'a str,
        bounced_at: String,
    },
    Failed {
        reason: &'a str,
        failed_at: String,
    },
    Suppressed {
        suppression_reason: &'a str,
    },
    Complained {
        complained_at: String,
    },
}

/// How much later than the delivery a complaint is dated: events sort by their time.
const COMPLAINT_AFTER: Duration = Duration::from_millis(1);

/// The events that tell what became of one recipient, in their order.
pub(super) async fn events(told: &Told<'_>) -> Result<Vec<Event>, VaultError> {
    let (kind, what) = what(told);
    let mut all = vec![event(told, kind, told.now, what).await?];
    if let Fate::Complained { .. } = told.fate {
        let at = told.now.plus(COMPLAINT_AFTER);
        let what = What::Complained {
            complained_at: at.rfc3339(),
        };
        all.push(event(told, Type::EmailComplained, at, what).await?);
    }
    Ok(all)
}

fn what<'a>(told: &Told<'a>) -> (Type, What<'a>) {
    let (at, text) = (told.now.rfc3339(), told.fate.text());
    match (told.status, told.fate) {
        (Status::Delivered, _) => (
            Type::EmailDelivered,
            What::Delivered {
                delivered_at: at,
                message: text,
            },
        ),
        (Status::Bounced, Fate::Bounced { category, .. }) => {
            let what = What::Bounced {
                bounce_type: "hard",
                bounce_category: *category,
                message: text,
                bounced_at: at,
            };
            (Type::EmailBounced, what)
        }
        (Status::Deferred, _) => {
            let next_retry_at = told.next.map(Timestamp::rfc3339);
            (
                Type::EmailDeferred,
                What::Deferred {
                    reason: text,
                    retry_count: told.work.attempt.number,
                    next_retry_at,
                },
            )
        }
        (Status::Suppressed, _) => (
            Type::EmailSuppressed,
            What::Suppressed {
                suppression_reason: text,
            },
        ),
        _ => (
            Type::EmailFailed,
            What::Failed {
                reason: text,
                failed_at: at,
            },
        ),
    }
}

async fn event(told: &Told<'_>, kind: Type, at: Timestamp, what: What<'_>) -> Result<Event, VaultError> {
    let address = Mailbox::parse(&told.recipient.mailbox).map(|mailbox| mailbox.address.as_str().to_owned());
    let head = &told.work.mailed.head;
    let data = Data {
        email_id: &told.work.email,
        to: address.as_deref().unwrap_or(&told.recipient.mailbox),
        subject: &head.subject,
        tags: &head.tags,
        metadata: &head.metadata,
        what,
    };
    let about = About {
        kind,
        mode: told.work.mailed.mode,
        email: Some(&told.work.email),
        at,
    };
    events::prepare(&told.work.vault, about, &data).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_classified_by_its_enhanced_code_before_its_reply_code() {
        for (code, enhanced, expected) in [
            (550, Some((1, 1)), Category::InvalidAddress),
            (550, Some((1, 2)), Category::DomainNotFound),
            (550, Some((7, 1)), Category::Blocked),
            (554, Some((6, 0)), Category::ContentRejected),
            (550, Some((7, 26)), Category::PolicyRelated),
            (552, Some((2, 2)), Category::MailboxFull),
            (550, None, Category::InvalidAddress),
            (500, None, Category::ServerError),
        ] {
            assert_eq!(category(Some(code), enhanced), expected);
        }
    }
}
