//! Delivery status notifications in the form of RFC 3464.

use super::entity::{Entity, Fields};
use super::{REASON_CHARS_MAX, RECIPIENTS_MAX, Undelivered, WORDS_OCTETS_MAX, head};
use crate::smtp::EnhancedCode;

/// One recipient whom a message did not reach.
pub struct Failure {
    /// How the recipient is called: first as the sender wrote it, then as the last host knew it.
    /// Not parsed; empty when the report names nobody.
    pub recipients: Vec<String>,
    /// The reply code of the host that refused.
    pub code: Option<u16>,
    /// The enhanced status code.
    pub status: Option<EnhancedCode>,
    /// The words of whoever refused, or of whoever reports; at most [`REASON_CHARS_MAX`] characters
    /// in one line.
    pub reason: String,
}

impl Failure {
    /// A failure for this reason, which is searched for codes where `status` knows no better.
    #[must_use]
    pub fn new(recipients: Vec<String>, status: Option<EnhancedCode>, reason: &str) -> Self {
        let (code, in_reason) = codes(reason);
        // `5.0.0` says that it failed; the reason may say why (RFC 3463 §2).
        let is_vague = |status: &EnhancedCode| status.subject == 0;
        let status = match (status, in_reason) {
            (Some(status), Some(better)) if is_vague(&status) && better.class == status.class => Some(better),
            (status, in_reason) => status.or(in_reason),
        };
        let line: Vec<&str> = reason.split_whitespace().collect();
        Self {
            recipients,
            code,
            status,
            reason: line.join(" ").chars().take(REASON_CHARS_MAX).collect(),
        }
    }

    /// Whether it would fail again: not for 4.y.z, which a mail system reports when it gave up.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        match (self.status, self.code) {
            (Some(status), _) => status.class != 4,
            (None, Some(code)) => code >= 500,
            (None, None) => true,
        }
    }
}

impl Undelivered {
    /// What the machine-readable part says; `None` when there is none.
    pub(super) fn of_status(parts: &[Entity<'_>]) -> Option<Self> {
        let status = parts.iter().find(|part| {
            let kind = part.kind();
            kind == "message/delivery-status" || kind == "message/global-delivery-status"
        })?;
        let text = status.text().replace("\r\n", "\n");
        let blocks = text.split("\n\n").filter(|block| !block.trim().is_empty());
        let (mut failures, mut envelope_id) = (Vec::new(), None);
        for fields in blocks.take(RECIPIENTS_MAX + 1).map(Fields::of) {
            envelope_id = envelope_id.or_else(|| fields.get("original-envelope-id").map(xtext));
            failures.extend(failure(&fields));
        }
        let prose = parts.first().filter(|part| part.kind() == "text/plain");
        let prose = prose.map(Entity::text).unwrap_or_default();
        let words = format!(
            "{}\n\n{}",
            head(&prose, WORDS_OCTETS_MAX / 2).trim_end(),
            text.trim()
        );
        Some(Self {
            failures,
            envelope_id,
            words: head(&words, WORDS_OCTETS_MAX).to_owned(),
        })
    }
}

/// Only what failed for good: late, relayed, expanded and delivered mail is still, or was, on its way.
fn failure(fields: &Fields) -> Option<Failure> {
    let action = fields.get("action")?;
    let action = action.split([' ', '(', ';']).next()?;
    if !action.eq_ignore_ascii_case("failed") {
        return None;
    }
    let mut recipients = Vec::new();
    for name in ["original-recipient", "final-recipient"] {
        let Some(address) = fields.get(name).map(without_type) else {
            continue;
        };
        // Some report the ORCPT as it was given, some decode it.
        for address in [address.to_owned(), xtext(address)] {
            if !address.is_empty() && !recipients.contains(&address) {
                recipients.push(address);
            }
        }
    }
    let status = fields.get("status").and_then(EnhancedCode::parse);
    let reason = fields
        .get("diagnostic-code")
        .map(without_type)
        .unwrap_or_default();
    Some(Failure::new(recipients, status, reason))
}

/// `rfc822; ada@example.com` without its type.
fn without_type(value: &str) -> &str {
    let value = value.split_once(';').map_or(value, |(_, value)| value);
    value.trim().trim_start_matches('<').trim_end_matches('>')
}

/// RFC 3461 §4: `+` and two digits stand for a character. What is no escape stands for itself.
fn xtext(text: &str) -> String {
    let mut pieces = text.split('+');
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let escape = piece.split_at_checked(2).and_then(|(digits, rest)| {
            let is_upper = digits
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F'));
            let octet = u8::from_str_radix(digits, 16).ok().filter(|_| is_upper)?;
            octet.is_ascii_graphic().then(|| (char::from(octet), rest))
        });
        match escape {
            Some((character, rest)) => {
                out.push(character);
                out.push_str(rest);
            }
            None => {
                out.push('+');
                out.push_str(piece);
            }
        }
    }
    out
}

/// The first reply code and the first enhanced code of a refusal in a text.
fn codes(text: &str) -> (Option<u16>, Option<EnhancedCode>) {
    let is_number = |c: char| c.is_ascii_digit() || c == '.';
    let (mut code, mut status) = (None, None);
    for word in text.split(|c| !is_number(c)).map(|word| word.trim_matches('.')) {
        if word.len() == 3 {
            let refusal = word.parse::<u16>().ok().filter(|code| (400..600).contains(code));
            code = code.or(refusal);
        }
        let refusal = EnhancedCode::parse(word).filter(|status| status.class != 2);
        status = status.or(refusal);
    }
    (code, status)
}
