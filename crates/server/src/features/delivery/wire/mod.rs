//! The way out: SMTP connections to mail exchangers, over tokio and rustls.
//!
//! [`Connection::open`] dials, greets and encrypts; [`Connection::send`] carries one message to some recipients, as
//! often as the server lets it; [`Connection::quit`] leaves. What the dialogue means is decided by the machine in
//! `sealwright_mail::smtp::client`; this folder adds sockets, waits, TLS and the record of [`Step`]s.
//!
//! Not here: which host to try, when to try again, what to write into the database. Nothing here logs: replies hold
//! addresses, so what was said goes to the caller, who seals it.
//!
//! This folder measures time itself, because a step's duration is a fact about the wire.

mod connection;
mod dane;
mod steps;
mod stream;
#[cfg(test)]
mod tests;
mod tls;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use sealwright_mail::smtp::limits;
#[doc(inline)]
pub use sealwright_mail::smtp::{
    Envelope, Extensions, LocalReason, Outcome, Reason, Reply, Severity, TlsMode, Verb, client::Login,
};

pub use connection::Connection;
pub use dane::Dane;
pub use steps::{STEP_REPLY_CHARS_MAX, Step};
pub use tls::{ClientTls, TlsFacts, TlsFault, opportunistic_config, verifying_config};

/// Waits. The default is what RFC 5321 §4.5.3.2 asks for, and where it is silent, what its neighbours do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until the TCP connection stands.
    pub connect: Duration,
    /// Until the greeting.
    pub greeting: Duration,
    /// Until the reply to EHLO, HELO, STARTTLS, AUTH or RSET.
    pub command: Duration,
    /// For the TLS handshake.
    pub handshake: Duration,
    /// Until the reply to MAIL.
    pub mail: Duration,
    /// Until the reply to RCPT.
    pub rcpt: Duration,
    /// Until the reply to DATA.
    pub data: Duration,
    /// For each block of content.
    pub block: Duration,
    /// Until the reply to the final dot. A shorter one makes duplicates.
    pub dot: Duration,
    /// Until the reply to QUIT, which nobody needs.
    pub quit: Duration,
    /// For opening a connection altogether, and for everything of a transaction before the dot. Without it a server
    /// that lets each step take its time could hold a worker for hours.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            connect: seconds(CONNECT_SECONDS),
            greeting: seconds(limits::GREETING_SECONDS),
            command: seconds(limits::COMMAND_SECONDS),
            handshake: seconds(HANDSHAKE_SECONDS),
            mail: seconds(limits::MAIL_SECONDS),
            rcpt: seconds(limits::RCPT_SECONDS),
            data: seconds(limits::DATA_SECONDS),
            block: seconds(limits::DATA_BLOCK_SECONDS),
            dot: seconds(limits::DOT_SECONDS),
            quit: seconds(QUIT_SECONDS),
            total: seconds(TOTAL_SECONDS),
        }
    }
}

/// A host that does not answer a SYN for this long is down, or behind a wall.
const CONNECT_SECONDS: u64 = 30;

/// A handshake is two round trips and some arithmetic.
const HANDSHAKE_SECONDS: u64 = 60;

/// After QUIT everything is settled.
const QUIT_SECONDS: u64 = 5;

/// Enough for 36 MiB at a modem's pace, or for one hostile server to be noticed as such.
const TOTAL_SECONDS: u64 = 30 * 60;

impl Timeouts {
    pub(super) fn of(&self, verb: Verb) -> Duration {
        match verb {
            Verb::Greeting => self.greeting,
            Verb::Ehlo | Verb::Helo | Verb::StartTls | Verb::Auth | Verb::Rset => self.command,
            Verb::Mail => self.mail,
            Verb::Rcpt => self.rcpt,
            Verb::Data => self.data,
            Verb::Content => self.block,
            Verb::Dot => self.dot,
            Verb::Quit => self.quit,
        }
    }
}

/// Where to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The MX name: for SNI, for the certificate, for the record.
    pub host: String,
    /// One of its addresses.
    pub addr: SocketAddr,
}

/// How to connect.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// What this host calls itself in EHLO.
    pub ehlo_name: String,
    /// Whether to encrypt.
    pub tls: TlsMode,
    /// Which certificates to accept: [`opportunistic_config`] or [`verifying_config`].
    pub tls_config: ClientTls,
    /// How long to wait.
    pub timeouts: Timeouts,
    /// The local address to connect from, if the host has several.
    pub source: Option<IpAddr>,
    /// Who to log in as, once the connection is encrypted.
    pub login: Option<Login>,
}

/// Why there is no TLS where it was demanded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsProblem {
    /// The server does not offer it, or takes the offer back.
    Missing,
    /// The handshake failed: most often the certificate proves nothing.
    Handshake,
}

/// Why no connection came about. Holds no address; `reply`'s text may.
#[derive(Debug)]
pub struct WireFailure {
    /// What was done until then.
    pub steps: Vec<Step>,
    /// The server refused with 5yz before any message was mentioned. Another MX may think otherwise.
    pub permanent: bool,
    /// TLS failed, and clear text would be allowed: the caller may try again with [`TlsMode::Off`].
    pub retry_without_tls: bool,
    /// TLS was demanded, and this is why there is none.
    pub tls_problem: Option<TlsProblem>,
    /// TLS was tried, and this is what kind of failure it was, whether TLS was demanded or not.
    pub fault: Option<TlsFault>,
    /// What happened, for people.
    pub reason: String,
    /// What the server said, if it refused.
    pub reply: Option<Reply>,
}

impl WireFailure {
    /// Nothing was connected to yet.
    pub(super) fn before(reason: &str) -> Self {
        Self {
            steps: Vec::new(),
            permanent: false,
            retry_without_tls: false,
            tls_problem: None,
            fault: None,
            reason: reason.to_owned(),
            reply: None,
        }
    }
}

impl fmt::Display for WireFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for WireFailure {}

/// What became of one message on one connection.
#[derive(Debug)]
pub struct Transaction {
    /// One outcome per recipient, in the envelope's order.
    pub recipients: Vec<Outcome>,
    /// What was said, in order.
    pub steps: Vec<Step>,
    /// The final dot was written, or may have been.
    pub reached_dot: bool,
    /// It was, and no reply to it was understood: the server may have taken the message.
    pub in_doubt: bool,
}
