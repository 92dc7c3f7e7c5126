//! Why a connection is of no more use.

use super::Verb;
use crate::smtp::reply::{Reply, ReplyError};

/// What a server did that SMTP does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// Octets that are no reply.
    #[error(transparent)]
    Reply(#[from] ReplyError),
    /// A reply of a class that this step can't have.
    #[error("reply {0} makes no sense here")]
    Unexpected(u16),
    /// A reply to nothing.
    #[error("a reply that nothing asked for")]
    Unsolicited,
    /// Octets in clear text behind the reply to STARTTLS. They would be read as if they had come
    /// encrypted (RFC 3207 §4.2; CVE-2011-0411 and its like).
    #[error("clear text after the reply to STARTTLS")]
    ClearTextAfterStartTls,
}

/// Why a connection ended. Its `Display` holds no text of the server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The server refused this step, or said 421 at it.
    #[error("the server refused {}: {}", .0.name(), .1)]
    Refused(Verb, Reply),
    /// TLS is required and not offered.
    #[error("the server does not offer TLS, which is required")]
    TlsNotOffered,
    /// A login is wanted, and none is offered that the client knows.
    #[error("the server offers no login with PLAIN or LOGIN")]
    LoginNotOffered,
    /// The connection was lost at this step.
    #[error("the connection was lost at {}", .0.name())]
    Lost(Verb),
    /// A wait passed its limit at this step.
    #[error("the server did not answer {} in time", .0.name())]
    TimedOut(Verb),
    /// The server broke the protocol at this step.
    #[error("the server broke the protocol at {}: {}", .0.name(), .1)]
    Protocol(Verb, ProtocolError),
    /// QUIT was said.
    #[error("the connection was ended by QUIT")]
    Quit,
}

impl Failure {
    /// The server's words, if it said no.
    pub fn reply(&self) -> Option<&Reply> {
        match self {
            Self::Refused(_, reply) => Some(reply),
            Self::TlsNotOffered
            | Self::LoginNotOffered
            | Self::Lost(_)
            | Self::TimedOut(_)
            | Self::Protocol(..)
            | Self::Quit => None,
        }
    }
}
