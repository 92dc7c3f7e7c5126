//! What providers' events say.

use super::TAG;
use crate::features::relays::Kind;
use sealwright_mail::address::Mailbox;
use sealwright_mail::report::Failure;
use sealwright_mail::smtp::{Category, EnhancedCode, classify};
use serde_json::Value;

/// Events of one request that are read: more than fit into one that a provider sends.
const EVENTS_MAX: usize = 4_096;

/// What happened to a mail at the provider.
pub struct FeedEvent<'a> {
    /// The tag that the mail left with.
    pub tag: &'a str,
    /// Whom it happened to.
    pub whom: Whom,
    /// What happened.
    pub outcome: Outcome,
}

/// Whom an event is about.
#[derive(Debug, PartialEq, Eq)]
pub enum Whom {
    /// This recipient.
    Exactly(String),
    /// Some recipient of a mail to these.
    OneOf(Vec<String>),
}

/// What an event says became of a mail.
pub enum Outcome {
    /// It will not arrive.
    Bounced {
        /// What is known of the refusal.
        failure: Failure,
        /// What was wrong.
        category: Category,
    },
    /// The recipient complained.
    Complained,
    /// What is known already, or may change.
    Other,
}

/// What a request to a provider's feed tells of mail with a tag; whether the provider made it is another question.
pub fn told(kind: Kind, json: &Value) -> Vec<FeedEvent<'_>> {
    match kind {
        Kind::Resend => resend(json).into_iter().collect(),
        Kind::Postmark => postmark(json).into_iter().collect(),
        Kind::SendGrid => {
            let events = json.as_array().into_iter().flatten();
            events.filter_map(sendgrid).take(EVENTS_MAX).collect()
        }
        Kind::Mailgun => mailgun(json).into_iter().collect(),
        Kind::Ses | Kind::Smtp => Vec::new(),
    }
}

fn text<'a>(json: &'a Value, pointer: &str) -> &'a str {
    json.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// As the reply that the words hold says.
fn as_said(status: &str, words: &str) -> Outcome {
    let failure = Failure::new(Vec::new(), EnhancedCode::parse(status), words);
    let category = classify(failure.code, failure.status, &failure.reason);
    Outcome::Bounced { failure, category }
}

fn as_known(category: Category, words: &str) -> Outcome {
    let failure = Failure::new(Vec::new(), None, words);
    Outcome::Bounced { failure, category }
}

/// The provider says that nobody is there; the words may say more exactly why.
fn for_good(words: &str) -> Outcome {
    match as_said("", words) {
        Outcome::Bounced {
            failure,
            category: Category::ServerError,
        } => Outcome::Bounced {
            failure,
            category: Category::InvalidAddress,
        },
        other => other,
    }
}

/// The provider says that another mail may arrive.
fn for_now(words: &str) -> Outcome {
    match as_said("", words) {
        Outcome::Bounced { failure, category } if category.is_hard() => Outcome::Bounced {
            failure,
            category: Category::ServerError,
        },
        other => other,
    }
}

/// It names all recipients of the request, whoever of them it is about.
fn resend(json: &Value) -> Option<FeedEvent<'_>> {
    let tags = json.pointer("/data/tags")?;
    let tag = match tags {
        Value::Array(list) => list.iter().find(|tag| tag["name"] == TAG)?["value"].as_str()?,
        tags => tags[TAG].as_str()?,
    };
    let to = json
        .pointer("/data/to")?
        .as_array()?
        .iter()
        .filter_map(Value::as_str);
    let to = to.filter_map(|to| Mailbox::parse(to).ok());
    let outcome = match text(json, "/type") {
        "email.bounced" => {
            let diagnostics = json
                .pointer("/data/bounce/diagnosticCode")
                .and_then(Value::as_array);
            let diagnostic = diagnostics.and_then(|all| all.first()?.as_str());
            let words = diagnostic.unwrap_or_else(|| text(json, "/data/bounce/message"));
            match (
                text(json, "/data/bounce/type"),
                text(json, "/data/bounce/subType"),
            ) {
                // Resend writes to these addresses no more.
                (_, "Suppressed" | "OnAccountSuppressionList") => as_known(Category::Blocked, words),
                ("Permanent", _) => for_good(words),
                _ => for_now(words),
            }
        }
        "email.suppressed" => as_known(Category::Blocked, "Resend writes to this address no more"),
        "email.complained" => Outcome::Complained,
        _ => Outcome::Other,
    };
    Some(FeedEvent {
        tag,
        whom: Whom::OneOf(to.map(|to| to.address.as_str().to_owned()).collect()),
        outcome,
    })
}

fn postmark(json: &Value) -> Option<FeedEvent<'_>> {
    let words = match text(json, "/Details") {
        "" => text(json, "/Description"),
        details => details,
    };
    let outcome = match (text(json, "/RecordType"), text(json, "/Type")) {
        ("SpamComplaint", _) => Outcome::Complained,
        ("Bounce", "HardBounce" | "BadEmailAddress") => for_good(words),
        ("Bounce", "SoftBounce" | "DnsError") => for_now(words),
        ("Bounce", "Blocked" | "ManuallyDeactivated") => as_known(Category::Blocked, words),
        ("Bounce", "SpamNotification" | "VirusNotification") => as_known(Category::ContentRejected, words),
        ("Bounce", "DMARCPolicy") => as_known(Category::PolicyRelated, words),
        // Delayed, answered by a machine, unsubscribed.
        _ => Outcome::Other,
    };
    Some(FeedEvent {
        tag: json["Metadata"][TAG].as_str()?,
        whom: Whom::Exactly(text(json, "/Email").to_owned()),
        outcome,
    })
}

/// One of a list; custom arguments stand among its fields.
fn sendgrid(json: &Value) -> Option<FeedEvent<'_>> {
    let words = text(json, "/reason");
    let outcome = match text(json, "/event") {
        "bounce" => as_said(text(json, "/status"), words),
        // Not sent at all: it bounced or complained before.
        "dropped" => as_known(Category::Blocked, words),
        "spamreport" => Outcome::Complained,
        _ => Outcome::Other,
    };
    Some(FeedEvent {
        tag: json[TAG].as_str()?,
        whom: Whom::Exactly(text(json, "/email").to_owned()),
        outcome,
    })
}

fn mailgun(json: &Value) -> Option<FeedEvent<'_>> {
    let data = &json["event-data"];
    let status = &data["delivery-status"];
    let words = match text(status, "/message") {
        "" => text(status, "/description"),
        message => message,
    };
    let outcome = match (text(data, "/event"), text(data, "/severity")) {
        // Not sent at all: it bounced, complained or unsubscribed before.
        ("failed", "permanent") if text(data, "/reason").starts_with("suppress-") => {
            as_known(Category::Blocked, words)
        }
        ("failed", "permanent") => {
            // Numbers from 600 on are its own.
            let code = status["code"].as_u64().filter(|code| (400..600).contains(code));
            let reply = code.map(|code| format!("{code} {words}"));
            as_said(text(status, "/enhanced-code"), reply.as_deref().unwrap_or(words))
        }
        ("complained", _) => Outcome::Complained,
        _ => Outcome::Other,
    };
    Some(FeedEvent {
        tag: data["user-variables"][TAG].as_str()?,
        whom: Whom::Exactly(text(data, "/recipient").to_owned()),
        outcome,
    })
}
