//! Header names and values that can't harm the header they end up in.
//!
//! A [`HeaderText`] has no line break by construction and a [`HeaderName`] is never one that this
//! program writes itself, so a message always has exactly the fields it is meant to have. How the
//! text is folded and encoded is decided in [`crate::compose`], not here.

mod part;

pub use part::{
    CONTENT_ID_OCTETS_MAX, CONTENT_TYPE_OCTETS_MAX, ContentId, ContentType, FILE_NAME_CHARS_MAX, FileName,
};

use crate::text::breaks_line;
use std::fmt;

/// Octets of a header name: with its colon it leaves room for a space and a fold within 78.
pub const HEADER_NAME_OCTETS_MAX: usize = 76;

/// Characters of a header value or subject.
pub const HEADER_TEXT_CHARS_MAX: usize = 998;

/// Fields only this program writes: identity, routing, MIME structure and authentication.
const RESERVED: [&str; 27] = [
    "apparently-to",
    "authentication-results",
    "bcc",
    "cc",
    "date",
    "delivered-to",
    "dkim-signature",
    "dkim2-signature",
    "domainkey-signature",
    "envelope-to",
    "errors-to",
    "from",
    "lines",
    "message-id",
    "message-instance",
    "mime-version",
    "received",
    "received-spf",
    "reply-to",
    "return-path",
    "sender",
    "status",
    "subject",
    "to",
    "x-envelope-from",
    "x-envelope-to",
    "x-original-to",
];

/// Families of fields only this program, or a server on the way, writes.
const RESERVED_PREFIXES: [&str; 4] = ["arc-", "bimi-", "content-", "resent-"];

/// Fields whose grammar has no room for RFC 2047 encoded-words.
const STRUCTURED: [&str; 9] = [
    "auto-submitted",
    "disposition-notification-to",
    "feedback-id",
    "importance",
    "in-reply-to",
    "precedence",
    "priority",
    "references",
    "x-priority",
];

/// Why a header name or value, a file name, a content type or a content id was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The header name is empty or has a character RFC 5322 doesn't allow.
    #[error(
        "the header name is empty or has a character that is not allowed: use letters, digits and hyphens"
    )]
    Name,
    /// The header name is longer than [`HEADER_NAME_OCTETS_MAX`].
    #[error("the header name is longer than 76 characters: use a shorter one")]
    NameTooLong,
    /// The header is one this program writes itself.
    #[error("this header is set by the system and cannot be given: remove it")]
    NameReserved,
    /// A line break, NUL or other control character.
    #[error("the text has a line break or control character: remove it")]
    Control,
    /// Longer than [`HEADER_TEXT_CHARS_MAX`].
    #[error("the text is longer than 998 characters: use a shorter one")]
    TextTooLong,
    /// A value beyond ASCII for a field that can't carry it.
    #[error("this header can only carry plain ASCII: remove or escape the other characters")]
    NotAscii,
    /// The file name is empty, has a folder in it, or a character that hides or breaks it.
    #[error(
        "the file name is empty, has a path separator, or a control or direction character: give the bare name of the file"
    )]
    FileName,
    /// The file name is longer than [`FILE_NAME_CHARS_MAX`].
    #[error("the file name is longer than 255 characters: use a shorter one")]
    FileNameTooLong,
    /// Not a content type, or one an attachment can't have.
    #[error(
        "the content type is not valid for an attachment: write it as type/subtype, for example application/pdf"
    )]
    ContentType,
    /// The content id is empty, too long, or has a character a `cid:` address can't carry.
    #[error(
        "the content id may have up to 128 letters, digits and the characters . _ - + = $ ~ @: change it"
    )]
    ContentId,
}

/// The name of a header a caller may set.
///
/// Compared without regard to case, kept as given.
#[derive(Debug, Clone)]
pub struct HeaderName(String);

impl HeaderName {
    /// Takes a name of RFC 5322 §3.6.8 `ftext`.
    ///
    /// # Errors
    /// [`HeaderError::Name`], [`HeaderError::NameTooLong`], or [`HeaderError::NameReserved`] for
    /// fields that say who sent what to whom, describe the body, or authenticate it.
    pub fn parse(input: &str) -> Result<Self, HeaderError> {
        if input.is_empty() || !input.bytes().all(|b| b.is_ascii_graphic() && b != b':') {
            return Err(HeaderError::Name);
        }
        if input.len() > HEADER_NAME_OCTETS_MAX {
            return Err(HeaderError::NameTooLong);
        }
        let lower = input.to_ascii_lowercase();
        if RESERVED.contains(&lower.as_str())
            || RESERVED_PREFIXES.iter().any(|prefix| lower.starts_with(prefix))
        {
            return Err(HeaderError::NameReserved);
        }
        Ok(Self(input.to_owned()))
    }

    /// The name as given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the field has a grammar of its own (`List-Unsubscribe`, `References`, …), so that
    /// encoded-words in it would be read as they stand.
    #[must_use]
    pub fn is_structured(&self) -> bool {
        let lower = self.0.to_ascii_lowercase();
        STRUCTURED.contains(&lower.as_str()) || lower.starts_with("list-")
    }

    /// Says whether this field can carry `value` unchanged.
    ///
    /// # Errors
    /// [`HeaderError::NotAscii`] when the field [is structured](Self::is_structured) and the value
    /// isn't ASCII.
    pub fn check_value(&self, value: &HeaderText) -> Result<(), HeaderError> {
        if self.is_structured() && !value.as_str().is_ascii() {
            return Err(HeaderError::NotAscii);
        }
        Ok(())
    }
}

impl PartialEq for HeaderName {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for HeaderName {}

/// One line of text for a subject or header value, trimmed; may be empty.
#[derive(Clone, PartialEq, Eq)]
pub struct HeaderText(String);

impl HeaderText {
    /// Takes plain text. Tabs are allowed, every other control character is not; space around the
    /// text is dropped because receivers don't see it.
    ///
    /// # Errors
    /// [`HeaderError::Control`] (CR, LF, NUL, C0, C1, U+2028, U+2029) or
    /// [`HeaderError::TextTooLong`] past [`HEADER_TEXT_CHARS_MAX`].
    pub fn parse(input: &str) -> Result<Self, HeaderError> {
        if input.chars().any(|c| c != '\t' && breaks_line(c)) {
            return Err(HeaderError::Control);
        }
        let text = input.trim_matches([' ', '\t']);
        if text.chars().count() > HEADER_TEXT_CHARS_MAX {
            return Err(HeaderError::TextTooLong);
        }
        Ok(Self(text.to_owned()))
    }

    /// The plain text, neither folded nor encoded.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for HeaderText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeaderText")
    }
}
