//! Resend: JSON; it writes and signs the message itself, and takes a repetition under the same key once within a day.

use super::feeds::TAG;
use super::parts::Parts;
use super::provider::{Call, Provider, RelayMail, Said, Unfit, Verdict, bearer, get, post_json, put};
use crate::clock::Timestamp;
use crate::secret::Secret;
use http::{HeaderName, StatusCode};
use sealwright_mail::address::Mailbox;
use serde::Serialize;
use std::collections::BTreeMap;

/// Where its API is.
pub(super) const BASE: &str = "https://api.resend.com";

/// An account there.
pub(super) struct Resend {
    pub(super) base: String,
    pub(super) api_key: Secret<String>,
}

#[derive(Serialize)]
struct Email<'a> {
    from: String,
    to: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cc: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    bcc: Vec<String>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    reply_to: &'a [String],
    subject: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    html: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attachments: Vec<Attached<'a>>,
    tags: [Tag<'a>; 1],
}

#[derive(Serialize)]
struct Tag<'a> {
    name: &'static str,
    value: &'a str,
}

#[derive(Serialize)]
struct Attached<'a> {
    filename: &'a str,
    content: &'a str,
    content_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_id: Option<&'a str>,
}

fn written(list: &[&Mailbox]) -> Vec<String> {
    list.iter().map(|mailbox| mailbox.to_display_string()).collect()
}

impl Provider for Resend {
    fn takes_raw(&self) -> bool {
        false
    }

    fn repeats_once(&self) -> bool {
        true
    }

    fn send(&self, mail: &RelayMail<'_>, _now: Timestamp) -> Result<Call, Unfit> {
        let parts = Parts::of(mail)?;
        let attached = parts.attachments.iter().map(|one| Attached {
            filename: &one.name,
            content: &one.content,
            content_type: &one.content_type,
            content_id: one.content_id.as_deref(),
        });
        let named = parts.headers.iter();
        let body = Email {
            from: mail.from.to_display_string(),
            to: written(&parts.to),
            cc: written(&parts.cc),
            bcc: written(&parts.bcc),
            reply_to: &parts.reply_to,
            subject: &parts.subject,
            html: parts.html.as_deref(),
            text: parts.text.as_deref(),
            headers: named
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect(),
            attachments: attached.collect(),
            tags: [Tag {
                name: TAG,
                value: mail.tag,
            }],
        };
        let mut headers = bearer(self.api_key.expose())?;
        put(&mut headers, HeaderName::from_static("idempotency-key"), mail.key)?;
        post_json(format!("{}/emails", self.base), headers, &body)
    }

    fn check(&self, _now: Timestamp) -> Result<Call, Unfit> {
        Ok(get(
            format!("{}/domains", self.base),
            bearer(self.api_key.expose())?,
        ))
    }

    fn verdict(&self, said: &Said<'_>) -> Verdict {
        let json = said.json();
        let text = json["message"].as_str();
        let why = || said.words(text);
        match (said.status, json["name"].as_str().unwrap_or_default()) {
            (status, _) if status.is_success() => Verdict::accepted(json["id"].as_str(), said),
            // The first request under this key is under way, or was taken with other content.
            (StatusCode::CONFLICT, _) => Verdict::Unknown { why: why() },
            (_, "missing_api_key" | "invalid_api_key" | "restricted_api_key" | "suspended_api_key") => {
                Verdict::Broken { why: why() }
            }
            _ => said.usual(text),
        }
    }
}
