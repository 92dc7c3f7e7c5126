//! Delivery reports for people: what qmail, Exim, Postfix, Exchange, Gmail and Yahoo write when
//! they do not speak RFC 3464.
//!
//! A sentence that only a mail system says opens the list of failures; addresses follow, each with
//! its reason, until the message that is brought back begins. Without such a sentence a text is a
//! person's, whatever its subject: a vacation note bounces nobody.

use super::delivery::Failure;
use super::entity::{Entity, Fields};
use super::{RECIPIENTS_MAX, Undelivered, WORDS_OCTETS_MAX, head};
use crate::address::Address;

/// Lines that are looked at.
const LINES_MAX: usize = 400;
/// Octets of a line that may hold an address.
const LINE_OCTETS_MAX: usize = 1_000;
/// Octets of a reason while it is collected.
const REASON_OCTETS_MAX: usize = 2_000;

/// What opens the list, in lower case.
const OPENINGS: [&str; 18] = [
    // qmail, and Yahoo in its manner
    "wasn't able to deliver your message to the following addresses",
    "unable to deliver your message to the following address",
    "unable to deliver message to the following address",
    // Exim
    "could not be delivered to one or more of its recipients",
    "the following address(es) failed:",
    // Postfix
    "could not be delivered to one or more recipients",
    // Exchange
    "delivery has failed to these recipients or",
    "delivery has failed to these recipients or distribution lists",
    "the following recipient(s) cannot be reached",
    "did not reach some or all of the intended recipients",
    "delivery to the following recipients failed",
    "diagnostic information for administrators",
    // Gmail
    "delivery to the following recipient failed permanently",
    "delivery to the following recipients failed permanently",
    "your message wasn't delivered to",
    "the response from the remote server was",
    // sendmail
    "the following addresses had permanent fatal errors",
    "the following addresses had permanent delivery errors",
];

/// What only reports of late mail say, in lower case.
const DELAYS: [&str; 8] = [
    "will retry for",
    "will be retried",
    "keep trying to deliver",
    "delivery attempts will continue",
    "do not need to resend your message",
    "this is a warning message only",
    "has been delayed",
    "temporary problem delivering your message",
];

/// What begins the message that is brought back, in lower case.
const COPIES: [&str; 9] = [
    "--- below this line is a copy of the message",
    "------ this is a copy of",
    "------ this is the full copy",
    "----- original message",
    "----- message header follows",
    "--- the header of the original message",
    "original message headers:",
    "original message header:",
    "return-path: <",
];

/// The failures of a report in prose; none if it is no such report.
pub(super) fn undelivered(header: &Fields, parts: &[Entity<'_>]) -> Undelivered {
    let text = parts.iter().find(|part| part.kind() == "text/plain");
    let text = text.map(Entity::text).unwrap_or_default().replace("\r\n", "\n");
    let words = own_words(&text);
    // Octet for octet, so that places are the same; sentences go on over the ends of lines.
    let lower = words.to_ascii_lowercase().replace('\n', " ");
    let is_late = DELAYS.iter().any(|delay| lower.contains(delay));
    let opening = OPENINGS.iter().filter_map(|opening| lower.find(opening)).min();
    let said = opening
        .filter(|_| !is_late)
        .and_then(|opening| words.get(line_start(words, opening)..));
    let mut failures = said.map(scan).unwrap_or_default();
    if let Some(said) = said.filter(|_| failures.is_empty()) {
        let listed = header.get("x-failed-recipients").unwrap_or_default();
        let listed = listed
            .split(',')
            .filter_map(|word| Address::parse(word.trim()).ok());
        failures.extend(listed.take(RECIPIENTS_MAX).map(|address| found(&address, said)));
    }
    Undelivered {
        failures,
        envelope_id: None,
        words: words.to_owned(),
    }
}

fn line_start(text: &str, at: usize) -> usize {
    let before = text.get(..at).unwrap_or_default();
    before.rfind('\n').map_or(0, |end| end + 1)
}

/// The text up to the message that is brought back.
fn own_words(text: &str) -> &str {
    let mut end = 0;
    for line in text.split_inclusive('\n').take(LINES_MAX) {
        let lower = head(line, LINE_OCTETS_MAX).trim().to_ascii_lowercase();
        if COPIES.iter().any(|copy| lower.starts_with(copy)) {
            break;
        }
        end += line.len();
    }
    head(text.get(..end).unwrap_or(text), WORDS_OCTETS_MAX)
}

fn found(address: &Address, reason: &str) -> Failure {
    Failure::new(
        vec![address.as_str().to_owned()],
        None,
        head(reason, REASON_OCTETS_MAX),
    )
}

/// Addresses, each with the lines up to the next. Exchange names each twice: first for people, then with the reason.
fn scan(words: &str) -> Vec<Failure> {
    let mut all: Vec<(Address, String)> = Vec::new();
    let mut current = None;
    for line in words.lines() {
        if let Some((address, rest)) = opened(line) {
            let known = all
                .iter()
                .position(|(known, _)| known.canonical() == address.canonical());
            current = known.or_else(|| (all.len() < RECIPIENTS_MAX).then_some(all.len()));
            if known.is_none() && current.is_some() {
                all.push((address, String::new()));
            }
            append(&mut all, current, rest);
        } else {
            append(&mut all, current, line);
        }
    }
    all.iter()
        .map(|(address, reason)| found(address, reason))
        .collect()
}

fn append(all: &mut [(Address, String)], current: Option<usize>, line: &str) {
    if let Some((_, reason)) = current.and_then(|current| all.get_mut(current))
        && reason.len() < REASON_OCTETS_MAX
    {
        reason.push(' ');
        reason.push_str(head(line.trim(), LINE_OCTETS_MAX));
    }
}

/// The address that a line opens, and the rest of the line.
fn opened(line: &str) -> Option<(Address, &str)> {
    let line = head(line.trim(), LINE_OCTETS_MAX);
    // Gmail: the sentence names its address.
    let lower = line.to_ascii_lowercase();
    if lower.starts_with("your message wasn't delivered to") {
        let address = line.split_whitespace().find_map(bare)?;
        return Some((address, line));
    }
    // qmail, Yahoo, Postfix and sendmail: `<ada@example.com>:` or `<ada@example.com>`.
    if let Some((address, rest)) = line.strip_prefix('<').and_then(|line| line.split_once('>')) {
        let address = Address::parse(address).ok()?;
        return Some((address, rest.trim_start_matches([':', ' '])));
    }
    // Exim and Exchange: the address alone, or with what Exchange puts behind it.
    let (word, note) = line.split_once([' ', '<', '(']).unwrap_or((line, ""));
    let is_note = note.is_empty()
        || ["on ", "mailto:", "("]
            .iter()
            .any(|begin| note.starts_with(begin));
    let address = bare(word).filter(|_| is_note)?;
    Some((address, ""))
}

fn bare(word: &str) -> Option<Address> {
    if !word.contains('@') {
        return None;
    }
    Address::parse(word.trim_matches(['<', '>', '(', ')', ',', ';', ':', '\'', '"', '*'])).ok()
}
