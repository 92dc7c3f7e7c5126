//! The last look at a message before its first byte leaves.
//!
//! A parser and a verifier that had no part in composing and signing read what is about to be sent. What they find is our fault or that
//! of a damaged row or key, never the caller's, whose mistakes were refused at the door; it would be the receiver who noticed it
//! otherwise, by a rejected or forged-looking mail. So the mail waits, and the operator is told.

pub use crate::features::domains::{Verifier, verdict};

use super::signing::body_start;
use mail_parser::{HeaderName, Message, MessageParser, MessagePart, MimeHeaders as _};
use sealwright_mail::address::Mailbox;

/// Octets of a line without its CRLF (RFC 5322 §2.1.1).
const LINE_OCTETS_MAX: usize = 998;

/// Fields that a message has once, and those that it has at most once (RFC 5322 §3.6, RFC 2045 §4).
const ONCE: [&str; 5] = ["From", "Date", "Subject", "Message-ID", "MIME-Version"];
const AT_MOST_ONCE: [&str; 9] = [
    "To",
    "Cc",
    "Reply-To",
    "Sender",
    "In-Reply-To",
    "References",
    "Content-Type",
    "Content-Transfer-Encoding",
    "List-Unsubscribe",
];
/// Fields that are not the sender's to write, or that tell whom nobody should know.
const NEVER: [&str; 3] = ["Bcc", "Return-Path", "Received"];
/// Fields whose addresses may be beyond ASCII (RFC 6532).
const OF_ADDRESSES: [&str; 5] = ["From", "To", "Cc", "Reply-To", "Sender"];

/// What the message must say.
pub struct Expected<'a> {
    /// Its only author.
    pub from: &'a Mailbox,
    /// Its subject, decoded.
    pub subject: &'a str,
    /// Its `Message-ID` without brackets.
    pub message_id: &'a str,
    /// The records of the keys that sign it: names of hosts and texts.
    pub published: &'a [(String, String)],
}

/// What is wrong with a message. Names no address and no content.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum Finding {
    #[error("a line that does not end in CRLF alone")]
    LineEnd,
    #[error("a line of more than {LINE_OCTETS_MAX} octets")]
    LineLength,
    #[error("a NUL")]
    Nul,
    #[error("octets beyond ASCII where none may be")]
    EightBit,
    #[error("the second parser can't read it")]
    Unreadable,
    #[error("a name of a header field that readers could read differently")]
    FieldName,
    #[error("{1} fields named {0}")]
    FieldCount(&'static str, usize),
    #[error("a part whose encoding the second parser can't undo")]
    Encoding,
    #[error("the second parser reads another {0}")]
    Differs(&'static str),
    #[error("the second verifier does not accept its signature: {0}")]
    Signature(String),
    #[error("a signature of another domain than its author's, or too few of them")]
    Alignment,
}

impl Finding {
    /// The finding as metrics know it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::LineEnd | Self::LineLength | Self::Nul | Self::EightBit => "octets",
            Self::Unreadable | Self::FieldName | Self::FieldCount(..) | Self::Encoding => "structure",
            Self::Differs(_) => "content",
            Self::Signature(_) | Self::Alignment => "signature",
        }
    }
}

/// Looks at a message as it is about to leave: signature fields, then the message they sign.
///
/// # Errors
/// The first [`Finding`].
pub fn lint(
    verifier: &Verifier,
    fields: &[u8],
    message: &[u8],
    expected: &Expected<'_>,
) -> Result<(), Finding> {
    octets(fields)?;
    octets(message)?;
    let body = body_start(message).ok_or(Finding::Unreadable)?;
    if !fields.is_ascii() || !message.get(body..).is_some_and(<[u8]>::is_ascii) {
        return Err(Finding::EightBit);
    }
    let parsed = MessageParser::default()
        .parse(message)
        .ok_or(Finding::Unreadable)?;
    structure(&parsed, message)?;
    content(&parsed, expected)?;
    signatures(verifier, fields, message, expected)
}

/// What SMTP can carry, and carries as one message only (RFC 5321 §2.3.8).
fn octets(section: &[u8]) -> Result<(), Finding> {
    for line in section.split_inclusive(|octet| *octet == b'\n') {
        let line = line.strip_suffix(b"\r\n").ok_or(Finding::LineEnd)?;
        if line.contains(&b'\r') {
            return Err(Finding::LineEnd);
        }
        if line.contains(&0) {
            return Err(Finding::Nul);
        }
        if line.len() > LINE_OCTETS_MAX {
            return Err(Finding::LineLength);
        }
    }
    Ok(())
}

fn structure(parsed: &Message<'_>, message: &[u8]) -> Result<(), Finding> {
    let root = parsed.root_part();
    for header in &root.headers {
        let range = |from: u32, to: u32| message.get(from as usize..to as usize);
        // The name as it stands: parsers that look past its oddities would not agree on what it names.
        let name = range(header.offset_field, header.offset_start.saturating_sub(1));
        if !name.is_some_and(|name| !name.is_empty() && name.iter().all(is_of_name)) {
            return Err(Finding::FieldName);
        }
        let value = range(header.offset_start, header.offset_end).unwrap_or_default();
        if !value.is_ascii() && !OF_ADDRESSES.iter().any(|of| is_named(&header.name, of)) {
            return Err(Finding::EightBit);
        }
    }
    let counts = [(ONCE.as_slice(), 1, 1), (&AT_MOST_ONCE, 0, 1), (&NEVER, 0, 0)];
    for (names, least, most) in counts {
        for name in names {
            let count = count(root, name);
            if count < least || count > most {
                return Err(Finding::FieldCount(name, count));
            }
        }
    }
    let is_damaged = |part: &MessagePart<'_>| part.is_encoding_problem && !is_message(part);
    if parsed.parts.iter().any(is_damaged) {
        return Err(Finding::Encoding);
    }
    Ok(())
}

/// A message as an attachment is the caller's, and need not be one.
fn is_message(part: &MessagePart<'_>) -> bool {
    part.content_type()
        .is_some_and(|content_type| content_type.ctype().eq_ignore_ascii_case("message"))
}

/// RFC 5322 §3.6.8.
fn is_of_name(octet: &u8) -> bool {
    octet.is_ascii_graphic() && *octet != b':'
}

fn is_named(name: &HeaderName<'_>, wanted: &str) -> bool {
    name.as_str().eq_ignore_ascii_case(wanted)
}

fn count(root: &MessagePart<'_>, wanted: &str) -> usize {
    let fields = root.headers.iter();
    fields.filter(|header| is_named(&header.name, wanted)).count()
}

fn content(parsed: &Message<'_>, expected: &Expected<'_>) -> Result<(), Finding> {
    let mut authors = parsed.from().into_iter().flat_map(mail_parser::Address::iter);
    let author = authors.next().and_then(mail_parser::Addr::address);
    let is_author = author.is_some_and(|author| author.eq_ignore_ascii_case(expected.from.address.as_str()));
    if !is_author || authors.next().is_some() {
        return Err(Finding::Differs("From"));
    }
    // Folding may add or take white space between words.
    let words = |text: &str| text.split_whitespace().collect::<String>();
    if words(parsed.subject().unwrap_or_default()) != words(expected.subject) {
        return Err(Finding::Differs("Subject"));
    }
    if parsed.message_id() != Some(expected.message_id) {
        return Err(Finding::Differs("Message-ID"));
    }
    if parsed.date().is_none_or(|date| !date.is_valid()) {
        return Err(Finding::Differs("Date"));
    }
    Ok(())
}

/// Every key's signature holds under its published record, and is of the author's own domain (RFC 7489 §3.1.1, strict).
fn signatures(
    verifier: &Verifier,
    fields: &[u8],
    message: &[u8],
    expected: &Expected<'_>,
) -> Result<(), Finding> {
    let verified = verifier.verify(fields, message, expected.published);
    let domains = verified.map_err(Finding::Signature)?;
    let author = expected.from.address.domain().as_str();
    let are_aligned = domains.iter().all(|domain| domain == author);
    if are_aligned && domains.len() == expected.published.len() && !domains.is_empty() {
        Ok(())
    } else {
        Err(Finding::Alignment)
    }
}

#[cfg(test)]
mod tests;
