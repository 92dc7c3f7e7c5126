//! How values are written, by the place that they stand in.

use crate::text::{breaks_line, overrides_direction};
use std::fmt::Write as _;

/// Schemes that links made of values may have: those that lead somewhere and run nothing.
pub(super) const SCHEMES: [&str; 6] = ["http", "https", "mailto", "tel", "sms", "cid"];
/// What is written for a link that may not be followed.
const NOWHERE: &str = "#";

/// A way to write a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Escape {
    /// As it is.
    Nothing,
    /// As text of HTML, in an element or a quoted attribute.
    Html,
    /// As a part of a style; what could leave its property is not written at all.
    Style,
    /// As a link, or its beginning.
    Link,
    /// As a part of a link that may still be its scheme.
    LinkHead,
    /// As a part of a link's path.
    LinkPath,
    /// As one value of a link's query or fragment.
    LinkQuery,
}

impl Escape {
    /// Appends a text.
    pub(super) fn push(self, out: &mut String, text: &str) {
        match self {
            Self::Nothing => out.push_str(text),
            Self::Html => push_html(out, text),
            Self::Style => out.push_str(Some(text).filter(|text| is_plain_style(text)).unwrap_or_default()),
            Self::Link if !may_be_followed(text) => out.push_str(NOWHERE),
            Self::Link => push_link(out, text.trim(), b"!#$&'()*+,/:;=?@[]"),
            Self::LinkHead => push_link(out, text, b"!$&'()*+,/;=@"),
            Self::LinkPath => push_link(out, text, b"!$&'()*+,/:;=@"),
            Self::LinkQuery => {
                // A percent sign is one here, and not the beginning of what somebody has encoded.
                text.bytes().for_each(|byte| push_octet(out, byte, b""));
            }
        }
    }
}

/// The same octets for the same text as Handlebars.
fn push_html(out: &mut String, text: &str) {
    let mut rest = text;
    while let Some(place) = rest.find(['&', '<', '>', '"', '\'', '`', '=']) {
        let (plain, special) = rest.split_at_checked(place).unwrap_or((rest, ""));
        out.push_str(plain);
        out.push_str(match special.as_bytes().first() {
            Some(b'&') => "&amp;",
            Some(b'<') => "&lt;",
            Some(b'>') => "&gt;",
            Some(b'"') => "&quot;",
            Some(b'\'') => "&#x27;",
            Some(b'`') => "&#x60;",
            _ => "&#x3D;",
        });
        rest = special.get(1..).unwrap_or_default();
    }
    out.push_str(rest);
}

/// Whether it is a colour, a length, a name of a font: nothing with brackets, quotes, colons or escapes.
fn is_plain_style(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || " #%.,-_+".contains(c);
    text.chars().all(fits) && !text.contains("--")
}

/// Whether a link has one of the [`SCHEMES`], or none. What readers skip in a scheme makes it another one here.
fn may_be_followed(link: &str) -> bool {
    let link = link.trim();
    let Some(end) = link.find([':', '/', '?', '#']) else {
        return true;
    };
    let (head, rest) = link.split_at_checked(end).unwrap_or((link, ""));
    !rest.starts_with(':') || SCHEMES.iter().any(|scheme| scheme.eq_ignore_ascii_case(head))
}

/// Writes what is `kept` as it is, also what is encoded already.
fn push_link(out: &mut String, text: &str, kept: &[u8]) {
    let bytes = text.as_bytes();
    for (place, byte) in bytes.iter().enumerate() {
        let is_hex = |ahead: usize| bytes.get(place + ahead).is_some_and(u8::is_ascii_hexdigit);
        match byte {
            b'%' if is_hex(1) && is_hex(2) => out.push('%'),
            b'&' if kept.contains(byte) => out.push_str("&amp;"),
            b'\'' if kept.contains(byte) => out.push_str("&#x27;"),
            byte => push_octet(out, *byte, kept),
        }
    }
}

fn push_octet(out: &mut String, byte: u8, kept: &[u8]) {
    if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || kept.contains(&byte) {
        out.push(char::from(byte));
    } else {
        // Writing to a String can't fail.
        let _ = write!(out, "%{byte:02X}");
    }
}

/// The same text on one line, and in the direction that it is written in.
pub(super) fn one_line(text: &str) -> String {
    let kept = text.chars().filter(|c| !overrides_direction(*c));
    kept.map(|c| if breaks_line(c) { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_for_their_place() {
        for (escape, text, written) in [
            (Escape::Nothing, "<&>", "<&>"),
            (
                Escape::Html,
                "<a href='x'>&\"`=",
                "&lt;a href&#x3D;&#x27;x&#x27;&gt;&amp;&quot;&#x60;&#x3D;",
            ),
            (Escape::Style, "#ff0000", "#ff0000"),
            (Escape::Style, "red;background:url(//x)", ""),
            (Escape::Style, "expression(alert(1))", ""),
            (
                Escape::Link,
                "https://a.example/?q=1&r=ü",
                "https://a.example/?q=1&amp;r=%C3%BC",
            ),
            (
                Escape::Link,
                " HTTPS://a.example/a%20b c%",
                "HTTPS://a.example/a%20b%20c%25",
            ),
            (Escape::Link, "/path:with/colon", "/path:with/colon"),
            (Escape::Link, "javascript:alert(1)", "#"),
            (Escape::Link, " JaVaScRiPt:alert(1)", "#"),
            (Escape::Link, "java\tscript:alert(1)", "#"),
            (Escape::Link, "\u{1}javascript:alert(1)", "#"),
            (Escape::Link, "data:text/html,x", "#"),
            (Escape::Link, "vbscript:x", "#"),
            (Escape::Link, "\"><script>", "%22%3E%3Cscript%3E"),
            (Escape::LinkHead, "script:alert(1)", "script%3Aalert(1)"),
            (Escape::LinkPath, "a/b?c#d e", "a/b%3Fc%23d%20e"),
            (Escape::LinkQuery, "a&b=c/d%20é", "a%26b%3Dc%2Fd%2520%C3%A9"),
        ] {
            let mut out = String::new();
            escape.push(&mut out, text);
            assert_eq!(out, written, "{escape:?} {text}");
        }
    }

    #[test]
    fn a_subject_stays_on_its_line() {
        assert_eq!(one_line("Hi\r\nBcc: x\u{2028}y\u{202e}z"), "Hi  Bcc: x yz");
    }
}
