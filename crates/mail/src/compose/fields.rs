//! The header fields of a message, all but those that describe its body.

use super::{Draft, MESSAGE_ID_OCTETS_MAX, date};
use crate::address::{DisplayName, Mailbox};
use crate::encode::Field;
use crate::text::{is_atext, push_quoted};

/// Octets up to which an ASCII name is written as it is; a longer one is encoded, because a quoted
/// string has no place where every reader lets it fold.
const PLAIN_NAME_OCTETS_MAX: usize = 60;

/// Appends the fields; true when one of them has an address beyond ASCII.
pub(super) fn push(out: &mut Vec<u8>, draft: &Draft<'_>) -> bool {
    let lists = [
        ("From", std::slice::from_ref(draft.from)),
        ("Reply-To", draft.reply_to),
        ("To", draft.to),
        ("Cc", draft.cc),
    ];
    let mut date = Field::start(out, "Date");
    date.word(&[&date::rfc5322(draft.date_unix_s)]);
    date.end();
    for (name, mailboxes) in lists {
        push_mailboxes(out, name, mailboxes);
    }
    let mut subject = Field::start(out, "Subject");
    subject.text(draft.subject.as_str());
    subject.end();
    push_message_id(out, draft.message_id);
    for (name, value) in draft.headers {
        let mut field = Field::start(out, name.as_str());
        if name.is_structured() {
            field.structured(value.as_str());
        } else {
            field.text(value.as_str());
        }
        field.end();
    }
    out.extend_from_slice(b"MIME-Version: 1.0\r\n");
    lists
        .iter()
        .any(|(_, mailboxes)| mailboxes.iter().any(|mailbox| !mailbox.address.is_ascii()))
}

fn push_mailboxes(out: &mut Vec<u8>, name: &str, mailboxes: &[Mailbox]) {
    if mailboxes.is_empty() {
        return;
    }
    let mut field = Field::start(out, name);
    for (index, mailbox) in mailboxes.iter().enumerate() {
        let comma = if index + 1 < mailboxes.len() { "," } else { "" };
        let address = mailbox.address.as_str();
        if let Some(name) = &mailbox.name {
            push_name(&mut field, name);
            field.word(&["<", address, ">", comma]);
        } else {
            field.word(&[address, comma]);
        }
    }
    field.end();
}

/// A display name as a phrase (RFC 5322 §3.2.5): bare words, a quoted string, or encoded-words.
fn push_name(field: &mut Field<'_>, name: &DisplayName) {
    let name = name.as_str();
    // Something that looks like an encoded-word is encoded again, so that it is shown, not decoded.
    if !name.is_ascii() || name.contains("=?") || name.len() > PLAIN_NAME_OCTETS_MAX {
        field.encoded(name);
    } else if name
        .split(' ')
        .all(|word| !word.is_empty() && word.chars().all(is_atext))
    {
        for word in name.split(' ') {
            field.word(&[word]);
        }
    } else {
        let mut quoted = String::with_capacity(name.len() + 2);
        push_quoted(&mut quoted, name);
        field.word(&[&quoted]);
    }
}

fn push_message_id(out: &mut Vec<u8>, message_id: &str) {
    let allowed = |c: &char| is_atext(*c) || matches!(c, '.' | '@' | '[' | ']' | ':');
    let id: String = message_id
        .chars()
        .filter(allowed)
        .take(MESSAGE_ID_OCTETS_MAX)
        .collect();
    let mut field = Field::start(out, "Message-ID");
    field.word(&["<", &id, ">"]);
    field.end();
}
