//! Receives the webhooks of the development organization and checks their signatures, as a customer's server would.

use super::Dev;
use axum::body::Bytes;
use axum::extract::{Path, State};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

/// Webhooks kept.
const KEPT_MAX: usize = 2_000;

/// A received webhook.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Received {
    /// Headers, by lower-case name.
    pub headers: BTreeMap<String, String>,
    /// The body, byte for byte.
    pub body: String,
    /// The event's type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The e-mail that it tells of.
    pub email_id: String,
    /// Whether the signature is right.
    pub verified: bool,
    /// The endpoint's secret, so that the reader can check too.
    pub secret: String,
}

/// The webhook receiver.
#[derive(Default)]
pub struct Hooks {
    secrets: Mutex<BTreeMap<String, String>>,
    received: Mutex<VecDeque<Received>>,
}

impl Hooks {
    /// Sets the secret of the endpoint for a mode; what arrives before is refused, and so tried again.
    pub fn set_secret(&self, mode: &str, secret: &str) {
        self.secrets
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(mode.to_owned(), secret.to_owned());
    }

    /// The webhooks about one e-mail, in order of arrival.
    pub fn about(&self, email_id: &str) -> Vec<Received> {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        received
            .iter()
            .filter(|hook| hook.email_id == email_id)
            .cloned()
            .collect()
    }

    fn keep(&self, hook: Received) {
        let mut received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        if received.len() >= KEPT_MAX {
            received.pop_front();
        }
        received.push_back(hook);
    }

    fn secret(&self, mode: &str) -> Option<String> {
        self.secrets
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(mode)
            .cloned()
    }
}

pub(super) async fn receive(
    State(dev): State<Arc<Dev>>,
    Path(mode): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, &'static str) {
    let Some(secret) = dev.hooks.secret(&mode) else {
        return (StatusCode::SERVICE_UNAVAILABLE, "no secret yet\n");
    };
    let verified = verify(&headers, &body, &secret);
    let event: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    dev.hooks.keep(Received {
        headers: headers
            .iter()
            .map(|(name, value)| {
                (
                    name.as_str().to_owned(),
                    String::from_utf8_lossy(value.as_bytes()).into_owned(),
                )
            })
            .collect(),
        kind: text(&event["type"]),
        email_id: text(&event["data"]["emailId"]),
        body: String::from_utf8_lossy(&body).into_owned(),
        verified,
        secret,
    });
    if verified {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::BAD_REQUEST, "the signature is wrong\n")
    }
}

/// Checks `Lettr-Signature` the way a receiver does: by the header's own time and the raw body.
fn verify(headers: &HeaderMap, body: &[u8], secret: &str) -> bool {
    let header = headers
        .get("lettr-signature")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let part = |name: &str| header.split(',').find_map(|part| part.strip_prefix(name));
    let (Some(time), Some(given)) = (part("t="), part("v1=")) else {
        return false;
    };
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
    let signed = [time.as_bytes(), b".", body].concat();
    let decode = |at: usize| {
        given
            .get(2 * at..2 * at + 2)
            .and_then(|pair| u8::from_str_radix(pair, 16).ok())
    };
    let tag: Option<Vec<u8>> = (0..given.len() / 2).map(decode).collect();
    tag.is_some_and(|tag| aws_lc_rs::hmac::verify(&key, &signed, &tag).is_ok())
}
