//! Addresses as they stand in MAIL and RCPT: `<local@domain>` (RFC 5321 §4.1.2, RFC 6531 §3.3).
//!
//! This reads the envelope only. What a mailbox means, and how it is compared, is decided elsewhere.

use super::limits::{ADDRESS_OCTETS_MAX, DOMAIN_OCTETS_MAX, LOCAL_PART_OCTETS_MAX};

/// Why text after `FROM:` or `TO:` is not a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PathError {
    /// It is not enclosed in angle brackets, or a quote is never closed.
    #[error("an address must stand in angle brackets")]
    NotBracketed,
    /// The local part or domain breaks the grammar.
    #[error("not a valid mailbox")]
    Malformed,
    /// Local part, domain or the whole is too long.
    #[error("address too long")]
    TooLong,
}

/// Splits `<path>` from the parameters that follow it. The path comes without brackets and without
/// a source route, which servers must accept and should ignore (RFC 5321 §3.3, appendix C).
pub(super) fn split_path(text: &str) -> Result<(&str, &str), PathError> {
    let inner = text.strip_prefix('<').ok_or(PathError::NotBracketed)?;
    let end = closing_bracket(inner).ok_or(PathError::NotBracketed)?;
    let (path, rest) = inner.split_at(end);
    let rest = rest.strip_prefix('>').ok_or(PathError::NotBracketed)?;
    let mailbox = match path.strip_prefix('@') {
        Some(route) => route.split_once(':').ok_or(PathError::Malformed)?.1,
        None => path,
    };
    Ok((mailbox, rest))
}

/// Checks the grammar of a mailbox. Non-ASCII letters pass; whether the session allows them is the
/// caller's question.
pub(super) fn check_mailbox(mailbox: &str) -> Result<(), PathError> {
    if mailbox.len() > ADDRESS_OCTETS_MAX {
        return Err(PathError::TooLong);
    }
    let (local, domain) = mailbox.rsplit_once('@').ok_or(PathError::Malformed)?;
    if local.len() > LOCAL_PART_OCTETS_MAX || domain.len() > DOMAIN_OCTETS_MAX {
        return Err(PathError::TooLong);
    }
    let local_is_good = match local.strip_prefix('"') {
        Some(quoted) => is_quoted_content(quoted),
        None => local.split('.').all(is_atom),
    };
    let domain_is_good = match domain.strip_prefix('[') {
        Some(literal) => is_literal(literal),
        None => domain.split('.').all(is_label),
    };
    if local_is_good && domain_is_good {
        Ok(())
    } else {
        Err(PathError::Malformed)
    }
}

/// Whether a client may put `address` between angle brackets without it becoming anything else on
/// the wire. Grammar beyond that is the receiving server's to judge.
pub(super) fn is_safe_in_brackets(address: &str) -> bool {
    let short = !address.is_empty() && address.len() <= ADDRESS_OCTETS_MAX;
    let plain = !address.chars().any(char::is_control);
    short && plain && has_no_open_delimiter(address) && closing_bracket(address).is_none()
}

/// Position of the `>` that is not inside a quoted string.
fn closing_bracket(text: &str) -> Option<usize> {
    unquoted(text)
        .find(|&(_, character)| character == '>')
        .map(|(at, _)| at)
}

fn has_no_open_delimiter(text: &str) -> bool {
    let quote_is_closed = {
        let (mut quoted, mut escaped) = (false, false);
        for character in text.chars() {
            match character {
                _ if escaped => escaped = false,
                '\\' if quoted => escaped = true,
                '"' => quoted = !quoted,
                _ => {}
            }
        }
        !quoted
    };
    quote_is_closed && !unquoted(text).any(|(_, character)| matches!(character, '<' | ' '))
}

/// The characters of `text` that stand outside quoted strings.
fn unquoted(text: &str) -> impl Iterator<Item = (usize, char)> {
    let (mut quoted, mut escaped) = (false, false);
    text.char_indices().filter(move |&(_, character)| {
        let was_quoted = quoted;
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        !was_quoted && !quoted
    })
}

fn is_atom(text: &str) -> bool {
    let is_atext = |character: char| {
        character.is_ascii_alphanumeric()
            || "!#$%&'*+-/=?^_`{|}~".contains(character)
            || is_international(character)
    };
    !text.is_empty() && text.chars().all(is_atext)
}

/// The rest of a quoted local part after its first quote: ends with the only unescaped quote.
fn is_quoted_content(text: &str) -> bool {
    let Some(content) = text.strip_suffix('"') else {
        return false;
    };
    let mut escaped = false;
    for character in content.chars() {
        match character {
            ' '..='~' if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return false,
            ' '..='~' => {}
            other if is_international(other) && !escaped => {}
            _ => return false,
        }
    }
    !escaped
}

/// Underscores are no letters of a host name, but real domains carry them.
fn is_label(text: &str) -> bool {
    let is_letter = |character: char| {
        character.is_ascii_alphanumeric() || matches!(character, '-' | '_') || is_international(character)
    };
    let edges_are_good = !text.starts_with('-') && !text.ends_with('-');
    !text.is_empty() && text.len() <= 63 && edges_are_good && text.chars().all(is_letter)
}

fn is_literal(text: &str) -> bool {
    let Some(literal) = text.strip_suffix(']') else {
        return false;
    };
    let is_dtext = |byte: u8| (b'!'..=b'~').contains(&byte) && !matches!(byte, b'[' | b'\\' | b']');
    !literal.is_empty() && literal.bytes().all(is_dtext)
}

/// Characters that RFC 6531 adds: beyond ASCII, but not controls or line separators.
fn is_international(character: char) -> bool {
    !character.is_ascii() && !character.is_control() && !character.is_whitespace()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_is_split_from_its_parameters() {
        assert_eq!(split_path("<a@b> SIZE=1"), Ok(("a@b", " SIZE=1")));
        assert_eq!(split_path("<>"), Ok(("", "")));
        assert_eq!(split_path("<\"a>b\"@c>x"), Ok(("\"a>b\"@c", "x")));
        assert_eq!(split_path("<@x,@y:a@b>"), Ok(("a@b", "")));
        assert_eq!(split_path("a@b"), Err(PathError::NotBracketed));
        assert_eq!(split_path("<a@b"), Err(PathError::NotBracketed));
        assert_eq!(split_path("<\"a@b>"), Err(PathError::NotBracketed));
    }

    #[test]
    fn mailbox_grammar_is_that_of_rfc_5321() {
        let good = [
            "a@b",
            "o'neil+x@example.com",
            "\"a b\"@example.com",
            "\"a\\\"b\"@c",
            "\"a@b\"@c",
            "a@[192.0.2.1]",
            "a@[IPv6:2001:db8::1]",
            "用户@例子.广告",
            "a@_dmarc.b",
        ];
        for mailbox in good {
            assert_eq!(check_mailbox(mailbox), Ok(()), "{mailbox}");
        }
        let bad = [
            "",
            "a",
            "@b",
            "a@",
            "a..b@c",
            ".a@c",
            "a.@c",
            "a b@c",
            "a@b c",
            "a@-b",
            "a@b..c",
            "a@[]",
            "a@[b",
            "\"a@b",
            "\"a\"b\"@c",
            "\"a\\\"@c",
            "a@b.",
            "a\u{a0}b@c",
            "a@b\u{2028}",
            "a@@b",
            "<a@b",
        ];
        for mailbox in bad {
            assert_eq!(check_mailbox(mailbox), Err(PathError::Malformed), "{mailbox}");
        }
        let long = format!("{}@b", "a".repeat(LOCAL_PART_OCTETS_MAX + 1));
        assert_eq!(check_mailbox(&long), Err(PathError::TooLong));
    }

    #[test]
    fn address_that_would_leave_its_brackets_is_unsafe() {
        for address in ["a@b", "\"a b\"@c", "\"a>b\"@c", "用户@例子", "postmaster"] {
            assert!(is_safe_in_brackets(address), "{address}");
        }
        for address in [
            "",
            "a@b>",
            "a@b> SIZE=1",
            "a@b\r\nRSET",
            "a b@c",
            "\"a@b",
            "<a@b",
            "a@b\u{85}",
            "a\0@b",
        ] {
            assert!(!is_safe_in_brackets(address), "{address:?}");
        }
    }
}
