use super::AddressError;
use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use std::fmt;

/// Octets of domain input looked at: the longest name DNS allows, written in UTF-8, fits well.
const DOMAIN_INPUT_OCTETS_MAX: usize = 1024;

/// A host name as DNS wants it: lower-case A-labels, at least two of them, no trailing dot.
///
/// Input may be Unicode; it is mapped by UTS #46 (non-transitional, STD3 rules). A label that
/// already begins with `xn--` must decode and encode back to itself, so one name has one form.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Domain(String);

impl Domain {
    /// Parses a host name, Unicode or ASCII, upper or lower case.
    ///
    /// # Errors
    /// [`AddressError`]: not a host name, one label only, an IP address, more than 253 octets, or an
    /// internationalized label outside IDNA.
    pub fn parse(input: &str) -> Result<Self, AddressError> {
        if input.is_empty() {
            return Err(AddressError::DomainSyntax);
        }
        if input.len() > DOMAIN_INPUT_OCTETS_MAX {
            return Err(AddressError::DomainTooLong);
        }
        if input.starts_with('[') || input.parse::<std::net::Ipv6Addr>().is_ok() {
            return Err(AddressError::IpLiteral);
        }
        let ascii = if is_plain(input) {
            input.to_owned()
        } else {
            to_ascii(input)?
        };
        check_labels(&ascii)?;
        Ok(Self(ascii))
    }

    /// The name in A-labels, lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A recipient's domain is often their name, so `Debug` doesn't show it.
impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Domain")
    }
}

/// Whether the name is already in its final form as far as IDNA is concerned.
fn is_plain(input: &str) -> bool {
    input
        .bytes()
        .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.'))
        && !input.starts_with("xn--")
        && !input.contains(".xn--")
}

fn to_ascii(input: &str) -> Result<String, AddressError> {
    let refusal = if input.is_ascii() && !input.to_ascii_lowercase().contains("xn--") {
        AddressError::DomainSyntax
    } else {
        AddressError::Idna
    };
    let mapper = Uts46::new();
    let encode = |name: &str| {
        mapper
            .to_ascii(
                name.as_bytes(),
                AsciiDenyList::STD3,
                Hyphens::CheckFirstLast,
                DnsLength::Ignore,
            )
            .map(std::borrow::Cow::into_owned)
    };
    let ascii = encode(input).map_err(|_| refusal)?;
    let (unicode, outcome) =
        mapper.to_unicode(ascii.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast);
    let returned = outcome.and_then(|()| encode(&unicode));
    if returned.is_ok_and(|name| name == ascii) {
        Ok(ascii)
    } else {
        Err(refusal)
    }
}

/// RFC 1123 §2.1 host name rules on the final form.
fn check_labels(ascii: &str) -> Result<(), AddressError> {
    if ascii.len() > 253 {
        return Err(AddressError::DomainTooLong);
    }
    let mut last = "";
    for label in ascii.split('.') {
        if label.is_empty() || label.starts_with('-') || label.ends_with('-') {
            return Err(AddressError::DomainSyntax);
        }
        if label.len() > 63 {
            return Err(AddressError::DomainTooLong);
        }
        last = label;
    }
    if !ascii.contains('.') {
        return Err(AddressError::DomainSingleLabel);
    }
    // Resolvers read a name that ends in a number as an IPv4 address, `0x7f` included.
    let is_number = |digits: &str, radix| digits.chars().all(|c| c.is_digit(radix));
    if is_number(last, 10) || last.strip_prefix("0x").is_some_and(|hex| is_number(hex, 16)) {
        return Err(AddressError::IpLiteral);
    }
    Ok(())
}
