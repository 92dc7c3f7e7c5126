//! What a refusal means: the bounce categories of the API, from a code, an enhanced code and words.
//!
//! Codes lie. `550 5.1.1` is said of addresses on block lists, `5.7.1` of mailboxes that do not exist, and many hosts say `550` alone of
//! everything. So clear words go first, then the enhanced code (RFC 3463), then the reply code. Words that speak of the sender, of
//! policy or of content go before those that speak of the recipient: a host that refuses us for our reputation must not make us take
//! its users for gone. For the same reason a bare `550` without known words is a matter of policy and not of the address.

use super::reply::EnhancedCode;

/// Why mail was refused, in the API's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Category {
    /// No such mailbox.
    InvalidAddress,
    /// No such domain, or it takes no mail.
    DomainNotFound,
    /// The content.
    ContentRejected,
    /// A policy, of the receiver's or the sender's domain.
    PolicyRelated,
    /// The sender, its address or its reputation.
    Blocked,
    /// No room.
    MailboxFull,
    /// Anything else on the other side.
    ServerError,
    /// Too much at once.
    RateLimited,
}

impl Category {
    /// All categories.
    pub const ALL: [Category; 8] = [
        Self::InvalidAddress,
        Self::DomainNotFound,
        Self::ContentRejected,
        Self::PolicyRelated,
        Self::Blocked,
        Self::MailboxFull,
        Self::ServerError,
        Self::RateLimited,
    ];

    /// The category as events name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidAddress => "invalid_address",
            Self::DomainNotFound => "domain_not_found",
            Self::ContentRejected => "content_rejected",
            Self::PolicyRelated => "policy_related",
            Self::Blocked => "blocked",
            Self::MailboxFull => "mailbox_full",
            Self::ServerError => "server_error",
            Self::RateLimited => "rate_limited",
        }
    }

    /// Whether sending the same again will not help.
    pub fn is_hard(self) -> bool {
        match self {
            Self::InvalidAddress
            | Self::DomainNotFound
            | Self::ContentRejected
            | Self::PolicyRelated
            | Self::Blocked => true,
            Self::MailboxFull | Self::ServerError | Self::RateLimited => false,
        }
    }

    /// Whether it says that nobody is there: then no other mail will arrive either.
    pub fn is_of_address(self) -> bool {
        match self {
            Self::InvalidAddress | Self::DomainNotFound => true,
            Self::ContentRejected
            | Self::PolicyRelated
            | Self::Blocked
            | Self::MailboxFull
            | Self::ServerError
            | Self::RateLimited => false,
        }
    }
}

/// The category of a refusal. `code` is the reply's, if there was one; `text` is what was said, in any number of lines.
///
/// A temporary refusal (4yz, or class 4) is of a soft category, whatever it says: a mailbox that is missing today may be there
/// tomorrow.
pub fn classify(code: Option<u16>, enhanced: Option<EnhancedCode>, text: &str) -> Category {
    let words = spoken(text);
    let is_transient = match (code, enhanced) {
        (Some(code), _) => code < 500,
        (None, enhanced) => enhanced.is_some_and(|enhanced| enhanced.class == 4),
    };
    let status = enhanced.map(|enhanced| (enhanced.subject, enhanced.detail));
    if is_transient {
        transient(code, status, &words)
    } else {
        permanent(code, status, &words)
    }
}

/// The text in small letters, each space one, without addresses and enhanced codes: the ones hold anything, the others stand at the
/// head of every line.
fn spoken(text: &str) -> String {
    let is_word = |word: &&str| !word.contains('@') && EnhancedCode::parse(word).is_none();
    let words: Vec<_> = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .filter(is_word)
        .collect();
    words.join(" ").to_lowercase()
}

/// What is said in so many words, whatever the code; the first that is found decides.
const WORDS: &[(Category, &[&str])] = &[
    (Category::Blocked, &["reputation"]),
    // Of the sender's address and domain, before the recipient's: they share most words.
    (
        Category::PolicyRelated,
        &[
            "sender address rejected",
            "domain of sender",
            "sender verify failed",
            "sender verification",
            "sender domain",
            "sending domain",
            "sender's domain",
            "sender denied",
            "sender unauthorized",
            "envelope sender",
            "from address",
            "from domain",
            "from header",
            "helo",
            "reverse dns",
            "ptr record",
            "dmarc",
            "dkim",
            "spf check",
            "spf fail",
            "spf or dkim",
            "spf record",
            "sender policy framework",
            "unauthenticated",
            "not authenticated",
            "authentication required",
            "authentication checks",
            "sendernotauthenticated",
            "relay access denied",
            "relaying denied",
            "relay not permitted",
            "not permitted to relay",
            "unable to relay",
            "relaying not allowed",
            "attr36", // A tenant's own rule at Microsoft.
            "dns ptr",
            "hostname",
            "allow list",
            "not authorized to send to",
            "restricted",
        ],
    ),
    (
        Category::ContentRejected,
        &["likely unsolicited", "classified as spam"],
    ),
    (
        Category::Blocked,
        &[
            "spamhaus",
            "spamcop",
            "barracuda",
            "sorbs",
            "dnsbl",
            " rbl",
            "blocklist",
            "block list",
            "blacklist",
            "black list",
            "blocked using",
            "blocked by",
            "is blocked",
            "been blocked",
            "ip blocked",
            "banned",
            "is listed",
            "currently listed",
            "found on one or more",
            "traffic not accepted",
            "blocked - see",
            "poor standing",
            "network is on our",
            "senderbase",
            "cloudmark",
            "dynamic ip",
            "dynamically assigned",
            "bad sender",
        ],
    ),
    (
        Category::RateLimited,
        &[
            "receiving mail at a rate",
            "receiving mail too quickly",
            "rate limit",
            "ratelimit",
            "rate that",
            "too many messages",
            "too many connections",
            "too many concurrent",
            "too much mail",
            "sending too",
            "throttl",
            "exceeded the allowed",
            "message quota",
            "too many recipients",
            "sending limit",
            "frequency",
            "unusual sending",
            "daily limit",
            "daily quota",
            "hourly",
            "unexpected volume",
            "unusual rate",
        ],
    ),
    (
        Category::MailboxFull,
        &[
            "mailbox full",
            "mailbox is full",
            "mailbox for user is full",
            "inbox is full",
            "inbox full",
            "over quota",
            "overquota",
            "quota exceeded",
            "exceeded quota",
            "exceeded storage",
            "exceeds quota",
            "quota full",
            "out of storage",
            "insufficient system storage",
            "storage allocation",
            "mailbox size limit",
            "not enough space",
            "no space",
            "disk quota",
            "full mailbox",
        ],
    ),
    (
        Category::ContentRejected,
        &[
            "spam",
            "unsolicited",
            "junk",
            "bulk mail",
            "content",
            "virus",
            "malware",
            "phish",
            "attachment",
            "malicious",
            "suspicious",
            "message looks",
            "message size",
            "message too large",
            "too big",
            "size limit",
            "exceeds fixed maximum",
            "high score",
            "line too long",
            "missing header",
            "message filtered",
            " url",
        ],
    ),
    (
        Category::PolicyRelated,
        &[
            "policy",
            "policies",
            "administrative prohibition",
            "prohibited",
            "administratively",
        ],
    ),
    (
        Category::ContentRejected,
        &[
            "message rejected",
            "message refused",
            "message was rejected",
            "mail rejected",
        ],
    ),
    (
        Category::DomainNotFound,
        &[
            "no such domain",
            "domain does not exist",
            "domain doesn't exist",
            "domain not found",
            "unknown domain",
            "unrouteable mail domain",
            "host or domain name not found",
            "host unknown",
            "domain is not hosted",
            "null mx",
            "domain is disabled",
            "domain is inactive",
        ],
    ),
    (
        Category::InvalidAddress,
        &[
            "user unknown",
            "unknown user",
            "no such user",
            "no such recipient",
            "no such mailbox",
            "no such account",
            "no such address",
            "no such person",
            "no such local user",
            "no mailbox",
            "no user",
            "user not found",
            "user doesn't",
            "user does not",
            "user not exist",
            "users not exist",
            "not exist",
            "doesn't exist",
            "doesn't have",
            "does not have",
            "non-existent",
            "nonexistent",
            "unknown recipient",
            "recipient unknown",
            "recipient not found",
            "recipients not found",
            "recipientnotfound",
            "recipient address rejected: undeliverable",
            "recipient rejected",
            "recipient is not",
            "invalid recipient",
            "invalid mailbox",
            "invalid address",
            "invalid user",
            "bad destination",
            "bad address",
            "mailbox not found",
            "mailbox unavailable",
            "mailbox unknown",
            "mailbox is unavailable",
            "mailbox is disabled",
            "mailbox disabled",
            "mailbox is inactive",
            "mailbox inactive",
            "unknown mailbox",
            "address unknown",
            "unknown address",
            "address not found",
            "address does not",
            "not a valid",
            "not a known",
            "not our user",
            "not our customer",
            "#5.1.0 address rejected",
            "illegal alias",
            "mailbox is frozen",
            "account is disabled",
            "account disabled",
            "account has been disabled",
            "account has been suspended",
            "account is inactive",
            "account inactive",
            "account closed",
            "account unavailable",
            "account is not available",
            "user disabled",
            "user is disabled",
            "user is inactive",
            "user suspended",
            "undeliverable address",
            "unrouteable address",
            "unroutable address",
            "cannot find your recipient",
            "could not be found",
            "couldn't be found",
            "wasn't found",
            "verification failed for",
            "no longer",
            "addressee unknown",
            "not listed",
            "not known here",
            "no account",
        ],
    ),
];

fn by_words(words: &str, may: impl Fn(Category) -> bool) -> Option<Category> {
    WORDS
        .iter()
        .filter(|(category, _)| may(*category))
        .find(|(_, all)| all.iter().any(|word| words.contains(word)))
        .map(|(category, _)| *category)
}

fn permanent(code: Option<u16>, status: Option<(u16, u16)>, words: &str) -> Category {
    // Exchange Online says so of mailboxes that its tenants don't have.
    if status == Some((4, 1)) && words.contains("recipient address rejected: access denied") {
        return Category::InvalidAddress;
    }
    by_words(words, |_| true)
        .or_else(|| status.and_then(by_status))
        .unwrap_or(match code {
            Some(552) => Category::MailboxFull,
            Some(550 | 551 | 553 | 554) => Category::PolicyRelated,
            _ => Category::ServerError,
        })
}

/// What the enhanced codes of RFC 3463 and RFC 7505 mean; details that say nothing are left to the reply code.
fn by_status(status: (u16, u16)) -> Option<Category> {
    Some(match status {
        // 1.7 and 1.8 are about the sender's address, which is ours.
        (1, 7 | 8) => Category::PolicyRelated,
        (1, 2 | 10) => Category::DomainNotFound,
        (1, 9) => Category::ServerError,
        // 7.17 and 7.18: somebody else has the address, or the domain, by now (RFC 7293).
        (1, _) | (2, 1) | (7, 17 | 18) => Category::InvalidAddress,
        (2, 2) => Category::MailboxFull,
        (2, 3) | (3, 4) | (6, _) => Category::ContentRejected,
        (4, 4) => Category::DomainNotFound,
        (7, 1) => Category::Blocked,
        (7, 28) => Category::RateLimited,
        (7, _) => Category::PolicyRelated,
        (2..=5, _) => Category::ServerError,
        _ => return None,
    })
}

fn transient(code: Option<u16>, status: Option<(u16, u16)>, words: &str) -> Category {
    const GREYLISTED: [&str; 3] = ["greylist", "graylist", "grey list"];
    if let Some(category) = by_words(words, |category| !category.is_hard()) {
        return category;
    }
    match (status, code) {
        (Some((2, 2)), _) | (None, Some(452)) => Category::MailboxFull,
        (Some((7, _)), _) => Category::RateLimited,
        _ if GREYLISTED.iter().any(|word| words.contains(word)) => Category::RateLimited,
        _ => Category::ServerError,
    }
}
