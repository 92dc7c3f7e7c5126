//! What became of a recipient, and who said so: the server, or this side of the connection.

use std::fmt;

use super::client::{ProtocolError, Verb};
use super::content::ContentError;
use super::reply::{EnhancedCode, Reply, Severity};

/// The end of one recipient's part in one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The server took responsibility for the message (2yz after the final dot).
    Delivered(Reply),
    /// Not delivered, as far as is known; trying again may help.
    Deferred(Reason),
    /// Not delivered; trying the same again does not help.
    Failed(Reason),
}

impl Outcome {
    /// The outcome that a refusing reply means. A positive one where a refusal was expected can't
    /// be trusted, so it defers.
    pub(super) fn refused(reply: &Reply) -> Self {
        match reply.severity() {
            Severity::Permanent => Self::Failed(Reason::Reply(reply.clone())),
            Severity::Positive | Severity::Intermediate | Severity::Transient => {
                Self::Deferred(Reason::Reply(reply.clone()))
            }
        }
    }

    /// The server's reply that decided, if it was one.
    pub fn reply(&self) -> Option<&Reply> {
        match self {
            Self::Delivered(reply)
            | Self::Deferred(Reason::Reply(reply))
            | Self::Failed(Reason::Reply(reply)) => Some(reply),
            Self::Deferred(Reason::Local(_)) | Self::Failed(Reason::Local(_)) => None,
        }
    }

    /// The enhanced status code of the reply, or the one that fits the local reason.
    pub fn enhanced(&self) -> Option<EnhancedCode> {
        match self {
            Self::Delivered(reply) => reply.enhanced(),
            Self::Deferred(reason) | Self::Failed(reason) => reason.enhanced(),
        }
    }
}

/// Why a recipient was not served. Its `Display` holds no text of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The server said so.
    Reply(Reply),
    /// This side decided, or the connection failed.
    Local(LocalReason),
}

impl Reason {
    /// The enhanced status code that belongs to the reason.
    pub fn enhanced(&self) -> Option<EnhancedCode> {
        match self {
            Self::Reply(reply) => reply.enhanced(),
            Self::Local(local) => Some(local.enhanced()),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reply(reply) => write!(f, "the server replied {reply}"),
            Self::Local(local) => local.fmt(f),
        }
    }
}

/// Reasons that no server gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocalReason {
    /// The connection ended at this step.
    #[error("the connection was lost at {}", .0.name())]
    ConnectionLost(Verb),
    /// The server took longer than this step may take.
    #[error("the server did not answer {} in time", .0.name())]
    TimedOut(Verb),
    /// What the server sent made no sense at this step.
    #[error("the server broke the protocol at {}: {}", .0.name(), .1)]
    Protocol(Verb, ProtocolError),
    /// The message is bigger than the server announced to take.
    #[error("the message has more than the {0} octets that the server takes")]
    TooBig(u64),
    /// An address or header needs SMTPUTF8, and the server does not offer it.
    #[error("the server does not take internationalized mail (SMTPUTF8)")]
    Smtputf8Missing,
    /// The content is 8-bit, and the server does not offer 8BITMIME.
    #[error("the server does not take 8-bit content (8BITMIME)")]
    EightBitMimeMissing,
    /// The sender's address can't be written in a command.
    #[error("the sender's address can not be written in SMTP")]
    SenderInvalid,
    /// The recipient's address can't be written in a command.
    #[error("the recipient's address can not be written in SMTP")]
    RecipientInvalid,
    /// The content can't be sent as it is.
    #[error("the message can not be sent: {0}")]
    Content(ContentError),
}

impl LocalReason {
    /// The enhanced status code of RFC 3463 (§3.7 and RFC 6531 §3.5 for SMTPUTF8) that says the
    /// same.
    pub fn enhanced(self) -> EnhancedCode {
        match self {
            Self::ConnectionLost(_) => EnhancedCode::new(4, 4, 2),
            Self::TimedOut(_) => EnhancedCode::new(4, 4, 1),
            Self::Protocol(..) => EnhancedCode::new(4, 5, 0),
            Self::TooBig(_) => EnhancedCode::new(5, 3, 4),
            Self::Smtputf8Missing => EnhancedCode::new(5, 6, 7),
            Self::EightBitMimeMissing => EnhancedCode::new(5, 6, 3),
            Self::SenderInvalid => EnhancedCode::new(5, 1, 7),
            Self::RecipientInvalid => EnhancedCode::new(5, 1, 3),
            Self::Content(_) => EnhancedCode::new(5, 6, 0),
        }
    }

    /// Whether trying again may help: true for everything that the connection did.
    pub fn is_temporary(self) -> bool {
        self.enhanced().class == 4
    }

    /// The outcome of a recipient for whom this is the reason.
    pub fn outcome(self) -> Outcome {
        let reason = Reason::Local(self);
        if self.is_temporary() {
            Outcome::Deferred(reason)
        } else {
            Outcome::Failed(reason)
        }
    }
}
