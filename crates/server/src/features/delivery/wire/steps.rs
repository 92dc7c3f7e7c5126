//! The record of a dialogue: each step, how long it took, what was said.

use std::fmt;

use sealwright_mail::smtp::client::Answered;
use tokio::time::Instant;

/// Characters of a reply kept in a [`Step`].
pub const STEP_REPLY_CHARS_MAX: usize = 512;

/// One step of a dialogue.
#[derive(Clone, PartialEq, Eq)]
pub struct Step {
    /// `connect`, `greeting`, `EHLO`, `HELO`, `STARTTLS`, `TLS` (the handshake), `AUTH`, `RSET`, `MAIL`, `RCPT`, `DATA`,
    /// `content`, `dot`.
    pub verb: &'static str,
    /// From the moment its octets were given to the connection to its reply. Pipelined steps start together.
    pub ms: u64,
    /// The reply's code; `None` for steps without a reply and where none came.
    pub code: Option<u16>,
    /// The reply's text, shortened. May hold personal data. For `TLS`, version and cipher.
    pub reply: String,
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ms", self.verb, self.ms)?;
        self.code.map_or(Ok(()), |code| write!(f, " {code}"))
    }
}

/// Collects steps; all that are answered belong to the latest start.
pub(super) struct Steps {
    started: Instant,
    list: Vec<Step>,
}

impl Steps {
    pub(super) fn new() -> Self {
        Self {
            started: now(),
            list: Vec::new(),
        }
    }

    pub(super) fn start(&mut self) {
        self.started = now();
    }

    pub(super) fn answered(&mut self, answered: &Answered) {
        self.push(
            answered.verb.name(),
            Some(answered.reply.code()),
            answered.reply.text(STEP_REPLY_CHARS_MAX),
        );
    }

    /// A step without a reply: it needs none, or none came.
    pub(super) fn silent(&mut self, verb: &'static str) {
        self.push(verb, None, String::new());
    }

    pub(super) fn push(&mut self, verb: &'static str, code: Option<u16>, reply: String) {
        let ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.list.push(Step {
            verb,
            ms,
            code,
            reply,
        });
    }

    pub(super) fn take(&mut self) -> Vec<Step> {
        std::mem::take(&mut self.list)
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "durations on the wire are measured here and nowhere else"
)]
pub(super) fn now() -> Instant {
    Instant::now()
}
