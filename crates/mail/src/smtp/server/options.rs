//! What a server offers to its clients, and what it allows them.

use crate::smtp::limits::{CONTENT_LINE_OCTETS_MAX, MESSAGE_OCTETS_MAX, RECIPIENTS_MAX};

/// What a server offers and allows.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// The name in the greeting and in the reply to EHLO.
    pub hostname: String,
    /// The extensions announced to EHLO.
    pub offer: Offer,
    /// Octets of content per message; announced by SIZE.
    pub message_octets_max: usize,
    /// Recipients per transaction; more get 452 (RFC 5321 §4.5.3.1.10).
    pub recipients_max: usize,
    /// Octets per line of content, CRLF included.
    pub content_line_octets_max: usize,
}

impl ServerOptions {
    /// Everything offered except STARTTLS, limits from [`limits`](super::limits).
    pub fn new(hostname: impl Into<String>) -> Self {
        Self {
            hostname: hostname.into(),
            offer: Offer::default(),
            message_octets_max: MESSAGE_OCTETS_MAX,
            recipients_max: RECIPIENTS_MAX,
            content_line_octets_max: CONTENT_LINE_OCTETS_MAX,
        }
    }
}

/// The extensions a server announces. Enhanced status codes are always announced and used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// PIPELINING, RFC 2920.
    pub pipelining: bool,
    /// SIZE, RFC 1870. The limit holds whether announced or not.
    pub size: bool,
    /// 8BITMIME, RFC 6152.
    pub eight_bit_mime: bool,
    /// SMTPUTF8, RFC 6531.
    pub smtputf8: bool,
    /// STARTTLS, RFC 3207, as long as the connection is not encrypted.
    pub starttls: bool,
}

impl Default for Offer {
    fn default() -> Self {
        Self {
            pipelining: true,
            size: true,
            eight_bit_mime: true,
            smtputf8: true,
            starttls: false,
        }
    }
}
