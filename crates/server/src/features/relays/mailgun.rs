//! Mailgun: takes the message as it is, signed by us, as one part of a form.

use super::feeds::TAG;
use super::provider::{Call, Provider, RelayMail, Said, Unfit, Verdict, get, hidden};
use crate::clock::Timestamp;
use crate::secret::Secret;
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

/// Where its API is.
pub(super) fn base(region: Option<&str>) -> String {
    match region {
        Some("eu") => "https://api.eu.mailgun.net".to_owned(),
        _ => "https://api.mailgun.net".to_owned(),
    }
}

/// A domain there.
pub(super) struct Mailgun {
    pub(super) base: String,
    pub(super) domain: String,
    pub(super) api_key: Secret<String>,
}

impl Mailgun {
    fn headers(&self) -> Result<HeaderMap, Unfit> {
        let pair = Secret::new(format!("api:{}", self.api_key.expose()));
        let basic = format!("Basic {}", STANDARD.encode(pair.expose()));
        Ok([(AUTHORIZATION, hidden(&basic)?)].into_iter().collect())
    }
}

/// A line that the message can't hold, short of a collision of SHA-256.
fn boundary(message: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, message);
    format!("sealwright-{}", URL_SAFE_NO_PAD.encode(digest.as_ref()))
}

impl Provider for Mailgun {
    fn takes_raw(&self) -> bool {
        true
    }

    fn repeats_once(&self) -> bool {
        false
    }

    fn send(&self, mail: &RelayMail<'_>, _now: Timestamp) -> Result<Call, Unfit> {
        let boundary = boundary(mail.signed);
        let mut body = Vec::with_capacity(mail.signed.len() + 1024);
        let recipients = mail.to.iter().map(|to| ("to", to.address.as_str()));
        // Links and pixels are ours to add, or nobody's.
        let variable = format!("v:{TAG}");
        for (name, value) in recipients.chain([("o:tracking", "no"), (&variable, mail.tag)]) {
            let part =
                format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
            body.extend_from_slice(part.as_bytes());
        }
        let head = "Content-Disposition: form-data; name=\"message\"; filename=\"message.eml\"\r\nContent-Type: message/rfc822\r\n\r\n";
        body.extend_from_slice(format!("--{boundary}\r\n{head}").as_bytes());
        body.extend_from_slice(mail.signed);
        body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        let mut headers = self.headers()?;
        let kind = HeaderValue::from_str(&format!("multipart/form-data; boundary={boundary}"));
        headers.insert(CONTENT_TYPE, kind.map_err(|_| Unfit::Form)?);
        Ok(Call {
            method: Method::POST,
            url: format!("{}/v3/{}/messages.mime", self.base, self.domain),
            headers,
            body: body.into(),
        })
    }

    fn check(&self, _now: Timestamp) -> Result<Call, Unfit> {
        Ok(get(
            format!("{}/v3/domains/{}", self.base, self.domain),
            self.headers()?,
        ))
    }

    fn verdict(&self, said: &Said<'_>) -> Verdict {
        let json = said.json();
        let text = json["message"].as_str();
        match said.status {
            // Its feed names a message without the angle brackets.
            status if status.is_success() => {
                let id = json["id"].as_str().map(|id| id.trim_matches(['<', '>']));
                Verdict::accepted(id, said)
            }
            // The account is closed, or the domain is not its own.
            StatusCode::FORBIDDEN | StatusCode::NOT_FOUND | StatusCode::PAYMENT_REQUIRED => Verdict::Broken {
                why: said.words(text),
            },
            _ => said.usual(text),
        }
    }
}
