//! The addresses of other people's HTTPS servers, as far as we are willing to call them.
//!
//! Far stricter than RFC 3986: every notation that two parsers could read differently is refused
//! with a hint how to write it, because the difference is what a request forgery lives on.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use http::{HeaderValue, Uri};
use rustls::pki_types::{DnsName, ServerName};

/// The longest URL taken, in bytes.
pub const URL_BYTES_MAX: usize = 2048;

/// The longest host name, in bytes (RFC 1035 §2.3.4 less the root's dot and length byte).
const HOST_BYTES_MAX: usize = 253;

/// The longest label of a host name, in bytes (RFC 1035 §2.3.4).
const LABEL_BYTES_MAX: usize = 63;

/// Ports below this are other protocols' and refused, 443 apart.
const UNPRIVILEGED_PORT_MIN: u16 = 1024;

/// Where a request may go: an `https` URL in the one notation that is accepted.
///
/// `Debug` shows the origin alone; paths and queries of webhooks often hold a token.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpsUrl {
    text: String,
    host: Host,
    port: u16,
    is_plain: bool,
    target: Uri,
    host_header: HeaderValue,
    origin: Arc<str>,
}

/// The host part of an [`HttpsUrl`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A DNS name: lower case, ASCII, no trailing dot.
    Name(String),
    /// An address written as such.
    Ip(IpAddr),
}

/// What a URL may be beyond the rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UrlRules {
    /// Also takes `http://` and any port when the host is `localhost` or a loopback address: for
    /// development, where the receiver runs beside the server. The
    /// [`Guard`](super::guard::Guard) has to allow the loopback networks too.
    pub allow_plain_loopback: bool,
}

/// Why a URL was refused. The text says how to mend it and repeats nothing of the URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlRefused {
    /// Longer than [`URL_BYTES_MAX`].
    #[error("the URL is longer than {URL_BYTES_MAX} bytes")]
    TooLong,
    /// A space, a control character, a backslash or another byte RFC 3986 does not allow.
    #[error(
        "the URL has a character that must be percent-encoded (space, control, backslash, quote or non-ASCII)"
    )]
    Character,
    /// A `%` without two hexadecimal digits after it.
    #[error("the URL has a '%' that is not followed by two hexadecimal digits")]
    PercentEncoding,
    /// Any scheme but `https`.
    #[error("the URL must start with https://")]
    Scheme,
    /// `user:password@` before the host.
    #[error("the URL must not carry a user name or password; send credentials in a header")]
    UserInfo,
    /// No host at all.
    #[error("the URL has no host")]
    NoHost,
    /// Not a DNS name in its plain form.
    #[error(
        "the host must be a DNS name in ASCII, without percent-encoding or trailing dot (write international names in their xn-- form)"
    )]
    HostName,
    /// A number that some parsers read as an address.
    #[error("write an IP address as four decimal numbers or as canonical IPv6 in brackets")]
    IpNotation,
    /// Not a number, or one that is not allowed.
    #[error("the port must be 443, 8443 or at least {UNPRIVILEGED_PORT_MIN}")]
    Port,
}

impl HttpsUrl {
    /// Reads an `https` URL; a fragment is dropped.
    ///
    /// # Errors
    /// [`UrlRefused`] when it is anything but one unambiguous way to name an HTTPS server.
    pub fn parse(text: &str) -> Result<HttpsUrl, UrlRefused> {
        HttpsUrl::parse_with(text, UrlRules::default())
    }

    /// [`HttpsUrl::parse`] under other rules.
    ///
    /// # Errors
    /// As [`HttpsUrl::parse`].
    pub fn parse_with(text: &str, rules: UrlRules) -> Result<HttpsUrl, UrlRefused> {
        if text.len() > URL_BYTES_MAX {
            return Err(UrlRefused::TooLong);
        }
        check_characters(text)?;
        let text = text.split_once('#').map_or(text, |(before, _)| before);
        let (is_plain, rest) = split_scheme(text, rules)?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let (host, port) = split_authority(authority)?;
        let host = parse_host(host)?;
        if is_plain && !host.is_loopback() {
            return Err(UrlRefused::Scheme);
        }
        let default_port = if is_plain { 80 } else { 443 };
        let port = port.map_or(Ok(default_port), parse_port)?;
        let is_free_port = rules.allow_plain_loopback && host.is_loopback();
        if !is_free_port && port != 443 && port < UNPRIVILEGED_PORT_MIN {
            return Err(UrlRefused::Port);
        }
        check_percent(target)?;
        assemble(host, port, is_plain, target)
    }

    /// The URL in its one notation: lower-case scheme and host, no default port, no fragment.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The host to resolve, or to check as it is.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The port to connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether the URL is `http://`, which only a loopback host can be.
    pub fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// Scheme, host and port: what may be shown or logged where the path may not.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The request target in origin form (RFC 9112 §3.2.1).
    pub(super) fn target(&self) -> Uri {
        self.target.clone()
    }

    /// The value of the `Host` field (RFC 9110 §7.2).
    pub(super) fn host_header(&self) -> HeaderValue {
        self.host_header.clone()
    }

    /// Identifies the server a kept connection belongs to.
    pub(super) fn origin_key(&self) -> Arc<str> {
        Arc::clone(&self.origin)
    }

    /// The name that the server's certificate has to be for.
    pub(super) fn server_name(&self) -> Option<ServerName<'static>> {
        match &self.host {
            Host::Name(name) => DnsName::try_from(name.clone()).ok().map(ServerName::DnsName),
            Host::Ip(ip) => Some(ServerName::IpAddress((*ip).into())),
        }
    }
}

impl fmt::Debug for HttpsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpsUrl({}/…)", self.origin)
    }
}

impl Host {
    fn is_loopback(&self) -> bool {
        match self {
            Host::Name(name) => name == "localhost" || name.ends_with(".localhost"),
            Host::Ip(ip) => ip.is_loopback(),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name),
            Host::Ip(IpAddr::V4(ip)) => write!(f, "{ip}"),
            Host::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

fn check_characters(text: &str) -> Result<(), UrlRefused> {
    let is_uri_byte = |byte: u8| byte.is_ascii_alphanumeric() || URI_PUNCTUATION.contains(&byte);
    if text.bytes().all(is_uri_byte) {
        Ok(())
    } else {
        Err(UrlRefused::Character)
    }
}

/// The unreserved and reserved marks of RFC 3986 §2.2 and §2.3, and the percent sign.
const URI_PUNCTUATION: &[u8] = b"-._~:/?#[]@!$&'()*+,;=%";

fn split_scheme(text: &str, rules: UrlRules) -> Result<(bool, &str), UrlRefused> {
    let (scheme, rest) = text.split_once("://").ok_or(UrlRefused::Scheme)?;
    if scheme.eq_ignore_ascii_case("https") {
        Ok((false, rest))
    } else if rules.allow_plain_loopback && scheme.eq_ignore_ascii_case("http") {
        Ok((true, rest))
    } else {
        Err(UrlRefused::Scheme)
    }
}

fn split_authority(authority: &str) -> Result<(&str, Option<&str>), UrlRefused> {
    if authority.contains('@') {
        return Err(UrlRefused::UserInfo);
    }
    let port_colon = match authority.rfind(']') {
        Some(bracket) => authority[bracket..].find(':').map(|at| bracket + at),
        None => authority.find(':'),
    };
    let (host, port) = match port_colon {
        Some(at) => (&authority[..at], Some(&authority[at + 1..])),
        None => (authority, None),
    };
    if host.is_empty() {
        return Err(UrlRefused::NoHost);
    }
    Ok((host, port))
}

fn parse_port(text: &str) -> Result<u16, UrlRefused> {
    let is_canonical = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_canonical {
        return Err(UrlRefused::Port);
    }
    text.parse().map_err(|_| UrlRefused::Port)
}

fn parse_host(text: &str) -> Result<Host, UrlRefused> {
    if let Some(inside) = text.strip_prefix('[') {
        let literal = inside.strip_suffix(']').ok_or(UrlRefused::IpNotation)?;
        let ip: Ipv6Addr = literal.parse().map_err(|_| UrlRefused::IpNotation)?;
        // RFC 5952 is the only spelling taken.
        return if ip.to_string() == literal.to_ascii_lowercase() {
            Ok(Host::Ip(ip.into()))
        } else {
            Err(UrlRefused::IpNotation)
        };
    }
    if let Ok(ip) = text.parse::<Ipv4Addr>() {
        return Ok(Host::Ip(ip.into()));
    }
    if ends_in_number(text) {
        return Err(UrlRefused::IpNotation);
    }
    if text.len() > HOST_BYTES_MAX || !text.split('.').all(is_label) {
        return Err(UrlRefused::HostName);
    }
    Ok(Host::Name(text.to_ascii_lowercase()))
}

/// Whether the last label reads as a number, decimal, octal or hexadecimal. `inet_aton` and the
/// URL standard of browsers take such hosts for IPv4 addresses (`127.1`, `0x7f000001`); no
/// top-level domain is one.
fn ends_in_number(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let last = host.rsplit('.').next().unwrap_or(host);
    let is_decimal = !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit());
    let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    is_decimal || hex.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Letters, digits, inner hyphens (RFC 1123 §2.1), and the underscore that some hosts have anyway.
fn is_label(label: &str) -> bool {
    let is_host_byte = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !label.is_empty()
        && label.len() <= LABEL_BYTES_MAX
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(is_host_byte)
}

fn check_percent(target: &str) -> Result<(), UrlRefused> {
    let mut after_percent = target.split('%').skip(1);
    let is_triplet = |part: &str| {
        let mut bytes = part.bytes();
        let mut is_hex = || bytes.next().is_some_and(|byte| byte.is_ascii_hexdigit());
        is_hex() && is_hex()
    };
    if after_percent.all(is_triplet) {
        Ok(())
    } else {
        Err(UrlRefused::PercentEncoding)
    }
}

fn assemble(host: Host, port: u16, is_plain: bool, target: &str) -> Result<HttpsUrl, UrlRefused> {
    let (scheme, default_port) = if is_plain { ("http", 80) } else { ("https", 443) };
    let authority = if port == default_port {
        host.to_string()
    } else {
        format!("{host}:{port}")
    };
    let target = if target.starts_with('/') {
        target.to_owned()
    } else {
        format!("/{target}")
    };
    Ok(HttpsUrl {
        text: format!("{scheme}://{authority}{target}"),
        origin: format!("{scheme}://{authority}").into(),
        host_header: HeaderValue::from_str(&authority).map_err(|_| UrlRefused::HostName)?,
        target: target.parse().map_err(|_| UrlRefused::Character)?,
        host,
        port,
        is_plain,
    })
}
