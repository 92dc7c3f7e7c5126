//! What a connection asks the program.

use std::fmt;

/// Something the program has to decide. Each event is answered before more input is read.
#[derive(Clone, PartialEq, Eq)]
pub enum Event {
    /// EHLO or HELO.
    Hello {
        /// What the client calls itself.
        name: String,
        /// Whether it was EHLO.
        esmtp: bool,
    },
    /// STARTTLS. After accepting, write the output, do the handshake, call [`Server::tls_started`].
    StartTls,
    /// MAIL.
    Mail {
        /// The reverse path, empty for the null sender.
        from: String,
        /// The size that the client declared.
        size: Option<u64>,
        /// Whether it declared `BODY=8BITMIME`.
        eight_bit: bool,
        /// Whether it declared `SMTPUTF8`.
        smtputf8: bool,
    },
    /// RCPT.
    Rcpt {
        /// The forward path; `postmaster` may come without a domain.
        to: String,
    },
    /// DATA with at least one recipient.
    Data,
    /// Content that ended properly and broke no limit. Accepting it takes responsibility for it.
    Message(Vec<u8>),
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hello { .. } => "Hello",
            Self::StartTls => "StartTls",
            Self::Mail { .. } => "Mail",
            Self::Rcpt { .. } => "Rcpt",
            Self::Data => "Data",
            Self::Message(_) => "Message",
        })
    }
}

/// What became of a piece of input.
#[derive(Debug)]
pub struct Received {
    /// Octets taken; the rest is to be offered again, after the event has been answered.
    pub taken: usize,
    /// What the program has to decide now.
    pub event: Option<Event>,
}
