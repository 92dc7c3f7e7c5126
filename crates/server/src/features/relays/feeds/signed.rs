//! Whether a provider made a request to its feed.

use crate::clock::Timestamp;
use crate::features::relays::credentials::{is_fit, wrong};
use crate::features::relays::{AccountError, Kind};
use crate::secret::Secret;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ParsedPublicKey};
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use serde_json::Value;

/// How far a signature's time may be from ours, in seconds.
const AGE_SECONDS_MAX: u64 = 5 * 60;
/// Signatures of one request that are looked at: while a secret is replaced there are two.
const SIGNATURES_MAX: usize = 4;
/// Characters of the password that a person chooses.
const PASSWORD_CHARS_MIN: usize = 16;
/// Bytes of a shared secret.
const SECRET_BYTES_MIN: usize = 16;

/// A request to a feed.
pub struct FeedRequest<'a> {
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Its body as it came.
    pub body: &'a [u8],
    /// The same, read.
    pub json: &'a Value,
}

impl FeedRequest<'_> {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// What shows that a request comes from the provider.
pub struct FeedKey(Key);

enum Key {
    /// The secret of a webhook there, as Svix signs with it.
    Resend(hmac::Key),
    /// The digest of `user:password`.
    Postmark(digest::Digest),
    /// The public key of the event webhook.
    SendGrid(ParsedPublicKey),
    /// The account's signing key for webhooks.
    Mailgun(hmac::Key),
}

impl FeedKey {
    /// Reads what the provider shows as the secret of its webhook, or what it was told.
    ///
    /// # Errors
    /// [`AccountError`] when this provider has no such secret.
    pub fn of(kind: Kind, secret: &Secret<String>) -> Result<Self, AccountError> {
        if !is_fit(secret) {
            return Err(unfit(
                "expected printable ASCII characters without spaces, at most 512",
            ));
        }
        let text = secret.expose();
        let key = match kind {
            Kind::Resend => {
                let key = text
                    .strip_prefix("whsec_")
                    .and_then(|text| STANDARD.decode(text).ok());
                let key = key.filter(|key| key.len() >= SECRET_BYTES_MIN);
                let key = key.ok_or_else(|| unfit("expected the webhook's signing secret, whsec_…"))?;
                Key::Resend(hmac::Key::new(hmac::HMAC_SHA256, &key))
            }
            Kind::Postmark => {
                let is_pair = text
                    .split_once(':')
                    .is_some_and(|(user, password)| !user.is_empty() && password.len() >= PASSWORD_CHARS_MIN);
                if !is_pair {
                    return Err(unfit(
                        "expected user:password with a password of at least 16 characters",
                    ));
                }
                Key::Postmark(digest::digest(&digest::SHA256, text.as_bytes()))
            }
            Kind::SendGrid => {
                let key = STANDARD.decode(text).ok();
                let key = key.and_then(|key| ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key).ok());
                Key::SendGrid(
                    key.ok_or_else(|| unfit("expected the event webhook's verification key, MFkw…"))?,
                )
            }
            Kind::Mailgun => {
                if text.len() < SECRET_BYTES_MIN {
                    return Err(unfit("expected the HTTP webhook signing key"));
                }
                Key::Mailgun(hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes()))
            }
            Kind::Ses => return Err(unfit("ses has no feed here yet")),
            Kind::Smtp => {
                return Err(unfit(
                    "an SMTP server tells by mail to the return path, and needs no feed",
                ));
            }
        };
        Ok(Self(key))
    }

    /// Whether the provider made this request, and made it now where it says when.
    pub fn made(&self, request: &FeedRequest<'_>, now: Timestamp) -> bool {
        let is_made = match &self.0 {
            Key::Resend(key) => resend(key, request, now),
            Key::Postmark(pair) => postmark(pair, request),
            Key::SendGrid(key) => sendgrid(key, request, now),
            Key::Mailgun(key) => mailgun(key, request, now),
        };
        is_made.unwrap_or(false)
    }
}

fn unfit(what: &'static str) -> AccountError {
    wrong("feedSecret", what)
}

fn is_fresh(seconds: &str, now: Timestamp) -> bool {
    let at = seconds.parse::<i64>();
    at.is_ok_and(|at| at.abs_diff(now.seconds()) <= AGE_SECONDS_MAX)
}

/// HMAC of id, time and body; the header may hold several, as secrets are replaced with an overlap.
fn resend(key: &hmac::Key, request: &FeedRequest<'_>, now: Timestamp) -> Option<bool> {
    let (id, at) = (request.header("svix-id")?, request.header("svix-timestamp")?);
    let content = [id.as_bytes(), b".", at.as_bytes(), b".", request.body].concat();
    let all = request.header("svix-signature")?.split(' ').take(SIGNATURES_MAX);
    let mut all = all.filter_map(|one| STANDARD.decode(one.strip_prefix("v1,")?).ok());
    Some(is_fresh(at, now) && all.any(|one| hmac::verify(key, &content, &one).is_ok()))
}

/// A password, and nothing that signs.
fn postmark(pair: &digest::Digest, request: &FeedRequest<'_>) -> Option<bool> {
    let (scheme, given) = request.header(AUTHORIZATION.as_str())?.split_once(' ')?;
    let given = digest::digest(&digest::SHA256, &STANDARD.decode(given.trim()).ok()?);
    let is_same = verify_slices_are_equal(given.as_ref(), pair.as_ref()).is_ok();
    Some(scheme.eq_ignore_ascii_case("basic") && is_same)
}

fn sendgrid(key: &ParsedPublicKey, request: &FeedRequest<'_>, now: Timestamp) -> Option<bool> {
    let at = request.header("x-twilio-email-event-webhook-timestamp")?;
    let signature = request.header("x-twilio-email-event-webhook-signature")?;
    let signature = STANDARD.decode(signature).ok()?;
    let content = [at.as_bytes(), request.body].concat();
    Some(is_fresh(at, now) && key.verify_sig(&content, &signature).is_ok())
}

/// HMAC of a time and a random word, not of what is told: TLS has to protect that.
fn mailgun(key: &hmac::Key, request: &FeedRequest<'_>, now: Timestamp) -> Option<bool> {
    let signature = request.json.get("signature")?;
    let at = match signature.get("timestamp")? {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let token = signature.get("token")?.as_str()?;
    let given = octets(signature.get("signature")?.as_str()?)?;
    let content = [at.as_bytes(), token.as_bytes()].concat();
    Some(is_fresh(&at, now) && hmac::verify(key, &content, &given).is_ok())
}

/// The octets that hexadecimal digits stand for.
fn octets(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .chars()
        .map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    rest.is_empty()
        .then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}
