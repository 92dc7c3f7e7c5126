//! An e-mail as a caller wants it: parsed, within its limits, not stored yet.

use crate::clock::Timestamp;
use crate::features::domains::Tls;
use crate::features::events::Metadata;
use crate::limits;
use crate::platform::jobs::Priority;
use sealwright_mail::address::Mailbox;
use sealwright_mail::header::{ContentId, ContentType, FileName, HeaderName, HeaderText};

/// An attached file.
#[derive(Debug, Clone)]
pub struct Attachment {
    /// Its name.
    pub filename: FileName,
    /// Its type.
    pub content_type: ContentType,
    /// Its bytes.
    pub content: Vec<u8>,
    /// Its name inside the HTML (`cid:`).
    pub content_id: Option<ContentId>,
}

/// An e-mail to be sent. Its parts can't hold what a header or an envelope can't hold.
#[derive(Clone)]
pub struct Draft {
    /// The author.
    pub from: Mailbox,
    /// Recipients in `To`; at least one.
    pub to: Vec<Mailbox>,
    /// Recipients in `Cc`.
    pub cc: Vec<Mailbox>,
    /// Recipients that no header names.
    pub bcc: Vec<Mailbox>,
    /// Where replies go.
    pub reply_to: Vec<Mailbox>,
    /// The subject.
    pub subject: HeaderText,
    /// The HTML part.
    pub html: Option<String>,
    /// The text part; derived from the HTML when absent.
    pub text: Option<String>,
    /// The AMP part, for readers that run it; the HTML part is for all others.
    pub amp: Option<String>,
    /// Further headers.
    pub headers: Vec<(HeaderName, HeaderText)>,
    /// Tags.
    pub tags: Vec<String>,
    /// Metadata.
    pub metadata: Metadata,
    /// Attached files.
    pub attachments: Vec<Attachment>,
    /// When it is to leave, if not at once.
    pub scheduled_at: Option<Timestamp>,
    /// Whether it goes before other mail.
    pub stream: Stream,
    /// How it has to travel, whatever its domain says.
    pub tls: Tls,
}

impl std::fmt::Debug for Draft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Draft({} recipients)",
            self.to.len() + self.cc.len() + self.bcc.len()
        )
    }
}

/// What kind of sending a mail belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stream {
    /// One person's business, and that person waits for it.
    #[default]
    Transactional,
    /// The same for many; it waits for the other stream.
    Broadcast,
}

impl Stream {
    /// Both streams.
    pub const ALL: [Stream; 2] = [Self::Transactional, Self::Broadcast];

    /// The stream as it is asked for.
    pub fn name(self) -> &'static str {
        match self {
            Self::Transactional => "transactional",
            Self::Broadcast => "broadcast",
        }
    }

    /// Reads a stream.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stream| stream.name() == text)
    }

    /// The stream whose jobs have this priority.
    pub fn of(priority: Priority) -> Self {
        match priority {
            Priority::First => Self::Transactional,
            Priority::Later => Self::Broadcast,
        }
    }

    pub(super) fn priority(self) -> Priority {
        match self {
            Self::Transactional => Priority::First,
            Self::Broadcast => Priority::Later,
        }
    }
}

/// Which part of a draft is refused, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct DraftError {
    /// The field, as the API names it.
    pub field: String,
    /// What is wrong and what to do; never the value.
    pub reason: String,
}

impl DraftError {
    /// A refusal of one field.
    pub fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            reason: reason.into(),
        }
    }
}

impl Draft {
    /// Checks what no single field can tell: counts, sums, and that there is something to send.
    pub fn check(&self) -> Result<(), DraftError> {
        self.check_recipients()?;
        at_most(self.reply_to.len(), limits::REPLY_TO_MAX, "replyTo", "addresses")?;
        at_most(self.headers.len(), limits::HEADERS_MAX, "headers", "headers")?;
        at_most(
            self.attachments.len(),
            limits::ATTACHMENTS_MAX,
            "attachments",
            "attachments",
        )?;
        at_most(self.tags.len(), limits::TAGS_MAX, "tags", "tags")?;
        if self.html.is_none() && self.text.is_none() {
            return Err(DraftError::new("html", "an e-mail needs html, text, or both"));
        }
        if self.amp.is_some() && self.html.is_none() {
            let reason = "an AMP part needs html beside it, for readers that don't run AMP";
            return Err(DraftError::new("amp", reason));
        }
        for (field, part, max) in [
            ("html", &self.html, limits::BODY_PART_BYTES_MAX),
            ("text", &self.text, limits::BODY_PART_BYTES_MAX),
            ("amp", &self.amp, limits::AMP_BYTES_MAX),
        ] {
            at_most(part.as_ref().map_or(0, String::len), max, field, "bytes")?;
        }
        self.check_tags()?;
        self.check_metadata()?;
        let attached: usize = self
            .attachments
            .iter()
            .map(|attachment| attachment.content.len())
            .sum();
        at_most(
            attached.saturating_mul(4) / 3,
            limits::MESSAGE_BYTES_MAX,
            "attachments",
            "bytes of all attachments as sent",
        )
    }

    /// Checks that there is somebody to write to, and not too many.
    pub fn check_recipients(&self) -> Result<(), DraftError> {
        let recipients = self.to.len() + self.cc.len() + self.bcc.len();
        if self.to.is_empty() {
            return Err(DraftError::new(
                "to",
                "an e-mail needs at least one recipient in to",
            ));
        }
        at_most(
            recipients,
            limits::RECIPIENTS_MAX,
            "to",
            "recipients in to, cc and bcc together",
        )
    }

    fn check_tags(&self) -> Result<(), DraftError> {
        for (index, tag) in self.tags.iter().enumerate() {
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            if tag.is_empty() || tag.len() > limits::TAG_CHARS_MAX || !tag.chars().all(fits) {
                let max = limits::TAG_CHARS_MAX;
                let reason = format!("a tag has 1 to {max} letters, digits, dashes and underscores");
                return Err(DraftError::new(format!("tags/{index}"), reason));
            }
        }
        Ok(())
    }

    fn check_metadata(&self) -> Result<(), DraftError> {
        let mut bytes = 0;
        at_most(
            self.metadata.iter().count(),
            limits::METADATA_KEYS_MAX,
            "metadata",
            "keys",
        )?;
        for (key, value) in self.metadata.iter() {
            let text = match value {
                crate::features::events::Scalar::Text(text) => text.clone(),
                crate::features::events::Scalar::Number(number) => number.to_string(),
                crate::features::events::Scalar::Bool(bool) => bool.to_string(),
            };
            at_most(
                key.chars().count(),
                limits::METADATA_KEY_CHARS_MAX,
                "metadata",
                "characters in a key",
            )?;
            at_most(
                text.chars().count(),
                limits::METADATA_VALUE_CHARS_MAX,
                "metadata",
                "characters in a value",
            )?;
            bytes += key.len() + text.len();
        }
        at_most(
            bytes,
            limits::METADATA_BYTES_MAX,
            "metadata",
            "bytes of keys and values together",
        )
    }
}

fn at_most(found: usize, max: usize, field: &str, what: &str) -> Result<(), DraftError> {
    if found <= max {
        return Ok(());
    }
    Err(DraftError::new(
        field,
        format!("at most {max} {what} are allowed, this has {found}"),
    ))
}
