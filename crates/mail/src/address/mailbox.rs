use super::{Address, AddressError, INPUT_OCTETS_MAX};
use crate::text::{breaks_line, push_quoted, split_quoted};
use std::fmt;

/// Characters of a display name.
pub const DISPLAY_NAME_CHARS_MAX: usize = 256;

/// The name shown beside an address: one line of text, trimmed, never empty.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct DisplayName(String);

impl DisplayName {
    /// Takes plain text; space around it is dropped.
    ///
    /// # Errors
    /// [`AddressError`]: empty, longer than [`DISPLAY_NAME_CHARS_MAX`], or with a control character
    /// or line break (U+0085, U+2028 and U+2029 count).
    pub fn parse(input: &str) -> Result<Self, AddressError> {
        if input.chars().any(breaks_line) {
            return Err(AddressError::NameCharacter);
        }
        let name = input.trim();
        if name.is_empty() {
            return Err(AddressError::Empty);
        }
        if name.chars().count() > DISPLAY_NAME_CHARS_MAX {
            return Err(AddressError::NameTooLong);
        }
        Ok(Self(name.to_owned()))
    }

    /// The plain text, neither quoted nor encoded.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for DisplayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DisplayName")
    }
}

/// An address and the name shown beside it.
///
/// ```
/// use sealwright_mail::address::Mailbox;
/// let mailbox = Mailbox::parse("\"Doe, Jane\" <jane@example.com>")?;
/// assert_eq!(mailbox.address.as_str(), "jane@example.com");
/// assert_eq!(mailbox.to_display_string(), "\"Doe, Jane\" <jane@example.com>");
/// # Ok::<(), sealwright_mail::address::AddressError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Mailbox {
    /// The name, if any.
    pub name: Option<DisplayName>,
    /// The address.
    pub address: Address,
}

impl Mailbox {
    /// Parses `a@b`, `<a@b>`, `Name <a@b>` or `"Name" <a@b>`.
    ///
    /// A name without quotes is taken literally; it may not hold `< > " , ; @ \`, so that a list of
    /// addresses is never mistaken for one mailbox.
    ///
    /// # Errors
    /// [`AddressError`], as for [`Address::parse`] and [`DisplayName::parse`].
    pub fn parse(input: &str) -> Result<Self, AddressError> {
        if input.len() > INPUT_OCTETS_MAX {
            return Err(AddressError::TooLong);
        }
        let input = input.trim_matches([' ', '\t']);
        let Some(bracketed) = input.strip_suffix('>') else {
            return Ok(Self {
                name: None,
                address: Address::parse(input)?,
            });
        };
        let (name, address) = if bracketed.starts_with('"') {
            let (name, rest) = split_quoted(bracketed).ok_or(AddressError::MailboxSyntax)?;
            let rest = rest.trim_start_matches([' ', '\t']);
            (name, rest.strip_prefix('<').ok_or(AddressError::MailboxSyntax)?)
        } else {
            let (name, address) = bracketed.split_once('<').ok_or(AddressError::MailboxSyntax)?;
            if name.contains(['>', '"', ',', ';', '@', '\\']) {
                return Err(AddressError::MailboxSyntax);
            }
            (name.to_owned(), address)
        };
        Self::from_parts(address, Some(&name))
    }

    /// Joins an address and a name given apart. A name of nothing but space counts as none.
    ///
    /// # Errors
    /// [`AddressError`], as for [`Address::parse`] and [`DisplayName::parse`].
    pub fn from_parts(address: &str, name: Option<&str>) -> Result<Self, AddressError> {
        let name = match name.map(DisplayName::parse) {
            None | Some(Err(AddressError::Empty)) => None,
            Some(name) => Some(name?),
        };
        Ok(Self {
            name,
            address: Address::parse(address)?,
        })
    }

    /// The mailbox as people write it; [`Mailbox::parse`] gives the same mailbox back.
    #[must_use]
    pub fn to_display_string(&self) -> String {
        let Some(DisplayName(name)) = &self.name else {
            return self.address.as_str().to_owned();
        };
        let mut out = String::with_capacity(name.len() + self.address.as_str().len() + 5);
        if name.contains(['(', ')', '<', '>', '[', ']', ':', ';', '@', '\\', ',', '.', '"']) {
            push_quoted(&mut out, name);
        } else {
            out.push_str(name);
        }
        out.push_str(" <");
        out.push_str(self.address.as_str());
        out.push('>');
        out
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mailbox")
    }
}
