//! Any SMTP server that takes mail from whoever logs in (RFC 6409): it gets the message as it is, signed by us, over TLS.

use super::credentials::{AccountError, Credentials, wrong};
use super::provider::Verdict;
use crate::platform::net::{Host, HttpsUrl};
use crate::secret::Secret;
use sealwright_mail::smtp::client::Login;
use sealwright_mail::smtp::{Outcome, Reason, Reply, TlsMode, classify};

/// Characters of a reply that are told.
const REPLY_CHARS_MAX: usize = 512;
/// Octets of a name or password.
const LOGIN_OCTETS_MAX: usize = 512;

/// A server and who we are to it.
#[derive(Debug, Clone)]
pub struct Server {
    /// Its name, for which its certificate has to be valid; or its address.
    pub host: Host,
    /// Where it listens.
    pub port: u16,
    /// From the first octet, or required after STARTTLS.
    pub tls: TlsMode,
    /// What is said once the connection is encrypted.
    pub login: Login,
}

fn text(secret: Option<&Secret<String>>) -> &str {
    secret.map_or("", |secret| secret.expose())
}

impl Server {
    /// Reads it from the fields of its account.
    pub(super) fn of(given: &Credentials) -> Result<Self, AccountError> {
        let host = HttpsUrl::parse(&format!("https://{}/", text(given.host.as_ref())));
        let is_whole =
            |url: &HttpsUrl| url.host().to_string() == text(given.host.as_ref()).to_ascii_lowercase();
        let host = host.ok().filter(is_whole).map(|url| url.host().clone());
        let port = text(given.port.as_ref()).parse().ok().filter(|port| *port != 0);
        let tls = match text(given.tls.as_ref()) {
            "implicit" => Ok(TlsMode::Implicit),
            "starttls" => Ok(TlsMode::Required),
            _ => Err(wrong("credentials/tls", "expected implicit or starttls")),
        };
        let said = |field, secret: Option<&Secret<String>>| {
            let said = text(secret);
            let is_fit = (1..=LOGIN_OCTETS_MAX).contains(&said.len()) && !said.chars().any(char::is_control);
            let what = format!("expected 1 to {LOGIN_OCTETS_MAX} bytes without control characters");
            is_fit.then(|| said.to_owned()).ok_or_else(|| wrong(field, what))
        };
        Ok(Self {
            host: host.ok_or_else(|| wrong("credentials/host", "expected the name or address of a host"))?,
            port: port.ok_or_else(|| wrong("credentials/port", "expected 1 to 65535"))?,
            tls: tls?,
            login: Login {
                username: said("credentials/username", given.username.as_ref())?,
                password: said("credentials/password", given.password.as_ref())?,
            },
        })
    }
}

/// What the outcomes of one transaction mean; `are_of_recipients` when the server refused in reply to RCPT.
pub fn verdict(outcomes: &[Outcome], is_in_doubt: bool, are_of_recipients: bool) -> Verdict {
    let words = |outcome: Option<&Outcome>| match outcome {
        Some(
            Outcome::Delivered(reply)
            | Outcome::Deferred(Reason::Reply(reply))
            | Outcome::Failed(Reason::Reply(reply)),
        ) => {
            format!("{} {}", reply.code(), reply.text(REPLY_CHARS_MAX))
        }
        Some(Outcome::Deferred(reason) | Outcome::Failed(reason)) => reason.to_string(),
        None => String::new(),
    };
    let why = words(outcomes.first());
    let is_failed = |outcome: &Outcome| matches!(outcome, Outcome::Failed(_));
    let taken = outcomes
        .iter()
        .find(|outcome| matches!(outcome, Outcome::Delivered(_)));
    if is_in_doubt {
        Verdict::Unknown { why }
    } else if taken.is_some() {
        Verdict::Accepted { id: words(taken) }
    } else if !outcomes.iter().all(is_failed) {
        Verdict::Later { why, wait: None }
    } else if are_of_recipients {
        let reply = outcomes.first().and_then(Outcome::reply);
        let enhanced = outcomes.first().and_then(Outcome::enhanced);
        let category = classify(reply.map(Reply::code), enhanced, &why);
        Verdict::Refused { why, category }
    } else if matches!(
        outcomes
            .first()
            .and_then(Outcome::reply)
            .map(|reply| reply.code()),
        Some(530 | 535)
    ) {
        Verdict::Broken { why }
    } else {
        Verdict::Unfit { why }
    }
}
