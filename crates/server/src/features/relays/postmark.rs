//! Postmark: JSON; it writes and signs the message itself, and says by number what is wrong with it.

use super::feeds::TAG;
use super::parts::Parts;
use super::provider::{Call, Provider, RelayMail, Said, Unfit, Verdict, get, hidden, post_json};
use crate::clock::Timestamp;
use crate::secret::Secret;
use http::header::ACCEPT;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use sealwright_mail::address::Mailbox;
use sealwright_mail::smtp::Category;
use serde::Serialize;
use std::collections::BTreeMap;

/// Where its API is.
pub(super) const BASE: &str = "https://api.postmarkapp.com";

const TOKEN: HeaderName = HeaderName::from_static("x-postmark-server-token");

/// A server there.
pub(super) struct Postmark {
    pub(super) base: String,
    pub(super) server_token: Secret<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Email<'a> {
    from: String,
    to: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    cc: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    bcc: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    reply_to: String,
    subject: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    html_body: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text_body: Option<&'a str>,
    headers: Vec<Field<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attachments: Vec<Attached<'a>>,
    track_opens: bool,
    track_links: &'static str,
    metadata: BTreeMap<&'static str, &'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Field<'a> {
    name: &'a str,
    value: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Attached<'a> {
    name: &'a str,
    content: &'a str,
    content_type: &'a str,
    #[serde(rename = "ContentID", skip_serializing_if = "Option::is_none")]
    content_id: Option<String>,
}

fn written(list: &[&Mailbox]) -> String {
    let all: Vec<_> = list.iter().map(|mailbox| mailbox.to_display_string()).collect();
    all.join(", ")
}

impl Postmark {
    fn headers(&self) -> Result<HeaderMap, Unfit> {
        let accept = (ACCEPT, HeaderValue::from_static("application/json"));
        Ok([accept, (TOKEN, hidden(self.server_token.expose())?)]
            .into_iter()
            .collect())
    }
}

impl Provider for Postmark {
    fn takes_raw(&self) -> bool {
        false
    }

    fn repeats_once(&self) -> bool {
        false
    }

    fn send(&self, mail: &RelayMail<'_>, _now: Timestamp) -> Result<Call, Unfit> {
        let parts = Parts::of(mail)?;
        let id = parts.message_id.as_ref().map(|id| format!("<{id}>"));
        let mut headers: Vec<_> = parts
            .headers
            .iter()
            .map(|(name, value)| Field { name, value })
            .collect();
        if let Some(id) = &id {
            let keep = [("Message-ID", id.as_str()), ("X-PM-KeepID", "true")];
            headers.extend(keep.map(|(name, value)| Field { name, value }));
        }
        let attached = parts.attachments.iter().map(|one| Attached {
            name: &one.name,
            content: &one.content,
            content_type: &one.content_type,
            content_id: one.content_id.as_ref().map(|id| format!("cid:{id}")),
        });
        let body = Email {
            from: mail.from.to_display_string(),
            to: written(&parts.to),
            cc: written(&parts.cc),
            bcc: written(&parts.bcc),
            reply_to: parts.reply_to.join(", "),
            subject: &parts.subject,
            html_body: parts.html.as_deref(),
            text_body: parts.text.as_deref(),
            headers,
            attachments: attached.collect(),
            track_opens: false,
            track_links: "None",
            metadata: [(TAG, mail.tag)].into(),
        };
        post_json(format!("{}/email", self.base), self.headers()?, &body)
    }

    fn check(&self, _now: Timestamp) -> Result<Call, Unfit> {
        Ok(get(format!("{}/server", self.base), self.headers()?))
    }

    fn verdict(&self, said: &Said<'_>) -> Verdict {
        let json = said.json();
        let text = json["Message"].as_str();
        let why = said.words(text);
        match (said.status, json["ErrorCode"].as_i64()) {
            (StatusCode::OK, Some(0)) => Verdict::accepted(json["MessageID"].as_str(), said),
            // No or a bad token; the account is not active, not approved, out of credits.
            (_, Some(10 | 402 | 405 | 412 | 413)) => Verdict::Broken { why },
            // Postmark writes to these addresses no more: after a hard bounce, a complaint, or by hand.
            (_, Some(406)) => Verdict::Refused {
                why,
                category: Category::Blocked,
            },
            _ => said.usual(text),
        }
    }
}
