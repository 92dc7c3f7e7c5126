//! Three signatures over the same bytes, because receivers of three kinds exist.
//!
//! * `Lettr-Signature: t=<unix s>,v1=<hex>` (one `v1` for each secret that signs) with `HMAC-SHA256(secret as shown, t "." body)`;
//! * Standard Webhooks: `webhook-id`, `webhook-timestamp`, `webhook-signature: v1,<base64>` with the decoded part of the secret over `id "." t "." body`;
//! * `x-mailpipe-signature: <hex>` with `HMAC-SHA256(secret as shown, body)`; it has no time, so a receiver can't tell a replay.

use crate::clock::Timestamp;
use crate::id::{EventId, Id as _};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What every shown secret begins with.
pub(super) const SECRET_PREFIX: &str = "whsec_";

/// Values of the signature headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signatures {
    /// `Lettr-Signature`.
    pub lettr: String,
    /// `webhook-timestamp`.
    pub timestamp: String,
    /// `webhook-signature`.
    pub standard: String,
    /// `x-mailpipe-signature`.
    pub mailpipe: String,
}

/// Signs an event's bytes for one attempt, with each of these secrets. The header that holds one signature only has that of the last:
/// receivers that know it alone are told of a new secret before its time.
pub fn sign(secrets: &[String], id: &EventId, at: Timestamp, body: &[u8]) -> Signatures {
    let timestamp = at.seconds().to_string();
    let mut lettr = format!("t={timestamp}");
    let (mut standard, mut mailpipe) = (Vec::with_capacity(secrets.len()), String::new());
    for secret in secrets {
        let shown = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let encoded = secret.strip_prefix(SECRET_PREFIX).unwrap_or(secret);
        // A secret of ours always decodes; were it not base64, its own bytes are the key, as receivers' libraries do.
        let decoded = STANDARD
            .decode(encoded)
            .unwrap_or_else(|_| encoded.as_bytes().to_vec());
        let key = hmac::Key::new(hmac::HMAC_SHA256, &decoded);
        let of_standard = tag(
            &key,
            &[id.as_str().as_bytes(), b".", timestamp.as_bytes(), b".", body],
        );
        let of_lettr = tag(&shown, &[timestamp.as_bytes(), b".", body]);
        lettr.push_str(",v1=");
        lettr.push_str(&hex(of_lettr.as_ref()));
        standard.push(format!("v1,{}", STANDARD.encode(of_standard.as_ref())));
        mailpipe = hex(tag(&shown, &[body]).as_ref());
    }
    Signatures {
        lettr,
        standard: standard.join(" "),
        mailpipe,
        timestamp,
    }
}

/// What `Lettr-Signature` signs.
pub(super) fn signed(timestamp: &str, body: &str) -> String {
    format!("{timestamp}.{body}")
}

fn tag(key: &hmac::Key, parts: &[&[u8]]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    parts.iter().for_each(|part| context.update(part));
    context.sign()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            // Writing to a String can't fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}
