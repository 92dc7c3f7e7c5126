//! From a [`Draft`] to the bytes of a message.
//!
//! The result is what every relay on the way can carry unchanged, so that its signature still holds
//! at the end: seven-bit bodies, CRLF line breaks only, no line past 998 octets, header lines folded
//! at 78 where a space allows it. Headers are ASCII (RFC 2047, RFC 2231) except where an address
//! itself isn't; then, and only then, the message needs SMTPUTF8.
//!
//! The same draft always gives the same bytes. Blind-copy recipients are not in the draft at all:
//! what isn't known can't be written by mistake.

mod date;
mod fields;
mod parts;

use crate::address::Mailbox;
use crate::header::{ContentId, ContentType, FileName, HeaderName, HeaderText};

/// Octets of a message id that are written; a longer one is cut, since a `Message-ID` has no place
/// to fold.
pub const MESSAGE_ID_OCTETS_MAX: usize = 250;

/// A file that goes with the message.
#[derive(Clone, Copy)]
pub struct Attachment<'a> {
    /// The name receivers see.
    pub filename: &'a FileName,
    /// What it is.
    pub content_type: &'a ContentType,
    /// Its bytes.
    pub content: &'a [u8],
    /// Set when the HTML refers to it by `cid:`; it then goes beside the HTML (RFC 2387) instead of
    /// being listed as a file, provided there is an HTML body.
    pub content_id: Option<&'a ContentId>,
}

/// Everything a message is made of.
#[derive(Clone, Copy)]
pub struct Draft<'a> {
    /// The author.
    pub from: &'a Mailbox,
    /// Primary recipients; without any there is no `To` field.
    pub to: &'a [Mailbox],
    /// Recipients in copy; without any there is no `Cc` field.
    pub cc: &'a [Mailbox],
    /// Where answers go; without any there is no `Reply-To` field.
    pub reply_to: &'a [Mailbox],
    /// The subject; an empty one is written as an empty field.
    pub subject: &'a HeaderText,
    /// `left@right` without brackets. Characters that a message id can't have are left out, so that
    /// not even a wrong id can add a field.
    pub message_id: &'a str,
    /// The date, in seconds since 1970 UTC; beyond the years 1970–9999 the nearest of them.
    pub date_unix_s: i64,
    /// Further fields, in this order.
    pub headers: &'a [(HeaderName, HeaderText)],
    /// The plain text body, with any kind of line breaks.
    pub text: Option<&'a str>,
    /// The HTML body, with any kind of line breaks.
    pub html: Option<&'a str>,
    /// The same for readers that run AMP; written only beside HTML, which all others show.
    pub amp: Option<&'a str>,
    /// Attached and inline files, in this order.
    pub attachments: &'a [Attachment<'a>],
    /// Any text; boundaries between parts are derived from it.
    pub boundary_seed: &'a str,
}

/// A message ready to be signed and sent.
pub struct Message {
    /// Header section, empty line, body.
    pub bytes: Vec<u8>,
    /// Where the body begins, past the empty line.
    pub body_start: usize,
    /// Whether a header has an address beyond ASCII, so that the next hop must offer SMTPUTF8.
    pub needs_smtputf8: bool,
}

/// Writes the message.
///
/// ```
/// use sealwright_mail::address::Mailbox;
/// use sealwright_mail::compose::{Draft, compose};
/// use sealwright_mail::header::HeaderText;
///
/// let from = Mailbox::parse("Shop <orders@example.com>").unwrap();
/// let to = [Mailbox::parse("jane@example.net").unwrap()];
/// let message = compose(&Draft {
///     from: &from,
///     to: &to,
///     cc: &[],
///     reply_to: &[],
///     subject: &HeaderText::parse("Your order").unwrap(),
///     message_id: "em_1@example.com",
///     date_unix_s: 1_795_305_600,
///     headers: &[],
///     text: Some("Thank you.\n"),
///     html: None,
///     amp: None,
///     attachments: &[],
///     boundary_seed: "em_1",
/// });
/// assert!(message.bytes.ends_with(b"\r\n\r\nThank you.\r\n"));
/// ```
#[must_use]
pub fn compose(draft: &Draft<'_>) -> Message {
    let mut out = Vec::with_capacity(octets_expected(draft));
    let needs_smtputf8 = fields::push(&mut out, draft);
    let body_start = parts::push(&mut out, draft);
    Message {
        bytes: out,
        body_start,
        needs_smtputf8,
    }
}

/// The same message under another date: only its `Date` field differs.
///
/// Of a message that [`compose`] did not make, and that begins with another field, nothing is changed.
#[must_use]
pub fn with_date(message: &[u8], date_unix_s: i64) -> Vec<u8> {
    let field = b"Date: ";
    let end = message.windows(2).position(|window| window == b"\r\n");
    let rest = end.and_then(|end| message.get(end..));
    let Some(rest) = rest.filter(|_| message.starts_with(field)) else {
        return message.to_vec();
    };
    [field, date::rfc5322(date_unix_s).as_bytes(), rest].concat()
}

/// A generous guess, so that the buffer is allocated once for ordinary mail.
fn octets_expected(draft: &Draft<'_>) -> usize {
    let parts = [draft.text, draft.html, draft.amp];
    let bodies: usize = parts.into_iter().flatten().map(str::len).sum();
    let files: usize = draft.attachments.iter().map(|file| file.content.len()).sum();
    let people = draft.to.len() + draft.cc.len() + draft.reply_to.len();
    let headers: usize = draft
        .headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.as_str().len())
        .sum();
    2048 + bodies + bodies / 8 + files + files / 5 * 2 + people * 96 + headers * 2
}
