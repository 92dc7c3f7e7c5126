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
}

impl Envelope {
    /// Whether the server must offer SMTPUTF8.
    pub(super) fn needs_smtputf8(&self) -> bool {
        self.smtputf8 || !self.from.is_ascii() || self.to.iter().any(|to| !to.is_ascii())
    }

    /// MAIL with the parameters that the server knows.
    pub(super) fn mail_line(&self, extensions: &Extensions) -> String {
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
        line
    }
}

/// Addresses are personal data.
impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope")
            .field("recipients", &self.to.len())
            .field("size", &self.size)
            .field("smtputf8", &self.smtputf8)
            .field("eight_bit", &self.eight_bit)
            .finish_non_exhaustive()
    }
}
