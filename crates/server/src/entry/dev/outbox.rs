//! The captured outbox: a list, a message with its headers, its DKIM verdict and its webhooks, and the same as JSON.

use super::Dev;
use super::hooks::Received;
use crate::features::delivery::dkim_verdict;
use crate::platform::dev::sink::Captured;
use askama::Template;
use axum::Json;
use axum::extract::{Path, State};
use axum::response::{Html, IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use mail_parser::{MessageParser, MimeHeaders as _, PartType};
use serde::Serialize;
use std::sync::Arc;

/// Pages of ours run no script and load nothing from elsewhere.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// A message's HTML may show inline images and its own styles; it can't run, load or submit anything.
const FRAME_POLICY: &str = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'";

/// A captured message as JSON.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outbox {
    seq: u64,
    /// Envelope sender.
    mail_from: String,
    /// Envelope recipients.
    rcpt_to: Vec<String>,
    from: String,
    to: Vec<String>,
    subject: String,
    received_at: String,
    tls: bool,
    /// `pass`, or why not.
    dkim: String,
    email_id: String,
    /// The message, byte for byte; text where it is UTF-8.
    raw: String,
    /// The same in base64, for a message that is not UTF-8.
    raw_base64: String,
    webhooks: Vec<Received>,
}

#[derive(Serialize)]
struct Messages {
    messages: Vec<Outbox>,
}

#[derive(Template)]
#[template(path = "dev/outbox.html")]
struct ListPage {
    messages: Vec<Outbox>,
}

#[derive(Template)]
#[template(path = "dev/message.html")]
struct MessagePage {
    message: Outbox,
    headers: Vec<(String, String)>,
    text: Option<String>,
    has_html: bool,
    attachments: Vec<(String, usize)>,
}

fn wants_json(headers: &HeaderMap) -> bool {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    accept.contains("application/json") && !accept.contains("text/html")
}

fn describe(dev: &Dev, captured: &Captured) -> Outbox {
    let parsed = MessageParser::default().parse(&captured.bytes[..]);
    let parsed = parsed.as_ref();
    let addresses = |list: Option<&mail_parser::Address<'_>>| {
        let addresses = list.into_iter().flat_map(|list| list.iter());
        addresses
            .filter_map(|address| address.address().map(str::to_owned))
            .collect::<Vec<_>>()
    };
    // Our Message-ID is the e-mail's id and its sender's domain.
    let message_id = parsed
        .and_then(|message| message.message_id())
        .unwrap_or_default();
    let email_id = message_id.split('@').next().unwrap_or_default().to_owned();
    Outbox {
        seq: captured.seq,
        mail_from: captured.mail_from.clone(),
        rcpt_to: captured.rcpt_to.clone(),
        from: addresses(parsed.and_then(|message| message.from()))
            .into_iter()
            .next()
            .unwrap_or_default(),
        to: addresses(parsed.and_then(|message| message.to())),
        subject: parsed
            .and_then(|message| message.subject())
            .unwrap_or_default()
            .to_owned(),
        received_at: crate::clock::Timestamp::from_micros(captured.received_at_unix_ms * 1000).rfc3339(),
        tls: captured.tls,
        dkim: dkim_verdict(&captured.bytes, &dev.dkim_records),
        webhooks: dev.hooks.about(&email_id),
        email_id,
        raw: String::from_utf8_lossy(&captured.bytes).into_owned(),
        raw_base64: STANDARD.encode(&captured.bytes),
    }
}

fn find(dev: &Dev, seq: u64) -> Option<Captured> {
    dev.sink
        .received()
        .into_iter()
        .find(|captured| captured.seq == seq)
}

fn page(template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => (
            [(
                header::CONTENT_SECURITY_POLICY,
                HeaderValue::from_static(PAGE_POLICY),
            )],
            Html(html),
        )
            .into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

pub(super) async fn list(State(dev): State<Arc<Dev>>, headers: HeaderMap) -> Response {
    let mut messages = Vec::new();
    for captured in dev.sink.received().iter().rev() {
        messages.push(describe(&dev, captured));
    }
    if wants_json(&headers) {
        return Json(Messages { messages }).into_response();
    }
    page(&ListPage { messages })
}

pub(super) async fn show(State(dev): State<Arc<Dev>>, Path(seq): Path<u64>, headers: HeaderMap) -> Response {
    let Some(captured) = find(&dev, seq) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let message = describe(&dev, &captured);
    if wants_json(&headers) {
        return Json(message).into_response();
    }
    let parsed = MessageParser::default().parse(&captured.bytes[..]);
    let parsed = parsed.as_ref();
    let attachment = |part: &mail_parser::MessagePart<'_>| {
        (
            part.attachment_name().unwrap_or("(unnamed)").to_owned(),
            part.contents().len(),
        )
    };
    page(&MessagePage {
        headers: headers_of(&captured.bytes),
        text: parsed
            .and_then(|message| message.body_text(0))
            .map(|text| text.into_owned()),
        has_html: parsed.is_some_and(|message| html_of(message).is_some()),
        attachments: parsed
            .map(|message| message.attachments().map(attachment).collect())
            .unwrap_or_default(),
        message,
    })
}

/// Names and values as they stand in the message, folds and all.
fn headers_of(message: &[u8]) -> Vec<(String, String)> {
    let head = message
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap_or(message.len());
    let head = String::from_utf8_lossy(message.get(..head).unwrap_or_default()).replace("\r\n", "\n");
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in head.lines() {
        match (
            line.starts_with([' ', '\t']),
            fields.last_mut(),
            line.split_once(':'),
        ) {
            (true, Some((_, value)), _) => {
                value.push('\n');
                value.push_str(line);
            }
            (_, _, Some((name, value))) => fields.push((name.to_owned(), value.trim_start().to_owned())),
            _ => {}
        }
    }
    fields
}

fn html_of(message: &mail_parser::Message<'_>) -> Option<String> {
    let part = message
        .html_body
        .iter()
        .find_map(|id| message.parts.get(usize::try_from(*id).ok()?))?;
    match &part.body {
        PartType::Html(html) => Some(with_inline_images(message, html)),
        _ => None,
    }
}

/// Puts images that the message carries (`cid:`) in place of their names.
fn with_inline_images(message: &mail_parser::Message<'_>, html: &str) -> String {
    let mut html = html.to_owned();
    for part in &message.parts {
        let (Some(id), Some(kind)) = (part.content_id(), part.content_type()) else {
            continue;
        };
        if kind.ctype() != "image" {
            continue;
        }
        let data = format!(
            "data:image/{};base64,{}",
            kind.subtype().unwrap_or("png"),
            STANDARD.encode(part.contents())
        );
        html = html.replace(&format!("cid:{id}"), &data);
    }
    html
}

pub(super) async fn frame(State(dev): State<Arc<Dev>>, Path(seq): Path<u64>) -> Response {
    let html = find(&dev, seq).and_then(|captured| {
        let parsed = MessageParser::default().parse(&captured.bytes[..])?;
        html_of(&parsed)
    });
    match html {
        Some(html) => (
            [(
                header::CONTENT_SECURITY_POLICY,
                HeaderValue::from_static(FRAME_POLICY),
            )],
            Html(html),
        )
            .into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

pub(super) async fn raw(State(dev): State<Arc<Dev>>, Path(seq): Path<u64>) -> Response {
    match find(&dev, seq) {
        Some(captured) => (
            [(header::CONTENT_TYPE, "text/plain; charset=utf-8")],
            captured.bytes.to_vec(),
        )
            .into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

pub(super) async fn style() -> Response {
    (
        [(header::CONTENT_TYPE, "text/css; charset=utf-8")],
        include_str!("../../../assets/dev.css"),
    )
        .into_response()
}
