//! SendGrid, version 3 of its API: JSON; it writes and signs the message itself.

use super::feeds::TAG;
use super::parts::Parts;
use super::provider::{Call, Provider, RelayMail, Said, Unfit, Verdict, bearer, get, post_json};
use crate::clock::Timestamp;
use crate::secret::Secret;
use sealwright_mail::address::{DisplayName, Mailbox};
use serde::Serialize;
use std::collections::BTreeMap;

/// Where its API is.
pub(super) const BASE: &str = "https://api.sendgrid.com";

/// An account there.
pub(super) struct SendGrid {
    pub(super) base: String,
    pub(super) api_key: Secret<String>,
}

#[derive(Serialize)]
struct Email<'a> {
    personalizations: [Personalization<'a>; 1],
    from: Person<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reply_to_list: Vec<Person<'a>>,
    subject: &'a str,
    content: Vec<Content<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attachments: Vec<Attached<'a>>,
    headers: BTreeMap<&'a str, &'a str>,
    tracking_settings: Tracking,
    custom_args: BTreeMap<&'static str, &'a str>,
}

#[derive(Serialize)]
struct Personalization<'a> {
    to: Vec<Person<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cc: Vec<Person<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    bcc: Vec<Person<'a>>,
}

#[derive(Serialize)]
struct Person<'a> {
    email: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

#[derive(Serialize)]
struct Content<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    value: &'a str,
}

#[derive(Serialize)]
struct Attached<'a> {
    content: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    filename: &'a str,
    disposition: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_id: Option<&'a str>,
}

/// Links and pixels are ours to add, or nobody's.
#[derive(Default, Serialize)]
struct Tracking {
    click_tracking: Off,
    open_tracking: Off,
}

#[derive(Default, Serialize)]
struct Off {
    enable: bool,
}

fn person(mailbox: &Mailbox) -> Person<'_> {
    Person {
        email: mailbox.address.as_str(),
        name: mailbox.name.as_ref().map(DisplayName::as_str),
    }
}

fn people<'a>(list: &[&'a Mailbox]) -> Vec<Person<'a>> {
    list.iter().map(|mailbox| person(mailbox)).collect()
}

impl Provider for SendGrid {
    fn takes_raw(&self) -> bool {
        false
    }

    fn repeats_once(&self) -> bool {
        false
    }

    fn send(&self, mail: &RelayMail<'_>, _now: Timestamp) -> Result<Call, Unfit> {
        let parts = Parts::of(mail)?;
        // In this order, or it is refused.
        let content = [("text/plain", &parts.text), ("text/html", &parts.html)];
        let content = content.into_iter().filter_map(|(kind, text)| {
            let value = text.as_deref().filter(|text| !text.is_empty())?;
            Some(Content { kind, value })
        });
        let attached = parts.attachments.iter().map(|one| Attached {
            content: &one.content,
            kind: &one.content_type,
            filename: &one.name,
            disposition: if one.content_id.is_some() {
                "inline"
            } else {
                "attachment"
            },
            content_id: one.content_id.as_deref(),
        });
        let id = parts.message_id.as_ref().map(|id| format!("<{id}>"));
        let named = parts
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let replies = parts.reply_to.iter();
        let body = Email {
            personalizations: [Personalization {
                to: people(&parts.to),
                cc: people(&parts.cc),
                bcc: people(&parts.bcc),
            }],
            from: person(mail.from),
            reply_to_list: replies.map(|email| Person { email, name: None }).collect(),
            subject: &parts.subject,
            content: content.collect(),
            attachments: attached.collect(),
            headers: named.chain(id.as_deref().map(|id| ("Message-ID", id))).collect(),
            tracking_settings: Tracking::default(),
            custom_args: [(TAG, mail.tag)].into(),
        };
        let url = format!("{}/v3/mail/send", self.base);
        post_json(url, bearer(self.api_key.expose())?, &body)
    }

    fn check(&self, _now: Timestamp) -> Result<Call, Unfit> {
        Ok(get(
            format!("{}/v3/scopes", self.base),
            bearer(self.api_key.expose())?,
        ))
    }

    fn verdict(&self, said: &Said<'_>) -> Verdict {
        if said.status.is_success() {
            return Verdict::accepted(said.header("x-message-id"), said);
        }
        let json = said.json();
        said.usual(json["errors"][0]["message"].as_str())
    }
}
