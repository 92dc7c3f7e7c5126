//! What comes back to a sender: delivery reports and complaints.
//!
//! [`Report::read`] takes a whole message and says what it reports: that mail did not reach some
//! recipients (RFC 3464, or one of the prose forms of mail systems that know no better), that a
//! recipient complained (RFC 5965), or nothing of the kind. Vacation notes, and reports that mail
//! is late, was relayed or expanded, are [`Report::Other`].
//!
//! A report is written by a stranger. Reading one never fails and never descends into the message
//! that it brings back: of that only the header is looked at. Every loop has a bound with a name.
//!
//! What other systems tell of TLS on the way to a domain is read by [`tls`]; it can be refused, with
//! a reason for its sender.
//!
//! Not here: which of our messages a report is about ([`return_path`](crate::return_path)), and
//! what becomes of it.

mod complaint;
mod delivery;
mod entity;
mod prose;
pub mod tls;

pub use complaint::Complaint;
pub use delivery::Failure;

use entity::Entity;
use std::fmt;

/// Nested multiparts that are looked into.
pub const DEPTH_MAX: usize = 4;
/// Parts that are looked at, all multiparts together.
pub const PARTS_MAX: usize = 32;
/// Octets of one part, decoded, that are looked at.
pub const PART_OCTETS_MAX: usize = 256 * 1024;
/// Octets of a header that are looked at.
pub const HEADER_OCTETS_MAX: usize = 64 * 1024;
/// Recipients of one report; those beyond are not read.
pub const RECIPIENTS_MAX: usize = 100;
/// Octets of a mail system's own words that are kept.
pub const WORDS_OCTETS_MAX: usize = 16 * 1024;
/// Characters of the reason for one recipient that are kept.
pub const REASON_CHARS_MAX: usize = 512;

/// What a message reports.
pub enum Report {
    /// Mail did not reach these recipients, and will not.
    Undelivered(Undelivered),
    /// A recipient complained.
    Complaint(Complaint),
    /// Nothing that changes anything.
    Other,
}

/// A report of mail that did not arrive.
pub struct Undelivered {
    /// The recipients, each with a reason.
    pub failures: Vec<Failure>,
    /// The ENVID that the message was sent with (RFC 3461 §4.4), decoded.
    pub envelope_id: Option<String>,
    /// What the mail system says itself, without the message that it brings back.
    pub words: String,
}

impl Report {
    /// Reads a message.
    #[must_use]
    pub fn read(message: &[u8]) -> Self {
        let header = Entity::of(message);
        let parts = Entity::of(message).parts();
        if let Some(complaint) = Complaint::of(&parts) {
            return complaint.map_or(Self::Other, Self::Complaint);
        }
        let undelivered =
            Undelivered::of_status(&parts).unwrap_or_else(|| prose::undelivered(header.fields(), &parts));
        if undelivered.failures.is_empty() {
            Self::Other
        } else {
            Self::Undelivered(undelivered)
        }
    }
}

/// Reports are full of addresses.
impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Undelivered(_) => "Undelivered",
            Self::Complaint(_) => "Complaint",
            Self::Other => "Other",
        })
    }
}

/// The first so many octets, cut between characters.
fn head(text: &str, octets_max: usize) -> &str {
    text.get(..text.floor_char_boundary(octets_max)).unwrap_or(text)
}
