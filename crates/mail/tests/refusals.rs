//! What receiving hosts say, and what it means: `refusals.txt` holds the replies.
#![allow(clippy::unwrap_used)]

use sealwright_mail::smtp::reply::{EnhancedCode, Reply, ReplyParser};
use sealwright_mail::smtp::{Category, classify};
use std::collections::BTreeMap;

/// The reply as a client would have read it from the wire.
fn reply(text: &str) -> Reply {
    let (code, rest) = text.split_once(' ').unwrap();
    let lines: Vec<_> = rest.split(" / ").collect();
    let (last, first) = lines.split_last().unwrap();
    let mut wire: String = first.iter().map(|line| format!("{code}-{line}\r\n")).collect();
    wire += &format!("{code} {last}\r\n");
    let (_, reply) = ReplyParser::new().push(wire.as_bytes()).unwrap();
    reply.unwrap()
}

fn meant(reply: &Reply) -> Category {
    classify(Some(reply.code()), reply.enhanced(), &reply.text(512))
}

#[test]
fn replies_of_the_field_mean_what_the_table_says() {
    let mut wrong = Vec::new();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let table = include_str!("refusals.txt").lines();
    for line in table.filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (expected, text) = line.split_once(" | ").unwrap();
        let found = meant(&reply(text)).name();
        if found != expected {
            wrong.push(format!("{found} instead of {line}"));
        }
        *counts.entry(expected).or_default() += 1;
    }
    assert!(wrong.is_empty(), "{} replies:\n{}", wrong.len(), wrong.join("\n"));
    assert!(counts.values().sum::<usize>() >= 150, "{counts:?}");
    assert_eq!(counts.len(), Category::ALL.len(), "{counts:?}");
}

#[test]
fn a_temporary_refusal_is_never_hard() {
    for line in include_str!("refusals.txt").lines() {
        let Some((_, text)) = line.split_once(" | 5") else {
            continue;
        };
        let now = reply(&format!("4{}", text.replace("5.", "4.")));
        assert!(!meant(&now).is_hard(), "{line}");
    }
}

#[test]
fn an_address_in_a_reply_says_nothing_of_its_words() {
    let text = "550 5.1.1 <spam-policy@blocklist.example>: user unknown";
    assert_eq!(meant(&reply(text)), Category::InvalidAddress);
}

#[test]
fn a_report_without_a_reply_code_is_classified_by_its_status() {
    for (status, text, expected) in [
        (EnhancedCode::new(5, 1, 1), "", Category::InvalidAddress),
        (
            EnhancedCode::new(4, 4, 7),
            "delivery time expired",
            Category::ServerError,
        ),
        (EnhancedCode::new(5, 1, 7), "", Category::PolicyRelated),
    ] {
        assert_eq!(classify(None, Some(status), text), expected, "{status}");
    }
    assert_eq!(classify(None, None, "User unknown"), Category::InvalidAddress);
    assert_eq!(classify(None, None, ""), Category::ServerError);
}
