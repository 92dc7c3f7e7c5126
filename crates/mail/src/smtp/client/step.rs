//! The steps of a dialogue, and whose turn it is.

use crate::smtp::reply::Reply;

/// Whether the connection is to be encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// Never, even if offered.
    Off,
    /// If offered; clear text otherwise (RFC 7435).
    Opportunistic,
    /// Always; without it nothing is sent.
    Required,
    /// From the first octet, before the greeting (RFC 8314 §3).
    Implicit,
}

/// A step of the dialogue that the server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// The server's greeting.
    Greeting,
    /// EHLO.
    Ehlo,
    /// HELO, for servers that refuse EHLO.
    Helo,
    /// STARTTLS, up to its reply.
    StartTls,
    /// AUTH, and what follows of the login.
    Auth,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA.
    Data,
    /// The content, which has no reply of its own.
    Content,
    /// The final dot.
    Dot,
    /// RSET.
    Rset,
    /// QUIT.
    Quit,
}

impl Verb {
    /// The name in records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Greeting => "greeting",
            Self::Ehlo => "EHLO",
            Self::Helo => "HELO",
            Self::StartTls => "STARTTLS",
            Self::Auth => "AUTH",
            Self::Mail => "MAIL",
            Self::Rcpt => "RCPT",
            Self::Data => "DATA",
            Self::Content => "content",
            Self::Dot => "dot",
            Self::Rset => "RSET",
            Self::Quit => "QUIT",
        }
    }
}

/// Whose turn it is. Output, if there is any, is to be written first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The server's: it owes the reply to this step.
    Read(Verb),
    /// The caller's: do the TLS handshake, then call [`Client::tls_started`].
    Upgrade,
    /// The caller's: [`Client::begin`] a transaction or [`Client::quit`].
    Ready,
    /// The caller's: write the content, then call [`Client::finish`].
    Content,
    /// Nobody's: the connection is of no more use.
    Closed,
}

/// A reply and the step it answers; for the record of steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The step.
    pub verb: Verb,
    /// The server's words.
    pub reply: Reply,
}
