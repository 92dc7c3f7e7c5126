//! What every provider has in common: how it is asked to send, and what its answers mean.
//!
//! A provider's file says both without touching anything: values in, a request out; an answer in, a [`Verdict`] out. So each is tried
//! against the answers in `contracts/`, and the sending ([`crate::features::delivery`]) is the same for all.

use crate::clock::Timestamp;
use crate::platform::net::{Answer, HttpFailure};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use sealwright_mail::address::Mailbox;
use sealwright_mail::smtp::Category;
use serde::Serialize;
use std::time::Duration;

/// Characters of a provider's words that are kept.
const WORDS_CHARS_MAX: usize = 512;
/// The longest wait that a provider can ask for.
const WAIT_MAX: Duration = Duration::from_secs(6 * 60 * 60);

/// A mail for a relay.
pub struct RelayMail<'a> {
    /// Names mail, destination and relay: a repetition has the same, and nothing else has.
    pub key: &'a str,
    /// What the provider's events about it bring back: the local part of its return path.
    pub tag: &'a str,
    /// The author.
    pub from: &'a Mailbox,
    /// The recipients of one destination.
    pub to: &'a [Mailbox],
    /// The message with our signature.
    pub signed: &'a [u8],
}

/// A request to a provider.
#[derive(Debug, Clone)]
pub struct Call {
    /// GET or POST.
    pub method: Method,
    /// Where to.
    pub url: String,
    /// The headers, credentials among them.
    pub headers: HeaderMap,
    /// The content.
    pub body: Bytes,
}

/// Why a mail can't be given to a provider at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It has a form that the provider's API can't take.
    #[error("the message can't be put into the form that this relay takes")]
    Form,
    /// Each of its recipients would see the others.
    #[error("this relay can't keep several blind copies apart")]
    BlindCopies,
    /// The credentials hold what no header may.
    #[error("the relay's credentials can't be sent")]
    Credentials,
}

/// What an answer means. Only [`Verdict::Unknown`] leaves open whether the mail was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Taken; the provider's own id of it.
    Accepted {
        /// What its feed calls it.
        id: String,
    },
    /// Not taken now.
    Later {
        /// The provider's words.
        why: String,
        /// The wait that it asks for.
        wait: Option<Duration>,
    },
    /// Not taken by this relay, ever; another one may take it.
    Unfit {
        /// The provider's words.
        why: String,
    },
    /// Not taken, for what its recipient is.
    Refused {
        /// The provider's words.
        why: String,
        /// What was wrong.
        category: Category,
    },
    /// Not taken, because the provider does not take our credentials.
    Broken {
        /// The provider's words.
        why: String,
    },
    /// It may have been taken.
    Unknown {
        /// What is known.
        why: String,
    },
}

/// A provider that mail can be given to.
pub trait Provider: Send + Sync {
    /// Whether it takes the message as it is, with our signature in it. The others write one of their own from its parts.
    fn takes_raw(&self) -> bool;

    /// Whether a repetition under the same key is taken once.
    fn repeats_once(&self) -> bool;

    /// The request that gives it a mail.
    ///
    /// # Errors
    /// [`Unfit`] when this mail can't be given to it.
    fn send(&self, mail: &RelayMail<'_>, now: Timestamp) -> Result<Call, Unfit>;

    /// A request that shows whether the credentials are good, and does nothing.
    ///
    /// # Errors
    /// [`Unfit::Credentials`].
    fn check(&self, now: Timestamp) -> Result<Call, Unfit>;

    /// What an answer to [`Provider::send`] means.
    fn verdict(&self, answer: &Said<'_>) -> Verdict;
}

/// An answer, as far as it is looked at.
pub struct Said<'a> {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The content.
    pub body: &'a [u8],
}

impl<'a> From<&'a Answer> for Said<'a> {
    fn from(answer: &'a Answer) -> Self {
        Self {
            status: answer.status,
            headers: &answer.headers,
            body: &answer.body,
        }
    }
}

impl Said<'_> {
    /// The content as JSON; what is none is nothing.
    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(self.body).unwrap_or_default()
    }

    /// A header's text.
    pub(super) fn header(&self, name: impl http::header::AsHeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// What is told of it: the status and the provider's words.
    pub(super) fn words(&self, text: Option<&str>) -> String {
        let status = self.status.as_u16();
        let text = text.unwrap_or_else(|| self.status.canonical_reason().unwrap_or_default());
        let clean = text
            .chars()
            .map(|letter| if letter.is_control() { ' ' } else { letter });
        let words: String = clean.take(WORDS_CHARS_MAX).collect();
        format!("{status} {words}")
    }

    /// The wait that `Retry-After` asks for.
    pub(super) fn wait(&self) -> Option<Duration> {
        let seconds = self.header(RETRY_AFTER)?.trim().parse().ok()?;
        Some(Duration::from_secs(seconds).min(WAIT_MAX))
    }

    /// What statuses mean wherever a provider says nothing more exact. A failure of the provider's own says nothing of the mail: it may
    /// have been taken before.
    pub(super) fn usual(&self, text: Option<&str>) -> Verdict {
        let why = self.words(text);
        match self.status {
            StatusCode::UNAUTHORIZED => Verdict::Broken { why },
            StatusCode::TOO_MANY_REQUESTS => Verdict::Later {
                why,
                wait: self.wait(),
            },
            status if status.is_client_error() => Verdict::Unfit { why },
            _ => Verdict::Unknown { why },
        }
    }
}

impl Verdict {
    /// What a request without an answer means.
    pub fn of_failure(failure: HttpFailure) -> Self {
        let why = failure.to_string();
        if failure.may_have_arrived() {
            Self::Unknown { why }
        } else {
            Self::Later { why, wait: None }
        }
    }

    /// Taken, if the answer tells the mail's id.
    pub(super) fn accepted(id: Option<&str>, said: &Said<'_>) -> Self {
        match id {
            Some(id) if !id.is_empty() => Self::Accepted { id: id.to_owned() },
            _ => Self::Unknown {
                why: said.words(Some("taken, but the answer names no message")),
            },
        }
    }
}

/// A value of a header that is not to be shown.
pub(super) fn hidden(value: &str) -> Result<HeaderValue, Unfit> {
    let mut value = HeaderValue::from_str(value).map_err(|_| Unfit::Credentials)?;
    value.set_sensitive(true);
    Ok(value)
}

/// The header of a bearer token.
pub(super) fn bearer(token: &str) -> Result<HeaderMap, Unfit> {
    Ok([(AUTHORIZATION, hidden(&format!("Bearer {token}"))?)]
        .into_iter()
        .collect())
}

/// A request with JSON.
pub(super) fn post_json(url: String, mut headers: HeaderMap, body: &impl Serialize) -> Result<Call, Unfit> {
    let body = serde_json::to_vec(body).map_err(|_| Unfit::Form)?;
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(Call {
        method: Method::POST,
        url,
        headers,
        body: body.into(),
    })
}

/// A request without content.
pub(super) fn get(url: String, headers: HeaderMap) -> Call {
    Call {
        method: Method::GET,
        url,
        headers,
        body: Bytes::new(),
    }
}

/// Adds a header whose text is ours.
pub(super) fn put(headers: &mut HeaderMap, name: HeaderName, text: &str) -> Result<(), Unfit> {
    headers.insert(name, HeaderValue::from_str(text).map_err(|_| Unfit::Form)?);
    Ok(())
}
