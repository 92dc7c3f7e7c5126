//! `Forwarded` (RFC 7239) and `X-Forwarded-For`: whom a proxy speaks for.
//!
//! Each hop appends the address it was called from, so only the right end can be believed: the walk begins at the TCP peer and goes
//! left for as long as it stands on a trusted proxy. What lies further left was written by somebody unknown and is not even read.
//!
//! A trusted proxy that hides its client (`unknown`, `_name`) ends the walk: the request then counts as the proxy's own, because no
//! other address is known to be true. A hop that is no address is refused, never skipped; so are two headers that disagree.

use super::peer::Trusted;
use http::{HeaderMap, HeaderName, header};
use std::net::{IpAddr, Ipv6Addr};

/// The header that can't be read, or that contradicts the other one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

const FORWARDED: &str = "Forwarded";
const X_FORWARDED_FOR: &str = "X-Forwarded-For";

/// One hop, as its proxy told it.
#[derive(Debug, PartialEq, Eq)]
enum Hop {
    Address(IpAddr),
    /// The proxy does not say.
    Hidden,
}

/// The client behind `peer`, which is the TCP peer or the source of its PROXY header.
pub(super) fn client(peer: IpAddr, headers: &HeaderMap, trusted: &Trusted) -> Result<IpAddr, Malformed> {
    if !trusted.holds(peer) {
        return Ok(peer);
    }
    let told = |name: HeaderName, label, hops: fn(&str) -> Vec<Option<Hop>>| {
        let mut lines = headers.get_all(&name).iter().rev().peekable();
        lines.peek()?;
        let hops = lines.flat_map(move |line| line.to_str().map_or(vec![None], hops).into_iter().rev());
        Some(walk(peer, hops, trusted).ok_or(Malformed(label)))
    };
    let standard = told(header::FORWARDED, FORWARDED, forwarded).transpose()?;
    let customary = told(
        HeaderName::from_static("x-forwarded-for"),
        X_FORWARDED_FOR,
        listed,
    )
    .transpose()?;
    match (standard, customary) {
        (Some(one), Some(other)) if one != other => Err(Malformed(FORWARDED)),
        (Some(client), _) | (None, Some(client)) => Ok(client),
        (None, None) => Ok(peer),
    }
}

/// From the right to the first address that is not a trusted proxy's; `None` when a hop on the way can't be read.
fn walk(peer: IpAddr, hops: impl Iterator<Item = Option<Hop>>, trusted: &Trusted) -> Option<IpAddr> {
    let mut client = peer;
    for hop in hops {
        if !trusted.holds(client) {
            break;
        }
        match hop? {
            Hop::Address(address) => client = address,
            Hop::Hidden => break,
        }
    }
    Some(client)
}

/// The hops of one `X-Forwarded-For` line, those that can't be read as `None`. Empty members of a list mean nothing (RFC 9110 §5.6.1).
fn listed(line: &str) -> Vec<Option<Hop>> {
    let members = line.split(',').map(str::trim).filter(|member| !member.is_empty());
    members
        .map(|member| match member.parse::<IpAddr>() {
            Ok(address) => Some(Hop::Address(address.to_canonical())),
            Err(_) => node(member),
        })
        .collect()
}

/// The hops of one `Forwarded` line (RFC 7239 §4), those that can't be read as `None`.
fn forwarded(line: &str) -> Vec<Option<Hop>> {
    let elements = split(line, ',');
    elements.map_or(vec![None], |elements| elements.into_iter().map(element).collect())
}

fn element(text: &str) -> Option<Hop> {
    let mut hop = None;
    for pair in split(text, ';')? {
        let (name, value) = pair.split_once('=')?;
        if !is_token(name) {
            return None;
        }
        let value = unquoted(value)?;
        if name.eq_ignore_ascii_case("for") && hop.replace(node(value)?).is_some() {
            return None; // which of the two?
        }
    }
    Some(hop.unwrap_or(Hop::Hidden))
}

/// The non-empty parts between separators that are not quoted; `None` when a quote does not end.
fn split(text: &str, separator: char) -> Option<Vec<&str>> {
    let (mut parts, mut start, mut is_quoted) = (Vec::new(), 0, false);
    for (place, character) in text.char_indices() {
        match character {
            '"' => is_quoted = !is_quoted,
            '\\' => return None, // nothing that is told here needs an escape
            _ if character == separator && !is_quoted => {
                parts.push(text.get(start..place)?.trim());
                start = place + separator.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(text.get(start..)?.trim());
    parts.retain(|part| !part.is_empty());
    (!is_quoted).then_some(parts)
}

fn is_token(text: &str) -> bool {
    let is_tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_tchar)
}

fn unquoted(value: &str) -> Option<&str> {
    match value.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"').filter(|inner| !inner.contains('"')),
        None => is_token(value).then_some(value),
    }
}

/// A node (RFC 7239 §6): an address, IPv6 in brackets, or a word that hides it; a port may follow. Octal, shortened and zoned
/// addresses are none.
fn node(text: &str) -> Option<Hop> {
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (inner, port) = rest.split_once(']')?;
            let address: Ipv6Addr = inner.parse().ok()?;
            (
                Hop::Address(IpAddr::V6(address).to_canonical()),
                port.strip_prefix(':').or((!port.is_empty()).then_some("?")),
            )
        }
        None => {
            let (name, port) = text
                .split_once(':')
                .map_or((text, None), |(name, port)| (name, Some(port)));
            (name_of(name)?, port)
        }
    };
    port.is_none_or(is_port).then_some(name)
}

fn name_of(text: &str) -> Option<Hop> {
    if text.eq_ignore_ascii_case("unknown") || is_obfuscated(text) {
        return Some(Hop::Hidden);
    }
    let address: std::net::Ipv4Addr = text.parse().ok()?;
    Some(Hop::Address(address.into()))
}

fn is_port(text: &str) -> bool {
    is_obfuscated(text) || text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

fn is_obfuscated(text: &str) -> bool {
    text.strip_prefix('_').is_some_and(|rest| {
        !rest.is_empty()
            && rest
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const PROXY: &str = "10.0.0.1";

    fn told(peer: &str, lines: &[(&'static str, &str)]) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        let trusted = Trusted::new(&["10.0.0.0/8".parse().unwrap(), "2001:db8:ff::/48".parse().unwrap()]);
        match client(peer.parse().unwrap(), &headers, &trusted) {
            Ok(address) => address.to_string(),
            Err(Malformed(header)) => format!("malformed {header}"),
        }
    }

    #[test]
    fn the_walk_ends_at_the_first_address_that_is_not_a_proxys() {
        for (value, client) in [
            ("192.0.2.7", "192.0.2.7"),
            ("203.0.113.9, 192.0.2.7", "192.0.2.7"),
            ("203.0.113.9, 192.0.2.7, 10.2.2.2", "192.0.2.7"),
            ("192.0.2.7, 2001:db8:ff::1", "192.0.2.7"),
            ("10.9.9.9, 10.2.2.2", "10.9.9.9"),
            ("<script>, 192.0.2.7", "192.0.2.7"),
            ("192.0.2.7:4711", "192.0.2.7"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            (" , 192.0.2.7 ,, ", "192.0.2.7"),
            ("192.0.2.7, unknown", PROXY),
            ("", PROXY),
        ] {
            assert_eq!(told(PROXY, &[("x-forwarded-for", value)]), client, "{value}");
        }
    }

    #[test]
    fn lines_are_read_from_the_last_one() {
        let lines = [
            ("x-forwarded-for", "203.0.113.9"),
            ("x-forwarded-for", "192.0.2.7, 10.2.2.2"),
        ];
        assert_eq!(told(PROXY, &lines), "192.0.2.7");
        let lines = [("forwarded", "for=\""), ("forwarded", "for=192.0.2.7")];
        assert_eq!(told(PROXY, &lines), "192.0.2.7");
    }

    #[test]
    fn the_standard_header_is_read_as_it_is_written() {
        for (value, client) in [
            ("for=192.0.2.7", "192.0.2.7"),
            ("For=\"192.0.2.7:4711\";proto=https;by=203.0.113.43", "192.0.2.7"),
            ("for=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
            (
                "for=203.0.113.9, for=\"[2001:db8::7]\" , for=10.1.1.1;host=\"a,b;c\"",
                "2001:db8::7",
            ),
            ("for=what?, for=192.0.2.7", "192.0.2.7"),
            ("for=192.0.2.7, for=unknown", PROXY),
            ("for=192.0.2.7, for=_hidden", PROXY),
            ("for=192.0.2.7, for=\"_hidden:_port\"", PROXY),
            ("for=192.0.2.7, proto=https", PROXY),
            ("proto=https;for=192.0.2.7;", "192.0.2.7"),
        ] {
            assert_eq!(told(PROXY, &[("forwarded", value)]), client, "{value}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_and_not_skipped() {
        for value in [
            "for=2001:db8::1",
            "for=[2001:db8::1]",
            "for=\"2001:db8::1\"",
            "for=\"[192.0.2.7]\"",
            "for=\"[2001:db8::1%eth0]\"",
            "for=192.0.2.07",
            "for=0300.0.2.7",
            "for=192.2",
            "for=3221225985",
            "for=\"192.0.2.7:\"",
            "for=\"192.0.2.7:65536\"",
            "for=\"192.0.2.7:+80\"",
            "for=\"192.0.2.7",
            "for=\", for=192.0.2.7",
            "for=\"192.0.2.\\7\"",
            "for=192.0.2.7;for=192.0.2.8",
            "for",
            "for=",
            "=192.0.2.7",
            "for=_",
            "for=example.com",
        ] {
            assert_eq!(
                told(PROXY, &[("forwarded", value)]),
                "malformed Forwarded",
                "{value}"
            );
        }
        for value in [
            "192.0.2.07",
            "192.2",
            "fe80::1%eth0",
            "[192.0.2.7]",
            "2001:db8::1]",
            "[2001:db8::1]443",
            "192.0.2.7 10.1.1.1",
            "example.com",
            "\"192.0.2.7\"",
            "\u{e9}",
        ] {
            assert_eq!(
                told(PROXY, &[("x-forwarded-for", value)]),
                "malformed X-Forwarded-For",
                "{value}"
            );
        }
    }

    #[test]
    fn two_headers_must_agree() {
        let same = [("forwarded", "for=192.0.2.7"), ("x-forwarded-for", "192.0.2.7")];
        assert_eq!(told(PROXY, &same), "192.0.2.7");
        let other = [("forwarded", "for=192.0.2.7"), ("x-forwarded-for", "192.0.2.8")];
        assert_eq!(told(PROXY, &other), "malformed Forwarded");
    }

    #[test]
    fn nobody_else_is_believed() {
        let lines = [("forwarded", "for=\""), ("x-forwarded-for", "127.0.0.1")];
        assert_eq!(told("203.0.113.9", &lines), "203.0.113.9");
    }
}
