//! E-mails as the API shows them.

use crate::entry::api::word::Word;
use crate::features::delivery::Category;
use crate::features::emails::{self, Accepted, AttemptState, Detail, Kind, Recipient, Status, Summary};
use crate::features::events::{Metadata, Type};
use crate::features::suppressions;
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
}

/// The answer to a send, kept for replays.
pub(super) fn accepted(accepted: &Accepted) -> Vec<u8> {
    let email = AcceptedEmail {
        id: accepted.id.to_string(),
        object: "email",
        from: accepted.from.clone(),
        to: accepted.to.clone(),
        subject: accepted.subject.clone(),
        status: Word(accepted.suppressed.map_or(Status::Queued, |_| Status::Suppressed)),
        suppression_reason: accepted.suppressed.map(suppressions::Type::reason),
        created_at: accepted.created_at.rfc3339(),
    };
    // Only text: this can't fail.
    serde_json::to_vec(&email).unwrap_or_default()
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
    #[schemars(with = "Vec<Event>")]
    events: Vec<Box<RawValue>>,
}

/// An event as webhooks send it: bytes that were fixed when it happened, so only the document needs its shape.
struct Event;

impl JsonSchema for Event {
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
        events: detail.events.iter().filter_map(|event| raw(event)).collect(),
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

fn raw(json: &[u8]) -> Option<Box<RawValue>> {
    RawValue::from_string(String::from_utf8(json.to_vec()).ok()?).ok()
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
