//! E-mails that all differ, made from a seed: the same run writes the same mail.

use super::{BenchError, failed};
use crate::features::domains::Tls;
use crate::features::emails::{Draft, Stream};
use crate::features::events::Metadata;
use bytes::Bytes;
use sealwright_mail::address::Mailbox;
use sealwright_mail::header::HeaderText;
use serde::Serialize;
use std::sync::LazyLock;

/// The sending domain of the benchmark.
pub(super) const DOMAIN: &str = "sender.example";
/// The author of every e-mail.
const FROM: &str = "Orders <orders@sender.example>";
/// Recipients are spread over so many domains.
const DESTINATIONS: u64 = 50;
/// Letters, and enough spaces that lines look like words. 32, so that five random bits choose one.
const ALPHABET: &[u8; 32] = b"etaoinshrdlucmfwypvbgk et a nr s";
/// Bytes of the text that letters are made of.
const POOL_BYTES: usize = 256 * 1024;
/// Bytes that are taken from it at once.
const PIECE_BYTES: usize = 256;
/// Characters of a line of text.
const LINE_CHARS: usize = 72;
/// Bytes of the text part.
const TEXT_BYTES: usize = 200;
/// Bytes of a subject's random end.
const SUBJECT_BYTES: usize = 24;

/// A source of numbers that only have to differ (the finalizer of SplitMix64 over a counter).
#[derive(Debug, Clone)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Bytes without any order, as sealed content is.
    pub(super) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count + 8);
        while bytes.len() < count {
            bytes.extend_from_slice(&self.next().to_ne_bytes());
        }
        bytes.truncate(count);
        bytes
    }

    /// Appends words, `count` bytes in all, broken into lines.
    fn words(&mut self, count: usize, to: &mut String) {
        let pool = pool();
        let mut left = count;
        while left > 0 {
            // A random remainder is a little uneven, which does not matter here.
            let from = (self.next() % (POOL_BYTES - PIECE_BYTES) as u64) as usize;
            let piece = pool.get(from..from + PIECE_BYTES.min(left)).unwrap_or_default();
            to.push_str(piece);
            left -= piece.len().max(1);
        }
    }
}

/// Lines of random words. Pieces of them in random order make texts that differ, at the price of copying: the client shares the cores with
/// what is measured.
fn pool() -> &'static str {
    static POOL: LazyLock<String> = LazyLock::new(|| {
        let mut chance = Chance::new(0);
        let letter = |place: usize| match place % LINE_CHARS {
            0 => '\n',
            _ => ALPHABET
                .get((chance.next() & 31) as usize)
                .copied()
                .map_or(' ', char::from),
        };
        (1..=POOL_BYTES).map(letter).collect()
    });
    &POOL
}

/// One e-mail's content.
#[derive(Debug)]
pub(super) struct Letter {
    to: String,
    subject: String,
    html: String,
    text: String,
}

impl Letter {
    /// The e-mail with this number; the number is in its recipient, see [`number_of`].
    pub(super) fn write(number: u64, html_bytes: usize, chance: &mut Chance) -> Self {
        let mut subject = format!("Order {number} ");
        chance.words(SUBJECT_BYTES, &mut subject);
        let mut html = String::with_capacity(html_bytes + 64);
        html.push_str("<!doctype html><html><body><p>");
        chance.words(html_bytes.saturating_sub(48), &mut html);
        html.push_str("</p></body></html>");
        let mut text = String::with_capacity(TEXT_BYTES + 8);
        chance.words(TEXT_BYTES, &mut text);
        Self {
            to: format!("r{number}@d{}.example", number % DESTINATIONS),
            subject: subject.replace('\n', " "),
            html,
            text,
        }
    }

    /// The same to another domain.
    pub(super) fn to(mut self, domain: &str) -> Self {
        let local_part = self.to.split('@').next().unwrap_or_default();
        self.to = format!("{local_part}@{domain}");
        self
    }

    /// The body of `POST /v1/emails`.
    pub(super) fn json(&self) -> Bytes {
        #[derive(Serialize)]
        struct Body<'a> {
            from: &'a str,
            to: &'a str,
            subject: &'a str,
            html: &'a str,
            text: &'a str,
        }
        let body = Body {
            from: FROM,
            to: &self.to,
            subject: &self.subject,
            html: &self.html,
            text: &self.text,
        };
        serde_json::to_vec(&body).unwrap_or_default().into()
    }

    /// The e-mail as the API's door hands it on.
    pub(super) fn draft(self) -> Result<Draft, BenchError> {
        let mailbox = |text: &str| Mailbox::parse(text).map_err(failed("a made-up address"));
        Ok(Draft {
            from: mailbox(FROM)?,
            to: vec![mailbox(&self.to)?],
            cc: Vec::new(),
            bcc: Vec::new(),
            reply_to: Vec::new(),
            subject: HeaderText::parse(&self.subject).map_err(failed("a made-up subject"))?,
            html: Some(self.html),
            text: Some(self.text),
            amp: None,
            headers: Vec::new(),
            tags: Vec::new(),
            metadata: Metadata::default(),
            attachments: Vec::new(),
            scheduled_at: None,
            stream: Stream::Transactional,
            tls: Tls::Opportunistic,
        })
    }
}

/// The number of the e-mail that went to this recipient.
pub(super) fn number_of(recipient: &str) -> Option<u64> {
    let (number, _) = recipient.strip_prefix('r')?.split_once('@')?;
    number.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn every_letter_differs_and_has_its_size_and_number() {
        let mut chance = Chance::new(1);
        let (one, two) = (
            Letter::write(1, 10_240, &mut chance),
            Letter::write(2, 10_240, &mut chance),
        );
        assert_ne!(one.html, two.html);
        assert_ne!(one.subject, two.subject);
        assert_eq!(number_of(&two.to), Some(2));
        let two = two.to("slow.example");
        assert_eq!(two.to, "r2@slow.example");
        assert!(
            (10_140..=10_340).contains(&one.html.len()),
            "{} bytes",
            one.html.len()
        );
        assert!(one.html.lines().all(|line| line.len() <= 2 * LINE_CHARS + 48));
        assert!(one.draft().unwrap().check().is_ok());
    }

    #[test]
    fn the_same_seed_writes_the_same_letter() {
        let html = |seed| Letter::write(7, 500, &mut Chance::new(seed)).html;
        assert_eq!(html(3), html(3));
        assert_ne!(html(3), html(4));
    }
}
