//! The envelope of a transaction: who sends, who receives, and what the message needs.

use std::fmt;
use std::fmt::Write;

use super::Extensions;

/// Sender, recipients and needs of one transaction.
#[derive(Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The reverse path; empty for the null sender.
    pub from: String,
    /// The forward paths, one outcome each.
    pub to: Vec<String>,
    /// Octets of the content with all its CRLFs, before dots are doubled (RFC 1870 §5).
    pub size: usize,
    /// Whether a header holds UTF-8. Addresses that do are noticed without it.
    pub smtputf8: bool,
    /// Whether the content holds octets above 127.
    pub eight_bit: bool,
    /// Whether reports are to come to `from` as machines read them, without the content and only when
    /// mail does not arrive: asked of servers that offer DSN (RFC 3461).
    pub wants_reports: bool,
    /// Whether every further host is to be told that the message must not travel unprotected (RFC 8689), where the server
    /// offers to see to it.
    pub require_tls: bool,
}

/// Longest ORCPT that is given, address type included (RFC 3461 §5.4).
const ORCPT_OCTETS_MAX: usize = 500;

impl Envelope {
    /// Whether the server must offer SMTPUTF8.
    pub(super) fn needs_smtputf8(&self) -> bool {
        self.smtputf8 || !self.from.is_ascii() || self.to.iter().any(|to| !to.is_ascii())
    }

    /// MAIL with the parameters that the server knows. What was offered in clear text is not to be relied on for
    /// REQUIRETLS (RFC 8689 §2).
    pub(super) fn mail_line(&self, extensions: &Extensions, is_encrypted: bool) -> String {
        let mut line = format!("MAIL FROM:<{}>", self.from);
        if extensions.size.is_some() {
            // Writing to a String can't fail.
            let _ = write!(line, " SIZE={}", self.size);
        }
        if extensions.eight_bit_mime && (self.eight_bit || self.needs_smtputf8()) {
            line.push_str(" BODY=8BITMIME");
        }
        if extensions.smtputf8 && self.needs_smtputf8() {
            line.push_str(" SMTPUTF8");
        }
        if extensions.dsn && self.wants_reports {
            let local = self.from.rsplit_once('@').map_or("", |(local, _)| local);
            let _ = write!(line, " RET=HDRS ENVID={}", xtext(local));
        }
        if self.require_tls && extensions.requiretls && is_encrypted {
            line.push_str(" REQUIRETLS");
        }
        line
    }

    /// RCPT with the parameters that the server knows.
    pub(super) fn rcpt_line(&self, to: &str, extensions: &Extensions) -> String {
        let mut line = format!("RCPT TO:<{to}>");
        if extensions.dsn && self.wants_reports {
            line.push_str(" NOTIFY=FAILURE");
            let original = format!("rfc822;{}", xtext(to));
            // An address beyond ASCII has a type of its own (RFC 6533 §3), which few servers know.
            if to.is_ascii() && original.len() <= ORCPT_OCTETS_MAX {
                let _ = write!(line, " ORCPT={original}");
            }
        }
        line
    }
}

/// RFC 3461 §4: visible ASCII stands for itself but for `+` and `=`.
fn xtext(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && !matches!(byte, b'+' | b'=') {
            out.push(char::from(byte));
        } else {
            // As above.
            let _ = write!(out, "+{byte:02X}");
        }
    }
    out
}

/// Addresses are personal data.
impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope")
            .field("recipients", &self.to.len())
            .field("size", &self.size)
            .field("smtputf8", &self.smtputf8)
            .field("eight_bit", &self.eight_bit)
            .field("require_tls", &self.require_tls)
            .finish_non_exhaustive()
    }
}
