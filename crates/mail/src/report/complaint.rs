//! Complaints in the Abuse Reporting Format (RFC 5965).

use super::entity::{Entity, Fields};
use super::{RECIPIENTS_MAX, WORDS_OCTETS_MAX, head};

/// Kinds of feedback that say that a person did not want the mail (RFC 5965 §7.3, RFC 6430 and
/// others name kinds that say something else).
const COMPLAINTS: [&str; 6] = ["abuse", "fraud", "virus", "other", "opt-out", "opt-out-list"];

/// A recipient complained.
pub struct Complaint {
    /// The kind of feedback, in lower case.
    pub kind: String,
    /// Return paths that the message may have been sent with, without brackets.
    pub return_paths: Vec<String>,
    /// Recipients as the report names them; most reports name none.
    pub recipients: Vec<String>,
    /// The machine-readable part.
    pub words: String,
}

impl Complaint {
    /// `None` when there is no feedback report, `Some(None)` when there is one that is no complaint.
    pub(super) fn of(parts: &[Entity<'_>]) -> Option<Option<Self>> {
        let report = parts
            .iter()
            .find(|part| part.kind() == "message/feedback-report")?;
        let text = report.text();
        let fields = Fields::of(&text);
        let kind = fields
            .get("feedback-type")
            .unwrap_or_default()
            .to_ascii_lowercase();
        if !COMPLAINTS.contains(&kind.as_str()) {
            return Some(None);
        }
        let mut return_paths = addresses(&fields, "original-mail-from");
        let original = parts
            .iter()
            .rfind(|part| ["message/rfc822", "text/rfc822-headers"].contains(&part.kind().as_str()));
        if let Some(original) = original {
            return_paths.extend(addresses(&original.inner_fields(), "return-path"));
        }
        Some(Some(Self {
            kind,
            return_paths,
            recipients: addresses(&fields, "original-rcpt-to"),
            words: head(text.trim(), WORDS_OCTETS_MAX).to_owned(),
        }))
    }
}

fn addresses(fields: &Fields, name: &str) -> Vec<String> {
    let bare = |value: &str| value.trim_matches(['<', '>', ' ']).to_owned();
    let all = fields.all(name).take(RECIPIENTS_MAX).map(bare);
    all.filter(|address| !address.is_empty()).collect()
}
