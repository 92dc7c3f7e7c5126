//! Addresses: who a message is from and to.
//!
//! A [`Domain`] is a host name in the form DNS asks for, a [`Address`] is an RFC 5321 mailbox, a
//! [`Mailbox`] is an address with the name shown beside it. Each exists only parsed, so whoever
//! holds one may write it into a header or an SMTP command without looking again.
//!
//! Refused on purpose: address literals (`user@[192.0.2.1]`), single-label domains, comments,
//! source routes, and anything that looks like an RFC 2047 encoded-word inside the address, because
//! some readers decode it and see another address than we do. Deliberately not here: whether a
//! domain exists, and mixed-script look-alikes (a question of policy, not of syntax).

mod domain;
mod mailbox;

pub use domain::Domain;
pub use mailbox::{DISPLAY_NAME_CHARS_MAX, DisplayName, Mailbox};

use crate::text::{breaks_line, is_atext, is_invisible, push_quoted, split_quoted};
use std::fmt;

/// Octets of a local part in its wire form (RFC 5321 §4.5.3.1.1).
pub const LOCAL_OCTETS_MAX: usize = 64;

/// Octets of an address in its wire form: a path of 256 (RFC 5321 §4.5.3.1.3) without its brackets.
pub const ADDRESS_OCTETS_MAX: usize = 254;

/// Octets of address input looked at; more is refused before any parsing.
pub const INPUT_OCTETS_MAX: usize = 4096;

/// Why an address, domain or display name was refused. Never holds the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// Nothing was given.
    #[error("the address is empty: write it as name@example.com")]
    Empty,
    /// Longer than [`ADDRESS_OCTETS_MAX`].
    #[error("the address is longer than 254 octets: use a shorter one")]
    TooLong,
    /// No `@`, or nothing on one side of it.
    #[error("the address needs a name, an @ and a domain: write it as name@example.com")]
    Incomplete,
    /// The part before the `@` is longer than [`LOCAL_OCTETS_MAX`].
    #[error("the part before the @ is longer than 64 octets: use a shorter one")]
    LocalTooLong,
    /// The part before the `@` has a character or a dot where none may be.
    #[error(
        "the part before the @ has a character that is not allowed there: remove it or put the part in quotes"
    )]
    LocalSyntax,
    /// Something like `=?utf-8?q?…?=` inside the address.
    #[error("the address contains an encoded-word: write its characters as plain UTF-8")]
    EncodedWord,
    /// The domain isn't a host name.
    #[error(
        "the domain is not a valid host name: use letters, digits, hyphens and dots as in mail.example.com"
    )]
    DomainSyntax,
    /// The domain has one label only.
    #[error("the domain has no dot: use a full name such as example.com")]
    DomainSingleLabel,
    /// The domain is longer than DNS allows.
    #[error("the domain is longer than 253 octets or one of its labels than 63: use a shorter one")]
    DomainTooLong,
    /// The domain is an IP address.
    #[error("the domain is an IP address: use a host name such as example.com")]
    IpLiteral,
    /// An internationalized label breaks the IDNA rules or doesn't survive the way there and back.
    #[error("the domain has an internationalized label that is not valid under IDNA: check its spelling")]
    Idna,
    /// The display name is longer than [`DISPLAY_NAME_CHARS_MAX`].
    #[error("the display name is longer than 256 characters: use a shorter one")]
    NameTooLong,
    /// The display name has a control character or a line break.
    #[error("the display name has a line break or control character: remove it")]
    NameCharacter,
    /// Neither `name@example.com` nor `Name <name@example.com>`.
    #[error(
        "the mailbox is neither an address nor a name with an address in angle brackets: write it as Name <name@example.com>, with quotes around a name that has a comma or other punctuation"
    )]
    MailboxSyntax,
}

/// One e-mail address, as RFC 5321 §4.1.2 and RFC 6531 §3.3 define a mailbox.
///
/// Kept in its simplest wire form: the domain as lower-case A-labels, the local part as given
/// except that quotes it doesn't need are dropped (RFC 5321 §4.1.2 asks for that).
///
/// ```
/// use sealwright_mail::address::Address;
/// let address = Address::parse("\"jane\"@B\u{fc}cher.example")?;
/// assert_eq!(address.as_str(), "jane@xn--bcher-kva.example");
/// # Ok::<(), sealwright_mail::address::AddressError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Address {
    wire: String,
    local_octets: usize,
    domain: Domain,
}

impl Address {
    /// Parses an address without brackets, comments or surrounding space.
    ///
    /// # Errors
    /// [`AddressError`] names what is wrong; the limits are [`LOCAL_OCTETS_MAX`] and
    /// [`ADDRESS_OCTETS_MAX`].
    pub fn parse(input: &str) -> Result<Self, AddressError> {
        if input.is_empty() {
            return Err(AddressError::Empty);
        }
        if input.len() > INPUT_OCTETS_MAX {
            return Err(AddressError::TooLong);
        }
        let (mut wire, domain) = if input.starts_with('"') {
            let (content, rest) = split_quoted(input).ok_or(AddressError::LocalSyntax)?;
            let domain = rest.strip_prefix('@').ok_or(AddressError::Incomplete)?;
            (quoted_local(&content)?, domain)
        } else {
            let (local, domain) = input.rsplit_once('@').ok_or(AddressError::Incomplete)?;
            (dot_atom_local(local)?, domain)
        };
        let local_octets = wire.len();
        if local_octets > LOCAL_OCTETS_MAX {
            return Err(AddressError::LocalTooLong);
        }
        if domain.is_empty() {
            return Err(AddressError::Incomplete);
        }
        let domain = Domain::parse(domain)?;
        wire.push('@');
        wire.push_str(domain.as_str());
        if wire.len() > ADDRESS_OCTETS_MAX {
            return Err(AddressError::TooLong);
        }
        Ok(Self {
            wire,
            local_octets,
            domain,
        })
    }

    /// The part before the `@` in wire form, quotes included where it needs them.
    #[must_use]
    pub fn local(&self) -> &str {
        self.wire.get(..self.local_octets).unwrap_or_default()
    }

    /// The part after the `@`.
    #[must_use]
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// Whether any mail server can carry it; if not, the way needs SMTPUTF8 (RFC 6531).
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.wire.is_ascii()
    }

    /// The wire form, `local@domain`, as SMTP commands and headers carry it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.wire
    }

    /// The form for equality and look-up: the wire form with the local part's case folded.
    ///
    /// RFC 5321 lets a receiver tell `Jane` from `jane`; in practice none does, and a suppression
    /// that missed for a capital letter would hurt someone.
    #[must_use]
    pub fn canonical(&self) -> String {
        if self.wire.is_ascii() {
            return self.wire.to_ascii_lowercase();
        }
        let mut folded = String::with_capacity(self.wire.len());
        for c in self.wire.chars() {
            match c {
                // Two small letters that share a capital with another small letter.
                '\u{03C2}' => folded.push('\u{03C3}'),
                '\u{017F}' => folded.push('s'),
                _ => folded.extend(c.to_lowercase()),
            }
        }
        folded
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Address")
    }
}

/// A local part given without quotes.
fn dot_atom_local(local: &str) -> Result<String, AddressError> {
    if local.is_empty() {
        return Err(AddressError::Incomplete);
    }
    refuse_encoded_word(local)?;
    if is_dot_atom(local) {
        Ok(local.to_owned())
    } else {
        Err(AddressError::LocalSyntax)
    }
}

/// A local part given in quotes, already unescaped.
fn quoted_local(content: &str) -> Result<String, AddressError> {
    if content.is_empty() {
        return Err(AddressError::Incomplete);
    }
    refuse_encoded_word(content)?;
    if is_dot_atom(content) {
        return Ok(content.to_owned());
    }
    if content
        .chars()
        .any(|c| !(matches!(c, ' '..='~') || is_local_beyond_ascii(c)))
    {
        return Err(AddressError::LocalSyntax);
    }
    let mut wire = String::with_capacity(content.len() + 2);
    push_quoted(&mut wire, content);
    Ok(wire)
}

fn is_dot_atom(text: &str) -> bool {
    text.split('.')
        .all(|atom| !atom.is_empty() && atom.chars().all(|c| is_atext(c) || is_local_beyond_ascii(c)))
}

/// RFC 6531 §3.3 allows any UTF-8 beyond ASCII; what can't be seen or breaks lines is refused.
fn is_local_beyond_ascii(c: char) -> bool {
    !c.is_ascii() && !c.is_whitespace() && !breaks_line(c) && !is_invisible(c)
}

/// The outer marks are enough: decoders differ in how much they forgive between them.
fn refuse_encoded_word(local: &str) -> Result<(), AddressError> {
    match local.split_once("=?") {
        Some((_, rest)) if rest.contains("?=") => Err(AddressError::EncodedWord),
        _ => Ok(()),
    }
}
