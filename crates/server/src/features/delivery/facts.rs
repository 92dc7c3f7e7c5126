//! What an attempt tells: its facts for the timeline, and the event of each recipient.

use super::attempt::Work;
use super::exchange::{Exchange, Fate};
use super::transport::Guarantee;
use super::wire::{Outcome, Reason, Reply, Transaction, WireFailure};
use crate::clock::Timestamp;
use crate::features::emails::{self, Destined, Status};
use crate::features::events::{About, Event, Type};
use crate::features::suppressions::{self, Prepared, Suppress};
use crate::mode::Mode;
use crate::platform::vault::VaultError;
use sealwright_mail::address::Mailbox;
use sealwright_mail::smtp::classify;
use serde::Serialize;
use std::borrow::Cow;
use std::time::Duration;

/// Characters of a reply that are kept.
const REPLY_CHARS_MAX: usize = 512;

/// What became of the recipients of a transaction, in their order.
pub(super) fn fates_of(transaction: &Transaction) -> Vec<Fate> {
    let are_own = are_of_recipients(transaction);
    let outcomes = transaction.recipients.iter();
    outcomes.map(|outcome| fate_of(outcome, are_own)).collect()
}

/// Whether each refusal was said of one recipient: in reply to its RCPT, or of a message that has no other. What is said of the sender or
/// of several at once proves nothing about any of them.
fn are_of_recipients(transaction: &Transaction) -> bool {
    let refused_at = |verb: &str| {
        let of_verb = transaction.steps.iter().filter(|step| step.verb == verb);
        of_verb
            .filter(|step| step.code.is_some_and(|code| code >= 500))
            .count()
    };
    let is_refused = |outcome: &&Outcome| matches!(outcome, Outcome::Failed(Reason::Reply(_)));
    let refused = transaction.recipients.iter().filter(is_refused).count();
    refused_at("MAIL") == 0 && (transaction.recipients.len() == 1 || refused_at("RCPT") >= refused)
}

fn fate_of(outcome: &Outcome, is_of_recipient: bool) -> Fate {
    let said = |reply: &Reply| format!("{} {}", reply.code(), reply.text(REPLY_CHARS_MAX));
    match outcome {
        Outcome::Delivered(reply) => Fate::Delivered { reply: said(reply) },
        Outcome::Deferred(reason) => Fate::deferred(outcome.reply().map_or_else(|| reason.to_string(), said)),
        Outcome::Failed(reason) => {
            let text = |reply: &Reply| reply.text(REPLY_CHARS_MAX);
            let words = outcome.reply().map_or_else(|| reason.to_string(), text);
            Fate::Bounced {
                category: classify(outcome.reply().map(Reply::code), outcome.enhanced(), &words),
                reason: outcome.reply().map_or_else(|| reason.to_string(), said),
                is_of_recipient,
            }
        }
    }
}

/// A host that refuses before it knows for whom says nothing of a recipient.
pub(super) fn fate_of_failure(failure: &WireFailure, guarantee: &Guarantee) -> Fate {
    let reason = match failure.tls_problem {
        Some(problem) => guarantee.unmet(problem, &failure.reason),
        None => failure.reason.clone(),
    };
    let refusal = failure.reply.as_ref().filter(|_| failure.permanent);
    let Some(reply) = refusal else {
        return Fate::deferred(reason);
    };
    Fate::Bounced {
        category: classify(Some(reply.code()), reply.enhanced(), &reply.text(REPLY_CHARS_MAX)),
        reason,
        is_of_recipient: false,
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
    /// The address that it left from, where the operator chose it.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<Tls<'a>>,
    /// What the connection had to guarantee.
    #[serde(skip_serializing_if = "Option::is_none")]
    guarantee: Option<&'a str>,
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
            source: exchange.source.as_deref(),
            address: exchange.address.as_deref(),
            tls: tls.map(|tls| Tls {
                version: &tls.version,
                cipher: &tls.cipher,
                verified: tls.verified,
            }),
            guarantee: exchange.guarantee,
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
        bounce_category: &'static str,
        message: &'a str,
        bounced_at: String,
    },
    Failed {
        reason: Cow<'a, str>,
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
                bounce_type: if category.is_hard() { "hard" } else { "soft" },
                bounce_category: category.name(),
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
                reason: for_good(text),
                failed_at: at,
            },
        ),
    }
}

/// What was said to be temporary, once it is given up: an enhanced code of ours says so too (RFC 3463 §2).
fn for_good(text: &str) -> Cow<'_, str> {
    match text.strip_prefix("4.7.") {
        Some(rest) => Cow::Owned(format!("5.7.{rest}")),
        None => Cow::Borrowed(text),
    }
}

async fn event(told: &Told<'_>, kind: Type, at: Timestamp, what: What<'_>) -> Result<Event, VaultError> {
    let address = Mailbox::parse(&told.recipient.mailbox).map(|mailbox| mailbox.address.as_str().to_owned());
    let to = address.as_deref().unwrap_or(&told.recipient.mailbox);
    let about = About {
        kind,
        mode: told.work.mailed.mode,
        email: Some(&told.work.email),
        at,
    };
    emails::recipient_event(&told.work.vault, about, &told.work.mailed.head, to, &what).await
}

/// The suppression of a recipient, if what became of it says that no other mail will arrive or is wanted. Outcomes of test mode are made
/// to be repeated, and suppress nobody.
pub(super) async fn suppression(told: &Told<'_>) -> Result<Option<Prepared>, VaultError> {
    let kind = match told.fate {
        Fate::Bounced {
            category,
            is_of_recipient: true,
            ..
        } if category.is_of_address() => suppressions::Type::HardBounces,
        Fate::Complained { .. } => suppressions::Type::Complaints,
        Fate::Delivered { .. }
        | Fate::Deferred { .. }
        | Fate::Held { .. }
        | Fate::Bounced { .. }
        | Fate::Failed { .. }
        | Fate::Suppressed { .. }
        | Fate::Waiting { .. } => return Ok(None),
    };
    let Work {
        vault, email, mailed, ..
    } = told.work;
    let Some(mailbox) = Mailbox::parse(&told.recipient.mailbox)
        .ok()
        .filter(|_| mailed.mode == Mode::Live)
    else {
        return Ok(None);
    };
    let new = Suppress {
        mode: mailed.mode,
        address: &mailbox.address,
        kind,
        reason: Some(told.fate.text()),
        email: Some(email),
        at: told.now,
    };
    suppressions::prepare(vault, new).await.map(Some)
}
