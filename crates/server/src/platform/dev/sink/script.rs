//! What a sink does at each step: by default everything right, in tests everything else.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sealwright_mail::smtp::{EnhancedCode, Reply};

/// A step at which the script decides.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Moment<'a> {
    /// A connection came in; the greeting is due.
    Connect,
    /// EHLO or HELO.
    Hello,
    /// STARTTLS.
    StartTls,
    /// MAIL.
    Mail {
        /// The sender.
        from: &'a str,
    },
    /// RCPT.
    Rcpt {
        /// The recipient.
        to: &'a str,
    },
    /// DATA.
    Data,
    /// The first octets of content came in.
    Content,
    /// The final dot.
    Message {
        /// The sender.
        from: &'a str,
        /// The accepted recipients.
        to: &'a [String],
    },
}

/// What to do.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// The right thing.
    Accept,
    /// Say this. A refusal refuses; at [`Moment::Content`] it also ends the session.
    Reply(Reply),
    /// Nothing for a while, then the other.
    Wait(Duration, Box<Verdict>),
    /// Close the connection without a word.
    HangUp,
    /// At [`Moment::Message`]: take the message, then close the connection without a word. Elsewhere as `HangUp`.
    KeepAndHangUp,
    /// Write these octets instead of a reply and close the connection.
    Raw(Vec<u8>),
}

impl Verdict {
    /// Refuse with this code and a text that fits its class.
    pub fn refuse(code: u16) -> Self {
        let class = if code >= 500 { 5 } else { 4 };
        Self::Reply(Reply::new(
            code,
            Some(EnhancedCode::new(class, 0, 0)),
            "refused by script",
        ))
    }
}

type Decide = dyn Fn(Moment<'_>) -> Verdict + Send + Sync;

/// Decides at each step; the default accepts everything.
#[derive(Clone)]
pub struct SinkScript(Arc<Decide>);

impl Default for SinkScript {
    fn default() -> Self {
        Self::new(|_| Verdict::Accept)
    }
}

impl fmt::Debug for SinkScript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SinkScript")
    }
}

impl SinkScript {
    /// Asks `decide` at each step.
    pub fn new(decide: impl Fn(Moment<'_>) -> Verdict + Send + Sync + 'static) -> Self {
        Self(Arc::new(decide))
    }

    /// Behaves as the recipient's local part says, and accepts all others:
    ///
    /// | local part | effect |
    /// |---|---|
    /// | `rcpt-550` | RCPT gets this code (any 4yz or 5yz) |
    /// | `dot-451` | the final dot gets this code |
    /// | `cut-rcpt` | the connection is closed at RCPT |
    /// | `cut-dot` | the connection is closed after the dot, the message not taken |
    /// | `lost-dot` | the connection is closed after the dot, the message taken |
    /// | `slow-1500` | the reply to the dot takes this many milliseconds, at most a minute |
    ///
    /// If several recipients ask for something at the dot, the first decides.
    pub fn by_local_part() -> Self {
        Self::new(|moment| match moment {
            Moment::Rcpt { to } => at_rcpt(local_part(to)),
            Moment::Message { to, .. } => to
                .iter()
                .find_map(|to| at_dot(local_part(to)))
                .unwrap_or(Verdict::Accept),
            _ => Verdict::Accept,
        })
    }

    pub(super) fn decide(&self, moment: Moment<'_>) -> Verdict {
        (self.0)(moment)
    }
}

/// The longest pause that a recipient can ask for.
const PAUSE_MS_MAX: u64 = 60_000;

fn local_part(address: &str) -> &str {
    address.rsplit_once('@').map_or(address, |(local, _)| local)
}

fn at_rcpt(local: &str) -> Verdict {
    match local.split_once('-') {
        Some(("rcpt", code)) => refusal(code).unwrap_or(Verdict::Accept),
        Some(("cut", "rcpt")) => Verdict::HangUp,
        _ => Verdict::Accept,
    }
}

fn at_dot(local: &str) -> Option<Verdict> {
    match local.split_once('-')? {
        ("dot", code) => refusal(code),
        ("cut", "dot") => Some(Verdict::HangUp),
        ("lost", "dot") => Some(Verdict::KeepAndHangUp),
        ("slow", ms) => {
            let pause = Duration::from_millis(ms.parse::<u64>().ok()?.min(PAUSE_MS_MAX));
            Some(Verdict::Wait(pause, Box::new(Verdict::Accept)))
        }
        _ => None,
    }
}

fn refusal(code: &str) -> Option<Verdict> {
    let code = code
        .parse::<u16>()
        .ok()
        .filter(|code| (400..600).contains(code))?;
    Some(Verdict::refuse(code))
}
