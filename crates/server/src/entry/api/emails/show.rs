//! E-mails as the API shows them.

use crate::clock::Timestamp;
use crate::entry::api::Problem;
use crate::entry::api::problem::Brief;
use crate::entry::api::word::Word;
use crate::features::delivery::Category;
use crate::features::emails::{
    self, Accepted, AttemptState, Detail, Kind, Recipient, SendError, Status, Summary,
};
use crate::features::events::{Metadata, Type};
use crate::features::suppressions;
use crate::id::EmailId;
use crate::mode::Mode;
use mail_parser::{MessageParser, PartType};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// An e-mail that was accepted.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::entry::api) struct AcceptedEmail {
    id: String,
    object: &'static str,
    from: String,
    to: Vec<String>,
    subject: String,
    status: Word<Status>,
    /// Why nobody is written to, if nobody is.
    #[serde(skip_serializing_if = "Option::is_none")]
    suppression_reason: Option<&'static str>,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    scheduled_at: Option<String>,
    /// Each e-mail that the send came to, if each recipient has its own; the rest of the answer is then the first one's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    emails: Vec<OwnEmail>,
}

/// One recipient's own e-mail.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct OwnEmail {
    to: String,
    id: String,
    status: Word<Status>,
    /// Why it is not sent, if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    suppression_reason: Option<&'static str>,
}

impl AcceptedEmail {
    fn of(accepted: &Accepted) -> Self {
        Self {
            id: accepted.id.to_string(),
            object: "email",
            from: accepted.from.clone(),
            to: accepted.to.clone(),
            subject: accepted.subject.clone(),
            status: Word(accepted.status),
            suppression_reason: accepted.suppressed.map(suppressions::Type::reason),
            created_at: accepted.created_at.rfc3339(),
            scheduled_at: accepted.scheduled_at.map(Timestamp::rfc3339),
            emails: Vec::new(),
        }
    }
}

/// The answer to a send, kept for replays.
pub(super) fn accepted(accepted: &Accepted) -> Vec<u8> {
    // Only text: this can't fail.
    serde_json::to_vec(&AcceptedEmail::of(accepted)).unwrap_or_default()
}

/// The answer to a send that came to an e-mail for each recipient, kept for replays.
pub(super) fn each(results: &[Result<Accepted, SendError>]) -> Vec<u8> {
    let emails: Vec<_> = results.iter().flatten().collect();
    let own = |email: &&Accepted| OwnEmail {
        to: email.to.join(", "),
        id: email.id.to_string(),
        status: Word(email.status),
        suppression_reason: email.suppressed.map(suppressions::Type::reason),
    };
    let answer = emails.first().map(|first| AcceptedEmail {
        to: emails.iter().flat_map(|email| email.to.iter().cloned()).collect(),
        emails: emails.iter().map(own).collect(),
        ..AcceptedEmail::of(first)
    });
    // Only text: this can't fail.
    serde_json::to_vec(&answer).unwrap_or_default()
}

/// What became of each e-mail of a batch, in the batch's order.
#[derive(Serialize, JsonSchema)]
pub(in crate::entry::api) struct BatchAnswer {
    object: &'static str,
    data: Vec<BatchItem>,
}

#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
enum BatchItem {
    Accepted {
        /// Its place in the batch, from 0.
        index: usize,
        #[serde(flatten)]
        email: AcceptedEmail,
    },
    Refused {
        /// Its place in the batch, from 0.
        index: usize,
        /// Why it was not accepted.
        error: Brief,
    },
}

/// The answer to a batch, kept for replays.
pub(super) fn batch(results: &[Result<Accepted, Problem>]) -> Vec<u8> {
    let item = |(index, result): (usize, &Result<Accepted, Problem>)| match result {
        Ok(email) => BatchItem::Accepted {
            index,
            email: AcceptedEmail::of(email),
        },
        Err(problem) => BatchItem::Refused {
            index,
            error: problem.brief(),
        },
    };
    let answer = BatchAnswer {
        object: "list",
        data: results.iter().enumerate().map(item).collect(),
    };
    // Only text: this can't fail.
    serde_json::to_vec(&answer).unwrap_or_default()
}

/// An e-mail in a list.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::entry::api) struct Email {
    id: String,
    object: &'static str,
    from: String,
    to: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    cc: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    bcc: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    reply_to: Vec<String>,
    subject: String,
    #[schemars(with = "Word<Status>")]
    status: String,
    #[schemars(with = "Word<Mode>")]
    mode: String,
    tags: Vec<String>,
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    metadata: Metadata,
    created_at: String,
    /// When it is to leave, or left, if that was not at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    scheduled_at: Option<String>,
}

pub(super) fn email(summary: &Summary) -> Email {
    let named = |kind: Kind| {
        let wanted = |recipient: &&Recipient| recipient.kind == kind.name();
        summary
            .recipients
            .iter()
            .filter(wanted)
            .map(|recipient| recipient.mailbox.clone())
            .collect()
    };
    Email {
        id: summary.id.to_string(),
        object: "email",
        from: summary.head.from.clone(),
        to: named(Kind::To),
        cc: named(Kind::Cc),
        bcc: named(Kind::Bcc),
        reply_to: summary.head.reply_to.clone(),
        subject: summary.head.subject.clone(),
        status: summary.status.clone(),
        mode: summary.mode.clone(),
        tags: summary.head.tags.clone(),
        metadata: summary.head.metadata.clone(),
        created_at: summary.created_at.rfc3339(),
        scheduled_at: summary.scheduled_at.map(Timestamp::rfc3339),
    }
}

/// An e-mail that was taken back.
#[derive(Serialize, JsonSchema)]
pub(in crate::entry::api) struct CancelledEmail {
    id: String,
    object: &'static str,
    status: Word<Status>,
}

pub(super) fn cancelled(id: &EmailId) -> CancelledEmail {
    CancelledEmail {
        id: id.to_string(),
        object: "email",
        status: Word(Status::Cancelled),
    }
}

/// One e-mail with everything that is known of it.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::entry::api) struct EmailDetail {
    #[serde(flatten)]
    email: Email,
    /// `null` once the content was forgotten, or when the e-mail has no such part.
    html: Option<String>,
    text: Option<String>,
    /// Whether html, text and attachments can still be read.
    content_available: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivered_at: Option<String>,
    recipients: Vec<RecipientState>,
    /// The timeline, oldest first.
    events: Vec<Timeline>,
}

/// An event as webhooks send it: bytes that were fixed when it happened, so only the document needs its shape.
#[derive(Serialize)]
#[serde(transparent)]
pub(in crate::entry::api) struct Timeline(Box<RawValue>);

impl JsonSchema for Timeline {
    fn schema_name() -> Cow<'static, str> {
        "Event".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (kind, mode) = (
            generator.subschema_for::<Word<Type>>(),
            generator.subschema_for::<Word<Mode>>(),
        );
        let category = generator.subschema_for::<Word<Category>>();
        json_schema!({
            "description": "What happened. Which fields `data` has depends on `type`.",
            "type": "object",
            "properties": {
                "id": { "type": "string" },
                "type": kind,
                "createdAt": { "type": "string" },
                "mode": mode,
                "data": { "type": "object", "properties": { "bounceCategory": category } },
            },
            "required": ["id", "type", "createdAt", "data"],
        })
    }
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct RecipientState {
    recipient: String,
    #[schemars(with = "Word<Kind>")]
    kind: String,
    #[schemars(with = "Word<Status>")]
    status: String,
    updated_at: String,
}

pub(super) fn detail(detail: &Detail) -> EmailDetail {
    let (html, text) = detail.message.as_deref().map_or((None, None), bodies);
    let recipients = &detail.summary.recipients;
    let delivered = recipients
        .iter()
        .filter(|recipient| recipient.status == Status::Delivered.name());
    EmailDetail {
        html,
        text,
        content_available: detail.message.is_some(),
        delivered_at: delivered
            .map(|recipient| recipient.updated_at)
            .max()
            .map(|at| at.rfc3339()),
        recipients: recipients.iter().map(state).collect(),
        events: timeline(&detail.events),
        email: email(&detail.summary),
    }
}

fn state(recipient: &Recipient) -> RecipientState {
    RecipientState {
        recipient: recipient.mailbox.clone(),
        kind: recipient.kind.clone(),
        status: recipient.status.clone(),
        updated_at: recipient.updated_at.rfc3339(),
    }
}

/// Events in their own words.
pub(super) fn timeline(events: &[Vec<u8>]) -> Vec<Timeline> {
    let events = events.iter().filter_map(|event| raw(event));
    events.map(Timeline).collect()
}

fn raw(json: &[u8]) -> Option<Box<RawValue>> {
    RawValue::from_string(String::from_utf8(json.to_vec()).ok()?).ok()
}

/// What an e-mail says.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "EmailContent")]
pub(in crate::entry::api) struct Content {
    object: &'static str,
    /// `null` when there is no such part.
    html: Option<String>,
    text: Option<String>,
    /// The header fields as they are written, in their order; unfolded, and without the signature, which is made when the mail leaves.
    headers: Vec<HeaderField>,
}

#[derive(Serialize, JsonSchema)]
struct HeaderField {
    name: String,
    value: String,
}

pub(super) fn content(message: &[u8]) -> Content {
    let (html, text) = bodies(message);
    let parsed = MessageParser::default().parse_headers(message);
    let fields = parsed.iter().flat_map(|message| message.headers_raw());
    Content {
        object: "email_content",
        html,
        text,
        headers: fields
            .map(|(name, value)| HeaderField {
                name: name.to_owned(),
                value: value.replace("\r\n", "").trim().to_owned(),
            })
            .collect(),
    }
}

/// The HTML and text parts of a message, with the line ends of JSON rather than those of mail.
fn bodies(message: &[u8]) -> (Option<String>, Option<String>) {
    let Some(message) = MessageParser::default().parse(message) else {
        return (None, None);
    };
    let part = |ids: &[u32], wanted: fn(&PartType<'_>) -> Option<String>| {
        ids.iter()
            .find_map(|id| wanted(&message.parts.get(usize::try_from(*id).ok()?)?.body))
    };
    let html = part(&message.html_body, |body| match body {
        PartType::Html(html) => Some(html.replace("\r\n", "\n")),
        _ => None,
    });
    let text = part(&message.text_body, |body| match body {
        PartType::Text(text) => Some(text.replace("\r\n", "\n")),
        _ => None,
    });
    (html, text)
}

/// One attempt to deliver.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::entry::api) struct Attempt {
    id: String,
    object: &'static str,
    number: i64,
    #[schemars(with = "Word<AttemptState>")]
    state: String,
    started_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<String>,
    /// Host, TLS, steps with times and replies.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    facts: Option<Box<RawValue>>,
}

pub(super) fn attempt(attempt: &emails::Attempt) -> Attempt {
    Attempt {
        id: attempt.id.to_string(),
        object: "attempt",
        number: attempt.number,
        state: attempt.state.clone(),
        started_at: attempt.started_at.rfc3339(),
        finished_at: attempt.finished_at.map(|at| at.rfc3339()),
        facts: attempt.facts.as_deref().and_then(raw),
    }
}
