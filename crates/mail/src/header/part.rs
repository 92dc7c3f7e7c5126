use super::HeaderError;
use crate::text::{breaks_line, overrides_direction, push_quoted, split_quoted};
use std::fmt;

/// Characters of an attachment's file name.
pub const FILE_NAME_CHARS_MAX: usize = 255;

/// Octets of an attachment's content type, parameters included.
pub const CONTENT_TYPE_OCTETS_MAX: usize = 255;

/// Octets of an inline part's content id.
pub const CONTENT_ID_OCTETS_MAX: usize = 128;

/// Parameters this program writes itself, or that would contradict what it writes.
const RESERVED_PARAMETERS: [&str; 3] = ["boundary", "name", "filename"];

/// The bare name of an attached file, without folders.
#[derive(Clone, PartialEq, Eq)]
pub struct FileName(String);

impl FileName {
    /// Takes a file name in any script.
    ///
    /// # Errors
    /// [`HeaderError::FileName`] when it is empty, `.` or `..`, has `/`, `\` or a control character,
    /// or one that reverses text (`invoice\u{202E}fdp.exe` shows as `invoiceexe.pdf`);
    /// [`HeaderError::FileNameTooLong`] past [`FILE_NAME_CHARS_MAX`].
    pub fn parse(input: &str) -> Result<Self, HeaderError> {
        let name = input.trim_matches(' ');
        if matches!(name, "" | "." | "..")
            || name
                .chars()
                .any(|c| matches!(c, '/' | '\\') || breaks_line(c) || overrides_direction(c))
        {
            return Err(HeaderError::FileName);
        }
        if name.chars().count() > FILE_NAME_CHARS_MAX {
            return Err(HeaderError::FileNameTooLong);
        }
        Ok(Self(name.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileName")
    }
}

/// The media type of an attachment: `type/subtype`, lower case, with parameters if any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentType(String);

impl ContentType {
    /// Parses RFC 2045 §5.1 syntax without comments.
    ///
    /// `multipart/*` is refused (its body would need the boundary's structure), and so are the
    /// parameters `boundary`, `name` and `filename`.
    ///
    /// # Errors
    /// [`HeaderError::ContentType`], also past [`CONTENT_TYPE_OCTETS_MAX`].
    pub fn parse(input: &str) -> Result<Self, HeaderError> {
        Self::parse_parts(input).ok_or(HeaderError::ContentType)
    }

    /// `application/octet-stream`: bytes of which nothing is known.
    #[must_use]
    pub fn octet_stream() -> Self {
        Self("application/octet-stream".to_owned())
    }

    /// The type with its parameters, ready for a header.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn parse_parts(input: &str) -> Option<Self> {
        let input = input.trim_matches([' ', '\t']);
        if input.len() > CONTENT_TYPE_OCTETS_MAX {
            return None;
        }
        let (essence, mut rest) = input.split_at(input.find(';').unwrap_or(input.len()));
        let (kind, subtype) = essence.trim_end_matches([' ', '\t']).split_once('/')?;
        if !is_token(kind) || !is_token(subtype) || kind.eq_ignore_ascii_case("multipart") {
            return None;
        }
        let mut out = format!("{kind}/{subtype}").to_ascii_lowercase();
        while let Some(parameter) = rest.strip_prefix(';') {
            let parameter = parameter.trim_start_matches([' ', '\t']);
            if parameter.is_empty() {
                return Some(Self(out));
            }
            let (name, value, after) = split_parameter(parameter)?;
            out.push_str("; ");
            out.push_str(&name);
            out.push('=');
            if is_token(&value) {
                out.push_str(&value);
            } else {
                push_quoted(&mut out, &value);
            }
            rest = after.trim_start_matches([' ', '\t']);
        }
        (rest.is_empty() && out.len() <= CONTENT_TYPE_OCTETS_MAX).then_some(Self(out))
    }
}

/// `name=value` or `name="value"`, and what follows.
fn split_parameter(input: &str) -> Option<(String, String, &str)> {
    let (name, rest) = input.split_once('=')?;
    let name = name.to_ascii_lowercase();
    // An asterisk would begin RFC 2231 continuations, which could reassemble a reserved name.
    if !is_token(&name) || name.contains('*') || RESERVED_PARAMETERS.contains(&name.as_str()) {
        return None;
    }
    if rest.starts_with('"') {
        let (value, after) = split_quoted(rest)?;
        return value
            .chars()
            .all(|c| matches!(c, ' '..='~'))
            .then_some((name, value, after));
    }
    let (value, after) = rest.split_at(rest.find([';', ' ', '\t']).unwrap_or(rest.len()));
    is_token(value).then(|| (name, value.to_owned(), after))
}

/// RFC 2045 §5.1 `token`.
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_graphic() && !r#"()<>@,;:\"/[]?="#.contains(c))
}

/// The name under which HTML refers to an inline part: `cid:logo` for `logo`.
#[derive(Clone, PartialEq, Eq)]
pub struct ContentId(String);

impl ContentId {
    /// Takes the id with or without angle brackets.
    ///
    /// # Errors
    /// [`HeaderError::ContentId`] when it is empty, longer than [`CONTENT_ID_OCTETS_MAX`], or has a
    /// character that would have to be escaped in a `cid:` address (RFC 2392).
    pub fn parse(input: &str) -> Result<Self, HeaderError> {
        let id = input
            .strip_prefix('<')
            .and_then(|id| id.strip_suffix('>'))
            .unwrap_or(input);
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || "._-+=$~@".contains(c);
        if id.is_empty() || id.len() > CONTENT_ID_OCTETS_MAX || !id.chars().all(is_allowed) {
            return Err(HeaderError::ContentId);
        }
        Ok(Self(id.to_owned()))
    }

    /// The id without brackets.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContentId")
    }
}
