//! Attachments that are fetched from where the caller says, before the e-mail is accepted: whoever sends learns at once what is missing.
//!
//! All of one request have [`ATTACHMENT_BYTES_MAX`] together, and [`FETCH_TIMEOUT`]. Only `https` and only public addresses (that is the
//! client's guard); no redirect is followed, and what comes compressed is not unpacked but refused: it may be a bomb, and receivers
//! would get what nobody meant.

use super::send::{self, SendError};
use super::{Attachment, Draft};
use crate::features::keys::Caller;
use crate::limits::{ATTACHMENT_BYTES_MAX, FETCH_TIMEOUT, FETCHERS_MAX};
use crate::mode::Mode;
use crate::platform::Platform;
use crate::platform::net::{Answer, HttpClient, HttpsUrl, Outgoing, TlsMin};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use sealwright_mail::header::ContentType;
use std::pin::Pin;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Sleep, sleep};

/// Room for requests that fetch.
static ROOM: Semaphore = Semaphore::const_new(FETCHERS_MAX);

/// An attachment that is elsewhere.
#[derive(Debug, Clone)]
pub struct Link {
    /// Its place among the e-mail's attachments, which has everything but its bytes.
    pub place: usize,
    /// Where it is.
    pub url: HttpsUrl,
    /// Whether its type is the one that is told there.
    pub takes_type: bool,
}

/// Fetches the attachments of one request.
pub struct Fetcher<'a> {
    platform: &'a Platform,
    http: &'a HttpClient,
    caller: &'a Caller,
    bytes_left: usize,
    begun: Option<Begun>,
}

/// A request that has something to fetch; it takes its room until it is answered, because what was fetched stays in memory for so long.
struct Begun {
    deadline: Pin<Box<Sleep>>,
    _room: Option<SemaphorePermit<'static>>,
}

impl<'a> Fetcher<'a> {
    /// For the request of a caller; nothing is fetched yet.
    pub fn new(platform: &'a Platform, http: &'a HttpClient, caller: &'a Caller) -> Self {
        Self {
            platform,
            http,
            caller,
            bytes_left: ATTACHMENT_BYTES_MAX,
            begun: None,
        }
    }

    /// The e-mail with all its attachments.
    ///
    /// # Errors
    /// What would refuse the e-mail anyway, before anything is fetched for it; or the first attachment that can't be fetched.
    pub async fn complete(&mut self, mut draft: Draft, links: Vec<Link>) -> Result<Draft, SendError> {
        let Some(first) = links.first() else {
            return Ok(draft);
        };
        draft.check()?;
        send::check_sender(self.platform, self.caller, &draft).await?;
        if self.caller.mode == Mode::Test {
            let reason = "mail of a test key touches no network; send its content";
            return Err(unreachable(first.place, reason));
        }
        for link in links {
            let fetched = self.fetch(&link.url).await;
            let answer = fetched.map_err(|reason| unreachable(link.place, reason))?;
            let Some(attachment) = draft.attachments.get_mut(link.place) else {
                continue;
            };
            fill(attachment, &link, answer);
        }
        Ok(draft)
    }

    async fn fetch(&mut self, url: &HttpsUrl) -> Result<Answer, String> {
        let begun = match &mut self.begun {
            Some(begun) => begun,
            none => none.insert(Begun::new().await),
        };
        let request = Outgoing {
            url,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            timeout: FETCH_TIMEOUT,
            min_tls: TlsMin::V1_2,
        };
        let answer = tokio::select! {
            biased;
            () = &mut begun.deadline => Err("all attachments of a request have to come within 15 seconds".to_owned()),
            answer = self.http.get_up_to(request, self.bytes_left) => answer.map_err(|failure| failure.to_string()),
        }?;
        if answer.status != StatusCode::OK {
            return Err(format!(
                "the server answered {}; it has to be 200, without a redirect",
                answer.status.as_u16()
            ));
        }
        let encoding = answer.headers.get(header::CONTENT_ENCODING);
        if encoding.is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
            return Err("the server sent it compressed; it has to come as it is".to_owned());
        }
        if answer.truncated {
            let max = ATTACHMENT_BYTES_MAX;
            return Err(format!(
                "all fetched attachments of a request have at most {max} bytes together"
            ));
        }
        self.bytes_left -= answer.body.len();
        Ok(answer)
    }
}

impl Begun {
    async fn new() -> Self {
        let mut deadline = Box::pin(sleep(FETCH_TIMEOUT));
        // Without room the deadline is over, and says so.
        let room = tokio::select! {
            room = ROOM.acquire() => room.ok(),
            () = &mut deadline => None,
        };
        Self {
            deadline,
            _room: room,
        }
    }
}

fn fill(attachment: &mut Attachment, link: &Link, answer: Answer) {
    let told = answer.headers.get(header::CONTENT_TYPE);
    let told = told.and_then(|value| ContentType::parse(value.to_str().ok()?).ok());
    if let Some(told) = told.filter(|_| link.takes_type) {
        attachment.content_type = told;
    }
    attachment.content = answer.body.into();
}

fn unreachable(place: usize, reason: impl Into<String>) -> SendError {
    SendError::Unreachable {
        place,
        reason: reason.into(),
    }
}
