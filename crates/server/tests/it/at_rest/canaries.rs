//! Words that occur nowhere else, one for each field, and the search for them.

use crate::harness::Hook;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealwright::platform::dev::sink::Captured;
use serde_json::{Value, json};
use std::io::BufRead as _;

/// What every canary begins with, put together at run time so that no binary or source holds it whole.
fn prefix() -> String {
    ["zq7", "canary"].concat()
}

const FIELDS: [&str; 23] = [
    "from name",
    "from local",
    "to name",
    "to local",
    "to domain",
    "cc local",
    "cc domain",
    "bcc local",
    "bcc domain",
    "replyTo name",
    "replyTo local",
    "subject",
    "html",
    "text",
    "header value",
    "tag",
    "metadata key",
    "metadata value",
    "attachment name",
    "attachment content",
    "cid",
    "webhook path",
    "report",
];

/// All canaries of one test.
pub(super) struct Canaries {
    words: Vec<(&'static str, String)>,
    /// Words of other forms: keys, secrets, encodings.
    secrets: Vec<(&'static str, String)>,
}

impl Canaries {
    pub(super) fn new(api_key: String) -> Self {
        let all = FIELDS.iter().chain(&["idempotency key"]);
        let words = all
            .zip(10..)
            .map(|(name, n)| (*name, format!("{}{n}x", prefix())))
            .collect();
        let mut canaries = Self {
            words,
            secrets: vec![("API key", api_key)],
        };
        // As it is in the request and in the message.
        let encoded = STANDARD.encode(canaries.of("attachment content"));
        canaries.secrets.push(("attachment content in base64", encoded));
        for (domain, address) in [
            ("to domain", "to address"),
            ("cc domain", "cc address"),
            ("bcc domain", "bcc address"),
        ] {
            let behind_at = format!("@{}", canaries.of(domain));
            canaries.secrets.push((address, behind_at));
        }
        canaries
    }

    pub(super) fn of(&self, name: &str) -> &str {
        let word = self.words.iter().find(|(known, _)| *known == name);
        &word.unwrap_or_else(|| panic!("there is no canary for {name}")).1
    }

    pub(super) fn secret(&self, name: &str) -> &str {
        &self.secrets.iter().find(|(known, _)| *known == name).unwrap().1
    }

    pub(super) fn add_secret(&mut self, name: &'static str, value: &str) {
        self.secrets.push((name, value.to_owned()));
    }

    /// An e-mail with a canary in every field.
    pub(super) fn email(&self) -> Value {
        let of = |name| self.of(name);
        json!({
            "from": format!("{} <{}@quiet.example>", of("from name"), of("from local")),
            "to": [format!("{} <{}@{}.example>", of("to name"), of("to local"), of("to domain"))],
            "cc": format!("{}@{}.example", of("cc local"), of("cc domain")),
            "bcc": [format!("{}@{}.example", of("bcc local"), of("bcc domain")), "plain@reader.example"],
            "replyTo": {"name": of("replyTo name"), "email": format!("{}@quiet.example", of("replyTo local"))},
            "subject": of("subject"),
            "html": format!("<p>{}</p>", of("html")),
            "text": of("text"),
            "headers": {"X-Order": of("header value")},
            "tags": [of("tag")],
            "metadata": {of("metadata key"): of("metadata value")},
            "attachments": [{
                "filename": format!("{}.txt", of("attachment name")),
                "content": STANDARD.encode(of("attachment content")),
                "contentType": "text/plain",
                "cid": of("cid"),
            }],
        })
    }

    /// Says that the canaries really went through: a search for something that was never there proves nothing.
    pub(super) fn assert_used(&self, shown: &str, received: &[Captured], hooks: &[Hook]) {
        let mail: String = received
            .iter()
            .map(|mail| String::from_utf8_lossy(&mail.bytes).into_owned())
            .collect();
        let envelopes: Vec<_> = received.iter().flat_map(|mail| mail.rcpt_to.clone()).collect();
        let told: String = hooks
            .iter()
            .map(|hook| String::from_utf8_lossy(&hook.body).into_owned() + &hook.path)
            .collect();
        let encoded = self.secret("attachment content in base64");
        for (name, word) in &self.words {
            let is_used = [shown, mail.as_str(), told.as_str(), &envelopes.join(" ")]
                .iter()
                .any(|text| text.contains(word));
            let is_encoded = *name == "attachment content" && mail.contains(encoded);
            assert!(
                is_used || is_encoded || *name == "idempotency key",
                "{name} was never on its way"
            );
        }
    }

    /// Names of the canaries that the bytes hold, each once.
    pub(super) fn found_in(&self, bytes: &[u8]) -> Vec<&'static str> {
        let mut found: Vec<_> = places(bytes, prefix().as_bytes())
            .map(|at| {
                let here = &bytes[at..];
                let word = self
                    .words
                    .iter()
                    .find(|(_, word)| here.starts_with(word.as_bytes()));
                word.map_or("part of a canary", |(name, _)| *name)
            })
            .collect();
        let others = self
            .secrets
            .iter()
            .filter(|(_, secret)| places(bytes, secret.as_bytes()).next().is_some());
        found.extend(others.map(|(name, _)| *name));
        found.sort_unstable();
        found.dedup();
        found
    }
}

/// Where the word begins. `skip_until` finds the first letter with the library's fast search, which matters for a process's memory.
fn places<'a>(bytes: &'a [u8], word: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let mut rest = bytes.get(at..)?;
            let skipped = rest.skip_until(word[0]).unwrap();
            if skipped == 0 {
                return None;
            }
            at += skipped;
            if bytes[at - 1..].starts_with(word) {
                return Some(at - 1);
            }
        }
    })
}

#[test]
fn the_search_finds_every_place_of_a_word() {
    assert_eq!(places(b"xabxabab", b"ab").collect::<Vec<_>>(), [1, 4, 6]);
    assert_eq!(places(b"", b"ab").count() + places(b"ba", b"ab").count(), 0);
    let canaries = Canaries::new("le_key".into());
    let text = format!("..{}..le_key..", canaries.of("subject"));
    assert_eq!(canaries.found_in(text.as_bytes()), ["API key", "subject"]);
}
