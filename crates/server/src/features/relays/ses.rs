//! Amazon SES, version 2 of its API: takes the message as it is, signed by us; requests are signed (Signature Version 4).

use super::provider::{Call, Provider, RelayMail, Said, Unfit, Verdict, hidden};
use crate::clock::Timestamp;
use crate::platform::net::sigv4::{Signable, Signer};
use crate::secret::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::Serialize;

const JSON: &str = "application/json";

/// Where its API is.
pub(super) fn base(region: &str) -> String {
    format!("https://email.{region}.amazonaws.com")
}

/// An account there, in one region.
pub(super) struct Ses {
    pub(super) base: String,
    pub(super) region: String,
    pub(super) access_key_id: String,
    pub(super) secret_access_key: Secret<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Email<'a> {
    from_email_address: &'a str,
    destination: Destination<'a>,
    content: Content,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Destination<'a> {
    to_addresses: Vec<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Content {
    raw: Raw,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Raw {
    data: String,
}

impl Ses {
    fn call(&self, method: Method, path: &str, body: Bytes, now: Timestamp) -> Result<Call, Unfit> {
        let (_, authority) = self.base.split_once("://").ok_or(Unfit::Form)?;
        let (host, prefix) = authority.split_at(authority.find('/').unwrap_or(authority.len()));
        let path = format!("{prefix}{path}");
        let signer = Signer {
            access_key_id: &self.access_key_id,
            secret_access_key: &self.secret_access_key,
            region: &self.region,
            service: "ses",
        };
        let request = Signable {
            method: method.as_str(),
            path: &path,
            headers: &[("content-type", JSON), ("host", host)],
            body: &body,
        };
        let signature = signer.sign(&request, now);
        let date = HeaderValue::from_str(&signature.date).map_err(|_| Unfit::Form)?;
        let headers: HeaderMap = [
            (CONTENT_TYPE, HeaderValue::from_static(JSON)),
            (HeaderName::from_static("x-amz-date"), date),
            (AUTHORIZATION, hidden(&signature.authorization)?),
        ]
        .into_iter()
        .collect();
        Ok(Call {
            method,
            url: format!("https://{host}{path}"),
            headers,
            body,
        })
    }
}

impl Provider for Ses {
    fn takes_raw(&self) -> bool {
        true
    }

    fn repeats_once(&self) -> bool {
        false
    }

    fn send(&self, mail: &RelayMail<'_>, now: Timestamp) -> Result<Call, Unfit> {
        let body = Email {
            from_email_address: mail.from.address.as_str(),
            destination: Destination {
                to_addresses: mail.to.iter().map(|to| to.address.as_str()).collect(),
            },
            content: Content {
                raw: Raw {
                    data: STANDARD.encode(mail.signed),
                },
            },
        };
        let body = serde_json::to_vec(&body).map_err(|_| Unfit::Form)?;
        self.call(Method::POST, "/v2/email/outbound-emails", body.into(), now)
    }

    fn check(&self, now: Timestamp) -> Result<Call, Unfit> {
        self.call(Method::GET, "/v2/email/account", Bytes::new(), now)
    }

    fn verdict(&self, said: &Said<'_>) -> Verdict {
        let json = said.json();
        if said.status.is_success() {
            return Verdict::accepted(json["MessageId"].as_str(), said);
        }
        let text = json["message"].as_str().or_else(|| json["Message"].as_str());
        let why = said.words(text);
        // `Name:http://…` in the header, `namespace#Name` in the body.
        let kind = said
            .header("x-amzn-errortype")
            .and_then(|kind| kind.split(':').next())
            .or_else(|| json["__type"].as_str().and_then(|kind| kind.rsplit('#').next()));
        match kind.unwrap_or_default() {
            "AccessDeniedException"
            | "AccountSuspendedException"
            | "ExpiredTokenException"
            | "InvalidClientTokenId"
            | "InvalidSignatureException"
            | "MissingAuthenticationTokenException"
            | "SignatureDoesNotMatch"
            | "UnrecognizedClientException" => Verdict::Broken { why },
            "LimitExceededException"
            | "SendingPausedException"
            | "ThrottlingException"
            | "TooManyRequestsException" => Verdict::Later {
                why,
                wait: said.wait(),
            },
            _ => said.usual(text),
        }
    }
}
